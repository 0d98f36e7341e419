"""Which entrants do better over many data sets? Average ranks, Friedman's test, and which pairs can be told apart.

A critical-difference diagram (Demsar 2006) shows `average_ranks` on its axis, and as bars the groups of
`indistinguishable(rank_pairs(...), verdict="nemenyi")` or `verdict="wilcoxon"`. Each data set gives one value per
entrant, the median over seeds. The conclusions are about other data sets like these.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from descent_lab.analysis.statistics.frames import complete, confident, levels, require
from descent_lab.analysis.statistics.intervals import median
from descent_lab.analysis.statistics.pairs import SAME, holm
from descent_lab.analysis.statistics.signed_ranks import difference, signed_rank_p, signed_ranks
from descent_lab.errors import NotGiven

PERMUTATIONS = 9_999  # number of random permutations of Friedman's test


def average_ranks(runs: pd.DataFrame, value: str, entrant: str = "optimizer", better: str = "lower") -> pd.DataFrame:
    """The mean rank of each entrant: `<entrant>, rank, n_datasets`, the best first. Equal medians share their ranks."""
    ranks = _ranks(_scores(runs, value, entrant, better))
    table = ranks.mean().rename("rank").reset_index().assign(n_datasets=len(ranks))
    return table.sort_values(["rank", entrant], ignore_index=True)


def friedman(
    runs: pd.DataFrame, value: str, entrant: str = "optimizer", better: str = "lower", seed: int = 0
) -> pd.DataFrame:
    """Friedman's test of the hypothesis that all entrants are alike: one row `n_datasets, n_entrants, chi2, p, p_chi2`.

    p: from 9,999 random permutations of the ranks within data sets, which is right for any number of data sets.
    p_chi2: the approximation by the chi-squared distribution, as in textbooks.
    """
    ranks = _ranks(_scores(runs, value, entrant, better)).to_numpy()
    n, k = ranks.shape
    chi2 = float(_chi2(ranks))
    shuffled = np.random.default_rng(seed).permuted(np.broadcast_to(ranks, (PERMUTATIONS, n, k)), axis=2)
    p = (1 + np.count_nonzero(_chi2(shuffled) >= chi2 - 1e-9)) / (1 + PERMUTATIONS)
    row = {
        "n_datasets": n,
        "n_entrants": k,
        "chi2": chi2,
        "p": p,
        "p_chi2": float(stats.chi2.sf(chi2, k - 1)),
    }
    return pd.DataFrame([row])


def critical_difference(n_entrants: int, n_datasets: int, confidence: float = 0.95) -> float:
    """Nemenyi's critical difference of average ranks (Demsar 2006, equation of section 3.2.2)."""
    # CD = q sqrt(k (k + 1) / 6 N), q the quantile of the studentised range over sqrt(2)
    k, n = n_entrants, n_datasets
    if k < 2 or n < 1:
        raise NotGiven(f"{k} entrants on {n} data sets: needs at least 2 entrants and 1 data set")
    return _q(k, confident(confidence)) * float(np.sqrt(k * (k + 1) / (6 * n)))


@lru_cache
def _q(k: int, confidence: float) -> float:
    return float(stats.studentized_range.ppf(confidence, k, np.inf) / np.sqrt(2))


def rank_pairs(
    runs: pd.DataFrame,
    value: str,
    entrant: str = "optimizer",
    better: str = "lower",
    scale: str = "log",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare each pair over data sets: `a, b, rank_a, rank_b, critical_difference, p, p_holm, nemenyi, wilcoxon`.

    nemenyi and wilcoxon are verdicts: the better entrant, or "indistinguishable". Nemenyi's says that the average ranks
    differ by the critical difference or more. Wilcoxon's is the exact signed-rank test over data sets of the ratios
    (`scale="log"`) or differences of the medians, with Holm's correction over all pairs.
    """
    scores = _scores(runs, value, entrant, better, scale)
    ranks = _ranks(scores).mean()
    cd = critical_difference(len(ranks), len(scores), confidence)
    rows = [
        {
            "a": a,
            "b": b,
            "rank_a": ranks[a],
            "rank_b": ranks[b],
            "critical_difference": cd,
            "p": _p(scores, a, b),
        }
        for a, b in combinations(scores.columns, 2)
    ]
    pairs = pd.DataFrame(rows)
    pairs["p_holm"] = holm(pairs["p"].to_numpy())
    ahead = np.where(pairs["rank_a"] <= pairs["rank_b"], pairs["a"], pairs["b"])
    apart = (pairs["rank_a"] - pairs["rank_b"]).abs() >= cd
    pairs["nemenyi"] = np.where(apart, ahead, SAME)
    pairs["wilcoxon"] = np.where(pairs["p_holm"] <= 1 - confidence, ahead, SAME)
    return pairs


def _scores(runs: pd.DataFrame, value: str, entrant: str, better: str, scale: str = "linear") -> pd.DataFrame:
    """The medians over seeds, one row per data set and one column per entrant, signed so that lower is better."""
    require(runs, "dataset", entrant, value)
    sign = 1.0 if better == "lower" else -1.0
    level = pd.DataFrame({"dataset": runs["dataset"], entrant: runs[entrant]})
    level["level"] = sign * levels(runs, value, better, scale)
    medians = level.groupby(["dataset", entrant])["level"].agg(lambda x: float(median(x.to_numpy())))
    wide = medians.unstack(entrant)
    if wide.shape[1] < 2:
        raise NotGiven(f"column {entrant!r}: ranking needs 2 entrants, found {list(wide.columns)}")
    return complete(wide, "ranks")


def _ranks(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.rank(axis=1)


def _chi2(ranks: np.ndarray) -> np.ndarray:
    """Friedman's statistic of ranks (..., n, k), in the form that allows for ties (Conover 1999, section 5.8)."""
    # chi2 = (k - 1) sum_j (R_j - n (k + 1) / 2)^2 / (sum_ij r_ij^2 - n k (k + 1)^2 / 4)
    n, k = ranks.shape[-2:]
    between = ((ranks.sum(axis=-2) - n * (k + 1) / 2) ** 2).sum(axis=-1)
    total = (ranks**2).sum(axis=(-2, -1)) - n * k * (k + 1) ** 2 / 4
    return np.where(total > 0, (k - 1) * between / np.where(total > 0, total, 1.0), 0.0)


def _p(scores: pd.DataFrame, a: object, b: object) -> float:
    return signed_rank_p(signed_ranks(difference(scores[a].to_numpy(), scores[b].to_numpy())))
