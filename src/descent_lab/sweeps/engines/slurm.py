"""Slurm, through submitit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from descent_lab.paths import CACHE
from descent_lab.sweeps.engines.base import RETRIES, Engine, Function, Work, attempt, needed, result_of, starting


@dataclass(frozen=True, kw_only=True)
class Slurm(Engine):
    """Slurm through submitit, one job for each stack; cluster `local` runs the jobs on this machine, all at once.

    cluster: the name of a submitit executor; None: Slurm where there is one, else local.
    folder: where logs and pickles lie, on a file system that all nodes see; None: a folder of the harness's cache.
    workers: the number of stacks at a time to aim for. timeout_min: the minutes that a job may take.
    parameters: anything else that submitit.AutoExecutor.update_parameters takes, such as {"slurm_partition": "cpu"}.
    """

    kind = "slurm"

    cluster: str | None = None
    folder: str | None = None
    workers: Annotated[int, Ge(1)] = 8
    timeout_min: Annotated[int, Ge(1)] = 60
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def n_workers(self) -> int:
        return self.workers

    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        submitit = needed("submitit", "slurm")
        with starting("slurm"):
            executor = submitit.AutoExecutor(folder=Path(self.folder or CACHE / "slurm"), cluster=self.cluster)
            executor.update_parameters(timeout_min=self.timeout_min, **self.parameters)
        left = list(works)
        for retries in range(RETRIES, -1, -1):
            with starting("slurm"):
                jobs = dict(zip(executor.map_array(partial(attempt, function), left), left, strict=True))
            left = []
            with _cancelled_on_error(jobs):
                for job in submitit.helpers.as_completed(jobs, poll_frequency=1):
                    if retries and isinstance(job.exception(), submitit.core.utils.UncompletedJobError):
                        left.append(jobs[job])
                    else:
                        yield jobs[job], result_of(job)
            if not left:
                return


@contextmanager
def _cancelled_on_error(jobs: Sequence[Any] | dict[Any, Any]) -> Iterator[None]:
    """Cancel the jobs if the sweep is interrupted or fails."""
    try:
        yield
    except BaseException:
        for job in jobs:
            job.cancel()
        raise
