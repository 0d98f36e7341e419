"""Which entrants do better over many data sets? Average ranks, Friedman's test, and which pairs can be told apart.

A critical-difference diagram (Demsar 2006) shows `average_ranks` on its axis, and as bars the groups of
`indistinguishable(rank_pairs(...), verdict="nemenyi")` or `verdict="wilcoxon"`.

The unit is a distinct data set, because the conclusions are about other data sets like these. Each gives one value per
entrant: the mean over seeds of the levels of `comparable` (for losses, of logarithms), and where one data set makes
several problems, such as several batch sizes (column `data` names the data set, `dataset` the problem), the mean over
these. Fewer than 6 data sets allow no conclusion about others, so then there are ranks, but no tests.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics import special
from descent_lab.analysis.statistics.blocks import PAIR, differences
from descent_lab.analysis.statistics.family import hierarchical
from descent_lab.analysis.statistics.frames import WORST, complete, confident, one_of, require
from descent_lab.analysis.statistics.groups import SAME
from descent_lab.analysis.statistics.hodges_lehmann import Middle, smallest_p
from descent_lab.errors import NotGiven
from descent_lab.wording import counted

PERMUTATIONS = 9_999  # number of random permutations of Friedman's test
FEWEST = 6  # data sets for a test: the exact signed-rank test of 5 pairs cannot go below p = 0.06


def average_ranks(runs: pd.DataFrame, entrant: str = "optimizer", better: str = "lower") -> pd.DataFrame:
    """The mean rank of each entrant: `<entrant>, rank, n_datasets`, the best first; of distinct data sets.

    runs: as `comparable` gives them: `dataset, level, resolution`, `entrant`, and `data` where there is such a column.
    Levels that differ by less than their resolution share their ranks.
    """
    ranks = _ranks(*_means(runs, entrant, better))
    table = ranks.mean().rename("rank").reset_index().assign(n_datasets=len(ranks))
    return table.sort_values(["rank", entrant], ignore_index=True)


def leave_one_out(runs: pd.DataFrame, entrant: str = "optimizer", better: str = "lower") -> pd.DataFrame:
    """The place of each entrant by average rank when one data set is left out, for each: `left_out, <entrant>, rank,
    place`. Entrants with equal average ranks share the better place.
    """
    ranks = _ranks(*_means(runs, entrant, better))
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


def friedman(runs: pd.DataFrame, entrant: str = "optimizer", better: str = "lower", seed: int = 0) -> pd.DataFrame:
    """Friedman's test of the hypothesis that all entrants are alike: one row `n_datasets, n_entrants, chi2, p, p_chi2`.

    p: from 9,999 random permutations of the ranks within data sets, which is right for any number of data sets.
    p_chi2: the approximation by the chi-squared distribution, as in textbooks.
    Raises NotGiven for fewer than 6 distinct data sets.
    """
    ranks = _enough(_ranks(*_means(runs, entrant, better))).to_numpy()
    n, k = ranks.shape
    chi2 = float(_chi2(ranks))
    shuffled = np.random.default_rng(seed).permuted(np.broadcast_to(ranks, (PERMUTATIONS, n, k)), axis=2)
    p = (1 + np.count_nonzero(_chi2(shuffled) >= chi2 - 1e-9)) / (1 + PERMUTATIONS)
    row = {
        "n_datasets": n,
        "n_entrants": k,
        "chi2": chi2,
        "p": p,
        "p_chi2": float(special.chdtrc(k - 1, chi2)),
    }
    return pd.DataFrame([row])


def critical_difference(n_entrants: int, n_datasets: int, confidence: float = 0.95) -> float:
    """Nemenyi's critical difference of average ranks (Demsar 2006, equation of section 3.2.2)."""
    # CD = q sqrt(k (k + 1) / 6 N), q the quantile of the studentised range over sqrt(2)
    k, n = n_entrants, n_datasets
    if k < 2 or n < 1:
        raise NotGiven(f"{counted(k, 'entrant')} on {counted(n, 'data set')}: needs at least 2 entrants and 1 data set")
    return _q(k, confident(confidence)) * float(np.sqrt(k * (k + 1) / (6 * n)))


@lru_cache
def _q(k: int, confidence: float) -> float:
    from scipy import stats  # takes half a second to import

    return float(stats.studentized_range.ppf(confidence, k, np.inf) / np.sqrt(2))


