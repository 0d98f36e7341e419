"""Epochs to curves: trains a stack of runs, records metrics, stops, and keeps the time ledger."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from descent_lab.data.batching import orders
from descent_lab.loops.base import Backend, Carry, Program, Rows, Task
from descent_lab.loops.stacking import shape, stack
from descent_lab.optim.base import Optimizer
from descent_lab.optim.schedules import Schedule
from descent_lab.problems.supervised import Problem

DRAWN = 2**21  # numbers the host draws ahead for a stack: bounds memory, whatever the number of steps


Dtype = Literal["float64", "float32"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """When metrics are recorded: at `points` log-spaced steps, or, if `every` is given, every so many steps.

    The first and the last step are recorded always.
    """

    points: Annotated[int, Ge(2)] = 100
    every: Annotated[int, Ge(1)] | None = None

    def steps(self, n_steps: int) -> list[int]:
        """The steps to record at, increasing, from 0 to n_steps."""
        if self.every is not None:
            return sorted({*range(0, n_steps + 1, self.every), n_steps})
        spaced = np.geomspace(1, max(n_steps, 1), self.points - 1)
        return sorted({0, *(min(n_steps, round(t)) for t in spaced), n_steps})


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Reasons to end a run before its epochs are over; None: no such reason.

    target: end when train/loss is at or below it. min_delta: end when train/loss changes by less between two records.
    max_seconds: end when so many seconds have been spent on steps.
    """

    target: float | None = None
    min_delta: Annotated[float, Ge(0)] | None = None
    max_seconds: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True)
class Run:
    """One run, ready to train; the defaults are those of the command line too."""

    problem: Problem
    backend: Backend
    optimizer: Optimizer | None
    schedule: Schedule
    lr: float
    epochs: int = 200
    dtype: Dtype = "float64"
    record: Record = Record()
    stop: Stop = Stop()

    @property
    def program(self) -> Program:
        """What this run must share with another to be trained in one stack."""
        data = self.problem.data
        rule = None if self.optimizer is None else shape(self.optimizer)
        return Program(
            self.backend,
            self.problem.objective,
            self.problem.batches,
            len(data.x_test),
            self.epochs,
            self.dtype,
            rule,
            shape(self.schedule),
        )


@dataclass
class Outcome:
    """What a run left behind."""

    curves: dict[str, np.ndarray]  # step, epoch, time/step_seconds and the metrics, each (n_records,)
    theta: dict[str, np.ndarray]  # init, best, final (n_params,); with batch normalisation their statistics too
    predictions: dict[str, np.ndarray]  # of the final theta on the test set, and the truth: (n_test, n_outputs)
    ledger: dict[str, float]  # seconds by purpose
    ended: str  # epochs, target, min_delta, max_seconds, diverged
    timing: str  # isolated, or shared with the runs it was stacked with
    device: str
    diverged_at: int | None = None

    @property
    def status(self) -> str:
        return "diverged" if self.ended == "diverged" else "finished"


PURPOSES = ("setup", "compile", "step", "eval", "log")


