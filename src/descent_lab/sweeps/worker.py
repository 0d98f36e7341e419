"""The work of a worker: it builds and trains one stack. It writes nothing; the launching process does."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from descent_lab import plugins
from descent_lab.errors import Failure
from descent_lab.loops.program_cache import keep_programs
from descent_lab.paths import CACHE
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.engines.base import attempt
from descent_lab.training.recorder import Recorder
from descent_lab.training.run import Outcome, Run
from descent_lab.training.trainer import train

OnRecord = Callable[[Recorder, float], None]


@dataclass(frozen=True)
class Stack:
    """Configurations that share a program, to be trained together."""

    configs: list[Config]
    n_steps: int  # of each run
    bytes: int  # of all runs
    allowed: tuple[str, ...] = field(default_factory=plugins.allowed_here)  # packages, wherever the stack is trained

    @property
    def total_steps(self) -> int:
        return self.n_steps * len(self.configs)


@dataclass(frozen=True)
class TrainedStack:
    """The outcome of each run of a stack, the time at which it began (seconds since 1970), and wall seconds a run."""

    outcomes: list[Outcome | Failure]
    started: float
    wall: float


def train_stack(stack: Stack, on_record: OnRecord | None = None, keep: bool = True) -> TrainedStack:
    """Build the runs of a stack and train them.

    on_record: called after every record with the recorder and the time (seconds since 1970) at which the stack began.
    keep: whether what JAX compiles is kept on disk, for later processes.

    A run that cannot be built fails alone. Where training the stack fails, each of its runs is trained by itself.
    """
    begin, started = perf_counter(), time.time()
    plugins.allow(stack.allowed)
    if keep:
        keep_programs(CACHE / "jax")
    results = _train(stack.configs, lambda recorder: on_record(recorder, started) if on_record else None)
    if len(stack.configs) > 1 and any(isinstance(result, Failure) for result in results):
        results = [_again(config, result) for config, result in zip(stack.configs, results, strict=True)]
    return TrainedStack(results, started, (perf_counter() - begin) / len(stack.configs))


def _train(configs: list[Config], on_record: Callable[[Recorder], None]) -> list[Outcome | Failure]:
    """The outcome of each configuration, trained as one stack."""
    begin = perf_counter()
    built = [attempt(lambda config: config.run(config.problem()), config) for config in configs]
    runs = [run for run in built if isinstance(run, Run)]
    setup = perf_counter() - begin
    trained = attempt(lambda runs: train(runs, on_record) if runs else [], runs)
    if isinstance(trained, Failure):
        return [run if isinstance(run, Failure) else trained for run in built]
    for outcome in trained:
        outcome.ledger["setup"] += setup / len(runs)
    outcomes = iter(trained)
    return [run if isinstance(run, Failure) else next(outcomes) for run in built]


def _again(config: Config, result: Outcome | Failure) -> Outcome | Failure:
    return _train([config], lambda recorder: None)[0] if isinstance(result, Failure) else result
