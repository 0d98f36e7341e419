"""Adam and optimizers that derive from it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from descent_lab.optim.base import Array, DecoupledDecay, Fraction, NonNegative, Optimizer, State

LR = {"low": 1e-4, "high": 1.0, "scale": "log"}


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Steps along the running mean of gradients divided by their running root mean square.

    Both are corrected for having started at 0.
    """

    kind = "adam"
    space: ClassVar = {
        "lr": LR,
        "optimizer.beta1": [0.5, 0.9, 0.95],
        "optimizer.beta2": [0.9, 0.99, 0.999],
    }

    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: NonNegative = 1e-8

    def init(self, theta: Array) -> State:
        zeros_like = theta.__array_namespace__().zeros_like
        return 0, zeros_like(theta), zeros_like(theta)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Kingma & Ba 2015, algorithm 1, with the factors (1 - beta) and the corrections moved into numbers
        # m = beta1 m + g
        # v = beta2 v + g^2
        # step = -lr a m / (sqrt(v / c^2) + eps) = -lr a c m / (sqrt(v) + eps c)
        xp = g.__array_namespace__()
        t, m, v = state
        t = t + 1
        m = self.beta1 * m + g
        v = self.beta2 * v + g * g
        a, c = self.corrections(t)
        step = -lr * a * c * m / (xp.sqrt(v) + self.eps * c)
        return step, (t, m, v)

    def corrections(self, t: Any) -> tuple[Any, Any]:
        """(a, c) after step t: a m is a mean of the gradients, and sqrt(v) / c their root mean square."""
        # a = (1 - beta1) / (1 - beta1^t),  c^2 = (1 - beta2^t) / (1 - beta2)
        return (1 - self.beta1) / (1 - self.beta1**t), ((1 - self.beta2**t) / (1 - self.beta2)) ** 0.5


@dataclass(frozen=True, kw_only=True)
class AMSGrad(Adam):
    """Adam that divides by the root of the largest v so far, so that the rates of the components never grow."""

    kind = "amsgrad"

    def init(self, theta: Array) -> State:
        return *super().init(theta), theta.__array_namespace__().zeros_like(theta)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Reddi et al. 2018, algorithm 2, with Adam's corrections, as in PyTorch's Adam(amsgrad=True)
        # w = max(w, v)
        # step = -lr a m / (sqrt(w / c^2) + eps) = -lr a c m / (sqrt(w) + eps c)
        xp = g.__array_namespace__()
        t, m, v, w = state
        t = t + 1
        m = self.beta1 * m + g
        v = self.beta2 * v + g * g
        w = xp.maximum(w, v)
        a, c = self.corrections(t)
        step = -lr * a * c * m / (xp.sqrt(w) + self.eps * c)
        return step, (t, m, v, w)


@dataclass(frozen=True, kw_only=True)
class AdamW(DecoupledDecay, Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind = "adamw"
    space: ClassVar = {
        "lr": LR,
        "optimizer.beta1": [0.5, 0.9, 0.95],
        "optimizer.weight_decay": [0.0, 0.001, 0.01, 0.1],
    }
    includes: ClassVar = {"adam": {"weight_decay": 0.0}}

    weight_decay: NonNegative = 0.01


@dataclass(frozen=True, kw_only=True)
class NAdam(Adam):
    """Adam with Nesterov's look-ahead; the momentum grows during the first steps."""

    kind = "nadam"
    suggested_lr = 0.002

    momentum_decay: NonNegative = 0.004

    def init(self, theta: Array) -> State:
        one = theta.__array_namespace__().ones_like(theta[..., :1])
        return *super().init(theta), one  # the last array has the shape (..., 1)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Dozat 2016, algorithm 2 and section 3.2
        # mu_t = beta1 (1 - 0.96^(t psi) / 2), with psi = momentum_decay
        # m = beta1 m + (1 - beta1) g
        # v = beta2 v + (1 - beta2) g^2
        # m_hat = mu_{t+1} m / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g / (1 - mu_1 ... mu_t)
        # step = -lr m_hat / (sqrt(v / (1 - beta2^t)) + eps)
        xp = g.__array_namespace__()
        t, m, v, product = state
        t = t + 1
        mu, mu_next = self.mu(t), self.mu(t + 1)
        product = product * mu
        m = self.beta1 * m + (1 - self.beta1) * g
        v = self.beta2 * v + (1 - self.beta2) * g * g
        m_hat = mu_next / (1 - product * mu_next) * m + (1 - mu) / (1 - product) * g
        step = -lr * m_hat / (xp.sqrt(v / (1 - self.beta2**t)) + self.eps)
        return step, (t, m, v, product)

    def mu(self, t: Any) -> Any:
        """The momentum of step t, counted from 1; it rises from about beta1/2 to beta1."""
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))
