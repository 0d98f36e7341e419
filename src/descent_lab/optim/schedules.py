"""How lr changes from epoch to epoch: the base lr times a factor of the epochs done.

`k`, the epochs done so far (0 during the first), and `n >= 1`, the epochs of the whole run, are Python
numbers or arrays of NumPy or JAX, traced or not, and so are the hyperparameters, which may have shape
(n_runs, 1). float32 stays float32. The values are those of PyTorch's schedulers, stepped once an epoch.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Interval

from descent_lab.components import Component

Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
Positive = Annotated[float, Interval(gt=0, lt=math.inf)]


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two numbers or arrays of any library, exact for whole numbers."""
    return (a + b - abs(a - b)) / 2


def cosine(x: Any) -> Any:
    """The cosine of a number or of an array of any library."""
    return x.__array_namespace__().cos(x) if hasattr(x, "__array_namespace__") else math.cos(x)


@dataclass(frozen=True, kw_only=True)
class Schedule(Component, ABC):
    """lr during an epoch = base lr * factor."""

    group = "schedule"

    @abstractmethod
    def factor(self, k: Any, n: Any) -> Any:
        """The factor for the epoch after the first k of n; its shape is that of the hyperparameters."""


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The base lr throughout."""

    kind = "constant"

    def factor(self, k: Any, n: Any) -> Any:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """Times `gamma` after every `size` epochs (StepLR)."""

    kind = "step"

    size: Count = 30
    gamma: Positive = 0.1

    def factor(self, k: Any, n: Any) -> Any:
        # gamma^floor(k / size)
        return self.gamma ** (k // self.size)


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """Times `gamma` after every epoch (ExponentialLR)."""

    kind = "exponential"

    gamma: Positive = 0.95

    def factor(self, k: Any, n: Any) -> Any:
        # gamma^k
        return self.gamma**k


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """From 1 towards `final` on half a wave of cosine (CosineAnnealingLR; Loshchilov & Hutter 2017)."""

    kind = "cosine"

    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        # final + (1 - final) (1 + cos(pi k / n)) / 2
        return self.final + (1 - self.final) * (1 + cosine(math.pi * k / n)) / 2


@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """From `start` up to 1 on a straight line over `warmup_epochs`, then constant (LinearLR)."""

    kind = "warmup"

    start: Fraction = 1 / 3
    warmup_epochs: Count = 5

    def factor(self, k: Any, n: Any) -> Any:
        # start + (1 - start) min(k, w) / w, with w = warmup_epochs
        return self.start + (1 - self.start) * minimum(k, self.warmup_epochs) / self.warmup_epochs


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
    """A linear warm-up, then a cosine over the epochs left (SequentialLR of LinearLR and CosineAnnealingLR).

    A run no longer than the warm-up never reaches the cosine.
    """

    kind = "warmup_cosine"

    start: Fraction = 1 / 3
    warmup_epochs: Count = 5
    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        # start + (1 - start) k / w                                  while k <= w = warmup_epochs
        # final + (1 - final) (1 + cos(pi (k - w) / (n - w))) / 2    from then on
        up = minimum(k, self.warmup_epochs)
        left = n - minimum(self.warmup_epochs, n - 1)
        rise = self.start + (1 - self.start) * up / self.warmup_epochs
        fall = self.final + (1 - self.final) * (1 + cosine(math.pi * (k - up) / left)) / 2
        return rise * fall
