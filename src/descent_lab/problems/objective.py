"""The objective f(theta; batch) of a problem and what is measured of it, for any array namespace."""

from dataclasses import dataclass

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

    @property
    def metric(self) -> str:
        """The metric people read beside the loss: rmse for regression, else accuracy."""
        return "rmse" if self.task == "regression" else "accuracy"

    def value(self, theta: Array, x: Array, y: Array) -> tuple[Array, Array | None]:
        """Training loss of a batch (...), and the batch statistics of its normalised units, if any."""
        return self.value_of(self.network.layers(theta), x, y)

    def value_of(self, layers: list[Layer], x: Array, y: Array) -> tuple[Array, Array | None]:
        """`value` for a theta that has been cut into layers already."""
        traces = self.network.through(layers, x)
        return self.loss.value(traces[-1].a, y.mT), self.network.statistics(traces)

    def predict(self, theta: Array, x: Array, statistics: Array | None) -> Array:
        """Predictions (..., n_outputs, n) of the trained network (with running statistics)."""
        return self.loss.predict(self.network.forward(theta, x, statistics)[-1].a)

    def metrics(self, theta: Array, x: Array, y: Array, statistics: Array | None) -> dict[str, Array]:
        """Loss and metric over all of x, each of shape (...)."""
        z = self.network.forward(theta, x, statistics)[-1].a
        score = self._rmse(z, y.mT) if self.task == "regression" else self._accuracy(z, y.mT)
        return {"loss": self.loss.value(z, y.mT), self.metric: score}

    def _rmse(self, z: Array, y: Array) -> Array:
        xp = z.__array_namespace__()
        error = self.loss.predict(z) - y
        return xp.sqrt(xp.mean(error * error, axis=(-2, -1)))

    def _accuracy(self, z: Array, y: Array) -> Array:
        xp = z.__array_namespace__()
        if self.task == "multiclass":
            hit = xp.argmax(z, axis=-2) == xp.argmax(y, axis=-2)
            return xp.mean(1.0 * hit, axis=-1)
        hit = (self.loss.predict(z) > self.threshold) == (y > self.threshold)
        return xp.mean(1.0 * hit, axis=(-2, -1))

    @property
    def threshold(self) -> float:
        """Where a binary prediction changes class: midway between the two targets."""
        return 0.0 if self.loss.output == "tanh" else 0.5
