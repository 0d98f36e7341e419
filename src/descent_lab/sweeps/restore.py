"""Trained models restored from stored runs, to predict new points."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from descent_lab.data.base import Data
from descent_lab.errors import ConfigError, DataError, ModelError
from descent_lab.problems.objective import Objective
from descent_lab.problems.predictor import Predictor
from descent_lab.sweeps.config import Config, parse
from descent_lab.tracking.address import resolve
from descent_lab.tracking.reader import Results, Wanted, load_run, store

LOSS, VALIDATION_LOSS = "best/train_loss", "best/validation_loss"
ALIKE = ("dataset", "model.loss", "model.output")  # parameters in which compared losses agree, besides dataset.*


def restore(run_id: str, which: str = "best", uri: str | None = None) -> Predictor:
    """The model of a run, with the theta `init`, `best` or `final`. Raises ModelError, StoreError or ConfigError."""
    if not run_id.isalnum():
        raise ModelError(f"run={run_id}: not a run id")
    stored = load_run(run_id, uri)
    if stored.runs.empty:
        raise ModelError(f"run={run_id}: no finished run of that id in {stored.uri}")
    theta = stored.theta(run_id)
    if which not in theta:
        raise ModelError(f"run={run_id}: no theta was kept (tracking.save_theta=false)")
    data, objective = _problem(stored, run_id)
    if theta[which].shape != (objective.network.n_params,):
        raise ModelError(
            f"run={run_id}: its theta has {theta[which].size} parameters, its network {objective.network.n_params}: "
            "the code or the data have changed since"
        )
    return Predictor(data, objective, theta[which], theta.get(f"statistics_{which}"))


def _problem(stored: Results, run_id: str) -> tuple[Data, Objective]:
    """The data set and the objective of a run, made again from its configuration."""
    config = stored_config(stored, run_id)
    try:
        problem = config.problem()
    except ConfigError as error:
        raise _not_again(run_id, error) from None
    return problem.data, problem.objective


def stored_config(stored: Results, run_id: str) -> Config:
    """The configuration of a stored run. Raises ModelError where it is no longer that of the run."""
    values = dict(stored.config(run_id))
    if "choices" not in values:
        raise ModelError(f"run={run_id}: no config.yaml was kept")
    choices = values.pop("choices")
    try:
        config = parse(values, choices)
        content = config.dataset.fingerprint()
    except (ConfigError, DataError, KeyError) as error:
        raise _not_again(run_id, error) from None
    noted = stored.runs.set_index("run_id")["data"].loc[run_id]  # none in runs stored before contents were noted
    if isinstance(noted, str) and noted != content:
        source = config.values["dataset"].get("path", config.choices["dataset"])
        raise ModelError(f"run={run_id}: {source} has changed since the run, and with it its scaling")
    return config


def _not_again(run_id: str, error: Exception) -> ModelError:
    return ModelError(f"run={run_id}: its data and network cannot be made again: {error}")


class BestRun(NamedTuple):
    """The best run of several: its id, the metric that it was chosen by, and its value."""

    run_id: str
    metric: str
    loss: float


def best_run(wanted: Mapping[str, str], uri: str | None = None, experiment: str | None = None) -> BestRun:
    """The run with the lowest best/validation_loss, or without validation sets best/train_loss, among these.

    wanted: the parameters that the runs must have. Raises ModelError where there is no such run, and where the runs'
    losses cannot be compared: then another parameter must be given, which tells them apart.
    """
    if "dataset" not in wanted:
        raise ModelError("best: of which data set? give dataset=NAME")
    source = store.connect(resolve(uri))
    stored = source.find(Wanted(experiment, params=wanted))
    none: list[float | None] = [None] * len(stored.runs)
    losses, validated = (stored.metrics.get(name, none) for name in (LOSS, VALIDATION_LOSS))
    runs = [i for i, loss in enumerate(losses) if loss is not None]
    if not runs:
        raise ModelError(f"best: no finished run with {_listed(wanted)} in {source.uri}")
    _refuse_incomparable({name: [values[i] for i in runs] for name, values in stored.params.items()})
    with_validation = [i for i in runs if validated[i] is not None]
    if with_validation and with_validation != runs:
        raise ModelError(
            "best: runs with and without a validation set do not compare; give dataset.validation_fraction=..."
        )
    metric = VALIDATION_LOSS if with_validation else LOSS
    loss, best = min((loss, i) for i in runs if (loss := stored.metrics[metric][i]) is not None)  # of equals the oldest
    return BestRun(stored.runs[best].run_id, metric, loss)


def _refuse_incomparable(params: Mapping[str, Sequence[str | None]]) -> None:
    """Raise ModelError where losses do not compare. params: the values of each run, by name."""
    for name in (name for name in params if name in ALIKE or name.startswith("dataset.")):
        values = sorted({value for value in params[name] if value is not None})  # earlier versions lack some
        if len(values) > 1:
            raise ModelError(f"best: losses of different {name} ({', '.join(values)}) do not compare; give {name}=...")


def _listed(wanted: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in wanted.items())
