"""Reads a store through MLflow's client: a server, a folder, or a database of a revision that was not tested."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from descent_lab.tracking.reader.source import KEPT_TAGS, About, Cell, History, Stored, Wanted, chosen, one_line, stored

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000  # the number of runs in one answer of the store


class Client:
    """A store that MLflow's client reads. Raises StoreError if it cannot be read."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with one_line(f"uri={uri}: cannot be read"):
            from mlflow import MlflowClient  # imported here because it takes seconds

            self.client = MlflowClient(uri)
            self.client.search_experiments(max_results=1)

    def find(self, wanted: Wanted) -> Stored:
        """The runs asked for. Raises StoreError for an unknown experiment and a query that MLflow refuses."""
        names, runs = self._search(wanted)
        tags = (cell for cell in _cells(runs, "tags") if cell[1] in KEPT_TAGS)
        return stored((_about(run, names) for run in runs), tags, _cells(runs, "params"), _cells(runs, "metrics"))

    def ids(self, wanted: Wanted) -> set[str]:
        """The ids of the runs asked for, complete or not. Raises StoreError as `find` does."""
        return {run.info.run_id for run in self._search(wanted)[1]}

    def _search(self, wanted: Wanted) -> "tuple[dict[str, str], list[Run]]":
        """The name of each experiment by its id, and the runs asked for."""
        with one_line(f"uri={self.uri}: cannot be read"):
            names = {found.experiment_id: found.name for found in _pages(self.client.search_experiments)}
        ids, query = list(chosen(names, wanted.experiment, self.uri)), _query(wanted)
        with one_line(f"filter={wanted.query}: cannot be searched"), _no_collection():
            return names, list(_pages(lambda **page: self.client.search_runs(ids, query, **page), max_results=PAGE))

    def histories(self, run_ids: Sequence[str], parts: Sequence[str]) -> Mapping[str, History]:
        """The points of the metrics of each of these runs; one call a metric."""
        return {run_id: self._history(run_id, parts) for run_id in run_ids}

    def _history(self, run_id: str, parts: Sequence[str]) -> History:
        names = [name for name in self.client.get_run(run_id).data.metrics if name.partition("/")[0] in parts]
        return {name: {m.step: m.value for m in self.client.get_metric_history(run_id, name)} for name in names}


def _query(wanted: Wanted) -> str:
    query = wanted.query
    terms = [f"({query})" if " or " in query.lower() else query] if query.strip() else []
    terms += [f"tags.sweep = {_quoted(wanted.sweep)}"] if wanted.sweep else []
    terms += [f"attributes.run_id = {_quoted(wanted.run)}"] if wanted.run else []
    return " and ".join([*terms, *(f"params.`{name}` = {_quoted(value)}" for name, value in wanted.params.items())])


def _quoted(text: str) -> str:
    """A text in quotes of the kind that it does not hold: MLflow knows no other way. One with both is refused."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def _about(run: "Run", experiments: Mapping[str, str]) -> About:
    info = run.info
    name = experiments[info.experiment_id]
    return About(info.run_id, info.experiment_id, name, info.run_name, info.start_time, info.status, info.artifact_uri)


def _cells(runs: "Iterable[Run]", kind: str) -> Iterator[Cell]:
    for run in runs:
        run_id = run.info.run_id
        for name, value in getattr(run.data, kind).items():
            yield run_id, name, None if value != value else value  # NaN is the only value that differs from itself


def _pages(search: Callable[..., Any], **limits: int) -> Iterator[Any]:
    """The results of all pages of a search."""
    token = None
    while True:
        page = search(page_token=token, **limits)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _no_collection() -> Iterator[None]:
    """Switch garbage collection off: MLflow makes millions of small objects, and examining them doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
