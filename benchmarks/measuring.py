"""What the benchmarks share: contests in turns, checks of the results before timing, and tables of ratios."""

import json
import os
import platform
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np

from descent_lab.training import ledger

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "jax", "scikit-learn", "mlflow", "hydra-core", "torch", "optax")


class Lap(NamedTuple):
    """The result of one turn of a contestant."""

    seconds: float  # a step, unless the row says otherwise
    theta: np.ndarray | None = None  # at the end, so that it can be checked


Contestant = Callable[[], Lap]


@dataclass(frozen=True)
class Row:
    """One line of a table: how many times faster the harness is than another contestant."""

    work: str
    ours: str
    against: str
    ratio: float  # their seconds divided by ours: the median over rounds
    at_least: float | None  # what the ratio should be
    ours_us: float
    theirs_us: float
    spread: str = ""  # lowest and highest ratio of a round
    note: str = ""

    @property
    def reached(self) -> str:
        """yes or no, or empty where nothing was asked for."""
        return "" if self.at_least is None else "yes" if self.ratio >= self.at_least else "no"

    def cells(self) -> list[str]:
        """The line as text, the ratio first."""
        at_least = f"{self.at_least:g}" if self.at_least else ""
        ours, theirs = f"{self.ours_us:.4g}", f"{self.theirs_us:.4g}"
        first = [f"{self.ratio:.3g}", at_least, self.reached, self.work]
        return [*first, self.ours, ours, self.against, theirs, self.spread, self.note]


class Clock:
    """The clock of all benchmarks: wall seconds, or seconds of the processor.

    For one thread the two are equal on an idle machine, and those of the processor stay the same on a busy one.
    """

    now: Callable[[], float] = staticmethod(perf_counter)

    @classmethod
    def of_processor(cls) -> None:
        """Use seconds of the processor from now on, also in the ledger of the harness."""
        cls.now = staticmethod(process_time)
        ledger.perf_counter = process_time

    @classmethod
    def threads(cls) -> int:
        """How many threads may be used: one with the processor's clock, as it adds up the seconds of all threads."""
        return 1 if cls.now is process_time else os.cpu_count() or 1


class Disagreement(Exception):
    """Contestants did not do the same work."""


def contest(contestants: Mapping[str, Contestant], rounds: int, check: Callable[[Mapping[str, Lap]], None]) -> dict:
    """The seconds of every contestant in every round. They take turns, so that noise affects all of them.

    A first turn of each warms up and is not timed. check: raises Disagreement if their results differ.
    """
    check({name: contestant() for name, contestant in contestants.items()})
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for k in range(rounds):
        turns = list(contestants) if k % 2 == 0 else list(contestants)[::-1]
        for name in turns:
            seconds[name].append(contestants[name]().seconds)
    return seconds


def rows(
    work: str, ours: str, seconds: Mapping[str, list[float]], at_least: Mapping[str, float], note: str = ""
) -> list:
    """A row for the contestant `ours` against each other one, with the median of the ratios of each round.

    Ratios are taken within a round, because noise that lasts affects both contestants of a round.
    """
    mine = seconds[ours]
    table = []
    for name, theirs in seconds.items():
        if name != ours:
            times = ratios(mine, theirs)
            spread = f"{times[0]:.3g} to {times[-1]:.3g}"
            us = 1e6 * median(mine), 1e6 * median(theirs)
            table.append(Row(work, ours, name, median(times), at_least.get(name), *us, spread, note))
    return table


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Their seconds divided by mine in each round, sorted."""
    return sorted(b / a for a, b in zip(mine, theirs, strict=True))


def machine(load: Sequence[float]) -> dict[str, object]:
    """The machine and the versions that were measured. Of these only the load changes between two benchmarks."""
    facts: dict[str, object] = {"processor": _processor(), "cores": len(os.sched_getaffinity(0))}
    facts["python"] = platform.python_version()
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            facts[library] = "not installed"
    return facts | {"load before and after": " and ".join(f"{value:.1f}" for value in load)}


def _processor() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    wide = " with AVX-512" if "avx512f" in Path("/proc/cpuinfo").read_text() else ""
    return (names[0] if names else platform.machine()) + wide


def load() -> float:
    """The number of processes that want to run, averaged over the last minute."""
    return os.getloadavg()[0]


class Report:
    """The tables of a benchmark, which are printed as they come and written to files at the end."""

    def __init__(self, name: str, title: str):
        self.name, self.title, self.before = name, title, load()
        self.sections: list[tuple[str, list[str], list[list[str]], str]] = []
        self.data: dict[str, object] = {}

    def table(self, heading: str, columns: list[str], lines: list[list[str]], about: str = "") -> None:
        self.sections.append((heading, columns, lines, about))
        print(f"\n{heading}\n" + "\n".join(_markdown(columns, lines)) + (f"\n\n{about}" if about else ""), flush=True)

    def ratios(self, heading: str, rows: Sequence[Row], about: str = "") -> None:
        """Add rows as a table, and as data."""
        columns = [
            "times faster",
            "at least",
            "reached",
            "work",
            "ours",
            "us",
            "against",
            "us",
            "ratio by round",
            "note",
        ]
        lines = [row.cells() for row in rows]
        self.table(heading, columns, lines, about)
        self.keep(heading, [asdict(row) | {"reached": row.reached} for row in rows])

    def keep(self, heading: str, value: object) -> None:
        """Add data to the JSON file."""
        self.data[heading] = value

    def write(self, folder: Path | None = RESULTS) -> None:
        """Write <name>.md and <name>.json into a folder; None: only print what was measured on."""
        about = machine((self.before, load()))
        print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
        if folder is None:
            return
        folder.mkdir(exist_ok=True)
        text = [f"# {self.title}", "", *(f"- {name}: {value}" for name, value in about.items())]
        for heading, columns, lines, note in self.sections:
            text += ["", f"## {heading}", "", *_markdown(columns, lines), *(["", note] if note else [])]
        (folder / f"{self.name}.md").write_text("\n".join(text) + "\n")
        everything = {"machine": about} | self.data
        (folder / f"{self.name}.json").write_text(json.dumps(everything, indent=1, default=float) + "\n")


def _markdown(columns: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *lines)]


def parser(about: str | None, quick: str, rounds: int) -> ArgumentParser:
    """A parser of the options that all benchmarks have. quick: what --quick does, for the help."""
    options = ArgumentParser(description=about)
    options.add_argument("--quick", action="store_true", help=f"{quick}; writes nothing")
    options.add_argument("--rounds", type=int, default=rounds)
    return options


def refuse(error: Disagreement) -> None:
    """End the script, because the contestants do not do the same work."""
    sys.exit(f"not the same work: {error}")
