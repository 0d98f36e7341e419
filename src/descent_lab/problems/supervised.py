"""A supervised problem: data, network, loss and initial theta, drawn from the random streams of a run."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from descent_lab.data.base import Data, Dataset
from descent_lab.data.batching import Batches, Batching, batches
from descent_lab.errors import ConfigError, DataError
from descent_lab.nn.initialisers import Initialiser
from descent_lab.nn.losses import choose
from descent_lab.nn.models.base import Model
from descent_lab.problems.objective import Objective
from descent_lab.seeding import Seeds, Streams, streams


@dataclass(frozen=True)
class Problem:
    """The objective that a run minimises, its data, and the start of theta."""

    data: Data
    objective: Objective
    batches: Batches
    init: Initialiser
    streams: Streams

    @cached_property
    def theta(self) -> np.ndarray:
        """The initial theta, (n_params,) float64. It is drawn when first used, as memory may not hold it."""
        return self.init.theta(self.objective.network, self.streams.init)


def build(
    dataset: Dataset,
    model: Model,
    init: Initialiser,
    batching: Batching,
    seed: int,
    stream: str = "independent",
    seeds: Seeds = Seeds(),
) -> Problem:
    """Load the data and put the problem together.

    seed: of all random streams but those that `seeds` names. stream: independent or legacy (see `seeding.streams`).
    Raises DataError for bad data, and ConfigError where the parts do not fit together.
    """
    drawn = streams(seed, stream, seeds)
    data = dataset.load(drawn.data, drawn.split)
    needed = {"train", "test", *(["validation"] if dataset.validation_fraction else [])}
    for part in ("train", "validation", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if len(x) != len(y) or (part in needed and not len(x)):
            raise DataError(f"{type(dataset).__name__}.load gives {len(x)} rows x_{part} and {len(y)} rows y_{part}")
    objective = _objective(data, model)
    for x in (data.x_train, data.x_validation, data.x_test):
        objective.network.layers[0].check(x)
    cut = batches(batching, len(data.x_train))
    if objective.network.n_batch_stats and 1 in (cut.size, cut.last_size):
        raise ConfigError(
            f"batching.size={cut.size}: leaves a batch of 1 of the {cut.n} training samples; "
            "model.batch_norm needs at least 2"
        )
    return Problem(_coded(data, objective), objective, cut, init, drawn)


def _objective(data: Data, model: Model) -> Objective:
    network = model.network(data.shape or data.x_train.shape[1:], data.y_train.shape[1])
    return Objective(network, choose(data.task, model.loss, model.output), data.task)


def _coded(data: Data, objective: Objective) -> Data:
    """The data of a classification with the class targets of the output function, in place of 0 and 1."""
    low, high = objective.loss.class_targets
    if (low, high) == (0, 1) or data.task == "regression":
        return data
    coded = {name: low + (high - low) * getattr(data, name) for name in ("y_train", "y_validation", "y_test")}
    return Data(**(vars(data) | coded))
