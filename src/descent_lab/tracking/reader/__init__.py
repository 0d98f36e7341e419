"""The one place that reads MLflow: a store's finished runs as tidy DataFrames. It writes nothing to the store.

results = load(filter="params.dataset = 'digits'")
results.runs     one row per run: every param, tag and summary metric
results.curves   one row per record and metric: run_id, step, epoch, step_seconds, metric, value
results.predictions(run_id), results.theta(run_id), results.config(run_id)
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from descent_lab.errors import StoreError
from descent_lab.tracking.address import resolve
from descent_lab.tracking.reader import store
from descent_lab.tracking.reader.arrays import Artifacts, Curves, read_curves
from descent_lab.tracking.reader.single import StoredRun, load_run
from descent_lab.tracking.reader.source import Wanted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "StoreError", "StoredRun", "Wanted", "find", "load", "load_run", "read_curves"]


@dataclass(frozen=True)
class Results:
    """The complete runs that were asked for, as a store holds them."""

    uri: str
    runs: "pd.DataFrame"
    made: "Callable[[], pd.DataFrame]" = field(repr=False)  # makes `curves`, which are large, when they are first used
    unfinished: int  # runs left out, because they are being written or were never completed
    experiments: tuple[str, ...]
    params: tuple[str, ...]  # the columns of `runs` that are parts of the configuration
    artifacts: Artifacts = field(repr=False)

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """One row per record and metric: `run_id, step, epoch, step_seconds, metric, value`."""
        return self.made()

    def with_curves(self, curves: Sequence[Curves]) -> "Results":
        """These results with the curves of each run, given in the order of `runs`, and with the length of each run."""
        from descent_lab.tracking.reader.frames import curves_frame, with_length  # imported here: they load pandas

        runs = with_length(self.runs, curves)
        return replace(self, runs=runs, made=partial(curves_frame, tuple(runs["run_id"]), curves))

    def predictions(self, run_id: str) -> dict[str, np.ndarray]:
        """`prediction` and `truth` on the test set, each (n_test, n_outputs); empty if not stored."""
        return self.artifacts.arrays(run_id, "predictions.npz")

    def theta(self, run_id: str) -> dict[str, np.ndarray]:
        """`init`, `best` and `final`, each (n_params,), and statistics of batch normalisation; empty if not stored."""
        return self.artifacts.arrays(run_id, "theta.npz")

    def config(self, run_id: str) -> dict[str, Any]:
        """The resolved configuration, nested, with the choice of each group as `choices`; empty if not stored."""
        return self.artifacts.config(run_id)

    def one(self, run_id: str) -> StoredRun:
        """One of these runs."""
        return StoredRun(self.uri, run_id, self.runs.iloc[self._places[run_id]].to_dict(), self.artifacts)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {run_id: place for place, run_id in enumerate(self.runs["run_id"])}


def load(
    uri: str | None = None,
    experiment: str | None = None,
    filter: str = "",  # noqa: A002 - MLflow's word for it
    sweep: str | None = None,
    metrics: Collection[str] | None = None,
) -> Results:
    """The finished and diverged runs of a store.

    uri: address of the store; None: the store that `src.run` writes to.
    experiment: its name; None: all experiments.
    filter: MLflow's search syntax, such as "params.dataset = 'digits' and params.lr = '0.1'". MLflow itself answers it,
        which takes seconds.
    sweep: the name that the runs of a sweep share; None: all sweeps.
    metrics: those whose curves are read; None: all.
    Raises StoreError, in one line, for a store that does not exist or cannot be read, an unknown experiment
    and a filter that MLflow refuses.
    """
    results = find(uri, Wanted(experiment, filter, sweep))
    return results.with_curves(read_curves(results.artifacts, results.runs, metrics))


def find(uri: str | None, wanted: Wanted) -> Results:
    """The same results as `load` gives, but without curves."""
    from descent_lab.tracking.reader.frames import curves_frame, runs_frame  # imported here because they load pandas

    source = store.connect(resolve(uri))
    stored = source.find(wanted)
    runs = runs_frame(stored)
    return Results(
        uri=source.uri,
        runs=runs,
        made=partial(curves_frame, [], []),
        unfinished=stored.unfinished,
        experiments=tuple(sorted(set(runs["experiment"]))),
        params=tuple(stored.params),
        artifacts=Artifacts(source.uri, {run.run_id: run.artifacts for run in stored.runs}),
    )