def rank_pairs(
    runs: pd.DataFrame, entrant: str = "optimizer", better: str = "lower", confidence: float = 0.95
) -> pd.DataFrame:
    """Compare each pair over data sets: `a, b, n, rank_a, rank_b, critical_difference, nemenyi, difference,
    difference_low, difference_high, p, p_holm, wilcoxon, note`.

    runs: as `comparable` gives them. n: the number of distinct data sets. nemenyi and wilcoxon are verdicts: the better
    entrant, or "indistinguishable". Each is named by its own test:

    - Nemenyi's says that the average ranks differ by the critical difference or more; better is the lower rank.
    - Wilcoxon's is the exact signed-rank test over data sets of the mean differences a - b of levels on shared seeds
      (for losses, log ratios), with Holm's correction over all pairs. difference: their Hodges-Lehmann middle, with the
      interval at the level at which the pair was tested, so that it leaves out 0 exactly where there is a verdict. The
      better entrant is that of the middle, and need not be the one with the lower average rank.

    note: where there are so few data sets that no values could give Wilcoxon's verdict. Raises NotGiven for fewer than
    6 data sets.
    """
    ranks = _enough(_ranks(*_means(runs, entrant, better)))
    rank, n = ranks.mean(), len(ranks)
    middles = {pair: _middle(rows) for pair, rows in differences(runs, entrant).groupby(PAIR, sort=True)}
    family = hierarchical(_family([middle.p for middle in middles.values()]), 1 - confident(confidence))
    rows = []
    for ((a, b), middle), test in zip(middles.items(), family.itertuples(), strict=True):
        low, high = middle.interval(test.level)
        ahead = a if (middle.estimate < 0) == (better == "lower") else b
        sizes = {"difference": middle.estimate, "difference_low": low, "difference_high": high}
        tested = {"p": middle.p, "p_holm": test.p_adjusted, "wilcoxon": ahead if test.rejected else SAME}
        rows.append({"a": a, "b": b, "n": middle.n, "rank_a": rank[a], "rank_b": rank[b]} | sizes | tested)
    pairs = pd.DataFrame(rows)
    cd = critical_difference(len(rank), n, confidence)
    ahead = np.where(pairs["rank_a"] <= pairs["rank_b"], pairs["a"], pairs["b"])
    apart = (pairs["rank_a"] - pairs["rank_b"]).abs() >= cd
    pairs = pairs.assign(critical_difference=cd, nemenyi=np.where(apart, ahead, SAME))
    pairs["note"] = _reach(n, len(pairs), confidence)
    first = ["a", "b", "n", "rank_a", "rank_b", "critical_difference", "nemenyi"]
    return pairs[[*first, *(name for name in pairs if name not in first)]]


def _middle(rows: pd.DataFrame) -> Middle:
    """Of the mean differences on each data set. rows: of `differences`, of one pair."""
    problems = rows.groupby(["data", "dataset", "block"])["d"].mean().groupby(["data", "dataset"]).mean()
    return Middle([problems.groupby("data").mean().to_numpy()], float(rows["resolution"].max()))


def _family(p: list[float]) -> pd.DataFrame:
    """The pairs as hypotheses that are all asked at once: Holm's procedure."""
    return pd.DataFrame({"pair": range(len(p)), "first": True, "opens": False, "p": p})


def _reach(n: int, family: int, confidence: float) -> str:
    """A note where n data sets in a family of tests cannot give a verdict; else empty."""
    least = min(1.0, smallest_p(n) * family)
    if least <= 1 - confidence + 1e-12:
        return ""
    enough = next(m for m in range(n, 60) if smallest_p(m) * family <= 1 - confidence + 1e-12)
    return f"{n} data sets in {family} comparisons: no verdict is possible; {enough} could give one"


def _means(runs: pd.DataFrame, entrant: str, better: str) -> tuple[pd.DataFrame, pd.Series]:
    """One row per distinct data set and one column per entrant, signed so that lower is better; and the resolutions."""
    require(runs, "dataset", entrant, "level", "resolution")
    sign = 1.0 if one_of("better", better, WORST) == "lower" else -1.0
    wide = sign * runs.groupby(["dataset", entrant])["level"].mean().unstack(entrant)
    if wide.shape[1] < 2:
        raise NotGiven(f"column {entrant!r}: ranking needs 2 entrants, found {list(wide.columns)}")
    data = runs["data"] if "data" in runs else runs["dataset"]
    of_problem = data.groupby(runs["dataset"]).first()
    return complete(wide, "ranks").groupby(of_problem).mean(), runs["resolution"].groupby(data).max()


def _enough(ranks: pd.DataFrame) -> pd.DataFrame:
    """`ranks`, if they are of enough data sets for a test. Raises NotGiven."""
    if len(ranks) < FEWEST:
        raise NotGiven(
            f"{counted(len(ranks), 'distinct data set')}: a test of what holds on others needs {FEWEST} or more"
        )
    return ranks


def _ranks(means: pd.DataFrame, resolution: pd.Series) -> pd.DataFrame:
    """The ranks within each data set. Neighbours that are closer than the resolution share theirs."""
    x = means.to_numpy()
    order = np.argsort(x, axis=1, kind="stable")
    apart = np.diff(np.take_along_axis(x, order, axis=1), axis=1) > resolution.loc[means.index].to_numpy()[:, None]
    places = np.zeros_like(order)
    np.put_along_axis(places, order[:, 1:], np.cumsum(apart, axis=1), axis=1)
    return pd.DataFrame(places, means.index, means.columns).rank(axis=1)


def _chi2(ranks: np.ndarray) -> np.ndarray:
    """Friedman's statistic of ranks (..., n, k), in the form that allows for ties (Conover 1999, section 5.8)."""
    # chi2 = (k - 1) sum_j (R_j - n (k + 1) / 2)^2 / (sum_ij r_ij^2 - n k (k + 1)^2 / 4)
    n, k = ranks.shape[-2:]
    between = ((ranks.sum(axis=-2) - n * (k + 1) / 2) ** 2).sum(axis=-1)
    total = (ranks**2).sum(axis=(-2, -1)) - n * k * (k + 1) ** 2 / 4
    return np.where(total > 0, (k - 1) * between / np.where(total > 0, total, 1.0), 0.0)
