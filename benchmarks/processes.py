"""Whole commands, from their start to their end: python -m benchmarks.processes [--quick] [--against FOLDER]

--against: a clone of another version in which `make setup` has been run; its commands are timed in turns with ours.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.measuring import RESULTS, Report, parser
from benchmarks.sweep import grid, place
from descent_lab.paths import ROOT

SWEEP = ["-m", *grid(16, 16)]
DEMO, DEMO_RUNS = ["-m", "+experiment=demo"], 1760
ALONE: Mapping[str, Sequence[str]] = {
    "a run of S1, numpy": ["backend=numpy", "force=true"],
    "a run of S1, jax": ["backend=jax", "force=true"],
    "--help": ["--help"],
}
COLD, KEPT, AGAIN = "256 runs, nothing compiled, new store", "256 runs, program kept", "256 runs again, all finished"
OURS = "this version"
OF_DEMO = "a run of make demo's sweep, new store"
AT_MOST = {"a run of S1, numpy": 2, "a run of S1, jax": 2, COLD: 12, AGAIN: 2, OF_DEMO: 0.05}  # wall seconds


class Spent(NamedTuple):
    """Seconds of a whole process: by the wall's clock, and of the processor."""

    wall: float
    processor: float


class Version(NamedTuple):
    """A clone of this repository, and the Python that runs it."""

    folder: Path
    python: Path

    def run(self, arguments: Sequence[str], environment: dict[str, str]) -> Spent:
        """Run `python -m src.run <arguments>`, which must succeed."""
        command = [str(self.python), "-m", "src.run", *arguments]
        begin = perf_counter()
        with subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            complaint = process.stderr.read() if process.stderr else ""
            _, status, usage = os.wait4(process.pid, 0)
            wall = perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{self.folder}: {' '.join(command)}: exit code {process.returncode}\n{complaint[-1500:]}")
        return Spent(wall, usage.ru_utime + usage.ru_stime)


Lap = dict[str, Spent]  # by what was done


def alone(version: Version) -> Lap:
    """Single runs into a store that is there, with everything cached that can be; and --help."""
    with place() as environment:
        for arguments in ALONE.values():
            version.run(arguments, environment)
        return {name: version.run(arguments, environment) for name, arguments in ALONE.items()}


def sweeps(version: Version) -> Lap:
    """A sweep into a new store; the same again; and into a store of its own, with the program kept."""
    with place() as environment:
        cold, again = (version.run(SWEEP, environment) for _ in range(2))
        with place(JAX_COMPILATION_CACHE_DIR=environment["JAX_COMPILATION_CACHE_DIR"]) as other:
            version.run(["epochs=1"], other)  # creates the store
            return {COLD: cold, KEPT: version.run(SWEEP, other), AGAIN: again}


def demo(version: Version) -> Lap:
    """The sweep of `make demo` into a new store, divided by its runs."""
    with place() as environment:
        wall, processor = version.run(DEMO, environment)
        return {OF_DEMO: Spent(wall / DEMO_RUNS, processor / DEMO_RUNS)}


def compare(report: Report, work: Callable[[Version], Lap], rounds: int, versions: Mapping[str, Version]) -> None:
    """The median seconds of each piece of work by each version; the versions take turns."""
    laps: dict[str, list[Lap]] = {name: [] for name in versions}
    for _ in range(rounds):
        for name, version in versions.items():
            laps[name].append(work(version))
    lines = []
    for what in laps[OURS][0]:
        spent = [Spent(*map(median, zip(*(lap[what] for lap in laps[name]), strict=True))) for name in versions]
        at_most = AT_MOST.get(what)
        reached = "" if at_most is None else "yes" if spent[0].wall <= at_most else "no"
        lines.append([what, *(f"{x:.3g}" for one in spent for x in one), f"{at_most or ''}", reached])
    columns = [f"{clock}, {name}" for name in versions for clock in ("seconds", "of the processor")]
    report.table(work.__name__, ["work", *columns, "at most", "reached"], lines, work.__doc__ or "")
    report.keep(work.__name__, laps)


def main() -> None:
    options = parser(__doc__, "single runs only, once", 5)
    options.add_argument("--against", type=Path, help="a clone of another version")
    options.add_argument("--only", nargs="+", choices=[work.__name__ for work in (alone, sweeps, demo)])
    given = options.parse_args()
    versions = {OURS: Version(ROOT, Path(sys.executable))}
    if given.against:
        folder = given.against.resolve()
        versions["before"] = Version(folder, folder / ".venv" / "bin" / "python")
    report = Report("processes", "Whole commands")
    rounds: dict[Callable[[Version], Lap], int] = {alone: given.rounds, sweeps: given.rounds, demo: 1}
    for work, n in ({alone: 1} if given.quick else rounds).items():
        if not given.only or work.__name__ in given.only:
            compare(report, work, n, versions)
    report.write(None if given.quick else RESULTS)


if __name__ == "__main__":
    main()
