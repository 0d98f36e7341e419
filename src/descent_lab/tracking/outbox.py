"""Finished runs on disk, whole, until the tracking store has them: a kill or a lost server loses nothing.

outbox/<id>.session/<parcel>/ holds parcel.json and the artifacts of one run. A session is one process; its lock is held
as long as it lives, so that what others left behind can be told from what they are still writing.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage
from typing import Any
from uuid import uuid4

import numpy as np
import yaml
from filelock import FileLock, Timeout

from descent_lab.errors import ConfigError
from descent_lab.paths import ROOT
from descent_lab.tracking.record import RunKey, TrackedRun
from descent_lab.training.trainer import Outcome

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C where there is one: 10 times quicker
VARIABLE = "DESCENT_OUTBOX"  # where the outbox lies, instead of the repository root
NOTE, DRAFT, SESSION = "parcel.json", ".draft", ".session"
ROOM = 2**24  # bytes that must be free on the disk before anything is trained


@dataclass(frozen=True)
class FinishedRun:
    """Everything of one finished run but its arrays, which lie beside it as files."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    summary: dict[str, float]  # metrics with one value
    ledger: dict[str, float]  # seconds
    started: float  # seconds since 1970
    uri: str
    experiment: str
    force: bool  # whether it is wanted even if the store holds a run of this identity

    @property
    def key(self) -> RunKey:
        return RunKey(self.uri, self.experiment, self.tags["identity"])


def root() -> Path:
    """The folder of all sessions."""
    return Path(os.environ.get(VARIABLE, ROOT / "outbox"))


class Session:
    """This process's part of the outbox. Raises ConfigError where nothing can be written."""

    def __init__(self) -> None:
        self.folder = root() / f"{uuid4().hex}{SESSION}"
        self.lock = FileLock(_lock(self.folder))
        with _refusing():
            root().mkdir(parents=True, exist_ok=True)
            self.lock.acquire()  # before the folder appears: a folder without a lock counts as abandoned
            self.folder.mkdir(parents=True)  # a process that ends may have removed the empty outbox
            if disk_usage(self.folder).free < ROOM:
                raise OSError(ENOSPC, os.strerror(ENOSPC))

    def put(self, parcel: FinishedRun, run: TrackedRun, outcome: Outcome) -> Path:
        """Write a finished run; its folder appears under its name only when it is whole."""
        draft = self.folder / f"{uuid4().hex}{DRAFT}"
        with _refusing():
            _write(draft, parcel, run, outcome)
            return draft.rename(draft.with_suffix(""))

    def close(self) -> int:
        """Leave; what has not been delivered stays for the next start: so many runs."""
        left = len(notes(self.folder))
        if not left:
            _remove(self.folder)
        self.lock.release()
        with suppress(OSError):  # not empty: runs are waiting, or another process is at work
            root().rmdir()
        return left


def _write(draft: Path, parcel: FinishedRun, run: TrackedRun, outcome: Outcome) -> None:
    files = draft / "artifacts"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text(yaml.dump(dict(run.settings), Dumper=DUMPER, sort_keys=False))
    _save(files / "curves.npz", outcome.curves)
    _save(files / "predictions.npz", outcome.predictions)
    if run.tracking.save_theta:
        _save(files / "theta.npz", outcome.theta)
    (draft / NOTE).write_text(json.dumps(asdict(parcel)))


def reclaim(session: Path, into: Path) -> None:
    """Move the runs of a session whose process is gone to another, unless somebody else has claimed them."""
    with suppress(Timeout), FileLock(_lock(session), timeout=5):  # it may be about to let go
        for note in notes(session):
            note.parent.rename(into / note.parent.name)
        _remove(session)


def abandoned_runs() -> Iterator[tuple[Path, FinishedRun]]:
    """The finished runs that processes which are gone did not deliver; a session is claimed while it is read."""
    for folder in _sessions():
        try:
            with FileLock(_lock(folder), timeout=0):
                yield from _parcels(folder)
                if not notes(folder):
                    _remove(folder)  # drafts were never whole: their runs count as not run
        except Timeout:
            continue  # its process lives


def undelivered_runs() -> Iterator[FinishedRun]:
    """Every finished run in the outbox, whoever looks after it."""
    for folder in _sessions():
        for _, parcel in _parcels(folder):
            yield parcel


def read(folder: Path) -> FinishedRun:
    """The parcel in a folder. Raises ValueError if it cannot be read."""
    try:
        return FinishedRun(**json.loads((folder / NOTE).read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: not readable, left where it is ({error})") from None


def notes(folder: Path) -> list[Path]:
    """The parcel.json of every whole run of a session."""
    return sorted(note for note in folder.glob(f"*/{NOTE}") if note.parent.suffix != DRAFT)


def curves(folder: Path) -> dict[str, np.ndarray]:
    """The curves of a run in the outbox."""
    with np.load(folder / "artifacts" / "curves.npz") as file:
        return dict(file)


def discard(folder: Path) -> None:
    """Forget a run that has been delivered: first its name, so that half of it is never taken for a run."""
    shutil.rmtree(folder.rename(folder.with_suffix(DRAFT)))


def _sessions() -> list[Path]:
    return sorted(root().glob(f"*{SESSION}"))


def _parcels(session: Path) -> Iterator[tuple[Path, FinishedRun]]:
    for note in notes(session):
        try:
            yield note.parent, read(note.parent)
        except ValueError as error:
            print(error, file=sys.stderr)


def _remove(session: Path) -> None:
    shutil.rmtree(session, ignore_errors=True)
    Path(_lock(session)).unlink(missing_ok=True)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"outbox {root()}: cannot be written ({error.strerror or error})") from error


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    np.savez(path, **arrays)


def _lock(folder: Path) -> str:
    return f"{folder}.lock"


def pack(run: TrackedRun, outcome: Outcome, started: float, wall: float, tags: Mapping[str, str]) -> FinishedRun:
    """Describe a finished run by the tracking schema: params, tags and summary metrics."""
    about = {
        "identity": run.identity,
        "status": outcome.status,
        "timing": outcome.timing,
        "device": outcome.device,
        "ended": outcome.ended,
    }
    if run.fingerprint is not None:
        about["data"] = run.fingerprint
    if outcome.diverged_at is not None:
        about["diverged_at"] = str(outcome.diverged_at)
    uri, experiment, _ = run.key
    return FinishedRun(
        name=run.name,
        params=dict(run.params),
        tags={**about, **tags},
        summary=_summary(outcome),
        ledger=outcome.ledger | {"wall": wall},
        started=started,
        uri=uri,
        experiment=experiment,
        force=run.force,
    )


def _summary(outcome: Outcome) -> dict[str, float]:
    """final/* and best/* of every training and test metric that was recorded; all finite."""
    found = {}
    for name, values in outcome.curves.items():
        part, _, metric = name.partition("/")
        finite = values[np.isfinite(values)]
        if part in ("train", "test") and finite.size:
            found[f"final/{part}_{metric}"] = float(finite[-1])
            found[f"best/{part}_{metric}"] = float(finite.max() if metric == "accuracy" else finite.min())
    return found
