"""The objective f(theta; batch) of a problem and what is measured of it, for any array namespace."""

from collections.abc import Sequence
from dataclasses import dataclass

from descent_lab.metrics import Outputs, metrics_of
from descent_lab.nn.activations import Array
from descent_lab.nn.layers.base import Params
from descent_lab.nn.losses import Loss
from descent_lab.nn.network import Network


@dataclass(frozen=True)
class Objective:
    """Network, loss and task; hashable, so that it can name a compiled program.

    x has shape (..., n, n_features), y (..., n, n_outputs), theta (..., n_params): the leading axes are runs.
    """

    network: Network
    loss: Loss
    task: str

    def value(self, theta: Array, x: Array, y: Array) -> tuple[Array, Array | None]:
        """Training loss of a batch (...), and the batch statistics of its normalised units, if any."""
        return self.value_of(self.network.params(theta), x, y)

    def value_of(self, params: Sequence[Params], x: Array, y: Array) -> tuple[Array, Array | None]:
        """`value` for the pieces of theta, by layer."""
        z, caches = self.network.through(params, x)
        return self.loss.value(z, y.mT), self.network.batch_stats(caches)

    def predict(self, theta: Array, x: Array, batch_stats: Array | None) -> Array:
        """Predictions (..., n_outputs, n) of the trained network, with its running batch statistics, if it has any."""
        return self.loss.predict(self.network.outputs(theta, x, batch_stats))

    def metrics(self, theta: Array, x: Array, y: Array, batch_stats: Array | None) -> dict[str, Array]:
        """All metrics of the task over all of x, by name, each of shape (...)."""
        z = self.network.outputs(theta, x, batch_stats)
        outputs = Outputs(z, y.mT, self.loss, self.task, self.threshold)
        return {name: metric.value(outputs) for name, metric in metrics_of(self.task).items()}

    @property
    def threshold(self) -> float:
        """The prediction at which the class changes, in a binary task: midway between the two targets."""
        return sum(self.loss.class_targets) / 2
