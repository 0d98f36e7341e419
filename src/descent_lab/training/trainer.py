"""Epochs to curves: trains a stack of runs to the end."""

from collections.abc import Callable, Sequence

import numpy as np

from descent_lab.loops.base import Carry, Rows, Workload
from descent_lab.loops.rates import Rates
from descent_lab.loops.stacking import stack
from descent_lab.training.feed import Feed
from descent_lab.training.ledger import Ledger
from descent_lab.training.recorder import Recorder
from descent_lab.training.run import Outcome, Run


def train(runs: Sequence[Run], on_record: Callable[[Recorder], None] = lambda recorder: None) -> list[Outcome]:
    """Train runs that share a program and a Record, as one stack. `on_record` is called after every record."""
    ledger = Ledger()
    with ledger("setup"):
        theta = np.stack([run.problem.theta for run in runs])  # before batch orders: a legacy stream is drawn in turn
        feed = Feed.of(runs)
        workload = _workload(runs, theta, *feed.at(0))
        loop = runs[0].backend.prepare(workload)
    with ledger("compile"):
        loop.compile()
    recorder, rates = Recorder(runs, workload, ledger, loop.device), Rates(workload)

    def metrics(t: int, carry: Carry) -> dict[str, np.ndarray]:
        """What the loop measures after t steps, and the learning rate of the next step, each (n_runs,)."""
        return loop.measure(carry) | {"lr": rates.of_runs(t, carry.watched)}

    with ledger("eval"):
        carry = loop.start()
        recorder.record(0, carry, metrics(0, carry))
        carry = carry._replace(limit=recorder.limit)
    n_steps = workload.program.n_steps
    t, due = 0, iter(runs[0].record.steps(n_steps)[1:])
    goal = next(due, 0)  # the next step to record at
    while t < n_steps and not recorder.over():
        with ledger("step"):
            windows = feed.at(t)
            stop = int(min(goal, t + recorder.stride(), feed.end()))
            carry = loop.advance(carry, t, stop, *windows)
        t = stop
        if t == goal or recorder.out_of_time():
            with ledger("eval"):
                recorder.record(t, carry, metrics(t, carry))
            with ledger("log"):
                on_record(recorder)
            goal = next(due, n_steps) if t == goal else goal
    return recorder.outcomes()


def _workload(runs: Sequence[Run], theta: np.ndarray, order: Rows | None, directions: Rows | None) -> Workload:
    """The numbers of the runs stacked along a leading axis."""
    first, dtype = runs[0], np.dtype(runs[0].dtype)

    def rows(name: str) -> np.ndarray:
        return np.stack([getattr(run.problem.data, name) for run in runs]).astype(dtype)

    return Workload(
        program=first.program,
        theta=theta.astype(dtype),
        x_train=rows("x_train"),
        y_train=rows("y_train"),
        x_validation=rows("x_validation"),
        y_validation=rows("y_validation"),
        x_test=rows("x_test"),
        y_test=rows("y_test"),
        lr=np.array([run.lr for run in runs]),
        optimizer=None if first.optimizer is None else stack([run.optimizer for run in runs]),
        schedule=stack([run.schedule for run in runs]),
        order=order,
        directions=directions,
    )
