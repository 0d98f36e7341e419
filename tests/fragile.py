"""Hands an engine work that succeeds, raises, or kills its worker once or always; prints the results as JSON.

A script of its own, so that the engine's processes are started, and end, as they do in a sweep.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from descent_lab.errors import Failure
from descent_lab.sweeps.engines.dask import Dask
from descent_lab.sweeps.engines.processes import Processes
from descent_lab.sweeps.engines.ray import Ray
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.engines.slurm import Slurm

WORKS = ("fine", "raises", "dies once", "fine too", "dies always", "last")


@dataclass(frozen=True)
class Fragile:
    folder: Path  # where each attempt leaves a mark

    def __call__(self, work: str) -> str:
        attempts = len(list(self.folder.glob(f"{work}.*")))
        (self.folder / f"{work}.{attempts}").touch()
        if work == "raises":
            raise ValueError("no such\nthing")
        if work == "dies always" or (work == "dies once" and not attempts):
            os.kill(os.getpid(), signal.SIGKILL)
        return work.upper()


ENGINES = {
    "serial": lambda folder: Serial(),
    "processes": lambda folder: Processes(workers=2),
    "dask": lambda folder: Dask(address=None, workers=2),
    "ray": lambda folder: Ray(address=None, workers=2),
    "slurm": lambda folder: Slurm(cluster="local", folder=str(folder), workers=2, timeout_min=5, parameters={}),
}


def main(name: str, folder: Path, works: list[str]) -> None:
    engine = ENGINES[name](folder / "slurm")
    pairs = list(engine.run(Fragile(folder), works))
    results = {work: f"failed: {result}" if isinstance(result, Failure) else result for work, result in pairs}
    attempts = {work: len(list(folder.glob(f"{work}.*"))) for work in works}
    print(json.dumps({"results": results, "attempts": attempts, "n": len(pairs)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or list(WORKS))
