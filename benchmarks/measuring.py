"""What the benchmarks share: contests in turns, checks before clocks, and tables that begin with the ratio."""

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

from descent_lab.training import trainer as training

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "jax", "scikit-learn", "mlflow", "hydra-core", "torch", "optax")


class Lap(NamedTuple):
    """One turn of a contestant."""

    seconds: float  # a step, unless the row says otherwise
    theta: np.ndarray | None = None  # where it ended, to be checked


Contestant = Callable[[], Lap]


@dataclass(frozen=True)
class Row:
    """One line of a table: how many times faster than what."""

    work: str
    ours: str
    against: str
    ratio: float  # their seconds over ours, median over rounds
    at_least: float | None  # what the ratio should be
    ours_us: float
    theirs_us: float
    spread: str = ""  # lowest and highest ratio of a round
    note: str = ""

    @property
    def reached(self) -> str:
        return "" if self.at_least is None else "yes" if self.ratio >= self.at_least else "no"

    def cells(self) -> list[str]:
        """The line as text, the ratio first."""
        wanted = f"{self.at_least:g}" if self.at_least else ""
        ours, theirs = f"{self.ours_us:.4g}", f"{self.theirs_us:.4g}"
        first = [f"{self.ratio:.3g}", wanted, self.reached, self.work]
        return [*first, self.ours, ours, self.against, theirs, self.spread, self.note]


class Clock:
    """Wall seconds; or the processor's, which for one thread are the same on an idle machine and bear a busy one."""

    now: Callable[[], float] = staticmethod(perf_counter)

    @classmethod
    def of_processor(cls) -> None:
        """From now on, for the scripts and for this harness's ledger alike."""
        cls.now = staticmethod(process_time)
        training.perf_counter = process_time

    @classmethod
    def threads(cls) -> int:
        """How many threads its seconds allow: the processor's clock counts all threads together."""
        return 1 if cls.now is process_time else os.cpu_count() or 1


class Disagreement(Exception):
    """Contestants that did not do the same work."""


def contest(contestants: Mapping[str, Contestant], rounds: int, check: Callable[[Mapping[str, Lap]], None]) -> dict:
    """Seconds of every contestant in every round, in turns so that noise hits all; the first turns warm up.

    `check` raises Disagreement on the laps of the first turn: no clock is read before.
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
    """The contestant `ours` against each other one: the median of the rounds' ratios, as noise that lasts hits both."""
    mine = seconds[ours]
    found = []
    for name, theirs in seconds.items():
        if name != ours:
            times = ratios(mine, theirs)
            spread = f"{times[0]:.3g} to {times[-1]:.3g}"
            us = 1e6 * median(mine), 1e6 * median(theirs)
            found.append(Row(work, ours, name, median(times), at_least.get(name), *us, spread, note))
    return found


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Theirs over mine, round by round, in order of size."""
    return sorted(b / a for a, b in zip(mine, theirs, strict=True))


def machine(load: Sequence[float]) -> dict[str, object]:
    """What the figures were measured on; nothing in it changes between two runs but the load."""
    found: dict[str, object] = {"processor": _processor(), "cores": len(os.sched_getaffinity(0))}
    found["python"] = platform.python_version()
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found | {"load before and after": " and ".join(f"{value:.1f}" for value in load)}


def _processor() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    wide = " with AVX-512" if "avx512f" in Path("/proc/cpuinfo").read_text() else ""
    return (names[0] if names else platform.machine()) + wide


def load() -> float:
    """Processes that want to run, averaged over the last minute."""
    return os.getloadavg()[0]


class Report:
    """A benchmark's tables, ratios first: printed as they come, written at the end."""

    def __init__(self, name: str, title: str):
        self.name, self.title, self.before = name, title, load()
        self.sections: list[tuple[str, list[str], list[list[str]], str]] = []
        self.data: dict[str, object] = {}

    def table(self, heading: str, columns: list[str], lines: list[list[str]], about: str = "") -> None:
        self.sections.append((heading, columns, lines, about))
        print(f"\n{heading}\n" + "\n".join(_markdown(columns, lines)) + (f"\n\n{about}" if about else ""), flush=True)

    def ratios(self, heading: str, found: Sequence[Row], about: str = "") -> None:
        """Rows as a table, kept as data too."""
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
        lines = [r.cells() for r in found]
        self.table(heading, columns, lines, about)
        self.keep(heading, [asdict(r) | {"reached": r.reached} for r in found])

    def keep(self, heading: str, value: object) -> None:
        self.data[heading] = value

    def write(self, folder: Path | None = RESULTS) -> None:
        """<name>.md and <name>.json; None: nowhere."""
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
    """The options that all benchmarks have."""
    options = ArgumentParser(description=about)
    options.add_argument("--quick", action="store_true", help=f"{quick}; writes nothing")
    options.add_argument("--rounds", type=int, default=rounds)
    return options


def refuse(error: Disagreement) -> None:
    """End the script: what was about to be timed is not the same work."""
    sys.exit(f"not the same work: {error}")
