"""Schedules of the learning rate: in each epoch it is the base lr times a factor.

`k` is the number of epochs done so far (0 during the first) and `n >= 1` the number of epochs of the run. They and the
hyperparameters are Python numbers or arrays of NumPy or JAX, which may be traced. Hyperparameters may have the shape
(n_runs, 1). float32 stays float32. The values equal those of PyTorch's schedulers, stepped once an epoch.
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
    """The smaller of two numbers or arrays of any library; exact for whole numbers."""
    return (a + b - abs(a - b)) / 2


def cosine(x: Any) -> Any:
    """The cosine of a number or of an array of any library."""
    return x.__array_namespace__().cos(x) if hasattr(x, "__array_namespace__") else math.cos(x)


@dataclass(frozen=True, kw_only=True)
class Schedule(Component, ABC):
    """Base class of schedules: the learning rate of an epoch is the base lr times `factor`."""

    group = "schedule"

    @abstractmethod
    def factor(self, k: Any, n: Any) -> Any:
        """The factor in the epoch that follows the first k of n epochs; it has the shape of the hyperparameters."""


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The base lr in every epoch."""

    kind = "constant"

    def factor(self, k: Any, n: Any) -> Any:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """The learning rate is multiplied by `gamma` after every `size` epochs (PyTorch's StepLR)."""

    kind = "step"

    size: Count = 30
    gamma: Positive = 0.1

    def factor(self, k: Any, n: Any) -> Any:
        # gamma^floor(k / size)
        return self.gamma ** (k // self.size)


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """The learning rate is multiplied by `gamma` after every epoch (PyTorch's ExponentialLR)."""

    kind = "exponential"

    gamma: Positive = 0.95

    def factor(self, k: Any, n: Any) -> Any:
        # gamma^k
        return self.gamma**k


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """The factor falls from 1 towards `final` along half a cosine wave.

    Loshchilov & Hutter 2017; PyTorch's CosineAnnealingLR.
    """

    kind = "cosine"

    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        # final + (1 - final) (1 + cos(pi k / n)) / 2
        return self.final + (1 - self.final) * (1 + cosine(math.pi * k / n)) / 2


@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """The factor rises linearly from `start` to 1 over `warmup_epochs`, then stays (PyTorch's LinearLR)."""

    kind = "warmup"

    start: Fraction = 1 / 3
    warmup_epochs: Count = 5

    def factor(self, k: Any, n: Any) -> Any:
        # start + (1 - start) min(k, w) / w, with w = warmup_epochs
        return self.start + (1 - self.start) * minimum(k, self.warmup_epochs) / self.warmup_epochs


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
    """A linear warm-up, then a cosine over the epochs that are left.

    This is PyTorch's SequentialLR of LinearLR and CosineAnnealingLR. A run that is no longer than the warm-up does not
    reach the cosine.
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
