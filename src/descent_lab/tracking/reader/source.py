"""What is asked of a store that is read, and what it answers, whichever way it is read."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from descent_lab.errors import StoreError
from descent_lab.tracking.entry import ADDED

STATUSES = ("finished", "diverged")
TAGS = (
    "versions",
    "device",
    "status",
    "ended",
    "timing",
    "sweep",
    "identity",
    "data",
    "diverged_at",
    "git.commit",
    "git.dirty",
)
KEPT_TAGS = frozenset({*TAGS, *ADDED})
Cell = tuple[str, str, str | float | None]  # id of a run, name of a param, tag or metric, value


@dataclass(frozen=True)
class Wanted:
    """Which runs of a store are asked for: those to which all of this applies.

    experiment: its name; None: all. query: MLflow's search syntax. sweep: the tag of the sweep; None: any.
    run: its id; None: any. params: the values of these params, as they are stored.
    """

    experiment: str | None = None
    query: str = ""
    sweep: str | None = None
    run: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)


class About(NamedTuple):
    """A run without its params, tags and metrics."""

    run_id: str
    experiment_id: str
    experiment: str  # its name
    name: str
    started: int  # in milliseconds since 1970
    state: str = "FINISHED"  # as MLflow says it: RUNNING, FAILED, ...
    artifacts: str = ""  # the address of the folder of its artifacts


INFO = About._fields[:5]  # those that are columns of a frame of runs


class Described(NamedTuple):
    """A run with all that a store would tell of it."""

    about: About
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]  # the last value of each


@dataclass(frozen=True)
class Stored:
    """The complete runs among those that were asked for, oldest first.

    Columns hold a value of each run, or None where the run has none of that name, or NaN.
    """

    runs: Sequence[About]
    tags: Mapping[str, Sequence[str | None]]
    params: Mapping[str, Sequence[str | None]]
    metrics: Mapping[str, Sequence[float | None]]
    unfinished: int = 0  # runs that are being written or were never completed


History = Mapping[str, Mapping[int, float]]  # of the metrics of one run: the value by step


class Source(Protocol):
    """A store that can be read."""

    uri: str

    def find(self, wanted: Wanted) -> Stored:
        """The runs asked for. Raises StoreError for an unknown experiment and a query that MLflow refuses."""

    def histories(self, run_ids: Sequence[str], parts: Sequence[str]) -> Mapping[str, History]:
        """The points of the metrics of each of these runs whose names begin with one of these words."""


def stored(runs: Iterable[About], tags: Iterable[Cell], params: Iterable[Cell], metrics: Iterable[Cell]) -> Stored:
    """The complete runs among these: those that this harness has finished; MLflow's FINISHED is set last.

    Reports and summaries are no runs. The cells of other runs may be among the cells, and are passed over.
    """
    ordered = sorted(runs, key=lambda run: (run.started, run.run_id))
    of_all = columns(tags, [run.run_id for run in ordered])
    none: list[str | None] = [None] * len(ordered)
    report, summary, status, identity = (of_all.get(tag, none) for tag in (*ADDED, "status", "identity"))
    trained = [i for i in range(len(ordered)) if report[i] is None and summary[i] is None]
    kept = [i for i in trained if status[i] in STATUSES and identity[i] is not None and ordered[i].state == "FINISHED"]
    ids = [ordered[i].run_id for i in kept]
    return Stored(
        [ordered[i] for i in kept],
        {name: [values[i] for i in kept] for name, values in of_all.items() if name in TAGS},
        columns(params, ids),
        columns(metrics, ids),
        len(trained) - len(kept),
    )


def in_memory(runs: Sequence[Described]) -> Stored:
    """Runs that no store holds."""
    abouts = [run.about for run in runs]

    def column_of(kind: str) -> dict[str, list[Any]]:
        cells = ((run.about.run_id, name, value) for run in runs for name, value in getattr(run, kind).items())
        return columns(cells, [about.run_id for about in abouts])

    return Stored(abouts, column_of("tags"), column_of("params"), column_of("metrics"))


def columns(cells: Iterable[Cell], run_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The cells of these runs as columns by name; equal values are the same object, as most repeat in many runs."""
    rows = {run_id: i for i, run_id in enumerate(run_ids)}
    found: dict[str, list[Any]] = {}
    known: dict[str | float | None, str | float | None] = {}
    for run_id, name, value in cells:
        row = rows.get(run_id)
        if row is not None:
            column = found.get(name)
            if column is None:
                column = found[name] = [None] * len(rows)
            column[row] = known.setdefault(value, value)
    return dict(sorted(found.items()))


def chosen(experiments: Mapping[str, str], name: str | None, uri: str) -> dict[str, str]:
    """The experiment of that name by its id, or (None) all. Raises StoreError if there is none."""
    if name is None:
        return dict(experiments)
    same = {key: value for key, value in experiments.items() if value == name}
    if not same:
        existing = ", ".join(sorted(experiments.values())) or "none"
        raise StoreError(f"experiment={name}: no such experiment in {uri}; there are {existing}")
    return same


@contextmanager
def one_line(prefix: str) -> Iterator[None]:
    """Turn any exception of the block into a StoreError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns about the libraries that it is built on
            yield
    except StoreError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{prefix} ({reason})") from error
