"""Engines: where the stacks of a sweep are trained, in this process, in other processes or on a cluster.

An engine calls a function on every item of work and yields (item, result) as each is done. The result is a Failure if
the function raised, or if its worker was lost: an engine hands the item of a lost worker out again, RETRIES times.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, TypeVar

from annotated_types import Ge

from descent_lab.components import Component
from descent_lab.errors import ConfigError, DescentError, Failure
from descent_lab.faults import failure_of
from descent_lab.paths import installing

Work = TypeVar("Work")
Function = Callable[[Any], Any]
RETRIES = 2


def attempt(function: Function, work: Any) -> Any:
    """function(work); or, if it raises, a Failure as a value, which can be sent between processes."""
    try:
        return function(work)
    except DescentError as error:
        return Failure(str(error))
    except Exception as error:
        return failure_of(error)


class Engine(Component, ABC):
    """Options of an engine, as a frozen dataclass."""

    group = "engine"

    @property
    @abstractmethod
    def n_workers(self) -> int:
        """The number of stacks that are trained at the same time."""

    @abstractmethod
    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        """Yield (work, function(work)) for each item of work, in any order; function can be pickled.

        Raises ConfigError if the engine cannot be started.
        """


@dataclass(frozen=True, kw_only=True)
class Cluster(Engine):
    """A cluster by its address; None starts one of `workers` processes on this machine."""

    address: str | None = None
    workers: Annotated[int, Ge(1)] = 2

    @property
    def n_workers(self) -> int:
        return self.workers


def result_of(future: Any) -> Any:
    """The result of a future, or a Failure if its worker was lost."""
    try:
        return future.result()
    except Exception as error:
        return Failure(f"its worker was lost: {reason_of(error)}")


def reason_of(error: Exception) -> str:
    """An exception's type and the first line of its message."""
    return f"{type(error).__name__}: {error}".split("\n")[0]


def needed(module: str, extra: str) -> Any:
    """Import the library of an engine. Raises ConfigError, which names the extra to install, if it is missing."""
    try:
        return import_module(module)
    except ImportError:
        raise ConfigError(f"engine={extra}: {module} is not installed; {installing(extra)}") from None


@contextmanager
def starting(name: str) -> Iterator[None]:
    """Turn any exception while an engine is started into a ConfigError of one line."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"engine={name}: cannot be started ({reason_of(error)})") from error


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let worker processes that are started meanwhile use one thread each, so that they do not compete for cores."""
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
