"""Which of two entrants is better, by how much, how sure? From pairs of runs on the same data set and seed."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import confident, levels, once, require
from descent_lab.analysis.statistics.intervals import Interval, pooled_median_interval, wilson_interval
from descent_lab.analysis.statistics.signed_ranks import (
    difference,
    rank_biserial,
    signed_rank_p,
    signed_ranks,
    smallest_p,
)
from descent_lab.errors import NotGiven

SAME = "indistinguishable"
ALL = "all"
Pair = tuple[Any, Any]  # two entrants


def pairwise(
    runs: pd.DataFrame,
    value: str,
    entrant: str = "optimizer",
    better: str = "lower",
    scale: str = "log",
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every pair of entrants a, b: one row per data set and, with several data sets, one for "all".

    Gives `dataset, a, b, n, ties, improvement, improvement_low, improvement_high, effect, effect_low, effect_high,
    rank_biserial, p, p_holm, verdict, note`.

    runs: columns `dataset, seed`, `entrant` and `value`, with one run for each (choose the lr of each entrant first).

    - n: the number of seeds that both entrants have. Only these are compared.
    - improvement: how often a is better than b on the same seed, where a tie counts one half, with Wilson's interval;
      on "all", the mean over data sets.
    - effect: the median of the paired ratios a / b (`scale="log"`, for positive values) or differences a - b
      ("linear"), with an order-statistic interval; on "all", with 10 seeds or more, with a stratified bootstrap. A
      diverged run is infinitely bad, and two diverged runs tie.
    - rank_biserial: positive where a is better, 1 where a is better on every seed.
    - p: of the exact Wilcoxon signed-rank test; on "all" the test is stratified by data set. It is about new seeds on
      these same data sets; for new data sets see `rank_pairs`. p_holm: Holm's correction over all pairs of a data set.
    - verdict: the better entrant where p_holm <= 1 - confidence, else "indistinguishable".
    - note: says where there are so few pairs that no values could give a verdict.
    """
    require(runs, "dataset", "seed", entrant, value)
    confident(confidence)
    differences = _differences(runs, value, entrant, better, scale)
    sign = -1.0 if better == "lower" else 1.0
    rows = []
    for (a, b), by_dataset in differences.items():
        strata = dict(by_dataset) | ({ALL: None} if len(by_dataset) > 1 else {})
        for dataset, d in strata.items():
            parts = list(by_dataset.values()) if d is None else [d]
            rows.append({"dataset": dataset, "a": a, "b": b} | _compared(parts, sign, scale, confidence, seed))
    return _judged(pd.DataFrame(rows), confidence).sort_values(["dataset", "a", "b"], ignore_index=True)


def _differences(
    runs: pd.DataFrame, value: str, entrant: str, better: str, scale: str
) -> dict[Pair, dict[object, np.ndarray]]:
    """For each pair (a, b) and data set: a - b on the seeds of both, sorted; zero where both diverged."""
    single = once(runs, ["dataset", "seed", entrant])
    wide = single.assign(level=levels(runs, value, better, scale)).pivot(
        index=["dataset", "seed"], columns=entrant, values="level"
    )
    if wide.shape[1] < 2:
        raise NotGiven(f"column {entrant!r}: a comparison needs 2 entrants, found {list(wide.columns)}")
    tables = {dataset: part.to_numpy() for dataset, part in wide.groupby(level="dataset")}
    differences = {
        (wide.columns[i], wide.columns[j]): _by_dataset(tables, i, j) for i, j in combinations(range(wide.shape[1]), 2)
    }
    if lonely := [pair for pair, by_dataset in differences.items() if not by_dataset]:
        raise NotGiven(f"{lonely[0][0]} and {lonely[0][1]} share no data set and seed")
    return differences


def _by_dataset(tables: dict[object, np.ndarray], i: int, j: int) -> dict[object, np.ndarray]:
    differences = {dataset: difference(table[:, i], table[:, j]) for dataset, table in tables.items()}
    shared = {dataset: np.sort(d[~np.isnan(d)]) for dataset, d in differences.items()}
    return {dataset: d for dataset, d in shared.items() if len(d)}


