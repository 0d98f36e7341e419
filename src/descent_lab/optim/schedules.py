"""Schedules of the learning rate: at every step it is the base lr times a factor.

`n >= 1` is the number of epochs of the run, and `k`, from 0 to n, the number of epochs done so far. By epoch, k is
whole: 0 during the first epoch. By step, it counts the part of the present epoch that is done as well, so that the rate
changes smoothly and does not depend on the size of the batches. Lengths are in epochs, or shares of the run. The rate
that is recorded at the end, with k = n, is that of a step which the run no longer makes.

k, n and the hyperparameters are Python numbers or arrays of NumPy or JAX, which may be traced. Hyperparameters may have
the shape (n_runs, 1). float32 stays float32. The values equal those of PyTorch's schedulers, stepped once an epoch or,
with their lengths in steps, once a step.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Interval

from descent_lab.components import Component, neutral

Array = Any  # an array of NumPy or JAX
State = tuple[Any, ...]  # what a schedule remembers: arrays (...), one number a run

Number = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
Share = Annotated[float, Interval(ge=0, lt=1)]
Positive = Annotated[float, Interval(gt=0, lt=math.inf)]

TINY = 1e-30  # divides 0 in place of 0; it is a normal number of float32


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two numbers or arrays of any library; exact for whole numbers."""
    return (a + b - abs(a - b)) / 2


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers or arrays of any library; exact for whole numbers, and where one of them is 0."""
    return (a + b + abs(a - b)) / 2


def cosine(x: Any) -> Any:
    """The cosine of a number or of an array of any library."""
    return x.__array_namespace__().cos(x) if hasattr(x, "__array_namespace__") else math.cos(x)


def logarithm(x: Any) -> Any:
    """The natural logarithm of a number or of an array of any library."""
    return x.__array_namespace__().log(x) if hasattr(x, "__array_namespace__") else math.log(x)


@dataclass(frozen=True, kw_only=True)
class Schedule(Component, ABC):
    """Base class of schedules: the learning rate of a step is the base lr times `factor`.

    by: whether the rate changes after each epoch or after each step.

    A schedule that looks at the losses has a state, too, and its rate is further multiplied by `feedback`. Such a class
    defines `init`, `observe` and `feedback`; all others leave them as they are.
    """

    group = "schedule"

    by: Literal["epoch", "step"] = neutral("epoch")

    @abstractmethod
    def factor(self, k: Any, n: Any) -> Any:
        """The factor after k of n epochs; it has the shape of the hyperparameters."""

    def init(self, loss: Array) -> State:
        """The state before the first step: arrays like `loss` (...), one number a run; () for none."""
        return ()

    def observe(self, loss: Array, state: State) -> State:
        """The state after an epoch (by step: after a step) whose mean batch loss is `loss` (...).

        Each batch counts by the loss before its step, as it is while an epoch is trained, and all batches count alike.
        The hyperparameters have the shape of the loss.
        """
        return state

    def feedback(self, state: State) -> Array:
        """The factor (...) that the losses so far call for."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The base lr in every step."""

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
    """The learning rate is multiplied by `gamma` in the course of every epoch (PyTorch's ExponentialLR)."""

    kind = "exponential"

    gamma: Positive = 0.95

    def factor(self, k: Any, n: Any) -> Any:
        # gamma^k
        return self.gamma**k


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


@dataclass(frozen=True, kw_only=True)
class Decay(Schedule, ABC):
    """Base class of schedules that rise for a share of the run, and fall over the rest of it.

    warmup: the share of the run in which the factor rises from `start` to 1; 0: it begins with 1. final: the factor at
    the end of the run.
    """

    warmup: Share = neutral(0.0)
    start: Fraction = neutral(0.1)
    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        # rise((w - k) / w)                              while k <= w = warmup n
        # final + (1 - final) fall(k - w, n - w)         from then on
        w = self.warmup * n
        missing = maximum(w - k, 0) / maximum(w, TINY)
        fall = self.final + (1 - self.final) * self.fall(maximum(k - w, 0), n - w)
        return self.rise(missing) * fall

    def rise(self, missing: Any) -> Any:
        """The factor during the warm-up, of which the share `missing` is to come: from `start` at 1 to 1 at 0."""
        return 1 - (1 - self.start) * missing

    @abstractmethod
    def fall(self, k: Any, n: Any) -> Any:
        """The way from 1 to 0, after k of the n epochs that follow the warm-up."""


@dataclass(frozen=True, kw_only=True)
class Cosine(Decay):
    """The factor falls from 1 to `final` along half a cosine wave, after a linear `warmup`.

    Loshchilov & Hutter 2017; PyTorch's CosineAnnealingLR.
    """

    kind = "cosine"

    def fall(self, k: Any, n: Any) -> Any:
        # (1 + cos(pi k / n)) / 2
        return (1 + cosine(math.pi * k / n)) / 2


@dataclass(frozen=True, kw_only=True)
class Linear(Decay):
    """The factor falls from 1 to `final` along a line, after a linear `warmup` (PyTorch's LinearLR)."""

    kind = "linear"

    by: Literal["epoch", "step"] = "step"

    def fall(self, k: Any, n: Any) -> Any:
        # 1 - k / n
        return 1 - k / n


