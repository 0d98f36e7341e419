"""What MLflow is told of a run, a report or the summary of a sweep: one place decides what is written.

The two writers, database.py and server.py, decide only how an Entry gets into a store, so that both leave the same.
`entry_of` makes the entry of a finished run, `live_entry` that of a run which still trains, and `report_entry` that of
a report. Whoever adds another kind of entry makes an Entry and hands it to `Store.add` (stores.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import Literal

import numpy as np

from descent_lab.tracking import outbox
from descent_lab.tracking.note import NOTE, note
from descent_lab.tracking.outbox import FinishedRun
from descent_lab.tracking.provenance import commit, writer
from descent_lab.tracking.record import TrackedRun

Point = tuple[str, float, int, int]  # a value of a metric: name, value, time in milliseconds since 1970, step

MAX_POINTS = 1000  # longer curves are thinned in MLflow; curves.npz holds all points
MAX_TAG_LETTERS = 8000  # the longest value of a tag that MLflow accepts
LOGGED = ("ledger/log_seconds", "ledger/wall_seconds")  # the metrics that count the time spent on tracking
KIND_OF_EXPERIMENT = ("mlflow.experimentKind", "custom_model_development")  # a tag: show charts of runs, not traces
ADDED = ("report", "summary")  # tags of entries that are no trained runs; the value tells entries of one kind apart


@dataclass(frozen=True)
class Input:
    """A data set that a run used, as MLflow's column Dataset shows it.

    digest: a hash of its content, at most 36 letters. source_type, source: where it comes from; source, schema and
    profile are JSON texts. tags: such as {"mlflow.data.context": "train"}.
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one MLflow run holds.

    started, ended: in milliseconds since 1970; ended None: the run still trains.
    points: of all metrics; those with one value are at step 0.
    artifacts: the folder of its files; None: it has none. files: paths of those that are kept, relative to that
        folder; None: all.
    """

    name: str
    started: int
    ended: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point] = ()
    inputs: Sequence[Input] = ()
    artifacts: Path | None = None
    files: Sequence[str] | None = None

    @property
    def status(self) -> Literal["RUNNING", "FINISHED"]:
        """MLflow's word for the state of the run."""
        return "RUNNING" if self.ended is None else "FINISHED"

    @property
    def kind(self) -> str | None:
        """The tag that says what an added entry is, of ADDED; None for a trained run."""
        return next((tag for tag in ADDED if tag in self.tags), None)

    def with_id(self, run_id: str) -> "Entry":
        """The same finished run in a store that chose this id for it: its description names the id."""
        return replace(self, tags={**self.tags, NOTE: self.tags[NOTE].replace(self.tags["parcel"], run_id)})

    def with_log(self, seconds: float) -> "Entry":
        """The same finished run after so many more seconds of tracking, which its ledger counts."""
        points = [(name, value + seconds * (name in LOGGED), at, step) for name, value, at, step in self.points]
        return replace(self, points=points, ended=None if self.ended is None else self.ended + int(1000 * seconds))


def entry_of(finished: FinishedRun, folder: Path, artifacts: Path | None = None) -> Entry:
    """The entry of a finished run, whose id in the store is the name of its folder, unless `with_id` says another.

    folder: of the run in the outbox. artifacts: where its files are now; None: in the outbox.
    """
    files = artifacts or folder / "artifacts"
    curves = outbox.curves(files)
    started = int(1000 * finished.started)
    ledger = {f"ledger/{name}_seconds": value for name, value in finished.ledger.items()}
    once = [(name, value, started, 0) for name, value in {**finished.summary, **ledger}.items()]
    text = note(finished, folder.name, int(curves["step"][-1]))
    return Entry(
        name=finished.name,
        started=started,
        ended=int(1000 * (finished.started + finished.ledger["wall"])),
        params=finished.params,
        tags=_shown(finished.tags) | finished.tags | {"parcel": folder.name, NOTE: text},
        points=points(curves, finished.started) + once,
        inputs=[Input(**one) for one in finished.inputs],
        artifacts=files,
    )


def live_entry(tracked: TrackedRun, started: float, tags: Mapping[str, str]) -> Entry:
    """The entry of a run that still trains. started: in seconds since 1970. tags: those of the whole sweep."""
    all_tags = {**_shown(tags), **tags, "identity": tracked.identity}
    return Entry(name=tracked.name, started=int(1000 * started), ended=None, params=tracked.params, tags=all_tags)


def report_entry(about: str, folder: Path, names: Sequence[str], text: str) -> Entry:
    """The entry of a report, which shows its page and figures.

    about: what the report is about. names: of its files, relative to `folder`. text: in Markdown.
    """
    now = int(1000 * time())
    tags = {**_shown({}), "report": about, "mlflow.source.name": "reports.build", NOTE: _cut(text)}
    name = f"report: {about}"
    return Entry(name=name, started=now, ended=now, params={}, tags=tags, artifacts=folder, files=names)


def summary_entry(
    sweep: str, folder: Path, names: Sequence[str], text: str, points: Sequence[Point], numbers: Mapping[str, int]
) -> Entry:
    """The entry that shows a whole sweep: its curves over seeds, numbers of runs, tables and figures.

    names: of its files, relative to `folder`. text: in Markdown. numbers: of runs, by what became of them.
    """
    now = int(1000 * time())
    counts = {f"runs.{what}": str(n) for what, n in numbers.items()}
    tags = {**_shown(commit()), "summary": sweep, **counts, NOTE: _cut(text)}
    name = f"summary: {sweep}"
    return Entry(name=name, started=now, ended=now, params={}, tags=tags, points=points, artifacts=folder, files=names)


def points(curves: Mapping[str, np.ndarray], started: float) -> list[Point]:
    """The finite values of every curve, at most MAX_POINTS of each; the first and the last are always among them.

    curves: each (n_records,), with `step` and `time/step_seconds`. started: in seconds since 1970.
    """
    steps = curves["step"]
    times = (1000 * (started + curves["time/step_seconds"])).astype(np.int64)
    found: list[Point] = []
    for name, values in curves.items():
        if name not in ("step", "epoch"):
            indices = _thinned(np.flatnonzero(np.isfinite(values)))
            columns = (values[indices].astype(float), times[indices], steps[indices].astype(np.int64))
            found += zip([name] * len(indices), *(column.tolist() for column in columns), strict=True)
    return found


def _thinned(indices: np.ndarray) -> np.ndarray:
    """At most MAX_POINTS of these indices, log-spaced, with the first and the last."""
    if len(indices) <= MAX_POINTS:
        return indices
    spaced = np.geomspace(1, len(indices), MAX_POINTS).round().astype(int) - 1
    thinned: np.ndarray = indices[np.unique(spaced)]
    return thinned


def _shown(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that MLflow itself reads, and the process that writes, of a run with these tags."""
    shown = {"mlflow.source.name": "src.run", "mlflow.source.type": "LOCAL", "writer": writer()}
    return shown | ({"mlflow.source.git.commit": tags["git.commit"]} if "git.commit" in tags else {})


def _cut(note: str) -> str:
    """A note in Markdown, cut at the end of a line to what a tag may hold."""
    return note if len(note) <= MAX_TAG_LETTERS else note[:MAX_TAG_LETTERS].rpartition("\n")[0]
