"""Optimizers that remember no squared gradients: steepest descent, momentum, and sign descent."""

from dataclasses import dataclass
from typing import Any, ClassVar

from descent_lab.optim.base import Array, DecoupledDecay, Fraction, Optimizer, State

LR = {
    "low": 1e-3,
    "high": 10.0,
    "scale": "log",
}


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Steepest descent."""

    kind = "sgd"
    space: ClassVar = {"lr": LR}

    def init(self, theta: Array) -> State:
        return ()

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # step = -lr g
        return -lr * g, state


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """Descent along a velocity, the decaying sum of all gradients so far (Polyak 1964)."""

    kind = "momentum"
    space: ClassVar = {"lr": LR, "optimizer.mu": [0.0, 0.5, 0.9, 0.95]}
    includes: ClassVar = {"sgd": {"mu": 0.0}}

    mu: Fraction = 0.9

    def init(self, theta: Array) -> State:
        return (theta.__array_namespace__().zeros_like(theta),)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Sutskever et al. 2013, eq. 1, with lr taken out of v, as in PyTorch
        # v = mu v + g
        # step = -lr v
        (v,) = state
        v = self.mu * v + g
        return -lr * v, (v,)


@dataclass(frozen=True, kw_only=True)
class Nesterov(Momentum):
    """Momentum whose gradient is taken where the velocity would lead (Nesterov 1983)."""

    kind = "nesterov"

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Sutskever et al. 2013, eq. 3, theta being the look-ahead (Bengio et al. 2013, eq. 7), as in PyTorch
        # v = mu v + g
        # step = -lr (g + mu v)
        (v,) = state
        v = self.mu * v + g
        return -lr * (g + self.mu * v), (v,)


@dataclass(frozen=True, kw_only=True)
class Lion(DecoupledDecay):
    """Steps of the size lr in every component, along the sign of an interpolated momentum."""

    kind = "lion"
    suggested_lr = 0.0001
    space: ClassVar = {
        "lr": {"low": 1e-5, "high": 0.1, "scale": "log"},
        "optimizer.beta1": [0.9, 0.95],
        "optimizer.beta2": [0.98, 0.99],
    }

    beta1: Fraction = 0.9
    beta2: Fraction = 0.99

    def init(self, theta: Array) -> State:
        return (theta.__array_namespace__().zeros_like(theta),)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Chen et al. 2023, algorithm 2
        # step = -lr sign(beta1 m + (1 - beta1) g)
        # m = beta2 m + (1 - beta2) g
        xp = g.__array_namespace__()
        (m,) = state
        step = -lr * xp.sign(self.beta1 * m + (1 - self.beta1) * g)
        return step, (self.beta2 * m + (1 - self.beta2) * g,)
