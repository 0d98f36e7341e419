"""Trained models restored from stored runs, to predict new points."""

from descent_lab.data.base import Data
from descent_lab.errors import ConfigError, DataError, ModelError
from descent_lab.problems.objective import Objective
from descent_lab.problems.predictor import Predictor
from descent_lab.sweeps.config import Config, parse
from descent_lab.tracking.reader import StoredRun, load_run


def restore(run_id: str, which: str = "best", uri: str | None = None) -> Predictor:
    """The model of a run, with the theta `init`, `best` or `final`. Raises ModelError, StoreError or ConfigError."""
    stored = load_run(run_id, uri)
    theta = stored.arrays("theta")
    if which not in theta:
        raise ModelError(f"run={run_id}: no theta was kept (tracking.save_theta=false)")
    data, objective = _problem(stored)
    if theta[which].shape != (objective.network.n_params,):
        raise ModelError(
            f"run={run_id}: its theta has {theta[which].size} parameters, its network {objective.network.n_params}: "
            "the code or the data have changed since"
        )
    return Predictor(data, objective, theta[which], theta.get(f"statistics_{which}"))


def _problem(stored: StoredRun) -> tuple[Data, Objective]:
    """The data set and the objective of a run, made again from its configuration."""
    config = stored_config(stored)
    try:
        problem = config.problem()
    except ConfigError as error:
        raise _not_again(stored.run_id, error) from None
    return problem.data, problem.objective


def stored_config(stored: StoredRun) -> Config:
    """The configuration of a stored run. Raises ModelError where it is no longer that of the run."""
    run_id, values = stored.run_id, stored.config()
    if "choices" not in values:
        raise ModelError(f"run={run_id}: no config.yaml was kept")
    choices = values.pop("choices")
    try:
        config = parse(values, choices)
        content = config.dataset.fingerprint()
    except (ConfigError, DataError, KeyError) as error:
        raise _not_again(run_id, error) from None
    noted = stored.about.get("data")  # none in runs stored before contents were noted
    if isinstance(noted, str) and noted != content:
        source = config.values["dataset"].get("path", config.choices["dataset"])
        raise ModelError(f"run={run_id}: {source} has changed since the run, and with it its scaling")
    return config


def _not_again(run_id: str, error: Exception) -> ModelError:
    return ModelError(f"run={run_id}: its data and network cannot be made again: {error}")
