"""Are paired differences centred on zero? Wilcoxon's signed-rank test, exact, also with ties and over strata.

scipy.stats.wilcoxon is exact without ties only and knows no strata; the tests hold the two together.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

EXACT_UP_TO = 500


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b, zero where both are the same infinity: two diverged runs tie."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def signed_ranks(d: np.ndarray) -> np.ndarray:
    """Ranks of |d|, with the sign of d, of the differences that are not zero (Wilcoxon 1945).

    d of shape (n,); infinite differences share the highest rank; the result has as many elements as d has
    non-zeros.
    """
    d = d[d != 0]
    return np.sign(d) * stats.rankdata(np.abs(d))


def signed_rank_p(ranks: np.ndarray) -> float:
    """Two-sided p of signed ranks, shape (n,), given that each sign is as likely + as -.

    Ranks may come from several strata, joined: then this is the stratified test. Exact up to 500 ranks, and
    beyond that the normal limit.
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
    """Matched-pairs rank-biserial correlation (Kerby 2014): (positive - negative) / all ranks, in [-1, 1]."""
    return float(ranks.sum() / np.abs(ranks).sum()) if len(ranks) else 0.0


@lru_cache(maxsize=256)
def _null(half_ranks: tuple[int, ...]) -> np.ndarray:
    """P(T <= t), t = 0, ..., sum of the half ranks: each rank is added with probability one half.

    The ranks come doubled, so that ties leave them whole.
    """
    pmf = np.ones(1)
    for rank in half_ranks:
        pmf = 0.5 * (np.append(pmf, np.zeros(rank)) + np.append(np.zeros(rank), pmf))
    return np.cumsum(pmf)
