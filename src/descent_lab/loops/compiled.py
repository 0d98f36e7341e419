"""Training compiled by JAX: a whole segment is one call, mapped over the runs of a stack."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from platform import machine
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descent_lab.derivatives.reverse import reverse_mode
from descent_lab.loops.base import CPU_RUNS, Carry, Rows, Task
from descent_lab.loops.recorded import bound_rule, first_carry

Method = Callable[[Any], Any]  # optimizer (or None) -> Descent or HillClimb

WIDE = {"xla_cpu_prefer_vector_width": 512}  # vectors as a processor has them: XLA takes half of AVX-512
SMALL = 2500  # activations and parameters of a step up to which runs are vectorised together on a CPU
ONE_THREAD = 2**22  # multiplications of a matrix product up to which one thread makes it
TOGETHER = 20_000  # activations and parameters of a vectorised step at most

_compiled: dict[Any, dict[str, Any]] = {}  # what this process has compiled already, by program and shapes


class CompiledMachine:
    """Trains the runs of a task in one compiled loop over steps, mapped over runs."""

    def __init__(self, task: Task, method: Method):
        self.task, self.method = task, method
        self.program, self.objective = task.program, task.program.objective
        dtype = task.theta.dtype
        rule = task.rule.numbers if task.rule else {}
        numbers = {"lr": {"lr": task.lr}, "rule": rule, "schedule": task.schedule.numbers}
        self.numbers = jax.device_put(jax.tree.map(lambda values: values.astype(dtype), numbers))
        self.train = jax.device_put(self._laid(task.x_train, task.y_train))
        self.test = jax.device_put(self._laid(task.x_test, task.y_test))
        self.drawn: dict[str, tuple[Any, Any]] = {}  # what the host drew last, and its copy on the device
        shapes = (None if rows is None else rows.values.shape for rows in (task.order, task.noise))
        self.key = (self.program, task.n_runs, *shapes)
        self.lowered = {} if self.key in _compiled else self._lower()

    @property
    def device(self) -> str:
        chosen = jax.devices()[0]
        return f"{chosen.platform} {machine() if chosen.platform == 'cpu' else chosen.device_kind}"

    def compile(self) -> None:
        """Compile this program for these shapes, unless this process has done so before."""
        if self.key not in _compiled:
            with ThreadPoolExecutor() as threads:  # side by side: XLA compiles without holding Python's lock
                compiled = threads.map(lambda lowered: lowered.compile(self._options), self.lowered.values())
                _compiled[self.key] = dict(zip(self.lowered, compiled, strict=True))
        self.calls = _compiled[self.key]

    @property
    def _options(self) -> dict[str, Any] | None:
        """For a processor, measured: WIDE vectors; and small matrix products, which are over before other threads have
        woken up, by one thread."""
        if jax.default_backend() != "cpu":
            return None
        largest = self.program.batches.size * max(a * b for a, b in pairwise(self.objective.network.sizes))
        return WIDE | {"xla_cpu_multi_thread_eigen": largest > ONE_THREAD}

    def start(self) -> Carry:
        """Computed on the host: compiling it would take longer."""
        rule = bound_rule(self.task) if self.task.rule else None
        carry = first_carry(self.task, self.method(rule), self.task.order)
        counts = partial(np.full, self.task.n_runs, dtype=np.int32)  # numbers shared by all runs, such as t
        inner = jax.tree.map(lambda leaf: counts(leaf) if np.ndim(leaf) == 0 else leaf, carry.inner)
        return jax.device_put(carry._replace(inner=inner))

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, noise: Rows | None) -> Carry:
        firsts = (0 if rows is None else rows.first for rows in (order, noise))
        where = (np.int32(value) for value in (start, stop, *firsts))
        return jax.block_until_ready(self.calls["advance"](self._fed(carry, order, noise), *where))

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        found = self.calls["measure"]((self.numbers, carry, self.train, self.test))
        return {name: np.asarray(value) for name, value in jax.device_get(found).items()}

    def _lower(self) -> dict[str, Any]:
        """The program traced, not yet compiled."""
        carry = self.start()
        advance = jax.jit(_over_runs(self._advance, self._together(self.program.batches.size)))
        measure = jax.jit(_over_runs(self._measure, self._together(self.program.batches.n + self.program.n_test)))
        return {
            "advance": advance.lower(self._fed(carry, self.task.order, self.task.noise), *(np.int32(0),) * 4),
            "measure": measure.lower((self.numbers, carry, self.train, self.test)),
        }

    def _fed(self, carry: Carry, order: Rows | None, noise: Rows | None) -> tuple[Any, ...]:
        drawn = (self._on_device("order", order), self._on_device("noise", noise))
        return (self.numbers, carry, self.train, *drawn)

    def _together(self, n_samples: int) -> int:
        """How many runs are vectorised together, each on so many samples; the rest of the stack follows in a loop.

        Measured on CPUs (benchmarks/stacking.py): up to three times faster where a step is small, slower where it
        is not. An accelerator is filled by all runs together.
        """
        if jax.default_backend() != "cpu":
            return self.task.n_runs
        network = self.objective.network
        numbers = n_samples * sum(network.sizes) + network.n_params
        return min(CPU_RUNS, TOGETHER // numbers) if numbers <= SMALL else 1

    def _on_device(self, name: str, rows: Rows | None) -> Any:
        if rows is None:
            return None
        if name not in self.drawn or self.drawn[name][0] is not rows.values:
            self.drawn[name] = (rows.values, jax.device_put(rows.values))
        return self.drawn[name][1]

    def _laid(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Samples last in memory, as the network takes them, or every step would turn them; first, to pick batches."""
        whole = self.program.batches.per_epoch == 1
        return tuple(np.ascontiguousarray(array.mT) if whole else array for array in arrays)

    # What follows is traced, for one run: arrays have no run axis.

    def _samples(self, laid: Any) -> tuple[Any, Any]:
        """x (n, n_features) and y (n, n_outputs), however they lie in memory."""
        x, y = laid
        return (x.mT, y.mT) if self.program.batches.per_epoch == 1 else (x, y)

    def _bound(self, numbers: Any) -> tuple[Any, Any]:
        """The method and the schedule with this run's numbers."""
        task = self.task
        return self.method(task.rule and task.rule.bind(numbers["rule"])), task.schedule.bind(numbers["schedule"])

    def _advance(self, run: Any, start: Any, stop: Any, order_first: Any, noise_first: Any) -> Carry:
        numbers, carry, laid, order, noise = run
        method, schedule = self._bound(numbers)
        train = self._samples(laid)
        batches, epochs = self.program.batches, self.program.epochs
        lr_0 = numbers["lr"]["lr"]

        def update(t: Any, carry: Carry, size: int) -> Carry:
            epoch, k = t // batches.per_epoch, t % batches.per_epoch
            rows = None if order is None else (order, epoch - order_first)
            x, y = _batch(train, k * batches.size, size, rows)
            direction = None if noise is None else noise[t - noise_first]
            lr = (lr_0 * schedule.factor(epoch, epochs)).astype(lr_0.dtype)
            after, loss = method.step(carry, x, y, lr, direction)
            bad = ~jnp.isfinite(loss) & (carry.diverged_at < 0)
            after = after._replace(diverged_at=jnp.where(bad, t, carry.diverged_at))
            return jax.tree.map(lambda new, old: new.astype(old.dtype), after, carry)

        if batches.last_size == batches.size:
            return jax.lax.fori_loop(start, stop, partial(update, size=batches.size), carry)

        def epoch(k: Any, carry: Carry) -> Carry:
            last = (k + 1) * batches.per_epoch - 1  # the step with the smaller batch
            within = jnp.maximum(start, last + 1 - batches.per_epoch), jnp.minimum(stop, last)
            carry = jax.lax.fori_loop(*within, partial(update, size=batches.size), carry)
            ends = partial(update, last, size=batches.last_size)
            return jax.lax.cond(last < stop, ends, lambda carry: carry, carry)

        return jax.lax.fori_loop(start // batches.per_epoch, -(-stop // batches.per_epoch), epoch, carry)

    def _measure(self, run: Any) -> dict[str, Any]:
        numbers, carry, *laid = run
        method, _ = self._bound(numbers)
        train, test = map(self._samples, laid)
        found: dict[str, Any] = {}
        for part, (x, y) in (("train", train), ("test", test)):
            metrics = self.objective.metrics(carry.theta, x, y, carry.statistics)
            found |= {f"{part}/{name}": value for name, value in metrics.items()}
        if self.program.backend.order:
            g = reverse_mode(self.objective, 1, carry.theta, *train).g
            found["train/grad_norm"] = jnp.sqrt(jnp.sum(g * g))
        return found | {f"train/{name}": value for name, value in method.metrics(carry.inner).items()}


def _batch(train: Any, first: Any, size: int, rows: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """`size` samples from `first` on, in data order or in row rows[1] of the orders rows[0]."""
    x, y = train
    if size == len(x):
        return x, y
    if rows is None:
        x, y = (jax.lax.dynamic_slice_in_dim(array, first, size) for array in (x, y))
    else:
        chosen = jax.lax.dynamic_slice(rows[0], (rows[1], first), (1, size))[0]
        x, y = x[chosen], y[chosen]
    # Turned here, once: left to itself XLA turns them within each matrix product, which takes longer.
    x, y = jax.lax.optimization_barrier((x.mT, y.mT))
    return x.mT, y.mT


def _over_runs(f: Callable[..., Any], batch_runs: int) -> Callable[..., Any]:
    """f(run, *shared) for every run of a stack; a stack of one skips the loop."""

    def mapped(runs: Any, *shared: Any) -> Any:
        def one(run: Any) -> Any:
            return f(run, *shared)

        if len(jax.tree.leaves(runs)[0]) == 1:
            alone = one(jax.tree.map(lambda values: values[0], runs))
            return jax.tree.map(lambda value: value[None], alone)
        return jax.lax.map(one, runs, batch_size=batch_runs if batch_runs > 1 else None)

    return mapped
