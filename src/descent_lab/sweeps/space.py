"""Search spaces: for each hyperparameter that is tuned, the values to choose from, or an interval.

A space is written as in YAML, with dotted names of values of a run:

    {"lr": {"low": 1e-4, "high": 1.0, "scale": "log"}, "optimizer.mu": {"values": [0.0, 0.9]}}

`optimizer: {mu: ...}` is the same as `optimizer.mu: ...`. Points of the unit cube become settings by `Axis.at`, so that
entrants whose spaces have as many axes can be tried at the same points.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from descent_lab.components import suggestion
from descent_lab.errors import ConfigError

Setting = Mapping[str, Any]  # a value by the dotted name of a hyperparameter
OPTIONAL = {"scale": "linear", "integer": False}  # the fields of an interval that may be left out
UNSAID = {"values": None, "low": None, "high": None} | OPTIONAL
SHAPE = "{values: [...]} or {low: ..., high: ..., scale: linear|log, integer: true|false}"
DIGITS = 3  # significant digits of a value that is drawn from an interval of real numbers


@dataclass(frozen=True)
class Values:
    """A list of values, numbers or words, to choose from."""

    values: tuple[Any, ...]

    def at(self, u: float) -> Any:
        """The value at a place u in [0, 1); each value has an equal share of the places."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    @property
    def described(self) -> dict[str, Any]:
        """The axis as YAML and JSON have it."""
        return {"values": list(self.values)}

    def __str__(self) -> str:
        return f"one of {', '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in self.values)}"

    @property
    def ends(self) -> tuple[float, float] | None:
        """The lowest and the highest value; None where not all are numbers."""
        numbers = [value for value in self.values if isinstance(value, int | float) and not isinstance(value, bool)]
        return (min(numbers), max(numbers)) if len(numbers) == len(self.values) else None


@dataclass(frozen=True)
class Interval:
    """All numbers from low to high; log: places are spread evenly over the logarithms. integer: only whole numbers."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False

    def at(self, u: float) -> float | int:
        """The number at a place u in [0, 1). A real number is rounded to 3 significant digits, within the interval."""
        # linear: x = low + u (high - low);  log: x = low (high / low)^u
        # integers: floor(x), with high + 1 in place of high, so that each has its share
        high = self.high + 1 if self.integer else self.high
        x = self.low * (high / self.low) ** u if self.scale == "log" else self.low + u * (high - self.low)
        if self.integer:
            return min(math.floor(x), int(self.high))
        return self.rounded(x)

    def rounded(self, x: float) -> float:
        """A real number to 3 significant digits, within the interval."""
        return min(max(float(f"{x:.{DIGITS}g}"), self.low), self.high)

    def place(self, x: float) -> float:
        """The place in [0, 1] of a number of the interval."""
        if self.scale == "log":
            return math.log(x / self.low) / math.log(self.high / self.low)
        return (x - self.low) / (self.high - self.low)

    @property
    def described(self) -> dict[str, Any]:
        """The axis as YAML and JSON have it."""
        described: dict[str, Any] = {"low": self.low, "high": self.high, "scale": self.scale}
        return described | ({"integer": True} if self.integer else {})

    def __str__(self) -> str:
        kinds = ["integer"] * self.integer + ["log"] * (self.scale == "log")
        return f"from {self.low:g} to {self.high:g}" + (f" ({', '.join(kinds)})" if kinds else "")

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high."""
        return self.low, self.high


Axis = Values | Interval
Space = Mapping[str, Axis]  # an axis by the dotted name of a hyperparameter


def size_of(space: Space) -> float:
    """The number of settings of a space: infinite where it has an interval of real numbers."""
    sizes = [_size(axis) for axis in space.values()]
    return math.prod(sizes)


def grid_of(space: Space) -> list[Setting]:
    """Every setting of a finite space, once."""
    lists = [_listed(axis) for axis in space.values()]
    return [dict(zip(space, point, strict=True)) for point in product(*lists)]


def setting_at(space: Space, point: Sequence[float]) -> Setting:
    """The setting at a point of the unit cube: one coordinate an axis, in the order of the space."""
    return {name: axis.at(u) for (name, axis), u in zip(space.items(), point, strict=True)}


def space_of(where: str, written: Any) -> dict[str, Axis | None]:
    """The axes of a space as it is written, by their dotted names; None for an axis that is taken away.

    where: the name under which the space is given, for errors. Raises ConfigError in one line for what is no space.
    """
    if not isinstance(written, Mapping):
        raise ConfigError(f"{where}={written}: must name hyperparameters, such as {{lr: {SHAPE}}}")
    return {name: None if axis is None else axis_of(f"{where}.{name}", axis) for name, axis in by_name(written)}