class Ledger:
    """Where wall time goes: every moment since it began is booked to one purpose, `eval` where none is named."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PURPOSES, 0.0)
        self.purpose, self.since = "eval", perf_counter()

    @contextmanager
    def __call__(self, purpose: str) -> Iterator[None]:
        outer = self.purpose
        self.book(purpose)
        try:
            yield
        finally:
            self.book(outer)

    def book(self, following: str) -> None:
        """Book the time since the last booking, and go on with another purpose."""
        now = perf_counter()
        self.seconds[self.purpose] += now - self.since
        self.purpose, self.since = following, now


class Draws:
    """Rows that the host draws for each run, handed out in windows of one length so that memory stays flat."""

    def __init__(self, draw: Callable[[int], np.ndarray], n_rows: int, row_numbers: int):
        """draw(k) gives the next k rows of all runs; a row holds row_numbers numbers; n_rows in all."""
        windows = max(1, ceil(n_rows * row_numbers / DRAWN))
        self.draw, self.length = draw, max(1, ceil(n_rows / windows))
        self.rows = Rows(0, draw(self.length))

    def at(self, i: int) -> Rows:
        """The window that holds row i; i may not decrease."""
        while i >= self.stop:
            self.rows = Rows(self.stop, self.draw(self.length))
        return self.rows

    @property
    def stop(self) -> int:
        return self.rows.first + self.length


@dataclass
class Feed:
    """What a stack needs from the host as it trains: sample orders by epoch, search directions by step."""

    order: Draws | None
    noise: Draws | None
    per_epoch: int

    def at(self, t: int) -> tuple[Rows | None, Rows | None]:
        """The order and noise windows for step t."""
        order = self.order.at(t // self.per_epoch) if self.order else None
        return order, self.noise.at(t) if self.noise else None

    def end(self) -> float:
        """The first step that the present windows do not cover."""
        ends = [self.order.stop * self.per_epoch] if self.order else []
        return min(ends + ([self.noise.stop] if self.noise else []), default=np.inf)


def train(runs: Sequence[Run], on_record: Callable[["Recorder"], None] = lambda recorder: None) -> list[Outcome]:
    """Train runs that share a program and a Record, as one stack. `on_record` is called after every record."""
    ledger = Ledger()
    with ledger("setup"):
        theta = np.stack([run.problem.theta for run in runs])  # before batch orders: a legacy stream is drawn in turn
        feed = _feed(runs)
        task = _task(runs, theta, *feed.at(0))
        machine = runs[0].backend.machine(task)
    with ledger("compile"):
        machine.compile()
    recorder = Recorder(runs, task, ledger, machine.device)
    with ledger("eval"):
        carry = machine.start()
        recorder.note(0, carry, machine.measure(carry))
    t, n_steps, due = 0, task.program.n_steps, iter(runs[0].record.steps(task.program.n_steps)[1:])
    goal = next(due, 0)
    while t < n_steps and not recorder.over():
        with ledger("step"):
            windows = feed.at(t)
            stop = int(min(goal, t + recorder.stride(), feed.end()))
            carry = machine.advance(carry, t, stop, *windows)
        t = stop
        if t == goal or recorder.out_of_time():
            with ledger("eval"):
                recorder.note(t, carry, machine.measure(carry))
            with ledger("log"):
                on_record(recorder)
            goal = next(due, n_steps) if t == goal else goal
    return recorder.outcomes()


class Recorder:
    """Curves, snapshots of theta and reasons to stop of every run of a stack."""

    def __init__(self, runs: Sequence[Run], task: Task, ledger: Ledger, device: str):
        self.runs, self.task, self.ledger, self.device = runs, task, ledger, device
        self.steps: list[int] = []
        self.step_seconds: list[float] = []
        self.metrics: list[dict[str, np.ndarray]] = []
        self.ended: list[str | None] = [None] * task.n_runs
        self.n_records = np.zeros(task.n_runs, dtype=int)
        self.diverged_at: list[int | None] = [None] * task.n_runs
        self.lowest = np.full(task.n_runs, np.inf)
        self.init = self.best = self.last = np.empty(0)
        limits = [run.stop.max_seconds for run in runs if run.stop.max_seconds is not None]
        self.piece = min(limits) * task.n_runs / 50 if limits else np.inf  # step seconds between looks at the clock

    def note(self, t: int, carry: Carry, metrics: dict[str, np.ndarray]) -> None:
        """Record step t."""
        loss = metrics["train/loss"]
        self._end_diverged(t, np.asarray(carry.diverged_at), loss)
        state = np.asarray(carry.theta)
        if carry.statistics is not None:
            state = np.concatenate([state, np.asarray(carry.statistics)], axis=-1)
        if t == 0:
            self.init, self.best, self.last = state.copy(), state.copy(), state.copy()
        active = self._active()
        lower = active & (loss < self.lowest)
        self.best[lower], self.lowest[lower] = state[lower], loss[lower]
        self.last[active] = state[active]
        self.n_records[active] += 1
        self.steps.append(t)
        self.step_seconds.append(self.ledger.seconds["step"] / self.task.n_runs)
        self.metrics.append(metrics)
        for r in np.flatnonzero(active):
            self.ended[r] = self._reason(t, int(r))

    def over(self) -> bool:
        """Whether every run has ended."""
        return all(self.ended)

    def stride(self) -> float:
        """How many steps may pass before the clock is looked at, for runs with a limit on step seconds."""
        if self.piece == np.inf:
            return np.inf
        done, seconds = self.steps[-1], self.ledger.seconds["step"]
        return max(1, int(self.piece * done / seconds)) if done and seconds else 1

    def out_of_time(self) -> bool:
        """Whether a run that goes on has used up its step seconds."""
        spent = self.ledger.seconds["step"] / self.task.n_runs
        return any(self._late(run, spent) for run, ended in zip(self.runs, self.ended, strict=True) if not ended)

    def outcomes(self) -> list[Outcome]:
        """What each run left behind, with its share of the ledger."""
        found = [self._outcome(r) for r in range(self.task.n_runs)]
        self.ledger.book("eval")
        share = {purpose: seconds / self.task.n_runs for purpose, seconds in self.ledger.seconds.items()}
        return [replace(outcome, ledger=dict(share)) for outcome in found]

    def _active(self) -> np.ndarray:
        return np.array([ended is None for ended in self.ended])

    def _end_diverged(self, t: int, diverged_at: np.ndarray, loss: np.ndarray) -> None:
        for r in np.flatnonzero(self._active() & ((diverged_at >= 0) | ~np.isfinite(loss))):
            self.ended[r] = "diverged"
            self.diverged_at[r] = int(diverged_at[r]) if diverged_at[r] >= 0 else t

    def _reason(self, t: int, r: int) -> str | None:
        stop, loss = self.runs[r].stop, self.metrics[-1]["train/loss"][r]
        if stop.target is not None and loss <= stop.target:
            return "target"
        if stop.min_delta is not None and t and abs(loss - self.metrics[-2]["train/loss"][r]) < stop.min_delta:
            return "min_delta"
        if self._late(self.runs[r], self.step_seconds[-1]):
            return "max_seconds"
        return "epochs" if t == self.task.program.n_steps else None

    @staticmethod
    def _late(run: Run, seconds: float) -> bool:
        return run.stop.max_seconds is not None and seconds >= run.stop.max_seconds

    def curves(self, r: int) -> dict[str, np.ndarray]:
        """What has been recorded of run r: step, epoch, time/step_seconds and the metrics."""
        n, per_epoch = self.n_records[r], self.task.program.batches.per_epoch
        steps = np.array(self.steps[:n], dtype=np.int64)
        curves = {"step": steps, "epoch": steps / per_epoch, "time/step_seconds": np.array(self.step_seconds[:n])}
        return curves | {name: np.array([m[name][r] for m in self.metrics[:n]]) for name in self.metrics[0]}

    def _outcome(self, r: int) -> Outcome:
        return Outcome(
            curves=self.curves(r),
            theta=self._snapshots(r),
            predictions=self._predictions(r),
            ledger={},
            ended=self.ended[r] or "interrupted",
            timing="isolated" if self.task.n_runs == 1 else "shared",
            device=self.device,
            diverged_at=self.diverged_at[r],
        )

    def _snapshots(self, r: int) -> dict[str, np.ndarray]:
        """init, best and final theta; running statistics apart, under statistics_best and so on."""
        n_params = self.task.theta.shape[1]
        found = {"init": self.init[r], "best": self.best[r], "final": self.last[r]}
        statistics = {f"statistics_{name}": state[n_params:] for name, state in found.items() if len(state) > n_params}
        return {name: state[:n_params] for name, state in found.items()} | statistics

    def _predictions(self, r: int) -> dict[str, np.ndarray]:
        theta, task = self._snapshots(r), self.task
        with np.errstate(all="ignore"):  # the last finite theta of a diverged run may be huge
            made = task.program.objective.predict(theta["final"], task.x_test[r], theta.get("statistics_final"))
        return {"prediction": made.T, "truth": task.y_test[r]}


def _task(runs: Sequence[Run], theta: np.ndarray, order: Rows | None, noise: Rows | None) -> Task:
    """Stack the numbers of the runs along a leading axis."""
    first, dtype = runs[0], np.dtype(runs[0].dtype)

    def rows(name: str) -> np.ndarray:
        return np.stack([getattr(run.problem.data, name) for run in runs]).astype(dtype)

    return Task(
        program=first.program,
        theta=theta.astype(dtype),
        x_train=rows("x_train"),
        y_train=rows("y_train"),
        x_test=rows("x_test"),
        y_test=rows("y_test"),
        lr=np.array([run.lr for run in runs]),
        rule=None if first.optimizer is None else stack([run.optimizer for run in runs]),
        schedule=stack([run.schedule for run in runs]),
        order=order,
        noise=noise,
    )


def _feed(runs: Sequence[Run]) -> Feed:
    program, n_runs, n_params = runs[0].program, len(runs), runs[0].problem.objective.network.n_params
    cut, drawn = program.batches, [run.problem.streams for run in runs]

    def draw_orders(k: int) -> np.ndarray:
        return np.stack([orders(streams.order, cut.n, k) for streams in drawn])

    def draw_noise(k: int) -> np.ndarray:
        return np.stack([streams.search.standard_normal((k, n_params)).astype(program.dtype) for streams in drawn])

    shuffled, searched = cut.shuffle and program.n_steps > 0, program.backend.order == 0
    return Feed(
        Draws(draw_orders, program.epochs, n_runs * cut.n) if shuffled else None,
        Draws(draw_noise, program.n_steps, n_runs * n_params) if searched else None,
        cut.per_epoch,
    )
