"""A loss: `model.loss=pseudo_huber`."""

from dataclasses import dataclass

from descent_lab.nn.activations import ACTIVATIONS, Array
from descent_lab.nn.losses import LOSSES, Loss


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """mean of sqrt(1 + e^2) - 1 over samples and outputs, with e = a - y: quadratic near 0, linear far away."""

    outputs = ("identity", "tanh")
    tasks = ("regression",)

    def value(self, z: Array, y: Array) -> Array:
        e = self.predict(z) - y
        return z.__array_namespace__().sqrt(1 + e * e).mean(axis=(-2, -1)) - 1

    def differential(self, z: Array, y: Array) -> tuple[Array, Array]:
        # dL/dz = e / sqrt(1 + e^2) a'(z) / (k n)
        n_outputs, n = z.shape[-2:]
        a = self.predict(z)
        e = a - y
        root = z.__array_namespace__().sqrt(1 + e * e)
        return root.mean(axis=(-2, -1)) - 1, e / root * ACTIVATIONS[self.output].df(z, a) / (n_outputs * n)


LOSSES.add("pseudo_huber", PseudoHuber)