def axis_of(where: str, written: Any) -> Axis:
    """An axis as it is written: values, or an interval. Raises ConfigError in one line for what is neither."""
    if isinstance(written, Values | Interval):
        return written
    if isinstance(written, Sequence) and not isinstance(written, str):
        written = {"values": written}
    if not isinstance(written, Mapping):
        raise ConfigError(f"{where}={written}: must be {SHAPE}")
    given = {name: value for name, value in written.items() if value is not None}
    if unknown := [str(name) for name in given if name not in UNSAID]:
        raise ConfigError(
            f"{where}.{unknown[0]}: no such field{suggestion(unknown[0], list(UNSAID))}; an axis is {SHAPE}"
        )
    if "values" in given:
        if both := given.keys() & {"low", "high"}:
            raise ConfigError(f"{where}: has values and {max(both)}; must be {SHAPE}")
        return _values(where, given["values"])
    if not {"low", "high"} <= given.keys():
        said = {name: value for name, value in given.items() if value != UNSAID[name]}
        raise ConfigError(f"{where}={json.dumps(said, default=str)}: must be {SHAPE}")
    return _interval(where, given)


def complete(written: Any) -> Any:
    """A space as it is written, nested, with all fields of every axis, so that one that is merged replaces another.

    What is no axis stays as it is, to be refused by `axis_of`.
    """
    if not isinstance(written, Mapping):
        return written
    nested: dict[str, Any] = {}
    for name, part in written.items():
        group, dot, rest = str(name).partition(".")
        if dot or (isinstance(part, Mapping) and not _is_axis(part)):
            inner = complete({rest: part} if dot else part)
            nested[group] = (nested[group] if isinstance(nested.get(group), dict) else {}) | inner
        elif isinstance(part, list):
            nested[group] = UNSAID | {"values": part}
        else:
            nested[group] = UNSAID | dict(part) if isinstance(part, Mapping) else part
    return nested


def by_name(written: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The axes of a nested space, as they are written, with their dotted names."""
    for name, part in written.items():
        if isinstance(part, Mapping) and not _is_axis(part):
            yield from by_name(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _is_axis(part: Mapping[str, Any]) -> bool:
    """Whether a mapping is an axis, and not a group of them; one without any entry is taken for a wrong axis."""
    return not part or bool(part.keys() & UNSAID.keys()) or not any(_may_hold(value) for value in part.values())


def _may_hold(value: Any) -> bool:
    return value is None or isinstance(value, Mapping | Sequence | Values | Interval)


def _values(where: str, values: Any) -> Values:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ConfigError(f"{where}.values={values}: must be a list of at least one value")
    distinct = {_key(value): value for value in reversed(values)}  # of 1 and 1.0 the first
    return Values(tuple(reversed(distinct.values())))


def _key(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)


def _interval(where: str, given: Mapping[str, Any]) -> Interval:
    low, high = (_number(f"{where}.{name}", given[name]) for name in ("low", "high"))
    scale, integer = (given.get(name, default) for name, default in OPTIONAL.items())
    if scale not in ("linear", "log"):
        raise ConfigError(f"{where}.scale={scale}: must be linear or log")
    if not isinstance(integer, bool):
        raise ConfigError(f"{where}.integer={integer}: must be true or false")
    if not low < high:
        raise ConfigError(f"{where}.low={low:g}: must be below high={high:g}")
    if scale == "log" and low <= 0:
        raise ConfigError(f"{where}.low={low:g}: must be greater than 0 on a log scale")
    if integer and not (low == int(low) and high == int(high)):
        raise ConfigError(f"{where}.low={low:g}, high={high:g}: must be whole numbers, as integer=true")
    return Interval(int(low), int(high), scale, True) if integer else Interval(low, high, scale)


def _number(where: str, value: Any) -> float:
    try:  # YAML takes 1e-4 for a word
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise ConfigError(f"{where}={value}: must be a finite number")
    return number


def _size(axis: Axis) -> float:
    if isinstance(axis, Values):
        return len(axis.values)
    return axis.high - axis.low + 1 if axis.integer else math.inf


def _listed(axis: Axis) -> Sequence[Any]:
    return axis.values if isinstance(axis, Values) else range(int(axis.low), int(axis.high) + 1)
