"""Optimizers that adapt the rate of each component to its past gradients."""

from dataclasses import dataclass
from typing import Any, ClassVar

from descent_lab.optim.base import Array, Fraction, NonNegative, Optimizer, State


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """The rate of each component is divided by the root of the sum of all its squared gradients so far."""

    kind = "adagrad"
    suggested_lr = 0.01
    space: ClassVar = {"lr": {"low": 1e-3, "high": 10.0, "scale": "log"}}

    lr_decay: NonNegative = 0.0
    initial_accumulator: NonNegative = 0.0
    eps: NonNegative = 1e-10

    def init(self, theta: Array) -> State:
        return 0, theta.__array_namespace__().zeros_like(theta) + self.initial_accumulator

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Duchi et al. 2011, figure 1; eps and lr_decay as in PyTorch
        # s = s + g^2
        # step = -lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
        xp = g.__array_namespace__()
        t, s = state
        s = s + g * g
        step = -lr / (1 + t * self.lr_decay) * g / (xp.sqrt(s) + self.eps)  # t is the number of steps before this one
        return step, (t + 1, s)


@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """Gradients divided by their running root mean square, or standard deviation if `centered`; `mu` is a momentum."""

    kind = "rmsprop"
    suggested_lr = 0.01
    space: ClassVar = {
        "lr": {"low": 1e-4, "high": 1.0, "scale": "log"},
        "optimizer.alpha": [0.9, 0.99, 0.999],
        "optimizer.mu": [0.0, 0.9],
    }

    alpha: Fraction = 0.99
    eps: NonNegative = 1e-8
    mu: Fraction = 0.0
    centered: bool = False

    def init(self, theta: Array) -> State:
        zeros_like = theta.__array_namespace__().zeros_like
        return zeros_like(theta), zeros_like(theta), zeros_like(theta)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, eqs. 38-41; eps and mu as in PyTorch
        # s = alpha s + (1 - alpha) g^2
        # m = alpha m + (1 - alpha) g          if centered, else 0
        # v = mu v + g / (sqrt(s - m^2) + eps)
        # step = -lr v
        xp = g.__array_namespace__()
        s, m, v = state
        s = self.alpha * s + (1 - self.alpha) * g * g
        variance = s
        if self.centered:
            m = self.alpha * m + (1 - self.alpha) * g
            variance = xp.maximum(s - m * m, 0)  # a variance is negative only by rounding errors
        v = self.mu * v + g / (xp.sqrt(variance) + self.eps)
        return -lr * v, (s, m, v)


@dataclass(frozen=True, kw_only=True)
class Adadelta(Optimizer):
    """Gradients scaled by the ratio of the running sizes of steps and of gradients."""

    kind = "adadelta"
    suggested_lr = 1.0
    space: ClassVar = {"lr": {"low": 0.01, "high": 100.0, "scale": "log"}, "optimizer.rho": [0.9, 0.95, 0.99]}

    rho: Fraction = 0.9
    eps: NonNegative = 1e-6

    def init(self, theta: Array) -> State:
        zeros_like = theta.__array_namespace__().zeros_like
        return zeros_like(theta), zeros_like(theta)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Zeiler 2012, algorithm 1, with lr in front of the step, as in PyTorch
        # s = rho s + (1 - rho) g^2
        # d = sqrt(u + eps) / sqrt(s + eps) g
        # u = rho u + (1 - rho) d^2
        # step = -lr d
        xp = g.__array_namespace__()
        s, u = state
        s = self.rho * s + (1 - self.rho) * g * g
        d = xp.sqrt(u + self.eps) / xp.sqrt(s + self.eps) * g
        u = self.rho * u + (1 - self.rho) * d * d
        return -lr * d, (s, u)
