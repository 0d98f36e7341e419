"""The objective f(theta; batch) of a problem and what is measured of it, for any array namespace."""

from dataclasses import dataclass

from descent_lab.metrics import Outputs, metrics_of
from descent_lab.nn.activations import Array
from descent_lab.nn.losses import Loss
from descent_lab.nn.network import Layer, Network


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
        return self.value_of(self.network.layers(theta), x, y)

    def value_of(self, layers: list[Layer], x: Array, y: Array) -> tuple[Array, Array | None]:
        """`value` for a theta that has been cut into layers already."""
        traces = self.network.through(layers, x)
        return self.loss.value(traces[-1].a, y.mT), self.network.batch_stats(traces)

    def predict(self, theta: Array, x: Array, batch_stats: Array | None) -> Array:
        """Predictions (..., n_outputs, n) of the trained network, with its running batch statistics, if it has any."""
        return self.loss.predict(self.network.forward(theta, x, batch_stats)[-1].a)

    def metrics(self, theta: Array, x: Array, y: Array, batch_stats: Array | None) -> dict[str, Array]:
        """All metrics of the task over all of x, by name, each of shape (...)."""
        z = self.network.forward(theta, x, batch_stats)[-1].a
        outputs = Outputs(z, y.mT, self.loss, self.task, self.threshold)
        return {name: metric.value(outputs) for name, metric in metrics_of(self.task).items()}

    @property
    def threshold(self) -> float:
        """The prediction at which the class changes, in a binary task: midway between the two targets."""
        return sum(self.loss.class_targets) / 2
