"""Predictions of a trained network: from raw points to values in the target's own units."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import Data
from descent_lab.problems.objective import Objective


@dataclass(frozen=True)
class Predictor:
    """A trained network, with the data set that it was trained on.

    theta: (n_params,). batch_stats: the running means and variances of batch normalisation, (n_batch_stats,); None for
    a network that does not normalise.
    """

    data: Data
    objective: Objective
    theta: np.ndarray
    batch_stats: np.ndarray | None

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs) for raw points x (n, n_features).

        A regression gives values in the target's own units, a classification one column for each class.
        """
        a = self._network(x if self.data.x_scaling is None else self.data.x_scaling.apply(x))
        if self.data.task == "regression":
            return a if self.data.y_scaling is None else self.data.y_scaling.invert(a)
        low, high = self.objective.loss.class_targets
        if (low, high) != (0, 1):
            a = (a - low) / (high - low)
        return np.concatenate([1 - a, a], axis=1) if self.data.task == "binary" else a

    @property
    def are_probabilities(self) -> bool:
        """Whether the outputs of a classification are probabilities that sum to 1, or else only scores."""
        return self.data.task == "binary" or self.objective.loss.output == "softmax"

    def _network(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # a point far from the training data may overflow
            predicted = self.objective.predict(self.theta, x.astype(self.theta.dtype), self.batch_stats)
        outputs: np.ndarray = predicted.T.astype(np.float64)
        return outputs
