"""Are paired differences centred on zero? Wilcoxon's signed-rank test, exact also with ties and over strata.

scipy.stats.wilcoxon is exact only without ties, and has no strata. The tests compare the two where both are exact.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

EXACT_UP_TO = 500  # for more ranks than this the normal approximation is used


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b, and 0 where both are the same infinity, because two diverged runs tie."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def signed_ranks(d: np.ndarray) -> np.ndarray:
    """The ranks of |d| with the sign of d, for the differences d, shape (n,), that are not zero (Wilcoxon 1945).

    Infinite differences share the highest rank. The result has as many elements as d has non-zeros.
    """
    d = d[d != 0]
    ranks: np.ndarray = np.sign(d) * stats.rankdata(np.abs(d))
    return ranks


def signed_rank_p(ranks: np.ndarray) -> float:
    """The two-sided p of signed ranks, shape (n,), under the hypothesis that both signs are equally likely.

    The ranks of several strata may be joined; this is then the stratified test. The p is exact for up to 500 ranks, and
    the normal approximation for more.
    """
    # T+ = sum of the positive ranks;  p = 2 min(P(T <= T+), P(T >= T+))
    if len(ranks) > EXACT_UP_TO:  # T+ - T- = sum of signed ranks has mean 0 and variance sum r^2
        return float(2 * stats.norm.sf(abs(ranks.sum()) / np.sqrt((ranks**2).sum())))
    half = np.rint(2 * np.abs(ranks)).astype(int)
    cumulative = _null(tuple(np.sort(half).tolist()))
    t = int(half[ranks > 0].sum())
    upper = 1 - (cumulative[t - 1] if t else 0.0)
    return float(min(1.0, 2 * min(cumulative[t], upper)))


def smallest_p(n: int) -> float:
    """The smallest p that n pairs can give: 2 (1/2)^n."""
    return min(1.0, 2 * 0.5**n)


def rank_biserial(ranks: np.ndarray) -> float:
    """The matched-pairs rank-biserial correlation in [-1, 1] (Kerby 2014): (positive - negative) / all ranks."""
    return float(ranks.sum() / np.abs(ranks).sum()) if len(ranks) else 0.0


@lru_cache(maxsize=256)
def _null(half_ranks: tuple[int, ...]) -> np.ndarray:
    """P(T <= t) for t = 0, ..., sum of the half ranks, where T contains each rank with the probability one half.

    half_ranks: the ranks in units of one half, so that tied ranks are integers.
    """
    pmf = np.ones(1)
    for rank in half_ranks:
        pmf = 0.5 * (np.append(pmf, np.zeros(rank)) + np.append(np.zeros(rank), pmf))
    return np.cumsum(pmf)
