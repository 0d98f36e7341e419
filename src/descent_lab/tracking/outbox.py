"""The outbox: finished runs lie on disk until the tracking store has them, so that a kill or a lost server loses none.

The folder `outbox/<id>.session/<run>/` holds one run: parcel.json and the folder `artifacts`. A session belongs to one
process, which holds the session's lock as long as it lives. A session whose lock is free was left by a process that
is gone, and the next start delivers its runs.
"""

import json
import marshal
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ENOSPC
from functools import lru_cache, partial
from pathlib import Path
from shutil import disk_usage
from typing import Any
from uuid import uuid4

import numpy as np
import yaml
from filelock import FileLock, Timeout

from descent_lab.errors import ConfigError, StoreError
from descent_lab.metrics import better
from descent_lab.paths import ROOT
from descent_lab.tracking import npz
from descent_lab.tracking.inputs import inputs_of
from descent_lab.tracking.record import KnownRun, RunKey, TrackedRun
from descent_lab.training.run import Outcome

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the one in C is 10 times quicker
VARIABLE = "DESCENT_OUTBOX"  # the environment variable that names the folder of the outbox
RUN_FILE = "parcel.json"  # keep this name: other versions may share the outbox, and delete sessions without this file
DRAFT, SESSION = ".draft", ".session"  # the suffixes of folders that are being written, and of sessions
MIN_FREE_BYTES = 2**24  # training does not begin if the disk has less space than this


@dataclass(frozen=True)
class FinishedRun:
    """What is written to the tracking store of one finished run, but for its arrays, which are files beside it."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    summary: dict[str, float]  # metrics with one value
    ledger: dict[str, float]  # seconds by purpose
    started: float  # seconds since 1970
    uri: str
    experiment: str
    force: bool  # write it even if the store holds a finished run of this identity
    inputs: Sequence[dict[str, Any]] = ()  # the parts of its data (inputs.py)
    n_features: int = 0  # of a sample; 0: not known

    @property
    def key(self) -> RunKey:
        """Where the run belongs, and which one it is."""
        return RunKey(self.uri, self.experiment, self.tags["identity"])


def root() -> Path:
    """The folder of all sessions."""
    return Path(os.environ.get(VARIABLE, ROOT / "outbox"))


class Session:
    """This process's part of the outbox. Raises ConfigError where the outbox cannot be written."""

    def __init__(self) -> None:
        self.folder = root() / f"{uuid4().hex}{SESSION}"
        self.lock = FileLock(_lock_path(self.folder))
        with _os_errors_refused():
            root().mkdir(parents=True, exist_ok=True)
            self.lock.acquire()  # before the folder appears, because a folder without a lock counts as abandoned
            self.folder.mkdir(parents=True)  # another process may have removed the empty outbox
            if disk_usage(self.folder).free < MIN_FREE_BYTES:
                raise OSError(ENOSPC, f"{os.strerror(ENOSPC)}: less than {MIN_FREE_BYTES // 2**20} MiB are free")

    def put(self, finished: FinishedRun, tracked: TrackedRun, outcome: Outcome, name: str) -> Path:
        """Write a finished run and return its folder, which appears under its name only when it is complete.

        name: of the folder, 32 hexadecimal digits that no other run has (see new_name).
        """
        draft = self.folder / f"{name}{DRAFT}"
        with _os_errors_refused():
            _write(draft, finished, tracked, outcome)
            return draft.rename(draft.with_suffix(""))

    def close(self) -> int:
        """Release the session. Return how many runs were not delivered; they stay for the next start."""
        n_left = len(run_files(self.folder))
        if not n_left:
            _remove(self.folder)
        self.lock.release()
        with suppress(OSError):  # the outbox is not empty: runs wait in it, or another process uses it
            root().rmdir()
        return n_left


def new_name() -> str:
    """A name for the folder of a run that no other run has; a database shows the run under this id."""
    return uuid4().hex


def _write(draft: Path, finished: FinishedRun, tracked: TrackedRun, outcome: Outcome) -> None:
    artifacts = draft / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "config.yaml").write_text(_as_yaml(tracked.settings))
    npz.write(artifacts / "curves.npz", outcome.curves)
    npz.write(artifacts / "predictions.npz", outcome.predictions)
    if tracked.tracking.save_theta:
        npz.write(artifacts / "theta.npz", outcome.theta)
    (draft / RUN_FILE).write_text(json.dumps(vars(finished)))


def _as_yaml(settings: Mapping[str, Any]) -> str:
    """The settings of a run as YAML, a part at a time, because the runs of a sweep share most parts."""
    return "".join(_part_as_yaml(name, marshal.dumps(value, 2)) for name, value in settings.items())


@lru_cache(maxsize=4096)
def _part_as_yaml(name: str, value: bytes) -> str:
    return yaml.dump({name: marshal.loads(value)}, Dumper=DUMPER, sort_keys=False)


