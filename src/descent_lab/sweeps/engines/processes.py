"""Processes on this machine."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from descent_lab.child_processes import ChildProcesses
from descent_lab.sweeps.engines.base import RETRIES, Engine, Function, Work, attempt, one_thread_each, result_of


@dataclass(frozen=True, kw_only=True)
class Processes(Engine):
    """Processes on this machine, of one thread each. workers: their number; None: one for each core."""

    kind = "processes"

    workers: Annotated[int, Ge(1)] | None = None

    @property
    def n_workers(self) -> int:
        from joblib import cpu_count  # knows the limits of containers

        return self.workers or cpu_count()

    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        waiting = deque((work, RETRIES) for work in works)
        with one_thread_each(), ChildProcesses() as children:
            idle: list[Executor] = [children.pool() for _ in range(min(self.n_workers, len(works)))]
            busy: dict[Future[Any], tuple[Executor, Work, int]] = {}
            while waiting or busy:
                while waiting and idle:
                    pool, (work, retries) = idle.pop(), waiting.popleft()
                    busy[pool.submit(attempt, function, work)] = pool, work, retries
                ended = [(future, *busy.pop(future)) for future in wait(busy, return_when=FIRST_COMPLETED).done]
                for future, pool, work, retries in ended:
                    lost = isinstance(future.exception(), BrokenProcessPool)
                    idle.append(children.pool() if lost else pool)
                    if lost and retries:
                        waiting.append((work, retries - 1))
                    else:
                        yield work, result_of(future)
