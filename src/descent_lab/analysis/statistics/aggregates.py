"""How good is each entrant over many problems, in one number with its uncertainty? (Agarwal et al. 2021)

The runs are those of `comparable`, so that every run has a finite level. Every statistic comes with two intervals, by a
bootstrap that keeps the problems apart (stratified):

- "these problems": other seeds (blocks, where settings were tuned in blocks) on these very problems;
- "problems like these": other data sets as well. Data sets are drawn first, with all problems that they make, and then
  the seeds on each. Fewer than 6 distinct data sets give no such interval.

Every data set counts the same, and so does every problem of one data set. The definitions are those of rliable, but for
three things: the interquartile mean cuts a fraction of a run where a quarter of them is not a whole number, entrants
share the draws of their seeds because these are paired, and n - 1 of n seeds are drawn (see `resampling`).
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import WORST, complete, confident, one_of, require
from descent_lab.analysis.statistics.ranks import FEWEST
from descent_lab.analysis.statistics.resampling import RESAMPLES, drawn, few, limits
from descent_lab.errors import NotGiven
from descent_lab.wording import counted

THESE, LIKE_THESE = "these problems", "problems like these"
ONE_SIDED = {"low": np.nan, "high": np.nan, "note": "all runs of one are better: a bootstrap gives no interval"}
DRAWN = ("dataset", "data", "block", "seed")  # what a bootstrap needs of runs, beside the entrant and a value
MOST = 2.0  # the highest score: twice the way of the reference, on the scale of the levels


def scores(
    runs: pd.DataFrame, reference: str, entrant: str = "optimizer", better: str = "lower", scale: str = "log"
) -> pd.DataFrame:
    """`runs` with the column `score`: 0 for a run that ends where it starts, 1 for the way of the reference.

    score = clip(log(L_0 / L) / log(L_0 / L_ref), 0, 2) for losses, where L_0 is the start of the run, and the
    denominator the mean over the runs of the reference on that problem. A diverged run has 0. On the linear scale
    differences take the place of logarithms of ratios.

    runs: of `comparable`, with columns `start` and `level`. Problems on which the reference does not get ahead of its
    start are left out (see `left_behind`). Raises NotGiven if none remains.
    """
    way, unit = _ways(runs, reference, entrant, better, scale)
    kept = runs["dataset"].isin(unit.index[unit > 0])
    if not kept.any():
        raise NotGiven(f"the reference {reference} gets ahead of its start on no problem, so there is no score")
    share = way[kept] / runs.loc[kept, "dataset"].map(unit)
    return runs[kept].assign(score=share.clip(0.0, MOST))


def left_behind(
    runs: pd.DataFrame, reference: str, entrant: str = "optimizer", better: str = "lower", scale: str = "log"
) -> list[str]:
    """The problems that `scores` leaves out: the reference does not get ahead of its start there, or has no run."""
    _, unit = _ways(runs, reference, entrant, better, scale)
    return sorted(set(runs["dataset"]) - set(unit.index[unit > 0]))


def _ways(runs: pd.DataFrame, reference: str, entrant: str, better: str, scale: str) -> tuple[pd.Series, pd.Series]:
    """How far each run gets from its start, in levels, and how far the reference gets on each problem, on average."""
    require(runs, "dataset", entrant, "start", "level")
    one_of("reference", reference, sorted(runs[entrant].unique()))
    one_of("better", better, WORST)
    start = runs["start"].astype(float).where(np.isfinite(runs["start"].astype(float)))
    start = start.fillna(start.groupby(runs["dataset"]).transform("median"))
    way = (np.log(start) if scale == "log" else start) - runs["level"]
    way = way if better == "lower" else -way
    return way, way[runs[entrant] == reference].groupby(runs["dataset"]).mean()


def aggregates(
    scored: pd.DataFrame, entrant: str = "optimizer", confidence: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Each entrant over all problems: `over, <entrant>, statistic, n_problems, n_datasets, estimate, low, high, note`.

    scored: of `scores`, with runs of every entrant on every problem.
    statistic: `iqm`, the interquartile mean of the scores of all runs; `optimality_gap`, by how much the scores fall
    short of 1 on average, where more than 1 counts as 1 (lower is better).
    over: THESE or LIKE_THESE. note: why there is no interval, or why it is too narrow; else empty.
    """
    require(scored, "dataset", "seed", entrant, "score")
    complete(scored.groupby(["dataset", entrant])["score"].size().unstack(entrant), "aggregates")
    drawing = _Drawing(scored[[name for name in (*DRAWN, entrant, "score") if name in scored]], entrant, seed)
    rows = []
    for name in drawing.entrants:
        x = drawing.rows_of(name)["score"].to_numpy(dtype=float)
        order = np.argsort(x, kind="stable")
        for over, weights in drawing.weights(name):
            for statistic, of_draws in (
                ("iqm", _iqm(x[order], weights[:, order])),
                ("optimality_gap", _gap(x, weights)),
            ):
                row = {"over": over, entrant: name, "statistic": statistic}
                rows.append(row | drawing.interval(over, of_draws, confidence))
    return pd.DataFrame(rows).sort_values(["over", "statistic", entrant], ignore_index=True)


