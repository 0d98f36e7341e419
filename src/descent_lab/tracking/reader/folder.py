"""Reads a folder of runs (tracking/folder.py), of which MLflow knows nothing."""

from collections.abc import Mapping, Sequence

from descent_lab.errors import StoreError
from descent_lab.tracking.folder import Described as Description
from descent_lab.tracking.folder import RunFolder
from descent_lab.tracking.reader.source import About, Described, History, Stored, Wanted, chosen, in_memory


class Folder:
    """A folder of runs as a `Source`. Raises StoreError if it cannot be read."""

    def __init__(self, uri: str) -> None:
        self.uri, self.folder = uri, RunFolder(uri)

    def find(self, wanted: Wanted) -> Stored:
        """The runs asked for. Raises StoreError for an unknown experiment and for a query, which only MLflow reads."""
        if wanted.query.strip():
            raise StoreError(f"filter={wanted.query}: only MLflow searches by filters; {self.uri} is a folder of runs")
        try:
            runs = self.folder.runs()
        except OSError as error:
            raise StoreError(f"uri={self.uri}: cannot be read ({error.strerror or error})") from None
        experiments = {run.experiment: run.experiment for run in runs.values()}
        names = chosen(experiments, wanted.experiment, self.uri)
        found = [(name, run) for name, run in runs.items() if run.experiment in names and _fits(name, run, wanted)]
        found.sort(key=lambda pair: (pair[1].started, pair[0]))
        return in_memory([self._described(name, run) for name, run in found])

    def histories(self, run_ids: Sequence[str], parts: Sequence[str]) -> Mapping[str, History]:
        """Nothing of each of these runs: curves are in their files only."""
        return {run_id: {} for run_id in run_ids}

    def _described(self, name: str, run: Description) -> Described:
        place = (self.folder.path / name).as_uri()
        about = About(name, run.experiment, run.experiment, run.name, run.started, artifacts=place)
        return Described(about, run.tags, run.params, run.metrics)


def _fits(name: str, run: Description, wanted: Wanted) -> bool:
    return (
        wanted.run in (None, name)
        and wanted.sweep in (None, "", run.tags["sweep"])
        and all(run.params.get(param) == value for param, value in wanted.params.items())
    )
