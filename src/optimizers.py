"""Update rules: a gradient in, a step out.

Shapes: `theta`, its gradient `g` and the arrays of a state are (..., n_params), that is (n_runs, n_params)
for stacked runs or (n_params,) for one. Hyperparameters and `lr` are numbers, or arrays that broadcast
against theta: shape (n_runs, 1) gives each run its own. They are computed with, never asked about in an
`if`, so JAX may trace them; only None, for a clipping, and bool fields decide what is computed. Everything
keeps theta's dtype when hyperparameters and `lr` have it or are Python numbers.

The rules agree with the PyTorch optimizer of the same name, and say so where that differs from the paper.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Interval

Array = Any  # of NumPy or JAX
State = tuple[Any, ...]  # what a rule remembers: arrays shaped like theta, and t, a count of steps, an int

NonNegative = Annotated[float, Interval(ge=0, lt=math.inf)]
Positive = Annotated[float, Interval(gt=0, lt=math.inf)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """Turns a gradient into a step: theta_next = theta + step.

    What all rules share comes first, in this order: `clip_value` clamps each component of the gradient to
    [-clip_value, clip_value]; `clip_norm` shortens the gradient to that length, each run's by itself;
    `weight_decay` adds the gradient of weight_decay |theta|^2 / 2. None turns a clipping off.
    """

    order: ClassVar[int] = 1  # of the highest derivative it needs

    weight_decay: NonNegative
    clip_value: Positive | None
    clip_norm: Positive | None

    @abstractmethod
    def init(self, theta: Array) -> State:
        """The state before the first step, for theta of shape (..., n_params)."""

    @abstractmethod
    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        """The rule itself: the step, shaped like g (..., n_params), and the next state."""

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """Clip, decay, then `update`: what a training loop calls. No argument is changed in place.

        H, the Hessian of shape (..., n_params, n_params), is there for rules of order 2.
        """
        return self.update(self.clip(g) + self.weight_decay * theta, state, theta, lr)

    def metrics(self, state: State) -> dict[str, Array]:
        """What the state has to tell beside the curves, by name, each of shape (...)."""
        return {}

    def clip(self, g: Array) -> Array:
        """The gradient g of shape (..., n_params), clamped and shortened."""
        if self.clip_value is None and self.clip_norm is None:
            return g
        xp = g.__array_namespace__()
        if self.clip_value is not None:
            g = xp.clip(g, -self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            # Pascanu et al. 2013, algorithm 1; 1e-6 as in torch.nn.utils.clip_grad_norm_
            # g = g min(1, clip_norm / (|g| + 1e-6))
            norm = xp.sqrt(xp.sum(g * g, axis=-1, keepdims=True))
            g = g * xp.minimum(1, self.clip_norm / (norm + 1e-6))
        return g


@dataclass(frozen=True, kw_only=True)
class DecoupledDecay(Optimizer):
    """A rule whose weight decay acts on theta itself, not through the gradient."""

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """Clip, `update`, and decay beside it."""
        # Loshchilov & Hutter 2019, algorithm 2, with lr before weight_decay, as in PyTorch
        # theta_next = theta (1 - lr weight_decay) + step
        step, state = self.update(self.clip(g), state, theta, lr)
        return step - lr * self.weight_decay * theta, state


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Steepest descent."""

    def init(self, theta: Array) -> State:
        return ()

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # step = -lr g
        return -lr * g, state


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """Descent with a velocity that remembers earlier gradients (Polyak 1964)."""

    mu: Fraction

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
    """Momentum that looks ahead: the gradient counts as if taken where the velocity leads (Nesterov 1983)."""

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Sutskever et al. 2013, eq. 3, theta being the look-ahead (Bengio et al. 2013, eq. 7), as in PyTorch
        # v = mu v + g
        # step = -lr (g + mu v)
        (v,) = state
        v = self.mu * v + g
        return -lr * (g + self.mu * v), (v,)


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """Each component's rate falls with the squares of all its gradients so far."""

    lr_decay: NonNegative
    initial_accumulator: NonNegative
    eps: NonNegative

    def init(self, theta: Array) -> State:
        return 0, theta.__array_namespace__().zeros_like(theta) + self.initial_accumulator

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Duchi et al. 2011, figure 1; eps and lr_decay as in PyTorch
        # s = s + g^2
        # step = -lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
        xp = g.__array_namespace__()
        t, s = state
        s = s + g * g
        step = -lr / (1 + t * self.lr_decay) * g / (xp.sqrt(s) + self.eps)  # t steps came before this one
        return step, (t + 1, s)


