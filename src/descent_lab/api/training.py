"""One run, trained in memory."""

from typing import Any

from descent_lab.api.components import component, number
from descent_lab.api.problem import Problem
from descent_lab.api.problem import problem as made
from descent_lab.api.results import Result
from descent_lab.data.batching import Batching
from descent_lab.derivatives.backprop import Numpy
from descent_lab.derivatives.base import Backend
from descent_lab.errors import ConfigError
from descent_lab.optim.base import Optimizer
from descent_lab.optim.first_order import SGD
from descent_lab.optim.schedules import Constant, Schedule
from descent_lab.training import trainer
from descent_lab.training.bar import Bar
from descent_lab.training.run import Dtype, Record, Run, Stop

DELAY = 0.5  # seconds of training before the progress bar appears


def train(
    problem: Problem | str,
    optimizer: Optimizer | str | None = None,
    *,
    lr: float | None = None,
    epochs: int = Run.epochs,
    batching: Batching | str | None = None,
    schedule: Schedule | str | None = None,
    backend: Backend | str | None = None,
    dtype: Dtype = Run.dtype,
    record: Record = Run.record,
    stop: Stop = Run.stop,
    progress: bool | None = None,
    **options: Any,
) -> Result:
    """Train a problem from its untouched start, in memory: nothing is tracked, and nothing is written to disk.

    problem: or the name of a data set. optimizer, batching, schedule, backend: objects, or the names of choices; None:
    SGD, all samples, a constant learning rate, NumPy. lr: None: what the optimizer suggests. options: fields of an
    optimizer that is given by name. progress: None: a progress bar in a notebook and on a terminal.

    Raises ConfigError in one line for bad values. An error in the code of an optimizer or of a data set passes through.

    >>> dl.train(problem, dl.Adam(beta1=0.8), lr=0.01, epochs=20, batching=dl.Batching(size=32, shuffle=True))
    """
    problem = made(problem) if isinstance(problem, str) else problem
    if not isinstance(problem, Problem):
        raise ConfigError(f"problem={problem!r}: must be made by dl.problem(...), or be the name of a data set")
    chosen = component("backend", backend, Backend, Numpy)
    resolved, suggested_lr = _optimizer(chosen, optimizer, options)
    run = Run(
        problem.built(component("batching", batching, Batching, Batching)),
        chosen,
        resolved,
        component("schedule", schedule, Schedule, Constant),
        number("lr", suggested_lr if lr is None else lr),
        number("epochs", epochs),
        number("dtype", dtype),
        component("record", record, Record, Record),
        component("stop", stop, Stop, Stop),
    )
    with Bar(run.program.n_steps, 1, progress, DELAY) as bar:
        (outcome,) = trainer.train([run], lambda recorder: bar.steps(recorder.steps[-1]))
        bar.stack_done(run.program.n_steps, 1)
    return Result.of(problem, outcome, f"{type(resolved or chosen).__name__} lr={run.lr:g} s{problem.seed}")


def _optimizer(
    backend: Backend, optimizer: Optimizer | str | None, options: dict[str, Any]
) -> tuple[Optimizer | None, float | None]:
    """The optimizer, if the backend takes one, and the learning rate that goes with it."""
    if backend.order == 0:
        if optimizer is not None or options:
            raise ConfigError(f"optimizer={optimizer!r}: {backend!r} takes no optimizer; leave it out")
        return None, backend.suggested_lr
    resolved = component("optimizer", optimizer, Optimizer, SGD, options)
    if resolved.order > backend.order:
        raise ConfigError(
            f"optimizer={resolved!r}: needs derivatives of order {resolved.order}, and {backend!r} gives order "
            f"{backend.order}; choose Jax(), or TaylorAlgebra(order=2)"
        )
    return resolved, resolved.suggested_lr
