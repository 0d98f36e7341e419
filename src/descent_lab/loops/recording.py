"""NumPy calls that are recorded once and then repeated into the same memory.

A training step makes the same calls every time, and most of a small step's time goes into what surrounds them: the work
of the Python interpreter, checks of arguments, and requests for memory. A step that runs once on `Recorded` arrays
computes as NumPy does and keeps every call, with the memory of its arguments and its result; repeating the step is one
loop over these calls. The numbers are the same, up to the rounding of sums over arrays that lie in memory in another
order (the tests find none). As under a compiler, a step cannot ask for values (`if`, float()): that raises TypeError.
"""

import operator
from collections.abc import Callable
from functools import partial
from math import prod
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

ALIGNED = 64  # bytes: the length of a line of the cache, and of the widest vector
WASTE = 4  # reuse a freed buffer only if it has at most 4 times the bytes that are needed
REDUCTIONS = {np.sum: np.add, np.prod: np.multiply, np.max: np.maximum, np.min: np.minimum}
WRITING = (np.dot, np.concatenate, np.stack)  # functions that can write into an array of the caller
MAKING: dict[Any, int | None] = {np.empty_like: None, np.zeros_like: 0, np.ones_like: 1}
VIEWS = (np.broadcast_to, np.expand_dims, np.moveaxis, np.reshape, np.squeeze, np.swapaxes, np.transpose)
ASKING = (
    np.shape,
    np.ndim,
    np.size,
    np.result_type,
    np.iscomplexobj,
)  # functions of shapes and types, which stay the same from step to step
# Functions of numbers, which keep the types of Python: a Python number does not widen float32.
PYTHONS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
    np.power: operator.pow,
    np.negative: operator.neg,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.absolute: abs,
}

Cell = list[Any]  # a list of one number, which calls read and write
Free = dict[int, list[np.ndarray]]  # freed buffers by their number of bytes


class Recording:
    """The calls of one computation, and the memory in which they work."""

    def __init__(self, free: Free | None = None) -> None:
        """free: buffers to share with recordings that are not repeated at the same time."""
        self._calls: list[Callable[[], Any]] = []
        self._free: Free = {} if free is None else free

    def repeat(self) -> None:
        """Make all calls again, with the values that their inputs hold now."""
        for call in self._calls:
            call()

    def keep(self, call: Callable[[], Any]) -> None:
        """Make this call, now and at every repetition."""
        call()
        self._calls.append(call)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> "Recorded":
        """An array for a result, in a freed buffer if one fits."""
        n = prod(shape) * np.dtype(dtype).itemsize
        fit = min((size for size, free in self._free.items() if free and n <= size <= WASTE * n), default=None)
        room = _Room(_aligned(n) if fit is None else self._free[fit].pop(), self._free)
        return Recorded(self, room.memory[:n].view(dtype).reshape(shape), room)


class _Room:
    """A buffer. It may be reused once Python frees the last array in it, because no later call can read it then."""

    def __init__(self, memory: np.ndarray, free: Free):
        self.memory, self._free = memory, free

    def __del__(self) -> None:
        self._free.setdefault(self.memory.nbytes, []).append(self.memory)


def _aligned(n: int) -> np.ndarray:
    memory = np.empty(n + ALIGNED, np.uint8)
    first = -memory.ctypes.data % ALIGNED
    return memory[first : first + n]


