"""Where stacks of a sweep are trained: in this process, in others, or on a cluster somebody else schedules.

Every engine hands out work and yields (work, result) as it is done. The result is a Failure where the task raised, or
where its worker was lost: then the work has been handed out again, RETRIES times.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from descent_lab.components import Component
from descent_lab.errors import ConfigError, DescentError, Failure
from descent_lab.faults import Fault

Work = TypeVar("Work")
Task = Callable[[Any], Any]
RETRIES = 2


def attempt(task: Task, work: Any) -> Any:
    """task(work), or a Failure: as a value, which every engine can carry, whatever the task raised."""
    try:
        return task(work)
    except DescentError as error:
        return Failure(str(error))
    except Exception as error:
        fault = Fault.of(error)
        return Failure(fault.summary, fault.traceback)


class Engine(Component, ABC):
    """Options of an engine, as a frozen dataclass."""

    group = "engine"

    @property
    @abstractmethod
    def n_workers(self) -> int:
        """How many stacks are trained at the same time."""

    @abstractmethod
    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        """task(work) for each work, in any order. Raises ConfigError if the engine cannot be started."""


def result_of(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return Failure(f"its worker was lost: {reason_of(error)}")


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]


def needed(module: str, extra: str) -> Any:
    """Import an engine that not everybody has installed."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise ConfigError(f"engine={extra}: {module} is not installed; pip install '.[{extra}]'") from None


@contextmanager
def starting(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ConfigError(f"engine={name}: cannot be started ({reason_of(error)})") from error


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Worker processes that start within use one thread each, so that together they do not fight for the cores."""
    single = "--xla_cpu_multi_thread_eigen=false"
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    wanted = dict.fromkeys(names, "1") | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {single}".strip()}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
