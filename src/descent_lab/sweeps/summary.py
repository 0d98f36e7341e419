"""What became of the runs of a sweep, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from descent_lab.errors import ConfigError, DescentError, RunError
from descent_lab.paths import command
from descent_lab.sweeps.objective import Results
from descent_lab.tracking.record import SweepKey
from descent_lab.wording import counted


@dataclass(frozen=True)
class Failed:
    """A run that could not be made or trained, and why, in one line."""

    name: str
    reason: str
    config: object = None  # the configuration, if the run has a valid one
    refused: bool = False  # whether it was refused before it was started, as bad input

    @property
    def error(self) -> DescentError:
        """The exception that says so."""
        return ConfigError(self.reason) if self.refused else RunError(self.reason)


@dataclass
class Part:
    """What a command did to the runs of one sweep in one experiment.

    new: whether runs came to the store. skipped: identities of the runs that were there before. failed: of each run
    that failed, the choice made in each group. configs: of its runs that are there. summarised: whether a summary is
    wanted.
    """

    new: bool = False
    summarised: bool = True
    skipped: list[str] = field(default_factory=list)
    failed: list[Mapping[str, str]] = field(default_factory=list)
    configs: list[Any] = field(default_factory=list)

    def add(self, other: "Part") -> None:
        """Count what the same command did later as well."""
        self.new |= other.new
        self.skipped += other.skipped
        self.failed += other.failed
        self.configs += other.configs


@dataclass
class Summary:
    """What became of the runs of a sweep."""

    finished: int = 0
    diverged: int = 0
    skipped: int = 0
    delivered: int = 0  # that an earlier start had left in the outbox
    undelivered: int = 0  # runs that stay in the outbox
    interrupted: bool = False
    failed: list[Failed] = field(default_factory=list)
    results: dict[str, Results] = field(default_factory=dict)  # by identity of the finished runs (objective.py)
    sweep: str | None = None  # the tag of the runs that were trained
    parts: dict[SweepKey, Part] = field(default_factory=dict)  # of the sweeps that are whole now and want a summary

    @property
    def code(self) -> int:
        """Exit code: 0 if every run is where it belongs; 1 some failed; 2 all were refused; 3 some wait in the outbox;
        130 interrupted."""
        if self.interrupted:
            return 130
        if self.failed:
            none_valid = not (self.finished or self.diverged or self.skipped)
            return 2 if none_valid and all(failure.refused for failure in self.failed) else 1
        return 3 if self.undelivered else 0

    def __str__(self) -> str:
        if self.code == 2 and len(reasons := {failure.reason for failure in self.failed}) == 1:
            return reasons.pop()
        lines = [f"failed: {failure.name}: {failure.reason}" for failure in self.failed]
        if self.delivered:
            were = "was" if self.delivered == 1 else "were"
            delivered = counted(self.delivered, "run")
            lines.append(f"{delivered} that an earlier start had left in the outbox {were} delivered")
        if self.interrupted:
            lines.append("interrupted: finished runs are kept; the same command goes on with the rest")
        if self.undelivered:
            wait, them = ("waits", "it") if self.undelivered == 1 else ("wait", "them")
            start = f"{command('deliver')}, or the next start, delivers {them}"
            lines.append(f"{counted(self.undelivered, 'run')} {wait} in the outbox: {start}")
        counts = f"{self.finished} finished, {self.diverged} diverged, {len(self.failed)} failed"
        return "\n".join([*lines, f"{counts}, {self.skipped} skipped (finished before, or the same as another)"])
