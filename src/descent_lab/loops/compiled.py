"""The loop over steps compiled by JAX: a whole segment of training is one call, mapped over the runs of a stack."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from platform import machine
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import descent_lab.loops.xla  # noqa: F401 - sets JAX up before it is used
from descent_lab.loops.base import Carry, MakeUpdate, Rows, Update, Watched, Workload, first_carry, measured
from descent_lab.loops.memory import CPU_RUNS
from descent_lab.loops.rates import factor_at, steps_between_changes
from descent_lab.metrics import metrics_of
from descent_lab.optim.schedules import Schedule

WIDE = {"xla_cpu_prefer_vector_width": 512}  # bits: all of an AVX-512 register; XLA's default is half
SMALL = 2500  # on a CPU, runs are vectorised together if a step has at most so many activations and parameters
ONE_THREAD = 2**22  # one thread computes a matrix product of at most so many multiplications
TOGETHER = 20_000  # a vectorised step has at most so many activations and parameters

_compiled: dict[Any, dict[str, Any]] = {}  # the calls that this process has compiled, by program and shapes


class CompiledLoop:
    """Trains the runs of a workload in one compiled loop over steps, mapped over runs."""

    def __init__(self, workload: Workload, make_update: MakeUpdate) -> None:
        self.workload, self.make_update = workload, make_update
        self.program, self.objective = workload.program, workload.program.objective
        dtype = workload.theta.dtype
        of_optimizer = workload.optimizer.numbers if workload.optimizer else {}
        numbers = {"lr": {"lr": workload.lr}, "optimizer": of_optimizer, "schedule": workload.schedule.numbers}
        self.numbers = jax.device_put(jax.tree.map(lambda values: values.astype(dtype), numbers))
        self.parts = {name: jax.device_put(self._laid(*xy)) for name, xy in workload.parts.items()}
        self.drawn: dict[str, tuple[Any, Any]] = {}  # the host's latest draws, and their copies on the device
        shapes = (None if rows is None else rows.values.shape for rows in (workload.order, workload.directions))
        self.key = (self.program, workload.n_runs, *shapes, *metrics_of(self.objective.task).items())
        self.lowered = {} if self.key in _compiled else self._lower()

    @property
    def device(self) -> str:
        chosen = jax.devices()[0]
        return f"{chosen.platform} {machine() if chosen.platform == 'cpu' else chosen.device_kind}"

    def compile(self) -> None:
        """Compile this program for these shapes, unless this process has done so before."""
        if self.key not in _compiled:
            with ThreadPoolExecutor() as threads:  # in parallel: XLA compiles without holding Python's lock
                compiled = threads.map(lambda lowered: lowered.compile(self._options), self.lowered.values())
                _compiled[self.key] = dict(zip(self.lowered, compiled, strict=True))
        self.calls = _compiled[self.key]

    @property
    def _options(self) -> dict[str, Any] | None:
        """Options for a processor, chosen by measurement: WIDE vectors, and one thread for small matrix products.

        A small product is finished before other threads have woken up.
        """
        if jax.default_backend() != "cpu":
            return None
        largest = self.program.batches.size * self.objective.network.largest_product
        return WIDE | {"xla_cpu_multi_thread_eigen": largest > ONE_THREAD}

    def start(self) -> Carry:
        """The state before the first step. It is computed on the host, because compiling it would take longer."""
        workload = self.workload
        carry = first_carry(workload, self.make_update(workload.with_columns(workload.optimizer)))
        counts = partial(np.full, workload.n_runs, dtype=np.int32)  # numbers shared by all runs, such as t
        opt_state = jax.tree.map(lambda leaf: counts(leaf) if np.ndim(leaf) == 0 else leaf, carry.opt_state)
        moved: Carry = jax.device_put(carry._replace(opt_state=opt_state))
        return moved

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, directions: Rows | None) -> Carry:
        """Make steps start, ..., stop - 1 in one call."""
        firsts = (0 if rows is None else rows.first for rows in (order, directions))
        where = (np.int32(value) for value in (start, stop, *firsts))
        after: Carry = jax.block_until_ready(self.calls["advance"](self._fed(carry, order, directions), *where))
        return after

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        """Metrics of the whole training, validation and test set by name, each (n_runs,)."""
        metrics = self.calls["measure"]((self.numbers, carry, self.parts))
        return {name: np.asarray(value) for name, value in jax.device_get(metrics).items()}

    def _lower(self) -> dict[str, Any]:
        """The calls of the program, traced but not yet compiled."""
        carry = self.start()
        advance = jax.jit(_over_runs(self._advance, self._together(self.program.batches.size)))
        n_measured = self.program.batches.n + self.program.n_validation + self.program.n_test
        measure = jax.jit(_over_runs(self._measure, self._together(n_measured)))
        return {
            "advance": advance.lower(
                self._fed(carry, self.workload.order, self.workload.directions), *(np.int32(0),) * 4
            ),
            "measure": measure.lower((self.numbers, carry, self.parts)),
        }

    def _fed(self, carry: Carry, order: Rows | None, directions: Rows | None) -> tuple[Any, ...]:
        drawn = (self._on_device("order", order), self._on_device("directions", directions))
        return (self.numbers, carry, self.parts["train"], *drawn)

    def _together(self, n_samples: int) -> int:
        """The number of runs that are vectorised together, each on n_samples; a loop goes over the rest of the stack.

        Measured on CPUs (benchmarks/stacking.py): this is up to three times faster where a step is small, and slower
        where it is not. On an accelerator all runs are vectorised together.
        """
        if jax.default_backend() != "cpu":
            return self.workload.n_runs
        network = self.objective.network
        numbers = n_samples * network.units + network.n_params
        return min(CPU_RUNS, TOGETHER // numbers) if numbers <= SMALL else 1

    def _on_device(self, name: str, rows: Rows | None) -> Any:
        if rows is None:
            return None
        if name not in self.drawn or self.drawn[name][0] is not rows.values:
            self.drawn[name] = (rows.values, jax.device_put(rows.values))
        return self.drawn[name][1]

    def _laid(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The arrays as they lie in memory: with the axis of samples last for full batches, and else with it first.

        The network takes samples on the last axis, so that no step on a full batch has to transpose them.
        """
        whole = self.program.batches.per_epoch == 1
        return tuple(np.ascontiguousarray(array.mT) if whole else array for array in arrays)

    # JAX traces the methods below for one run: their arrays have no axis of runs.

    def _samples(self, laid: Any) -> tuple[Any, Any]:
        """x (n, n_features) and y (n, n_outputs), however they lie in memory."""
        x, y = laid
        return (x.mT, y.mT) if self.program.batches.per_epoch == 1 else (x, y)

    def _bound(self, numbers: Any) -> tuple[Update, Any]:
        """The update and the schedule with the numbers of this run."""
        optimizer, schedule = self.workload.optimizer, self.workload.schedule
        bound = None if optimizer is None else optimizer.bind(numbers["optimizer"])
        return self.make_update(bound), schedule.bind(numbers["schedule"])

    def _advance(self, run: Any, start: Any, stop: Any, order_first: Any, first_direction: Any) -> Carry:
        numbers, carry, laid, order, directions = run
        update, schedule = self._bound(numbers)
        train = self._samples(laid)
        batches, lr_0 = self.program.batches, numbers["lr"]["lr"]
        all_steps: Callable[..., Carry] = jax.lax.fori_loop

        def one_step(t: jax.Array, carry: Carry, size: int) -> Carry:
            epoch, k = t // batches.per_epoch, t % batches.per_epoch
            rows = None if order is None else (order, epoch - order_first)
            x, y = _batch(train, k * batches.size, size, rows)
            direction = None if directions is None else directions[t - first_direction]
            counter = t.astype(jnp.int64)  # whose quotients are float64
            lr = lr_0 * factor_at(schedule, counter, batches.per_epoch, self.program.epochs)
            if carry.watched is not None:
                lr = lr * schedule.feedback(carry.watched.state)
            after, loss = update.step(carry, x, y, lr.astype(lr_0.dtype), direction)
            if carry.watched is not None:
                after = after._replace(watched=self._watched(t, schedule, carry.watched, loss))
            bad = ~(loss <= carry.limit) & (carry.diverged_at < 0)
            after = after._replace(diverged_at=jnp.where(bad, t, carry.diverged_at))
            typed: Carry = jax.tree.map(lambda new, old: new.astype(old.dtype), after, carry)
            return typed

        if batches.last_size == batches.size:
            return all_steps(start, stop, partial(one_step, size=batches.size), carry)

        def epoch(k: Any, carry: Carry) -> Carry:
            last = (k + 1) * batches.per_epoch - 1  # the step with the smaller batch
            within = jnp.maximum(start, last + 1 - batches.per_epoch), jnp.minimum(stop, last)
            carry = all_steps(*within, partial(one_step, size=batches.size), carry)
            ends = partial(one_step, last, size=batches.last_size)
            after: Carry = jax.lax.cond(last < stop, ends, lambda carry: carry, carry)
            return after

        return all_steps(start // batches.per_epoch, -(-stop // batches.per_epoch), epoch, carry)

    def _watched(self, t: Any, schedule: Schedule, watched: Watched, loss: Any) -> Watched:
        """What the schedule watches after step t, whose batch loss was `loss`."""
        between = steps_between_changes(schedule, self.program)
        total = watched.total + loss
        looked = Watched(jnp.zeros_like(total), schedule.observe(total / between, watched.state))
        looks = (t + 1) % between == 0
        chosen: Watched = jax.tree.map(partial(jnp.where, looks), looked, watched._replace(total=total))
        return chosen

    def _measure(self, run: Any) -> dict[str, Any]:
        numbers, carry, laid = run
        update, _ = self._bound(numbers)
        return measured(self.objective, update, carry, {name: self._samples(xy) for name, xy in laid.items()})


def _batch(train: Any, first: Any, size: int, rows: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """x and y of `size` samples from `first` on, in data order or in the order that is row rows[1] of rows[0]."""
    x, y = train
    if size == len(x):
        return x, y
    if rows is None:
        x, y = (jax.lax.dynamic_slice_in_dim(array, first, size) for array in (x, y))
    else:
        chosen = jax.lax.dynamic_slice(rows[0], (rows[1], first), (1, size))[0]
        x, y = x[chosen], y[chosen]
    # Transpose here, once: left to itself XLA transposes within each matrix product, which takes longer.
    x, y = jax.lax.optimization_barrier((x.mT, y.mT))
    return x.mT, y.mT


def _over_runs(f: Callable[..., Any], batch_runs: int) -> Callable[..., Any]:
    """A function that gives f(run, *shared) for every run of a stack. For a stack of one run it makes no loop."""

    def mapped(runs: Any, *shared: Any) -> Any:
        def one(run: Any) -> Any:
            return f(run, *shared)

        if len(jax.tree.leaves(runs)[0]) == 1:
            alone = one(jax.tree.map(lambda values: values[0], runs))
            return jax.tree.map(lambda value: value[None], alone)
        return jax.lax.map(one, runs, batch_size=batch_runs if batch_runs > 1 else None)

    return mapped