class Operand(NDArrayOperatorsMixin):
    """Stands for an array or a number while a step is recorded."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "a step is recorded once: it cannot ask for a value, as `if`, float() and asarray() do; where() can "
            "choose, and with backend.loop=eager all of them work"
        )

    __bool__ = __float__ = __int__ = __index__ = __array__ = _refuse


class Number(Operand):
    """A number that differs from step to step. Its value is cell[0]."""

    def __init__(self, recording: Recording, cell: Cell):
        self.recording, self.cell = recording, cell

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or any(isinstance(x, Recorded | np.ndarray) for x in inputs):
            return _recorded(self.recording, ufunc, method, inputs, **options)
        result = Number(self.recording, [None])
        cells = [x.cell if isinstance(x, Number) else [x] for x in inputs]
        self.recording.keep(_of_numbers(PYTHONS.get(ufunc, ufunc), result.cell, cells))
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        """Record number[...] = value, which is written as for arrays."""
        cell = self.cell
        if isinstance(value, Recorded):
            if value.ndim:
                raise TypeError(f"a number cannot become an array of shape {value.shape}: begin with one of that shape")
            array = value.array
            self.recording.keep(lambda: cell.__setitem__(0, array[()]))
        else:
            source = value.cell if isinstance(value, Number) else [value]
            self.recording.keep(lambda: cell.__setitem__(0, source[0]))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        """Call the function with an array of shape () in place of the number, unless another argument is an array."""
        if Recorded in types:
            return NotImplemented
        like = Recorded(self.recording, self.as_array(np.result_type(self.cell[0])))
        return like.__array_function__(function, types, args, options)

    def copy(self) -> "Number":
        """A copy of the present value."""
        result = Number(self.recording, [None])
        result[...] = self
        return result

    def as_array(self, dtype: Any) -> np.ndarray:
        """An array of shape () that holds the number."""
        array, cell = np.empty((), dtype), self.cell
        self.recording.keep(lambda: array.fill(cell[0]))
        return array


def _of_numbers(f: Callable[..., Any], result: Cell, cells: list[Cell]) -> Callable[[], None]:
    if len(cells) == 2:  # nearly all functions have two arguments, and this takes a quarter of the time
        a, b = cells

        def call() -> None:
            result[0] = f(a[0], b[0])

    else:

        def call() -> None:
            result[0] = f(*[cell[0] for cell in cells])

    return call


class Recorded(Operand):
    """An array of NumPy. Every call that works on it is recorded."""

    def __init__(self, recording: Recording, array: np.ndarray, room: _Room | None = None):
        self.recording, self.array, self._room = recording, array, room

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)
    mT = property(lambda self: self._view(self.array.mT))
    T = property(lambda self: self._view(self.array.T))

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return np

    def __len__(self) -> int:
        return len(self.array)

    def flatten(self) -> "Recorded":
        """A copy with one axis."""
        flat: Recorded = self.copy().reshape(-1)
        return flat

    def transpose(self, *axes: Any) -> "Recorded":
        """A view with its axes in another order."""
        return self._view(self.array.transpose(*axes))

    def __getattr__(self, name: str) -> Any:
        """Any other method of an array, which is the function of numpy that has this name."""
        if name.startswith("_") or name in ("real", "imag") or not callable(getattr(np, name, None)):
            raise AttributeError(f"{name} of an array cannot be recorded")
        return partial(getattr(np, name), self)

    def __getitem__(self, key: Any) -> "Recorded":
        return self._view(self.array[_basic(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.recording.keep(partial(np.copyto, self.array[_basic(key)], _plain(value, self.dtype)))

    def reshape(self, *shape: Any) -> Any:
        """The array in another shape: a view if possible, else a copy."""
        array = self.array.reshape(*shape)
        return self._view(array) if np.may_share_memory(array, self.array) else np.reshape(self, array.shape)

    def copy(self) -> "Recorded":
        """A copy of the present value."""
        result = self.recording.empty(self.shape, self.dtype)
        result[...] = self
        return result

    @property
    def is_input(self) -> bool:
        """Whether it lies in memory that the recording did not make."""
        return self._room is None

    def _view(self, array: np.ndarray) -> "Recorded":
        return Recorded(self.recording, array, self._room)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _recorded(self.recording, ufunc, method, inputs, **options)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        if function in MAKING:
            return self._made(MAKING[function], *args, **options)
        if function in REDUCTIONS and 1 <= len(args) <= 2 and not {"where", "initial"} & options.keys():
            array, *axis = args
            return REDUCTIONS[function].reduce(array, **{"axis": axis[0] if axis else None} | options)
        options, out = dict(options), options.get("out")
        options.pop("out", None)
        dtype = np.result_type(*map(_value, _operands([*args, *options.values()])))
        args, options = _arguments(args, dtype), {name: _arguments(x, dtype) for name, x in options.items()}
        call = partial(function, *args, **options)
        value = call()
        if function in ASKING:
            return value
        if isinstance(value, tuple | list):
            return self._results(call, value)
        shared = isinstance(value, np.ndarray) and np.may_share_memory(value, self.array)
        if value is None or (shared and function not in VIEWS):  # the function may work in place
            self.recording.keep(call)
        if value is None:
            return None
        if shared:
            return self._view(value)
        result = _result(self.recording, value, out)
        if function in WRITING:
            self.recording.keep(partial(call, out=result.array))
        else:
            into = result.array
            self.recording.keep(lambda: np.copyto(into, call()))
        return result

    def _made(self, value: Any, like: "Recorded", dtype: Any = None, shape: Any = None, **_: Any) -> "Recorded":
        result = self.recording.empty(like.shape if shape is None else shape, dtype or like.dtype)
        if value is not None:
            self.recording.keep(partial(result.array.fill, value))
        return result

    def _results(self, call: Callable[[], Any], values: Any) -> tuple["Recorded", ...]:
        """The several results of a function."""
        results = tuple(_result(self.recording, value, None) for value in values)
        arrays = [result.array for result in results]

        def copy() -> None:
            for array, value in zip(arrays, call(), strict=True):
                np.copyto(array, value)

        self.recording.keep(copy)
        return values._make(results) if hasattr(values, "_make") else results


def _recorded(recording: Recording, ufunc: np.ufunc, method: str, inputs: Any, out: Any = None, **options: Any) -> Any:
    """Record a ufunc, or a method of one, on operands, arrays and numbers."""
    dtype = np.result_type(*map(_value, inputs))
    operands = [_cast(x, dtype) for x in inputs]
    inputs = [_plain(x, dtype) for x in operands]
    options = {name: _arguments(x, dtype) for name, x in options.items()}
    f = ufunc if method == "__call__" else getattr(ufunc, method)
    into = out[0] if out else None
    if isinstance(into, Recorded):
        result = into
    elif into is None and method == "__call__" and ufunc.signature is None and ufunc.nout == 1 and not options:
        *_, kind = ufunc.resolve_dtypes((*(x.dtype for x in inputs), None))
        result = recording.empty(np.broadcast_shapes(*(x.shape for x in inputs)), kind)
    else:
        result = _result(recording, f(*inputs, **options), into)
    recording.keep(partial(f, *inputs, out=result.array, **options))
    return result


def _cast(x: Any, dtype: np.dtype) -> Any:
    """Truth values as the numbers 0 and 1. NumPy would convert them itself, but takes twice as long for it."""
    if not isinstance(x, Recorded) or x.dtype != bool or dtype.kind != "f":
        return x
    result = x.recording.empty(x.shape, dtype)
    result[...] = x
    return result


def _result(recording: Recording, value: Any, out: Recorded | None) -> Recorded:
    """The array into which a repeated call writes its result. value: what the call has just returned."""
    if isinstance(out, np.ndarray):
        raise TypeError("a plain array cannot take what is recorded: make it with numpy's empty_like or zeros_like")
    if isinstance(out, Recorded):
        return out
    if not isinstance(value, np.ndarray | np.generic | bool | int | float):
        raise TypeError(f"a call that returns a {type(value).__name__} cannot be recorded")
    return recording.empty(np.shape(value), np.asarray(value).dtype)


def _value(x: Any) -> Any:
    return x.cell[0] if isinstance(x, Number) else x.array if isinstance(x, Recorded) else x


def _operands(x: Any) -> list[Any]:
    """The arrays and recorded numbers among arguments."""
    if isinstance(x, list | tuple):
        return [operand for part in x for operand in _operands(part)]
    return [x] if isinstance(x, Operand | np.ndarray) else []


def _arguments(x: Any, dtype: Any) -> Any:
    """The arguments of a function as NumPy takes them. Axes and flags stay as they are."""
    if isinstance(x, list | tuple):
        return type(x)(_arguments(part, dtype) for part in x)
    return _plain(x, dtype) if isinstance(x, Operand) else x


def _plain(x: Any, dtype: Any) -> Any:
    """The array that NumPy is called with. A number becomes an array once, or NumPy would convert it at every call."""
    if isinstance(x, Number):
        return x.as_array(dtype)
    return x.array if isinstance(x, Recorded) else np.asarray(x, dtype) if np.ndim(x) == 0 else x


def _basic(key: Any) -> tuple[Any, ...]:
    """The key of a view. Raises TypeError for lists and arrays, which would choose entries by value."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(isinstance(k, bool) or not isinstance(k, int | np.integer | slice | None | EllipsisType) for k in keys):
        raise TypeError("only slices and integers can be recorded as an index")
    return keys if any(k is ... for k in keys) else (*keys, ...)  # without the ellipsis, one entry would not be a view
