"""Runs in a folder, without MLflow: each run is a folder of its own, with its files and run.json, which describes it.

A run appears under its name when it is complete. Its name is that of its folder in the outbox, so that a run which is
delivered twice is there once. Whoever writes holds the lock of the folder.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from filelock import FileLock

from descent_lab.tracking import outbox
from descent_lab.tracking.address import FOLDER
from descent_lab.tracking.entry import Entry, Point, entry_of
from descent_lab.tracking.record import KnownRun, TrackedRun
from descent_lab.tracking.stores import Delivery

RUN_FILE, LOCK = "run.json", ".lock"
DRAFT = ".draft"  # ends the names of folders that are being written, which begin with a dot
MLFLOW = "mlflow."  # begins the names of tags that only MLflow reads


@dataclass(frozen=True)
class Described:
    """What run.json holds. started, ended: in milliseconds since 1970. metrics: the last value of each."""

    name: str
    experiment: str
    started: int
    ended: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]

    @classmethod
    def of(cls, entry: Entry, experiment: str) -> "Described":
        """What a finished run's entry says, in short."""
        tags = {name: value for name, value in entry.tags.items() if not name.startswith(MLFLOW)}
        last = {name: value for name, value, _, _ in sorted(entry.points, key=lambda point: point[3])}
        return cls(entry.name, experiment, entry.started, int(entry.ended or 0), dict(entry.params), tags, last)


class RunFolder:
    """The runs in a folder, of which each run.json is read once."""

    def __init__(self, uri: str) -> None:
        self.path = Path(uri.removeprefix(FOLDER))
        self._known: dict[str, Described | None] = {}  # None: cannot be read

    def runs(self) -> dict[str, Described]:
        """The complete runs that are there now, by the names of their folders."""
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        self._known = {name: self._known[name] if name in self._known else self._read(name) for name in names}
        return {name: described for name, described in self._known.items() if described is not None}

    def _read(self, name: str) -> Described | None:
        try:
            return Described(**json.loads((self.path / name / RUN_FILE).read_text()))
        except (FileNotFoundError, NotADirectoryError):  # something else, or deleted just now
            return None
        except (OSError, TypeError, ValueError) as error:
            print(f"{self.path / name / RUN_FILE}: not readable, left out ({error})", file=sys.stderr)
            return None


class FolderStore:
    """The runs of one experiment in a folder, which is created where there is none. It shows nothing while runs train.

    It fulfils `stores.Store`. Reports and summaries are not kept.
    """

    batch_size = 32
    experiment_id = ""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self.folder = RunFolder(uri)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.folder.path / LOCK)
        with self.lock:  # which nobody holds who writes a draft
            for draft in self.folder.path.glob(f".*{DRAFT}"):
                shutil.rmtree(draft)

    def finished(self, runs: Iterable[TrackedRun]) -> dict[str, KnownRun]:
        """The complete runs of the experiment, by identity."""
        return {
            run.tags["identity"]: KnownRun(
                run.tags["status"] == "diverged", run.metrics, partial(outbox.curves, self.folder.path / name)
            )
            for name, run in self._mine().items()
        }

    def deliver(self, batch: Sequence[Delivery]) -> dict[Path, Exception]:
        """Write runs from the outbox unless they are there already; return why some could not be written, by folder."""
        refused: dict[Path, Exception] = {}
        with self.lock:
            taken = {run.tags["identity"] for run in self._mine().values()}
            for delivery in batch:
                try:
                    self._put(delivery, taken)
                except OSError as error:
                    refused[delivery.folder] = error
                taken.add(delivery.finished.tags["identity"])
        return refused

    def _put(self, delivery: Delivery, taken: set[str]) -> None:
        begin, folder, finished = perf_counter(), delivery.folder, delivery.finished
        target = self.folder.path / folder.name
        if target.exists() or (finished.tags["identity"] in taken and not finished.force):
            return
        draft = target.with_name(f".{folder.name}{DRAFT}")
        shutil.copytree(folder / "artifacts", draft, copy_function=_link)
        entry = entry_of(finished, folder).with_log(delivery.log_seconds + perf_counter() - begin)
        (draft / RUN_FILE).write_text(json.dumps(asdict(Described.of(entry, self.experiment)), indent=1))
        draft.rename(target)

    def _mine(self) -> dict[str, Described]:
        return {name: run for name, run in self.folder.runs().items() if run.experiment == self.experiment}

    def begin(self, run_id: str, entry: Entry) -> str:
        """Do nothing: a run is in the folder when it is complete."""
        return run_id

    def extend(self, run_id: str, points: Sequence[Point]) -> None:
        """Do nothing, as `begin`."""

    def drop(self, run_id: str) -> None:
        """Do nothing, as `begin`."""

    def experiment_tags(self) -> dict[str, str]:
        """None: a folder knows experiments by their names only."""
        return {}

    def tag_experiment(self, changes: Mapping[str, str | None]) -> None:
        """Do nothing: there are no charts to keep."""

    def delete_orphans(self) -> None:
        """Do nothing: drafts that were left behind were removed when the folder was opened."""

    def add(self, entry: Entry) -> str:
        """Do nothing: reports lie in their own folders."""
        return ""

    def has(self, kind: str, name: str) -> bool:
        """Whether a report or a summary is there, which none ever is."""
        return False


def _link(source: str, target: str) -> None:
    """Give a file a second name or, where that is impossible, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
