"""Is the mean difference over blocks zero? Student's t test, over several problems stratified by problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from descent_lab.analysis.statistics import special
from descent_lab.analysis.statistics.evidence import POWER, Evidence, least_units


@dataclass(frozen=True)
class Mean(Evidence):
    """The mean over problems of the mean of their blocks; strata: D_1, ..., D_R of each problem, shape (R,).

    With several problems the variance is taken within each, and the degrees of freedom are those of Welch (1947) and
    Satterthwaite (1946).
    resolution: a standard deviation below it is rounding, and counts as the resolution. Identical curves therefore have
    p = 1, and the p of constant differences is positive.
    """

    strata: Sequence[np.ndarray]
    resolution: float = 0.0

    @cached_property
    def sizes(self) -> np.ndarray:
        return np.array([len(d) for d in self.strata])

    @property
    def n(self) -> int:
        return int(self.sizes.sum())

    @property
    def n_each(self) -> float:
        return float(self.sizes.mean())

    @property
    def estimate(self) -> float:
        return float(np.mean([d.mean() for d in self.strata]))

    @cached_property
    def variances(self) -> np.ndarray:
        """The variance of each stratum; missing where one of them has a single block."""
        if self.sizes.min() < 2:
            return np.full(len(self.sizes), np.nan)
        deviations = [d.std(ddof=1) for d in self.strata]
        return np.maximum(deviations, self.resolution) ** 2

    @cached_property
    def error(self) -> float:
        """The standard error of the estimate."""
        # se^2 = sum_s v_s / S^2,  v_s = s_s^2 / R_s
        return float(np.sqrt((self.variances / self.sizes).sum()) / len(self.sizes))

    @cached_property
    def degrees(self) -> float:
        """df = (sum v_s)^2 / sum v_s^2 / (R_s - 1); 0 where a problem has a single block."""
        if self.sizes.min() < 2:
            return 0.0
        v = self.variances / self.sizes
        v = v / v.max() if v.any() else np.ones(len(v))
        return float(v.sum() ** 2 / (v**2 / (self.sizes - 1)).sum())

    @property
    def t(self) -> float:
        """The estimate in standard errors; 0 where both are zero, or where there is no standard error."""
        if self.estimate == 0 or not self.degrees:
            return 0.0
        return self.estimate / self.error if self.error > 0 else float(np.copysign(np.inf, self.estimate))

    @property
    def p(self) -> float:
        return float(2 * special.stdtr(self.degrees, -abs(self.t))) if self.degrees else 1.0

    @property
    def smallest_p(self) -> float:
        return 0.0 if self.degrees else 1.0

    def interval(self, level: float) -> tuple[float, float]:
        return self.within(-t_quantile(level / 2, self.degrees)) if self.degrees else (-np.inf, np.inf)

    def within(self, quantile: float) -> tuple[float, float]:
        """The estimate with so many standard errors on either side."""
        return self.estimate - quantile * self.error, self.estimate + quantile * self.error

    def units_to_reach(self, level: float) -> int:
        return 2

    def units_needed(self, level: float, margin: float) -> float:
        """The least n >= (t_{1 - level / 2} + t_POWER)^2 s^2 / margin^2 with the degrees of freedom of n blocks."""

        def required(n: float) -> float:
            degrees = self.degrees_of(n)
            return (t_quantile(POWER, degrees) - t_quantile(level / 2, degrees)) ** 2 * self.relative(margin)

        return least_units(required) if self.degrees else float("nan")

    def degrees_of(self, n: float) -> float:
        """The degrees of freedom with n blocks on each problem."""
        return self.degrees * (n - 1) / (self.n_each - 1)

    def relative(self, margin: float) -> float:
        """s^2 / margin^2, where s^2 / n is the variance of the estimate with n blocks on each problem."""
        return float(self.variances.mean() / len(self.sizes)) / margin**2


def t_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's distribution; scipy.stats is slower, and checks nothing that is needed here."""
    return float(special.stdtrit(degrees, probability))