def _compared(parts: list[np.ndarray], sign: float, scale: str, confidence: float, seed: int) -> dict[str, object]:
    ranks = sign * np.concatenate([signed_ranks(d) for d in parts])
    effect = _effect(parts, scale, confidence, seed)
    return {
        "n": sum(map(len, parts)),
        "ties": sum(int((d == 0).sum()) for d in parts),
        **_limits("improvement", _improvement(parts, sign, confidence)),
        **_limits("effect", effect),
        "rank_biserial": rank_biserial(ranks),
        "p": signed_rank_p(ranks),
    }


def _limits(name: str, interval: Interval) -> dict[str, float]:
    return {name: float(interval.estimate), f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _improvement(parts: list[np.ndarray], sign: float, confidence: float) -> Interval:
    """The mean over data sets of the share of wins. n is chosen to give the variance of that mean for equal shares."""
    # share = mean_d share_d;  n = D^2 / sum_d 1 / n_d
    shares = [np.mean((sign * d > 0) + 0.5 * (d == 0)) for d in parts]
    n = len(parts) ** 2 / sum(1 / len(d) for d in parts)
    return wilson_interval(np.mean(shares), np.asarray(n), confidence)


def _effect(parts: list[np.ndarray], scale: str, confidence: float, seed: int) -> Interval:
    interval = pooled_median_interval(parts, confidence, seed)
    return Interval(*(np.exp(limit) for limit in interval)) if scale == "log" else interval


def _judged(pairs: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """`pairs` with Holm's p, the verdict and the note. Each data set is a family of tests of its own."""
    pairs["p_holm"] = pairs.groupby("dataset")["p"].transform(lambda p: holm(p.to_numpy()))
    winner = np.where(pairs["rank_biserial"] > 0, pairs["a"], pairs["b"])
    pairs["verdict"] = np.where(pairs["p_holm"] <= 1 - confidence, winner, SAME)
    family = pairs.groupby("dataset")["p"].transform("size")
    pairs["note"] = [_no_verdict(n, m, confidence) for n, m in zip(pairs["n"], family, strict=True)]
    return pairs


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down p values (1979), which keep the family-wise error at the level of the test."""
    # p_(i) -> max_{j <= i} min(1, (m - j + 1) p_(j)), in ascending order
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(p), 0, -1) * p[order]))
    return adjusted


def _no_verdict(n: int, family: int, confidence: float) -> str:
    """A note where n pairs in a family of tests cannot give a verdict; else empty."""
    least = min(1.0, smallest_p(n) * family)
    if least <= 1 - confidence + 1e-12:
        return ""
    return f"{n} pairs in {family} comparisons: p_holm cannot be below {least:.2g}, so no verdict is possible"


def indistinguishable(pairs: pd.DataFrame, verdict: str = "verdict") -> pd.DataFrame:
    """The largest groups of entrants that `pairs` (columns `a, b`, verdict) cannot tell apart: `group, entrant`.

    Every pair of a group has the verdict "indistinguishable", and no other entrant could be added to the group. An
    entrant may be in several groups; one that is told apart from all others is in none.
    """
    require(pairs, "a", "b", verdict)
    entrants = sorted(set(pairs["a"]) | set(pairs["b"]))
    near: dict[Any, set[Any]] = {name: set() for name in entrants}
    for a, b, decided in pairs[["a", "b", verdict]].itertuples(index=False):
        if decided == SAME:
            near[a].add(b)
            near[b].add(a)
    groups = sorted(sorted(group) for group in _cliques(set(), set(entrants), set(), near) if len(group) > 1)
    rows = [(number, name) for number, group in enumerate(groups) for name in group]
    return pd.DataFrame(rows, columns=["group", "entrant"])


def _cliques(group: set[Any], candidates: set[Any], excluded: set[Any], near: dict[Any, set[Any]]) -> list[set[Any]]:
    """All maximal cliques that contain `group`, some of the candidates and none of the excluded.

    The algorithm of Bron & Kerbosch (1973). near: the neighbours of each name.
    """
    if not candidates and not excluded:
        return [group]
    cliques = []
    for name in sorted(candidates):
        cliques += _cliques(group | {name}, candidates & near[name], excluded & near[name], near)
        candidates, excluded = candidates - {name}, excluded | {name}
    return cliques
