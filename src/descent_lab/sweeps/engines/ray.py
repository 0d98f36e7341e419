"""A Ray cluster."""

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from descent_lab.sweeps.engines.base import (
    RETRIES,
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
class Ray(Cluster):
    """A Ray cluster by its address; None starts one of `workers` processes on this machine."""

    kind = "ray"

    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        ray = needed("ray", "ray")
        here = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
        with one_thread_each(), starting("ray"):
            ray.init(address=self.address or "local", logging_level="error", log_to_driver=False, **here)
        try:
            remote = ray.remote(attempt).options(max_retries=RETRIES)
            futures = {remote.remote(function, work).future(): work for work in works}
            for future in as_completed(futures):
                yield futures[future], result_of(future)
        finally:
            ray.shutdown()