@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """Gradients divided by their running root mean square, or standard deviation if `centered`."""

    alpha: Fraction
    eps: NonNegative
    mu: Fraction
    centered: bool

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
            variance = xp.maximum(s - m * m, 0)  # never negative, but for rounding
        v = self.mu * v + g / (xp.sqrt(variance) + self.eps)
        return -lr * v, (s, m, v)


@dataclass(frozen=True, kw_only=True)
class Adadelta(Optimizer):
    """Gradients scaled by the ratio of the running sizes of steps and of gradients."""

    rho: Fraction
    eps: NonNegative

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


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """The gradients' running mean over their running root mean square, both corrected for starting at 0."""

    beta1: Fraction
    beta2: Fraction
    eps: NonNegative

    def init(self, theta: Array) -> State:
        zeros_like = theta.__array_namespace__().zeros_like
        return 0, zeros_like(theta), zeros_like(theta)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Kingma & Ba 2015, algorithm 1, its factors (1 - beta) and its corrections taken out of the vectors
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
        """What makes a mean of m, and a root mean square of sqrt(v), by step t: factor a and divisor c."""
        # a = (1 - beta1) / (1 - beta1^t),  c^2 = (1 - beta2^t) / (1 - beta2)
        return (1 - self.beta1) / (1 - self.beta1**t), ((1 - self.beta2**t) / (1 - self.beta2)) ** 0.5


@dataclass(frozen=True, kw_only=True)
class AMSGrad(Adam):
    """Adam whose rates never grow: divided by the largest v so far."""

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


@dataclass(frozen=True, kw_only=True)
class NAdam(Adam):
    """Adam with Nesterov's look-ahead, its momentum warmed up."""

    momentum_decay: NonNegative

    def init(self, theta: Array) -> State:
        one = theta.__array_namespace__().ones_like(theta[..., :1])
        return *super().init(theta), one  # the last of shape (..., 1)

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


@dataclass(frozen=True, kw_only=True)
class Lion(DecoupledDecay):
    """Steps of one size in every component, in the direction of an interpolated momentum's sign."""

    beta1: Fraction
    beta2: Fraction

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


@dataclass(frozen=True, kw_only=True)
class Newton(Optimizer):
    """Damped Newton steps from the exact Hessian; along the gradient where they would not lead downhill."""

    order = 2

    damping: NonNegative

    def init(self, theta: Array) -> State:
        return (theta.__array_namespace__().zeros_like(theta[..., 0]),)  # steps along the gradient so far

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        raise TypeError("Newton needs the Hessian: call step with H")

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """As for every rule; H is the Hessian (..., n_params, n_params)."""
        # Nocedal & Wright 2006, section 3.4: A = H + damping I = Q diag(l) Q^T
        # step = -lr A^-1 g   if all l > 0, else   -lr g / max |l|
        if H is None:
            return self.update(g, state, theta, lr)
        xp = g.__array_namespace__()
        g = self.clip(g) + self.weight_decay * theta
        shift = self.damping + self.weight_decay + xp.zeros_like(g[..., :1])
        identity = xp.eye(g.shape[-1], dtype=g.dtype)
        A = H + shift[..., None] * identity
        finite = xp.all(xp.isfinite(A), axis=(-2, -1), keepdims=True)  # eigh raises for others
        lam, Q = xp.linalg.eigh(xp.where(finite, A, identity))
        downhill = lam[..., :1] > 0
        newton = (Q @ ((Q.mT @ g[..., None]) / xp.where(downhill, lam, 1)[..., None]))[..., 0]
        gradient = g / xp.max(xp.abs(lam), axis=-1, keepdims=True)
        (fallbacks,) = state
        return -lr * xp.where(downhill, newton, gradient), (fallbacks + ~downhill[..., 0],)

    def metrics(self, state: State) -> dict[str, Array]:
        return {"newton_fallbacks": state[0]}