def probability_better(
    runs: pd.DataFrame,
    entrant: str = "optimizer",
    better: str = "lower",
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """P(a run of a is better than a run of b), over problems: `over, a, b, n_problems, n_datasets, estimate, low, high,
    note`, for each pair of entrants.

    runs: of `comparable`. On each problem it is the share of all pairs of runs, whatever their seeds, where a tie
    counts one half (the Mann-Whitney statistic); levels that differ by less than their `resolution` tie. Problems on
    which a pair does not have runs of both are left out.
    """
    require(runs, "dataset", "seed", entrant, "level")
    sign = 1.0 if one_of("better", better, WORST) == "lower" else -1.0
    signed = runs[[name for name in (*DRAWN, entrant, "resolution") if name in runs]].assign(level=sign * runs["level"])
    names = sorted(signed[entrant].unique())
    if len(names) < 2:
        raise NotGiven(f"column {entrant!r}: a comparison needs 2 entrants, found {names}")
    rows = []
    for a, b in combinations(names, 2):
        both = signed[signed[entrant].isin([a, b])]
        shared = both.groupby("dataset")[entrant].transform("nunique") == 2
        if not shared.any():
            continue
        drawing = _Drawing(both[shared], entrant, seed)
        for over, of_draws in drawing.shares(a, b):
            row = {"over": over, "a": a, "b": b} | drawing.interval(over, of_draws, confidence)
            rows.append(row | ({} if 1e-9 < of_draws[0] < 1 - 1e-9 else ONE_SIDED))
    if not rows:
        raise NotGiven("no two entrants have runs on the same problem")
    return pd.DataFrame(rows).sort_values(["over", "a", "b"], ignore_index=True)


class _Drawing:
    """The draws of a bootstrap. The first row of all weights is the estimate itself: every run once."""

    def __init__(self, runs: pd.DataFrame, entrant: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.runs = runs.sort_values(["dataset", entrant, "seed"], kind="stable").reset_index(drop=True)
        self.entrant = entrant
        self.entrants = sorted(runs[entrant].unique())
        self.problems = sorted(runs["dataset"].unique())
        data = (
            self.runs.groupby("dataset")["data"].first() if "data" in runs else pd.Series(self.problems, self.problems)
        )
        self.data = data.loc[self.problems].to_numpy()
        self.seeds = {
            problem: np.vstack([np.ones(len(rows)), drawn(rows, entrant, rng)])
            for problem, rows in self.runs.groupby("dataset", sort=True)
        }
        self.shares_of_problems = {THESE: self._shares(None), LIKE_THESE: self._shares(rng)}
        self.note = few(runs, ["dataset", entrant])

    def _shares(self, rng: np.random.Generator | None) -> np.ndarray:
        """The weight of each problem in each draw, (RESAMPLES + 1, n_problems); each data set has the same in all."""
        names, position, problems = np.unique(self.data, return_inverse=True, return_counts=True)
        counts = np.ones((RESAMPLES + 1, len(names)))
        if rng is not None and len(names) > 1:
            counts[1:] = rng.multinomial(len(names) - 1, np.full(len(names), 1 / len(names)), size=RESAMPLES)
        shares: np.ndarray = (counts / problems / counts.sum(axis=1, keepdims=True))[:, position]
        return shares

    def rows_of(self, name: str, problem: str | None = None) -> pd.DataFrame:
        chosen = self.runs[self.entrant] == name
        return self.runs[chosen if problem is None else chosen & (self.runs["dataset"] == problem)]

    def within(self, name: str, problem: str) -> np.ndarray:
        """The weights of the runs of an entrant on a problem, (RESAMPLES + 1, n_runs), which add up to 1."""
        mine = (self.runs.loc[self.runs["dataset"] == problem, self.entrant] == name).to_numpy()
        weights = self.seeds[problem][:, mine]
        shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def weights(self, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """The weights of all runs of an entrant, in the order of its rows, which add up to 1."""
        within = [self.within(name, problem) for problem in self.problems]
        for over, shares in self.shares_of_problems.items():
            yield over, np.hstack([part * shares[:, [i]] for i, part in enumerate(within)])

    def shares(self, a: str, b: str) -> Iterator[tuple[str, np.ndarray]]:
        """P(a is lower than b) in each draw."""
        columns = []
        for problem in self.problems:
            x, y = (self.rows_of(name, problem) for name in (a, b))
            resolution = max(frame["resolution"].max() if "resolution" in frame else 0.0 for frame in (x, y))
            gap = x["level"].to_numpy()[:, None] - y["level"].to_numpy()[None, :]
            wins = np.where(np.abs(gap) <= resolution, 0.5, gap < 0)
            share = ((self.within(a, problem) @ wins) * self.within(b, problem)).sum(axis=1)
            columns.append(np.clip(share, 0.0, 1.0))
        for over, shares in self.shares_of_problems.items():
            yield over, (np.column_stack(columns) * shares).sum(axis=1)

    def interval(self, over: str, of_draws: np.ndarray, confidence: float) -> dict[str, object]:
        """The columns of a statistic with these values: of the estimate, and of each draw."""
        n = len(set(self.data))
        note = self.note
        if over == LIKE_THESE and n < FEWEST:
            note = f"{counted(n, 'distinct data set')}: {FEWEST} or more are needed to speak of others"
        estimate = float(of_draws[0])
        low, high = (float(limit) for limit in limits(of_draws[1:], confident(confidence)))
        if note.endswith("no interval") or (over == LIKE_THESE and n < FEWEST):
            low = high = np.nan
        counts = {"n_problems": len(self.problems), "n_datasets": n}
        return counts | {"estimate": estimate, "low": low, "high": high, "note": note}


def _iqm(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of sorted x (n,) between the quartiles, for each row of weights (n_draws, n), which add up to 1."""
    upper = np.cumsum(weights, axis=1)
    inside = np.clip(np.minimum(upper, 0.75) - np.maximum(upper - weights, 0.25), 0.0, None)
    return np.asarray((inside @ x) / inside.sum(axis=1))


def _gap(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 - weights @ np.minimum(x, 1.0))
