"""The one place that reads MLflow: a store's finished runs as tidy DataFrames. It writes nothing to the store.

found = load(filter="params.dataset = 'digits'")
found.runs     one row per run: every param, tag and summary metric
found.curves   long: run_id, step, epoch, step_seconds, metric, value
found.predictions(run_id), found.theta(run_id), found.config(run_id)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import yaml

from descent_lab.errors import StoreError
from descent_lab.tracking.address import resolve
from descent_lab.tracking.reader import store
from descent_lab.tracking.reader.arrays import Artifacts, Curve, read_curves
from descent_lab.tracking.reader.frames import curves_frame, runs_frame, with_length

__all__ = ["Results", "StoreError", "find", "load", "read_curves"]


@dataclass(frozen=True)
class Results:
    """What a store holds of the runs asked for."""

    uri: str
    runs: pd.DataFrame
    curves: pd.DataFrame
    unfinished: int  # runs left out: still being written, or lost before they were whole
    experiments: tuple[str, ...]
    params: tuple[str, ...]  # the columns of runs that are configuration
    artifacts: Artifacts = field(repr=False)

    def with_curves(self, read: Sequence[Curve]) -> "Results":
        """With the curves of each run, in the order of `runs`."""
        runs = with_length(self.runs, read)
        return replace(self, runs=runs, curves=curves_frame(runs["run_id"], read))

    def predictions(self, run_id: str) -> dict[str, np.ndarray]:
        """`prediction` and `truth` on the test set, each (n_test, n_outputs); empty where none were kept."""
        return self.artifacts.arrays(run_id, "predictions.npz")

    def theta(self, run_id: str) -> dict[str, np.ndarray]:
        """`init`, `best` and `final`, each (n_params,); empty where none were kept."""
        return self.artifacts.arrays(run_id, "theta.npz")

    def config(self, run_id: str) -> dict:
        """The resolved configuration, nested, with the `choices` made; empty where none was kept."""
        path = self.artifacts.path(run_id, "config.yaml")
        return yaml.safe_load(path.read_text()) if path else {}


def load(
    uri: str | None = None,
    experiment: str | None = None,
    filter: str = "",  # noqa: A002 - MLflow's word for it
    sweep: str | None = None,
    metrics: Collection[str] | None = None,
) -> Results:
    """The finished and diverged runs of a store; None: the store that `src.run` writes to, all experiments.

    metrics: those that curves are read of; default: all.
    filter: MLflow's search syntax, such as "params.dataset = 'digits' and params.lr = '0.1'".
    Raises StoreError, in one line, for a store that does not exist or cannot be read, an unknown experiment
    and a filter that MLflow refuses.
    """
    found = find(uri, experiment, filter, sweep)
    return found.with_curves(read_curves(found.artifacts, found.runs, metrics))


def find(uri: str | None, experiment: str | None, query: str, sweep: str | None) -> Results:
    """As `load`, but for the curves: the tables of runs alone."""
    client = store.connect(resolve(uri))
    experiments = store.experiments(client, experiment)
    found = store.search(client, list(experiments), query, sweep)
    whole = [run for run in found if store.is_whole(run)]
    runs = runs_frame(whole, experiments)
    return Results(
        uri=client.tracking_uri,
        runs=runs,
        curves=curves_frame([], []),
        unfinished=len(found) - len(whole),
        experiments=tuple(sorted(set(runs["experiment"]))),
        params=tuple(sorted({name for run in whole for name in run.data.params})),
        artifacts=Artifacts(client.tracking_uri, {run.info.run_id: run.info.artifact_uri for run in whole}),
    )
