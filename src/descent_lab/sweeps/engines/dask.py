"""A Dask cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import CRITICAL
from typing import Any

from descent_lab.sweeps.engines.base import (
    Cluster,
    Function,
    Work,
    attempt,
    needed,
    one_thread_each,
    result_of,
    starting,
)


@dataclass(frozen=True, kw_only=True)
class Dask(Cluster):
    """A Dask cluster by the address of its scheduler; None starts one of `workers` processes on this machine."""

    kind = "dask"

    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        distributed = needed("distributed", "dask")
        here = {"n_workers": self.workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": CRITICAL}
        with one_thread_each():
            with starting("dask"):
                client = distributed.Client(self.address, **({} if self.address else here))
            with _closing(client):  # Dask itself hands the work of a lost worker to others
                futures = {client.submit(attempt, function, work, pure=False): work for work in works}
                blamed = []
                for future in distributed.as_completed(list(futures)):
                    work = futures.pop(future)
                    if isinstance(future.exception(), distributed.KilledWorker):
                        blamed.append(work)
                    else:
                        yield work, result_of(future)
                    future.release()  # otherwise Dask keeps the result, and computes it again if its worker is lost
                for work in blamed:  # alone now: perhaps it only waited on a worker that another item killed
                    yield work, result_of(client.submit(attempt, function, work, pure=False))


@contextmanager
def _closing(client: Any) -> Iterator[None]:
    """Close the client at the end, whatever happens."""
    try:
        yield
    finally:
        with suppress(Exception):  # Dask may fail over a worker that it is restarting; all work is done by now
            client.close()
