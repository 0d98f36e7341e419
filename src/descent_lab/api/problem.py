"""A problem as one builds it in Python: from objects, or from the names that the command line knows."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from descent_lab.api.components import component, from_values, number
from descent_lab.data.base import Data, Dataset
from descent_lab.data.batching import Batching
from descent_lab.errors import ConfigError, DescentError
from descent_lab.nn.initialisers import Initialiser, Scaled
from descent_lab.nn.models.base import Model
from descent_lab.nn.models.mlp import MLP
from descent_lab.problems import supervised
from descent_lab.problems.objective import Objective
from descent_lab.seeding import Seeds
from descent_lab.validation import checked, typed

_PARTS: dict[str, type] = {"dataset": Dataset, "model": Model}

Piece = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """The function that is minimised, and the start of theta. Training changes neither: it always begins at this start.

    seed: of data, split, start, batch order and search; problems of equal seeds are paired. seeds: of
    single streams, in place of `seed`.
    """

    dataset: Dataset
    model: Model
    init: Initialiser
    seed: int = 0
    stream: str = "independent"
    seeds: Seeds = Seeds()

    def built(self, batching: Batching | None = None) -> supervised.Problem:
        """The problem with batches and fresh random streams, for one training. Raises ConfigError or DataError."""
        try:
            of_streams = self.seed, self.stream, self.seeds
            return supervised.build(self.dataset, self.model, self.init, batching or Batching(), *of_streams)
        except DescentError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @cached_property
    def _built(self) -> supervised.Problem:
        return self.built()

    @property
    def data(self) -> Data:
        """The samples: x_train (n_train, n_features), y_train (n_train, n_outputs), and other sets alike."""
        return self._built.data

    @property
    def objective(self) -> Objective:
        """Network, loss and task."""
        return self._built.objective

    @property
    def theta(self) -> np.ndarray:
        """The untouched start, (n_params,) float64."""
        return self._built.theta

    @property
    def n_params(self) -> int:
        return self.objective.network.n_params

    def loss(self, theta: np.ndarray) -> np.ndarray:
        """The loss over the whole training set for theta (..., n_params); its shape is that of the leading axes."""
        theta = np.asarray(theta, dtype=np.float64)
        lead = (1,) * (theta.ndim - 1)
        x, y = (values.reshape(lead + values.shape) for values in (self.data.x_train, self.data.y_train))
        return np.asarray(self.objective.value(theta, x, y)[0])

    def layers(self, theta: np.ndarray) -> list[Piece]:
        """theta (n_params,) by layers: W (fan_in, fan_out) and b (fan_out,), or gamma and beta (fan_out,)."""
        network = self.objective.network
        matrices = {piece.name for piece in network.pieces() if piece.parameter.start == "weights"}
        return [
            {name: piece if name in matrices else piece.ravel() for name, piece in block.items()}
            for block in network.blocks(theta)
        ]

    def __repr__(self) -> str:
        seeds = [f"seed={self.seed}", *(f"seeds.{stream}={seed}" for stream, seed in self.seeds.given.items())]
        return f"Problem({self.dataset!r}, {self.model!r}, {self.init!r}, {', '.join(seeds)})"


def problem(
    dataset: Dataset | str,
    *,
    model: Model | str | None = None,
    init: Initialiser | str | None = None,
    seed: int = 0,
    stream: str = "independent",
    seeds: Seeds | Mapping[str, int] | None = None,
    **options: Any,
) -> Problem:
    """A problem from a data set, by name or as an object, with the network that the data set suggests.

    model, init: objects, or the names of choices. options: fields of the model (of a perceptron: hidden, activation,
    bias, batch_norm, loss, output) and, for a data set by name, of the data set. seeds: of single streams in place of
    `seed`, such as {"split": 3}. Raises ConfigError or DataError, in one line.

    >>> dl.problem("digits", hidden=[32, 16], seed=1)
    >>> dl.problem(dl.datasets.Gaussian(n_samples=100), init=dl.initialisers.Normal(std=0.5))
    """
    named = None if model is None else component("model", model, Model, MLP)
    of_model = [f.name for f in fields(type(named) if named else MLP)]
    network = {name: options.pop(name) for name in of_model if name in options}
    if isinstance(dataset, str):
        from descent_lab.cli.composition import choice

        values = choice("dataset", dataset, options)
        samples, suggested = (from_values(group, base, values[group]) for group, base in _PARTS.items())
    else:
        samples = component("dataset", dataset, Dataset, Dataset, options)
        suggested = MLP(**{f.name: getattr(samples.suggested, f.name) for f in fields(samples.suggested)})
    made = Problem(
        samples,
        checked("model", replace(named or suggested, **network)),
        component("init", init, Initialiser, Scaled),
        number("seed", seed),
        number("stream", stream),
        typed("seeds", Seeds, vars(seeds) if isinstance(seeds, Seeds) else seeds or {}),
    )
    made.data  # noqa: B018 - what cannot be built is refused here
    return made