def abandoned_runs() -> Iterator[list[tuple[Path, FinishedRun]]]:
    """The finished runs, each with its folder, that processes which are gone did not deliver: a list for each process.

    A session is locked while its list is used. Sessions without runs are removed.
    """
    for session in _sessions():
        try:
            with FileLock(_lock_path(session), timeout=0):
                yield list(_readable_runs(session))
                if not run_files(session):
                    _remove(session)  # also removes drafts: they are incomplete, and their runs will be trained again
        except Timeout:
            continue  # the process of this session lives


def undelivered_runs() -> dict[RunKey, KnownRun]:
    """Every finished run in the outbox, of sessions in use as well as of abandoned ones."""
    found = [pair for session in _sessions() for pair in _readable_runs(session)]
    return {finished.key: _known(folder, finished) for folder, finished in found}


def _known(folder: Path, finished: FinishedRun) -> KnownRun:
    return KnownRun(finished.tags["status"] == "diverged", finished.summary, partial(curves, folder / "artifacts"))


def read(folder: Path) -> FinishedRun:
    """The finished run in a folder. Raises StoreError if it cannot be read."""
    try:
        return FinishedRun(**json.loads((folder / RUN_FILE).read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise StoreError(f"{folder}: not readable, left where it is ({error})") from None


def run_files(session: Path) -> list[Path]:
    """The parcel.json of every complete run of a session."""
    return sorted(path for path in session.glob(f"*/{RUN_FILE}") if path.parent.suffix != DRAFT)


def curves(artifacts: Path) -> dict[str, np.ndarray]:
    """The curves of the run whose files are in a folder, each (n_records,)."""
    return npz.read(artifacts / "curves.npz")


def discard(folder: Path) -> None:
    """Delete a run that has been delivered; renamed first, so that a half-deleted folder never counts as a run."""
    shutil.rmtree(folder.rename(folder.with_suffix(DRAFT)))


def _sessions() -> list[Path]:
    return sorted(root().glob(f"*{SESSION}"))


def _readable_runs(session: Path) -> Iterator[tuple[Path, FinishedRun]]:
    for path in run_files(session):
        try:
            yield path.parent, read(path.parent)
        except StoreError as error:
            print(error, file=sys.stderr)


def _remove(session: Path) -> None:
    shutil.rmtree(session, ignore_errors=True)
    Path(_lock_path(session)).unlink(missing_ok=True)


@contextmanager
def _os_errors_refused() -> Iterator[None]:
    """Turn an OSError of the block into a ConfigError that names the outbox."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"outbox {root()}: cannot be written ({error.strerror or error})") from error


def _lock_path(session: Path) -> str:
    return f"{session}.lock"


def describe(
    tracked: TrackedRun, outcome: Outcome, started: float, wall: float, tags: Mapping[str, str]
) -> FinishedRun:
    """A finished run in the words of the MLflow schema: params, tags and summary metrics.

    started: when the run began, in seconds since 1970. wall: its wall seconds. tags: those of the whole sweep.
    """
    uri, experiment, _ = tracked.key
    tags_of_run = {
        "identity": tracked.identity,
        "status": outcome.status,
        "timing": outcome.timing,
        "device": outcome.device,
        "ended": outcome.ended,
    }
    if tracked.fingerprint is not None:
        tags_of_run["data"] = tracked.fingerprint
    if outcome.diverged_at is not None:
        tags_of_run["diverged_at"] = str(outcome.diverged_at)
    return FinishedRun(
        name=tracked.name,
        params=dict(tracked.params),
        tags={**tags_of_run, **tags},
        summary=summary_of(outcome),
        ledger=outcome.ledger | {"wall": wall},
        started=started,
        uri=uri,
        experiment=experiment,
        force=tracked.force,
        inputs=inputs_of(tracked.origin, outcome.data) if outcome.data else (),
        n_features=len(outcome.data.features) if outcome.data else 0,
    )


def summary_of(outcome: Outcome) -> dict[str, float]:
    """The summary metrics of a run.

    final/* and best/* of every metric of a set of samples that has a finite value, cost/gradient_equivalents, and
    chosen/*, where there is a validation set.
    """
    summary = {}
    if np.isfinite(outcome.gradient_equivalents):
        summary["cost/gradient_equivalents"] = outcome.gradient_equivalents
    for name, values in outcome.curves.items():
        part, _, metric = name.partition("/")
        finite = values[np.isfinite(values)]
        if part in ("train", "validation", "test") and finite.size:
            summary[f"final/{part}_{metric}"] = float(finite[-1])
            summary[f"best/{part}_{metric}"] = float(finite.max() if better(metric) == "higher" else finite.min())
    return summary | _chosen(outcome.curves)


def _chosen(curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The step with the lowest validation/loss, as chosen/step, and the metrics there, where there is such a loss."""
    losses = curves.get("validation/loss", np.empty(0))
    if not np.isfinite(losses).any():
        return {}
    k = int(np.nanargmin(losses))
    names = [name for name in curves if name.startswith(("validation/", "test/")) or name == "train/loss"]
    finite = {f"chosen/{name}": float(curves[name][k]) for name in names if np.isfinite(curves[name][k])}
    return {"chosen/step": float(curves["step"][k])} | finite
