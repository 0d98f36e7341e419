"""Which entrants do better over many data sets? Average ranks, Friedman's test, and which pairs can be told apart.

A critical-difference diagram (Demsar 2006) shows `average_ranks` on its axis, and as bars the groups of
`indistinguishable(rank_pairs(...), verdict="nemenyi")` or `verdict="wilcoxon"`.

The unit is a distinct data set, because the conclusions are about other data sets like these. Each gives one value per
entrant: the mean over seeds of the (log) values, and where one data set makes several problems, such as several batch
sizes (column `data` names the data set, `dataset` the problem), the mean over these. Fewer than 6 data sets allow no
conclusion about others, so then there are ranks, but no tests.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from descent_lab.analysis.statistics.frames import complete, confident, levels, require
from descent_lab.analysis.statistics.pairs import SAME, holm
from descent_lab.analysis.statistics.signed_ranks import difference, signed_rank_p, signed_ranks, smallest_p
from descent_lab.errors import NotGiven

PERMUTATIONS = 9_999  # number of random permutations of Friedman's test
FEWEST = 6  # data sets for a test: the exact signed-rank test of 5 pairs cannot go below p = 0.06
DIGITS = 9  # that count, in a value on the log scale or as a share of the largest of its data set


def average_ranks(
    runs: pd.DataFrame, value: str, entrant: str = "optimizer", better: str = "lower", scale: str = "log"
) -> pd.DataFrame:
    """The mean rank of each entrant: `<entrant>, rank, n_datasets`, the best first. Equal values share their ranks.

    n_datasets: the number of distinct data sets. scale: `log`, for the mean of the logarithms of positive values, or
    `linear`, for the mean of the values.
    """
    ranks = _ranks(_means(runs, value, entrant, better, scale))
    table = ranks.mean().rename("rank").reset_index().assign(n_datasets=len(ranks))
    return table.sort_values(["rank", entrant], ignore_index=True)


def leave_one_out(
    runs: pd.DataFrame, value: str, entrant: str = "optimizer", better: str = "lower", scale: str = "log"
) -> pd.DataFrame:
    """The place of each entrant by average rank when one data set is left out, for each: `left_out, <entrant>, rank,
    place`. Entrants with equal average ranks share the better place.
    """
    ranks = _ranks(_means(runs, value, entrant, better, scale))
    if len(ranks) < 2:
        raise NotGiven(f"{len(ranks)} data set: one can be left out of 2 or more")
    others = (ranks.sum() - ranks) / (len(ranks) - 1)
    table = others.rename_axis("left_out").reset_index().melt("left_out", var_name=entrant, value_name="rank")
    place = table["rank"].round(9).groupby(table["left_out"]).rank(method="min").astype(int)
    return table.assign(place=place).sort_values(["left_out", "rank", entrant], ignore_index=True)


def places(left_out: pd.DataFrame, entrant: str = "optimizer") -> pd.DataFrame:
    """How firm the order is, from the rows of `leave_one_out`: `<entrant>, first, n, best, worst`, the best first.

    first: in how many of the n subsets the entrant is first. best, worst: its places in the most and least favourable.
    """
    require(left_out, "left_out", entrant, "rank", "place")
    table = left_out.assign(first=left_out["place"] == 1).groupby(entrant, sort=True)
    columns = {"first": ("first", "sum"), "n": ("place", "size"), "best": ("place", "min"), "worst": ("place", "max")}
    ordered = table.agg(rank=("rank", "mean"), **columns).reset_index().sort_values(["rank", entrant])
    return ordered.drop(columns="rank").reset_index(drop=True)


def friedman(
    runs: pd.DataFrame,
    value: str,
    entrant: str = "optimizer",
    better: str = "lower",
    scale: str = "log",
    seed: int = 0,
) -> pd.DataFrame:
    """Friedman's test of the hypothesis that all entrants are alike: one row `n_datasets, n_entrants, chi2, p, p_chi2`.

    p: from 9,999 random permutations of the ranks within data sets, which is right for any number of data sets.
    p_chi2: the approximation by the chi-squared distribution, as in textbooks.
    Raises NotGiven for fewer than 6 distinct data sets.
    """
    ranks = _ranks(_enough(_means(runs, value, entrant, better, scale))).to_numpy()
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
    """Compare each pair over data sets: `a, b, n, rank_a, rank_b, critical_difference, p, p_holm, nemenyi, wilcoxon,
    note`.

    n: the number of distinct data sets. nemenyi and wilcoxon are verdicts: the better entrant, or "indistinguishable".
    Each is named by its own test:

    - Nemenyi's says that the average ranks differ by the critical difference or more; better is the lower rank.
    - Wilcoxon's is the exact signed-rank test over data sets of the mean log ratios (`scale="log"`) or differences,
      with Holm's correction over all pairs; better is the entrant for which the signed ranks speak, which need not be
      the one with the lower average rank.

    note: where there are so few data sets that no values could give Wilcoxon's verdict. Raises NotGiven for fewer than
    6 data sets.
    """
    scores = _enough(_means(runs, value, entrant, better, scale))
    ranks = _ranks(scores).mean()
    cd = critical_difference(len(ranks), len(scores), confidence)
    rows = [_pair(scores, ranks, a, b) for a, b in combinations(scores.columns, 2)]
    pairs = pd.DataFrame(rows)
    pairs["p_holm"] = holm(pairs["p"].to_numpy())
    ahead = np.where(pairs["rank_a"] <= pairs["rank_b"], pairs["a"], pairs["b"])
    apart = (pairs["rank_a"] - pairs["rank_b"]).abs() >= cd
    pairs["nemenyi"] = np.where(apart, ahead, SAME)
    pairs["wilcoxon"] = np.where(pairs["p_holm"] <= 1 - confidence, pairs["ahead"], SAME)
    columns = ["a", "b", "n", "rank_a", "rank_b", "critical_difference", "p", "p_holm", "nemenyi", "wilcoxon", "note"]
    return pairs.assign(critical_difference=cd, note=_reach(len(scores), len(pairs), confidence))[columns]


def _pair(scores: pd.DataFrame, ranks: pd.Series, a: str, b: str) -> dict[str, object]:
    signed = signed_ranks(difference(scores[a].to_numpy(), scores[b].to_numpy()))
    ahead = a if signed.sum() < 0 else b
    row = {"a": a, "b": b, "n": len(scores), "rank_a": ranks[a], "rank_b": ranks[b]}
    return row | {"p": signed_rank_p(signed), "ahead": ahead}


def _reach(n: int, family: int, confidence: float) -> str:
    """A note where n data sets in a family of tests cannot give a verdict; else empty."""
    least = min(1.0, smallest_p(n) * family)
    if least <= 1 - confidence + 1e-12:
        return ""
    enough = next(m for m in range(n, 60) if smallest_p(m) * family <= 1 - confidence + 1e-12)
    return f"{n} data sets in {family} comparisons: no verdict is possible; {enough} could give one"


def _means(runs: pd.DataFrame, value: str, entrant: str, better: str, scale: str) -> pd.DataFrame:
    """One row per distinct data set and one column per entrant, signed so that lower is better (see the module)."""
    require(runs, "dataset", entrant, value)
    sign = 1.0 if better == "lower" else -1.0
    data = runs["data"] if "data" in runs else runs["dataset"]
    level = pd.DataFrame({"dataset": runs["dataset"], entrant: runs[entrant], "data": data})
    level["level"] = sign * levels(runs, value, better, scale)
    wide = level.groupby(["dataset", entrant])["level"].mean().unstack(entrant)
    if wide.shape[1] < 2:
        raise NotGiven(f"column {entrant!r}: ranking needs 2 entrants, found {list(wide.columns)}")
    return _rounded(complete(wide, "ranks").groupby(level.groupby("dataset")["data"].first()).mean(), scale)


def _rounded(means: pd.DataFrame, scale: str) -> pd.DataFrame:
    """`means` to nine digits, so that entrants that differ by rounding errors only are tied."""
    x = means.to_numpy()
    size = np.abs(np.where(np.isfinite(x), x, 0.0)).max(axis=1, keepdims=True)
    unit = 1.0 if scale == "log" else np.where(size > 0, size, 1.0)
    return pd.DataFrame(np.round(x / unit, DIGITS) * unit, means.index, means.columns)


def _enough(means: pd.DataFrame) -> pd.DataFrame:
    """`means`, if it has enough data sets for a test. Raises NotGiven."""
    if len(means) < FEWEST:
        raise NotGiven(f"{len(means)} distinct data sets: a test of what holds on others needs {FEWEST} or more")
    return means


def _ranks(means: pd.DataFrame) -> pd.DataFrame:
    return means.rank(axis=1)


def _chi2(ranks: np.ndarray) -> np.ndarray:
    """Friedman's statistic of ranks (..., n, k), in the form that allows for ties (Conover 1999, section 5.8)."""
    # chi2 = (k - 1) sum_j (R_j - n (k + 1) / 2)^2 / (sum_ij r_ij^2 - n k (k + 1)^2 / 4)
    n, k = ranks.shape[-2:]
    between = ((ranks.sum(axis=-2) - n * (k + 1) / 2) ** 2).sum(axis=-1)
    total = (ranks**2).sum(axis=(-2, -1)) - n * k * (k + 1) ** 2 / 4
    return np.where(total > 0, (k - 1) * between / np.where(total > 0, total, 1.0), 0.0)
