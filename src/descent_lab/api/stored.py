"""Reads tracked runs from a store."""

from collections.abc import Collection
from typing import overload

from descent_lab.api.problem import Problem
from descent_lab.api.results import Result, Results
from descent_lab.sweeps.restore import stored_config
from descent_lab.tracking import reader
from descent_lab.training.ledger import PURPOSES


@overload
def load(
    uri: str | None = None,
    *,
    experiment: str | None = None,
    sweep: str | None = None,
    filter: str = "",
    metrics: Collection[str] | None = None,
) -> Results: ...
@overload
def load(uri: str | None = None, *, run: str) -> Result: ...
def load(
    uri: str | None = None,
    *,
    run: str | None = None,
    experiment: str | None = None,
    sweep: str | None = None,
    filter: str = "",  # noqa: A002 - MLflow's word for it
    metrics: Collection[str] | None = None,
) -> Results | Result:
    """The finished and diverged runs of a store, or one of them by its id.

    uri: of the store; None: MLFLOW_TRACKING_URI, or mlflow.db. metrics: those that curves are read of; None: all.
    filter: MLflow's search syntax, such as "params.dataset = 'digits'". Nothing is written to the store. Raises
    StoreError in one line for a store that cannot be read, and ModelError for a run that it does not have.

    >>> dl.load("sqlite:///mlflow.db", sweep="demo").runs
    >>> dl.load(run="6f1c...").predict(x)
    """
    if run is not None:
        return _result(reader.load_run(run, uri))
    stored = reader.load(uri, experiment, filter, sweep, metrics)
    return Results(stored.runs, lambda: stored.curves, lambda run_id: _result(stored.one(run_id)), params=stored.params)


def _result(stored: reader.StoredRun) -> Result:
    row = stored.about
    diverged_at = row.get("diverged_at")

    def problem() -> Problem:
        config = stored_config(stored)
        return Problem(config.dataset, config.model, config.init, config.seed, config.stream, config.seeds)

    return Result(
        name=row["name"],
        curves=stored.curves(),
        theta=stored.arrays("theta"),
        predictions=stored.arrays("predictions"),
        status=row["status"],
        ended=row["ended"],
        seconds={purpose: float(row[f"{purpose}_seconds"]) for purpose in PURPOSES},
        problem_of=problem,
        diverged_at=int(diverged_at) if isinstance(diverged_at, str) else None,
    )
