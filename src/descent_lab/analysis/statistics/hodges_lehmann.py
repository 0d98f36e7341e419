"""Where is the middle of paired differences, and is it zero? Walsh averages, and Wilcoxon's test turned into intervals.

The Walsh averages of d_1, ..., d_n are (d_i + d_j) / 2 for i <= j. The number of them above theta is Wilcoxon's T+ of
the differences d - theta (Tukey 1949), so that one list gives all three: its median is the estimate (Hodges & Lehmann
1963), its counts on either side of theta are the test, and its c-th smallest and largest members the interval.

Differences in several strata (problems) give the Walsh averages of each stratum, in one list: this is the stratified
test of one common shift. Ties and zeros count against a rejection on both sides. This keeps the level, because breaking
the ties at random would give the exact test without ties, which rejects whenever this one does; and the closed
interval leaves out theta exactly where the test rejects it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from descent_lab.analysis.statistics import special
from descent_lab.analysis.statistics.evidence import NEARLY, POWER, Evidence

EXACT_UP_TO = 500  # for more differences than this the normal approximation is used


@dataclass(frozen=True)
class Middle(Evidence):
    """The middle (pseudo-median) of differences in strata, each of shape (n_s,).

    resolution: averages that lie closer to zero are zero.
    """

    strata: Sequence[np.ndarray]
    resolution: float = 0.0

    @cached_property
    def averages(self) -> np.ndarray:
        """The sorted Walsh averages of all strata."""
        return walsh_averages(self.strata, self.resolution)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted(map(len, self.strata)))

    @property
    def n(self) -> int:
        return sum(self.sizes)

    @property
    def n_each(self) -> float:
        return self.n / len(self.strata)

    @property
    def estimate(self) -> float:
        return float(np.median(self.averages))

    @property
    def p(self) -> float:
        """Two-sided: 2 min(P(T <= T-), P(T <= T+)), where averages of zero count in both."""
        fewer = min((self.averages <= 0).sum(), (self.averages >= 0).sum())
        return float(min(1.0, 2 * _null(self.sizes)[fewer]))

    @property
    def smallest_p(self) -> float:
        return smallest_p(self.n)

    def interval(self, level: float) -> tuple[float, float]:
        c = int(np.searchsorted(2 * _null(self.sizes), level * NEARLY, side="right"))
        if c == 0:
            return -np.inf, np.inf
        return float(self.averages[c - 1]), float(self.averages[-c])

    def units_to_reach(self, level: float) -> int:
        return max(1, int(np.ceil((1 - np.log2(level * NEARLY)) / len(self.strata))))  # 2 (1/2)^n <= level

    def units_needed(self, level: float, margin: float) -> float:
        """n = (z_{1 - level / 2} + z_POWER)^2 v / margin^2, with v from `unit_variance`."""
        z = special.ndtri(POWER) - special.ndtri(level / 2)
        return float(np.ceil(z**2 * self.unit_variance / margin**2))

    @property
    def unit_variance(self) -> float:
        """v, where v / n is the variance of the estimate with n seeds on each problem; NaN for a single difference.

        It comes from the width of the 90 % interval, or of the highest confidence that so few seeds have: the width
        over 2 z is the standard error (Lehmann 1963). For normal differences v is (pi / 3) s^2, the inverse efficiency
        of Wilcoxon's test times their variance. Deviations or absolute deviations in place of the width would make v
        wrong for other distributions, by a factor of 2 for skewed ones.
        """
        level = max(0.1, self.smallest_p)
        if level == 1:
            return float("nan")
        low, high = self.interval(level)
        return float(self.n_each * ((high - low) / (-2 * special.ndtri(level / 2))) ** 2)


def smallest_p(n: int) -> float:
    """The smallest p of the signed-rank test that n differences can give: 2 (1/2)^n."""
    return min(1.0, 2 * 0.5**n)


def walsh_averages(strata: Sequence[np.ndarray], resolution: float = 0.0) -> np.ndarray:
    """The averages of all pairs within each stratum, a value with itself included, sorted; small ones are zero."""
    parts = []
    for d in strata:
        i, j = np.triu_indices(len(d))
        parts.append((d[i] + d[j]) / 2)
    averages = np.concatenate(parts)
    averages[np.abs(averages) <= resolution] = 0.0
    return np.sort(averages)


def sign_p(d: np.ndarray, resolution: float = 0.0) -> float:
    """The exact two-sided sign test of differences (n,), those of zero left out: is their median zero?

    It needs no symmetry, and says how often a is better than b rather than by how much.
    """
    above, below = int((d > resolution).sum()), int((d < -resolution).sum())
    return float(min(1.0, 2 * special.bdtr(min(above, below), above + below, 0.5))) if above + below else 1.0


@lru_cache(maxsize=1024)
def _null(sizes: tuple[int, ...]) -> np.ndarray:
    """P(T <= t), t = 0, ..., number of Walsh averages, for the signed ranks 1, ..., n of strata of these sizes."""
    most = sum(n * (n + 1) // 2 for n in sizes)
    if sum(sizes) > EXACT_UP_TO:  # T has mean sum n (n + 1) / 4 and variance sum n (n + 1) (2 n + 1) / 24
        deviation = np.sqrt(sum(n * (n + 1) * (2 * n + 1) for n in sizes) / 24)
        return np.asarray(special.ndtr((np.arange(most + 1) + 0.5 - most / 2) / deviation))
    pmf = np.ones(1)
    for n in sizes:
        for rank in range(1, n + 1):
            pmf = 0.5 * (np.append(pmf, np.zeros(rank)) + np.append(np.zeros(rank), pmf))
    return np.cumsum(pmf)
