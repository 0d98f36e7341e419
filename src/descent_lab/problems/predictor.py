"""A trained network and its data set: from raw points to predictions in the target's own units."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import Data
from descent_lab.problems.objective import Objective


@dataclass(frozen=True)
class Predictor:
    """A network with its parameters (n_params,), its running statistics, and the data set it was trained on."""

    data: Data
    objective: Objective
    theta: np.ndarray
    statistics: np.ndarray | None

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs) for raw points x (n, n_features).

        Values in the target's own units for a regression; for a classification one column a class.
        """
        a = self._network(x if self.data.x_scaling is None else self.data.x_scaling.apply(x))
        if self.data.task == "regression":
            return a if self.data.y_scaling is None else self.data.y_scaling.invert(a)
        if self.objective.loss.output == "tanh":
            a = (a + 1) / 2  # its targets were -1 and 1
        return np.concatenate([1 - a, a], axis=1) if self.data.task == "binary" else a

    @property
    def are_probabilities(self) -> bool:
        """Whether the outputs of a classification are probabilities, summing to 1, or only scores."""
        return self.data.task == "binary" or self.objective.loss.output == "softmax"

    def _network(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # a point far outside
            return self.objective.predict(self.theta, x.astype(self.theta.dtype), self.statistics).T.astype(np.float64)
