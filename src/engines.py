"""Where stacks of a sweep are trained: in this process, in others, or on a cluster somebody else schedules.

Every engine hands out work and yields (work, result) as it is done. The result is a Failure where the task raised, or
where its worker was lost: then the work has been handed out again, RETRIES times.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from logging import CRITICAL
from pathlib import Path
from traceback import extract_tb
from typing import Annotated, Any, Protocol, TypeVar

from annotated_types import Ge

from src.config import ConfigError
from src.leash import Leash

Work = TypeVar("Work")
Task = Callable[[Any], Any]
RETRIES = 2


class Failure(Exception):
    """Why a work has no result, in one line."""


def attempt(task: Task, work: Any) -> Any:
    """task(work), or a Failure: as a value, which every engine can carry, whatever the task raised."""
    try:
        return task(work)
    except ConfigError as error:
        return Failure(str(error))
    except Exception as error:
        where = extract_tb(error.__traceback__)[-1]
        return Failure(f"{_reason(error)} ({Path(where.filename).name}:{where.lineno})")


class Engine(Protocol):
    """Options of an engine; a frozen dataclass, built from conf/engine."""

    @property
    def n_workers(self) -> int:
        """How many stacks are trained at the same time."""

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        """task(work) for each work, in any order. Raises ConfigError if the engine cannot be started."""


@dataclass(frozen=True, kw_only=True)
class Serial:
    """One stack after the other, in this process."""

    n_workers = 1

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        for work in works:
            yield work, attempt(task, work)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Processes on this machine, one thread each. workers None: one for each core."""

    workers: Annotated[int, Ge(1)] | None

    @property
    def n_workers(self) -> int:
        from joblib import cpu_count  # knows the limits of containers

        return self.workers or cpu_count()

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        waiting = deque((work, RETRIES) for work in works)
        with one_thread_each(), Leash() as leash:
            idle: list[Executor] = [leash.pool() for _ in range(min(self.n_workers, len(works)))]
            busy: dict[Future, tuple[Executor, Work, int]] = {}
            while waiting or busy:
                while waiting and idle:
                    pool, (work, retries) = idle.pop(), waiting.popleft()
                    busy[pool.submit(attempt, task, work)] = pool, work, retries
                ended = [(future, *busy.pop(future)) for future in wait(busy, return_when=FIRST_COMPLETED).done]
                for future, pool, work, retries in ended:
                    lost = isinstance(future.exception(), BrokenProcessPool)
                    idle.append(leash.pool() if lost else pool)
                    if lost and retries:
                        waiting.append((work, retries - 1))
                    else:
                        yield work, _result(future)


@dataclass(frozen=True, kw_only=True)
class Dask:
    """A Dask cluster by the address of its scheduler; None starts one of `workers` processes on this machine."""

    address: str | None
    workers: Annotated[int, Ge(1)]

    @property
    def n_workers(self) -> int:
        return self.workers

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        distributed = _needed("distributed", "dask")
        here = {"n_workers": self.workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": CRITICAL}
        with one_thread_each():
            with _starting("dask"):
                client = distributed.Client(self.address, **({} if self.address else here))
            with _closing(client):  # Dask itself gives lost work to other workers
                futures = {client.submit(attempt, task, work, pure=False): work for work in works}
                blamed = []
                for future in distributed.as_completed(list(futures)):
                    work = futures.pop(future)
                    if isinstance(future.exception(), distributed.KilledWorker):
                        blamed.append(work)
                    else:
                        yield work, _result(future)
                    future.release()  # or Dask would keep the result, and compute it again if its worker is lost
                for work in blamed:  # perhaps it only waited where another was at fault: now it is alone
                    yield work, _result(client.submit(attempt, task, work, pure=False))


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A Ray cluster by its address; None starts one of `workers` processes on this machine."""

    address: str | None
    workers: Annotated[int, Ge(1)]

    @property
    def n_workers(self) -> int:
        return self.workers

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        ray = _needed("ray", "ray")
        here = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
        with one_thread_each(), _starting("ray"):
            ray.init(address=self.address or "local", logging_level="error", log_to_driver=False, **here)
        try:
            remote = ray.remote(attempt).options(max_retries=RETRIES)
            futures = {remote.remote(task, work).future(): work for work in works}
            for future in as_completed(futures):
                yield futures[future], _result(future)
        finally:
            ray.shutdown()


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """Slurm through submitit, one job for each stack; cluster `local` runs the jobs on this machine, all at once."""

    cluster: str | None  # None: Slurm where there is one, else local
    folder: str  # logs and pickles, on a file system that all nodes see
    workers: Annotated[int, Ge(1)]
    timeout_min: Annotated[int, Ge(1)]
    parameters: dict[str, Any]  # anything else that submitit.AutoExecutor.update_parameters takes

    @property
    def n_workers(self) -> int:
        return self.workers

    def run(self, task: Task, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        submitit = _needed("submitit", "slurm")
        with _starting("slurm"):
            executor = submitit.AutoExecutor(folder=Path(self.folder), cluster=self.cluster)
            executor.update_parameters(timeout_min=self.timeout_min, **self.parameters)
        left = list(works)
        for retries in range(RETRIES, -1, -1):
            with _starting("slurm"):
                jobs = dict(zip(executor.map_array(partial(attempt, task), left), left, strict=True))
            left = []
            with _cancelled_on_error(jobs):
                for job in submitit.helpers.as_completed(jobs, poll_frequency=1):
                    if retries and isinstance(job.exception(), submitit.core.utils.UncompletedJobError):
                        left.append(jobs[job])
                    else:
                        yield jobs[job], _result(job)
            if not left:
                return


@contextmanager
def _closing(client: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # Dask stumbles over a worker that it is just starting anew: all work is done by now
            client.close()


def _result(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return Failure(f"its worker was lost: {_reason(error)}")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]


@contextmanager
def _cancelled_on_error(jobs: Sequence[Any] | dict[Any, Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:  # the sweep was interrupted
        for job in jobs:
            job.cancel()
        raise


def _needed(module: str, extra: str) -> Any:
    """Import an engine that not everybody has installed."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise ConfigError(f"engine={extra}: {module} is not installed; pip install '.[{extra}]'") from None


@contextmanager
def _starting(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ConfigError(f"engine={name}: cannot be started ({_reason(error)})") from error


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