@dataclass(frozen=True, kw_only=True)
class Polynomial(Decay):
    """The factor falls from 1 to `final` as a power of what is left of the run (PyTorch's PolynomialLR).

    PyTorch's default power is 1, which is the schedule `linear`.
    """

    kind = "polynomial"

    by: Literal["epoch", "step"] = "step"
    power: Positive = 2.0

    def fall(self, k: Any, n: Any) -> Any:
        # (1 - k / n)^power
        return (1 - k / n) ** self.power


@dataclass(frozen=True, kw_only=True)
class OneCycle(Cosine):
    """The factor rises from `start` to 1 and falls to `final`, both along half a cosine wave.

    Smith & Topin 2018; PyTorch's OneCycleLR, whose max_lr is the base lr. PyTorch reaches `final` in the last step
    and not after it. The momentum stays as it is.
    """

    kind = "one_cycle"

    by: Literal["epoch", "step"] = "step"
    warmup: Share = 0.3
    start: Fraction = 1 / 25
    final: Fraction = 1 / 250_000

    def rise(self, missing: Any) -> Any:
        # 1 - (1 - start) (1 - cos(pi missing)) / 2
        return 1 - (1 - self.start) * (1 - cosine(math.pi * missing)) / 2


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(Decay):
    """The factor rises linearly, stays at 1, and falls to `final` along a line in the last `decay` of the run.

    Hu et al. 2024; Hägele et al. 2024. This is PyTorch's SequentialLR of LinearLR, ConstantLR and LinearLR.
    """

    kind = "warmup_stable_decay"

    by: Literal["epoch", "step"] = "step"
    warmup: Share = 0.05
    decay: Annotated[float, Interval(gt=0, le=1)] = 0.2

    def fall(self, k: Any, n: Any) -> Any:
        # 1 - max(k - (n - d), 0) / d, where d is the share `decay` of the run, but at most what the warm-up leaves
        d = minimum(self.decay / (1 - self.warmup), 1) * n
        return 1 - maximum(k - (n - d), 0) / d


@dataclass(frozen=True, kw_only=True)
class WarmRestarts(Schedule):
    """The factor falls from 1 to `final` along half a cosine wave, again and again.

    The first cycle takes `cycle_epochs`, and each further one `growth` times as long as that before it. Loshchilov &
    Hutter 2017; PyTorch's CosineAnnealingWarmRestarts.
    """

    kind = "warm_restarts"

    by: Literal["epoch", "step"] = "step"
    cycle_epochs: Count = 10
    growth: Count = 1
    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        # final + (1 - final) (1 + cos(pi p / (c g^i))) / 2, in cycle i, with c = cycle_epochs and g = growth
        # i = floor(log_g(1 + (g - 1) k / c)),  p = k - c (g^i - 1) / (g - 1)    if g > 1
        # i = 0,                                p = k mod c                      if g = 1
        c, g = self.cycle_epochs, self.growth
        grows = minimum(g - 1, 1)  # 0 if g = 1, else 1; where it is 0, the logarithm is log_2(1) and the divisor is 1
        i = logarithm(1 + (g - 1) * k / c) / logarithm(g + 1 - grows) // 1
        scale = (g**i + 0.5) // 1  # a whole number, also where a library's power is not
        p = (k - c * (scale - 1) / (g - grows)) % (c * scale)
        return self.final + (1 - self.final) * (1 + cosine(math.pi * p / (c * scale))) / 2


class Plateau(NamedTuple):
    """The state of ReduceOnPlateau: arrays (...), one number a run."""

    factor: Array
    lowest: Array  # the lowest mean batch loss that counted as an improvement
    bad: Array  # the number of epochs since then
    cooling: Array  # the number of epochs for which `bad` stays 0


@dataclass(frozen=True, kw_only=True)
class ReduceOnPlateau(Schedule):
    """The learning rate is multiplied by `gamma` when the mean batch loss of an epoch has not improved for a while.

    That is after more than `patience` epochs in a row whose loss is not below (1 - threshold) times the lowest. The
    next `cooldown` epochs do not count as bad ones. `final` is the least factor. By step, every step counts as an epoch
    does. PyTorch's ReduceLROnPlateau with eps=0.
    """

    kind = "reduce_on_plateau"

    gamma: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    patience: Number = 10
    threshold: Share = 1e-4
    cooldown: Number = 0
    final: Fraction = 0.0

    def factor(self, k: Any, n: Any) -> Any:
        return 1.0

    def init(self, loss: Array) -> State:
        xp = loss.__array_namespace__()
        none = xp.zeros_like(loss)
        return Plateau(xp.ones_like(loss), xp.full_like(loss, math.inf), none, none)

    def observe(self, loss: Array, state: State) -> State:
        xp = loss.__array_namespace__()
        factor, lowest, bad, cooling = state
        better = loss < lowest * (1 - self.threshold)
        bad = xp.where(better | (cooling > 0), 0, bad + 1)
        late = bad > self.patience
        return Plateau(
            factor=xp.where(late, xp.maximum(factor * self.gamma, self.final), factor),
            lowest=xp.where(better, loss, lowest),
            bad=xp.where(late, 0, bad),
            cooling=xp.where(late, self.cooldown, xp.maximum(cooling - 1, 0)),
        )

    def feedback(self, state: State) -> Array:
        return Plateau(*state).factor
