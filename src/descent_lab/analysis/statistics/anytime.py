"""Verdicts that stay right when units are added until there is one.

A fixed test at 5 % that is repeated after every new seed is wrong far more often than in 5 % of studies. An e-process
is a betting score that is at most 1 in expectation, whenever one stops, if the hypothesis is true; so that it ever
reaches 1 / level with a probability of at most `level` (Ville 1939). Its p is 1 / e. The price is a wider interval.

- blocks: the likelihood ratio of t statistics, with the effect in standard deviations drawn from N(0, 1) where the
  hypothesis is false (the right Haar prior on the scale; Perez-Ortiz et al. 2024). As for the t test, D is taken to be
  nearly normal. Over several problems D is averaged over the problems of each block first.
- seeds: the signs alone, with the share of positive signs drawn from Beta(1/2, 1/2) (Robbins 1970). No distribution
  need be assumed. The estimate is the median.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count

import numpy as np

from descent_lab.analysis.statistics import special
from descent_lab.analysis.statistics.evidence import NEARLY, POWER, Evidence, least_units
from descent_lab.analysis.statistics.hodges_lehmann import Middle
from descent_lab.analysis.statistics.means import Mean, t_quantile


@dataclass(frozen=True)
class AnytimeMean(Evidence):
    """The mean over blocks; d: D_1, ..., D_R, shape (R,), already averaged over problems."""

    d: np.ndarray
    resolution: float = 0.0

    @cached_property
    def mean(self) -> Mean:
        return Mean([self.d], self.resolution)

    @property
    def n(self) -> int:
        return len(self.d)

    @property
    def n_each(self) -> float:
        return len(self.d)

    @property
    def estimate(self) -> float:
        return self.mean.estimate

    @property
    def p(self) -> float:
        # e = (1 + n)^(-1/2) ((1 + x) / (1 + x / (1 + n)))^(n / 2),  x = t^2 / (n - 1)
        if self.n < 2:
            return 1.0
        t = min(abs(self.mean.t), 1e150)
        x = t**2 / (self.n - 1)
        e = self.n / 2 * (np.log1p(x) - np.log1p(x / (1 + self.n))) - np.log1p(self.n) / 2
        return float(min(1.0, np.exp(-e)))

    @property
    def smallest_p(self) -> float:
        return _least_p(self.n)

    def interval(self, level: float) -> tuple[float, float]:
        quantile = _quantile(self.n, level)
        return self.mean.within(quantile) if np.isfinite(quantile) else (-np.inf, np.inf)

    def units_to_reach(self, level: float) -> int:
        return next(n for n in count(2) if _least_p(n) <= level * NEARLY)

    def units_needed(self, level: float, margin: float) -> float:
        def required(n: float) -> float:
            return float(_quantile(n, level) + t_quantile(POWER, n - 1)) ** 2 * self.mean.relative(margin)

        return least_units(required) if self.n > 1 else float("nan")


def _least_p(n: int) -> float:
    """1 / e where t is infinite."""
    return float(min(1.0, (1.0 + n) ** (0.5 - n / 2)))


def _quantile(n: float, level: float) -> float:
    """The |t| of n blocks at which e = 1 / level; infinite where no t reaches it."""
    # q = (sqrt(1 + n) / level)^(2 / n);  x = (q - 1) / (1 - q / (1 + n))
    q = (np.sqrt(1 + n) / level) ** (2 / n)
    return float(np.sqrt((n - 1) * (q - 1) / (1 - q / (1 + n)))) if n > 1 and q < 1 + n else float("inf")


@dataclass(frozen=True)
class AnytimeMedian(Evidence):
    """The median of differences in strata, each of shape (n_s,), from their signs; those below resolution are 0."""

    strata: Sequence[np.ndarray]
    resolution: float = 0.0

    @cached_property
    def d(self) -> np.ndarray:
        """All differences, sorted."""
        d = np.concatenate(list(self.strata))
        return np.sort(np.where(np.abs(d) <= self.resolution, 0.0, d))

    @property
    def n(self) -> int:
        return len(self.d)

    @property
    def n_each(self) -> float:
        return self.n / len(self.strata)

    @property
    def estimate(self) -> float:
        return float(np.median(self.d))

    @property
    def p(self) -> float:
        """Zeros count on both sides, which keeps the level: see `hodges_lehmann`."""
        fewer = min((self.d <= 0).sum(), (self.d >= 0).sum())
        return float(_sign_p(self.n)[min(fewer, self.n // 2)])

    @property
    def smallest_p(self) -> float:
        return float(_sign_p(self.n)[0])

    def interval(self, level: float) -> tuple[float, float]:
        c = int(np.searchsorted(_sign_p(self.n), level * NEARLY, side="right"))
        return (float(self.d[c - 1]), float(self.d[-c])) if c else (-np.inf, np.inf)

    def units_to_reach(self, level: float) -> int:
        n = next(n for n in count(1) if _sign_p(n)[0] <= level * NEARLY)
        return int(np.ceil(n / len(self.strata)))

    def units_needed(self, level: float, margin: float) -> float:
        """The least n >= (z + z_POWER)^2 (3 / 2) v / margin^2, with v of the Hodges-Lehmann middle.

        e = 1 / level where the signs are z standard deviations from one half; 3 / 2 is the efficiency of Wilcoxon's
        test relative to that of signs, for normal differences.
        """
        # log e is nearly z^2 / 2 - log(pi n / 2) / 2
        strata, relative = len(self.strata), 1.5 * Middle(self.strata, self.resolution).unit_variance / margin**2

        def required(n: float) -> float:
            z = np.sqrt(2 * np.log(1 / level) + np.log(np.pi * n * strata / 2))
            return float((z + special.ndtri(POWER)) ** 2 * relative)

        return least_units(required)


@lru_cache(maxsize=1024)
def _sign_p(n: int) -> np.ndarray:
    """p = 1 / e where k of n signs are of the rarer kind, for k = 0, ..., n // 2, increasing in k."""
    # e = 2^n B(k + 1/2, n - k + 1/2) / B(1/2, 1/2)
    k = np.arange(n // 2 + 1)
    log_e = n * np.log(2) + special.betaln(k + 0.5, n - k + 0.5) - special.betaln(0.5, 0.5)
    return np.asarray(np.minimum(1.0, np.exp(-log_e)))
