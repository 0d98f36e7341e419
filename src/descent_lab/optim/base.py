"""The base classes of optimizers, which turn a gradient into a step.

Shapes: `theta`, its gradient `g` and the arrays of a state are (..., n_params), that is (n_runs, n_params) for
stacked runs or (n_params,) for one run. Hyperparameters and `lr` are numbers, or arrays that broadcast against theta:
the shape (n_runs, 1) gives each run its own value. No `if` may depend on them, so that JAX can trace them; only None,
which turns a clipping off, and bool fields decide what is computed. All results have theta's dtype when
hyperparameters and `lr` have it or are Python numbers.

The optimizers agree with the PyTorch optimizers of the same names. A comment says where these differ from the paper.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Interval

from descent_lab.components import Component
from descent_lab.errors import ComponentError

Array = Any  # an array of NumPy or JAX
State = tuple[Any, ...]  # what an optimizer remembers: arrays shaped like theta, and t, the number of steps, an int

NonNegative = Annotated[float, Interval(ge=0, lt=math.inf)]
Positive = Annotated[float, Interval(gt=0, lt=math.inf)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Optimizer(Component, ABC):
    """Turns a gradient into a step: theta_next = theta + step.

    The options that all optimizers share act first, in this order. clip_value: each component of the gradient is
    clamped to [-clip_value, clip_value]. clip_norm: the gradient of each run is shortened to that length. None turns a
    clipping off. weight_decay: the gradient of weight_decay |theta|^2 / 2 is added.

    order: the order of the highest derivative that is needed. suggested_lr: the learning rate where none is given.
    space: the hyperparameters to tune where the user names none (sweeps/space.py), by their dotted names. Where `lr` is
    not among them, it is searched within a factor of 100 around suggested_lr.
    includes: other optimizers, by their kind, that this one is when its options have these values.
    """

    group = "optimizer"
    order: ClassVar[int] = 1
    suggested_lr: ClassVar[float] = 0.001
    space: ClassVar[Mapping[str, Any]] = {}
    includes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    weight_decay: NonNegative = 0.0
    clip_value: Positive | None = None
    clip_norm: Positive | None = None

    @abstractmethod
    def init(self, theta: Array) -> State:
        """The state before the first step, for theta of shape (..., n_params)."""

    @abstractmethod
    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        """The step, shaped like g (..., n_params), and the next state, by the optimizer's own formula."""

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """The step and the next state, with clipping and weight decay: the method that a training loop calls.

        H: the Hessian (..., n_params, n_params), for optimizers of order 2. No argument is changed in place.
        """
        return self.update(self.clip(g) + self.weight_decay * theta, state, theta, lr)

    def metrics(self, state: State) -> dict[str, Array]:
        """Further metrics to record, by name, each of shape (...)."""
        return {}

    def multiplications(self, n_params: int) -> float:
        """The number of multiplications of a step, without the derivatives and without a few for each parameter.

        It is 0 unless an optimizer works with matrices.
        """
        return 0.0

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
    """Base class of optimizers whose weight decay acts on theta itself, and not through the gradient."""

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """The step and the next state, with clipping before `update` and weight decay after it."""
        # Loshchilov & Hutter 2019, algorithm 2, with lr before weight_decay, as in PyTorch
        # theta_next = theta (1 - lr weight_decay) + step
        step, state = as_step(self, self.update(self.clip(g), state, theta, lr), state, theta)
        return step - lr * self.weight_decay * theta, state


def as_step(optimizer: Optimizer, given: Any, state: State, theta: Array) -> tuple[Array, State]:
    """What `update` gave, if it is a step shaped like theta and a state like the one before; else ComponentError."""
    if not isinstance(given, tuple) or len(given) != 2:
        raise wrong(optimizer, "update", f"gives {named(given)}; must be the step and the next state")
    step, after = given
    if np.shape(step) != np.shape(theta):
        raise wrong(optimizer, "update", f"gives a step of shape {np.shape(step)}; theta has {np.shape(theta)}")
    if not isinstance(after, tuple) or len(after) != len(state):
        raise wrong(optimizer, "update", f"gives {named(after)} as state; init gives {named(state)}")
    return step, after


def wrong(optimizer: Optimizer, method: str, what: str) -> ComponentError:
    """The error of a method of the optimizer's class, with the place of that method."""
    code = getattr(getattr(type(optimizer), method, None), "__code__", None)
    where = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    return ComponentError(f"{type(optimizer).__name__}.{method}{where}: {what}")


def named(value: Any) -> str:
    """A value by its type, and a tuple by its length."""
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a value of type {type(value).__name__}"
