"""Which of two entrants is better, by how much, how sure? One table of verdicts, in which the report is the family.

Where a pair shares several blocks of replicated tuning the units are blocks, and the evidence is the mean of D
(`means`); else the units are seeds, and it is the Hodges-Lehmann middle (`hodges_lehmann`). Over all problems the
problems are strata; variants of one data set (column `data`) are averaged first, because they are no independent
problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.anytime import AnytimeMean, AnytimeMedian
from descent_lab.analysis.statistics.blocks import PAIR, blocks, differences
from descent_lab.analysis.statistics.comparable import SCALES
from descent_lab.analysis.statistics.evidence import Evidence
from descent_lab.analysis.statistics.family import hierarchical, reachable
from descent_lab.analysis.statistics.frames import WORST, one_of
from descent_lab.analysis.statistics.hodges_lehmann import Middle, sign_p
from descent_lab.analysis.statistics.means import Mean
from descent_lab.errors import NotGiven

ALL = "all"
BETTER, SLIGHTLY, EQUAL, UNDECIDED = "better", "slightly better", "practically equal", "undecided"
MARGINS = {"log": 1.1, "linear": 0.01}  # a ratio of losses; a difference of scores
EQUALITY = 0.1  # a 90 % interval within the margin is the test of equivalence at 5 % (Schuirmann 1987)


@dataclass(frozen=True)
class Asked:
    """What is asked of the pairs.

    better: "lower" or "higher" values. scale: "log" or "linear". margin: the smallest difference that matters, a ratio
    above 1 on the log scale, a difference above 0 on the linear one; None: MARGINS.
    error: the probability of any false verdict on the page.
    judged: the one entrant that is judged, against the `baselines` (or all others, where there are none); "": all
    pairs. beforehand: problems whose verdicts do not wait for that over all problems.
    anytime: whether verdicts stay right if units are added until there is one.
    """

    better: str = "lower"
    scale: str = "log"
    margin: float | None = None
    error: float = 0.05
    judged: str = ""
    baselines: Sequence[str] = ()
    beforehand: Sequence[str] = ()
    anytime: bool = False

    def __post_init__(self) -> None:
        one_of("better", self.better, WORST)
        one_of("scale", self.scale, SCALES)
        if not 0 < self.error < 1:
            raise ValueError(f"error {self.error}: must lie between 0 and 1")
        if self.scale == "log" and self.margin is not None and self.margin <= 1:
            raise ValueError(f"margin {self.margin}: must be above 1 for ratios")
        if self.scale == "linear" and self.margin is not None and self.margin <= 0:
            raise ValueError(f"margin {self.margin}: must be above 0 for differences")

    @property
    def distance(self) -> float:
        """The margin as a difference of levels: log(margin) on the log scale."""
        margin = MARGINS[self.scale] if self.margin is None else self.margin
        return float(np.log(margin)) if self.scale == "log" else margin

    def shown(self, difference: float) -> float:
        """A difference of levels as an effect: the ratio a / b, or the difference a - b."""
        if self.scale == "linear":
            return difference
        with np.errstate(over="ignore"):
            return float(np.exp(difference))


@dataclass(frozen=True)
class Question:
    """A pair on one problem or over all. n_problems: distinct data sets. wanted: whether it may get a verdict."""

    dataset: str
    a: str
    b: str
    wanted: bool
    unit: str
    n_problems: int
    evidence: Evidence
    p_signed_ranks: float
    p_signs: float


def verdicts(runs: pd.DataFrame, entrant: str = "entrant", asked: Asked | None = None) -> pd.DataFrame:
    """One row per pair and problem, and for pairs that share several problems one for "all".

    runs: as `comparable` gives them, with one run for each dataset, block, seed and entrant: `dataset, seed, level,
    resolution`, `entrant`, and where there are such columns `block` and `data`.

    Gives `dataset, a, b, n, unit, effect, effect_low, effect_high, level, p, p_adjusted, winner, verdict, corrected,
    needed, note, n_problems, p_signed_ranks, p_signs`.

    - n: how many units, "blocks" or "seeds" (`unit`), the evidence is made of, on n_problems distinct data sets
      together.
    - effect: the ratio a / b (log scale) or the difference a - b (linear), with the interval at the confidence 1 -
      level. The interval reaches from 0 (or -inf) to inf where so few units bound nothing at this level.
    - level: that at which the pair was tested in the family of the whole table (`family`); `asked.error` where
      `corrected` is false. p_adjusted: the smallest error at which there would be a verdict; missing where not
      corrected.
    - corrected: whether the row is inside the family. Rows outside have no winner: single problems of pairs that are
      not told apart over all problems, pairs without the judged entrant, and pairs with so few units that no values
      could give a verdict, which `note` says.
    - verdict: "better" (the interval lies beyond the margin), "slightly better" (it leaves out no difference),
      "practically equal" (the 90 % interval lies within the margin) or "undecided". winner: the better entrant, or "".
    - needed: for undecided rows that may get a verdict, how many more units on each problem would find a difference as
      large as the margin with the probability 0.8; 0: there are enough, so that the difference is probably smaller.
    - p_signed_ranks, p_signs: the exact signed-rank and sign tests of the same units, beside the verdict.
    """
    asked = asked or Asked()
    questions = _questions(runs, entrant, asked)
    tested = _tested(questions, asked)
    table = pd.DataFrame([_row(*pair, asked) for pair in zip(questions, tested.itertuples(), strict=True)])
    return table.sort_values(["dataset", "a", "b"], key=lambda names: names.where(names != ALL, ""), ignore_index=True)


def _questions(runs: pd.DataFrame, entrant: str, asked: Asked) -> list[Question]:
    for name in asked.beforehand:
        one_of("beforehand", name, sorted(runs["dataset"].astype(str).unique()))
    names = sorted(runs[entrant].unique())
    wanted = _wanted(names, asked)
    others = [pair for pair in combinations(names, 2) if pair not in wanted and pair[::-1] not in wanted]
    table = differences(runs, entrant, [*wanted, *others])
    if table.empty:
        raise NotGiven(f"no two values of {entrant!r} share a problem and a seed")
    means = dict(list(blocks(table).assign(seed=0).groupby(PAIR)))
    questions = []
    for (a, b), seeds in table.groupby(PAIR, sort=False):
        replicated = len(means[a, b]) > means[a, b]["dataset"].nunique()
        unit, resolution = "blocks" if replicated else "seeds", float(seeds["resolution"].max())
        for dataset, d in _by_dataset(means[a, b] if replicated else seeds):
            d = _usable(d, unit, asked)
            if not len(d):
                continue
            evidence, parts = _evidence(d, unit, resolution, asked), _strata(d)
            beside = Middle(parts, resolution).p, sign_p(np.concatenate(parts), resolution)
            questions.append(Question(dataset, a, b, (a, b) in wanted, unit, len(parts), evidence, *beside))
    return questions


def _wanted(names: list[str], asked: Asked) -> list[tuple[str, str]]:
    """The pairs that may get a verdict, the judged entrant first."""
    for name in [asked.judged, *asked.baselines] if asked.judged else []:
        one_of("entrant", name, names)
    if not asked.judged:
        return list(combinations(names, 2))
    return [(asked.judged, name) for name in asked.baselines or names if name != asked.judged]


def _by_dataset(units: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """For "all" and for each problem: the differences of a pair, shape (n_units, n_data_sets), NaN where there is none.

    Variants of one data set are averaged over the units that all of them have.
    """
    wide = units.pivot(index=["block", "seed"], columns=["data", "dataset"], values="d")
    d, data = wide.to_numpy(), wide.columns.get_level_values("data")
    single = [(str(name), d[:, [j]]) for j, name in enumerate(wide.columns.get_level_values("dataset"))]
    if len(single) == 1:
        return single
    averaged = np.stack([d[:, data == name].mean(axis=1) for name in data.unique()], axis=1)
    together = averaged[:, ~np.isnan(averaged).all(axis=0)]
    return [(ALL, together), *single] if together.size else single


def _usable(d: np.ndarray, unit: str, asked: Asked) -> np.ndarray:
    """Without data sets of a single block, which have no variance, if others have more.

    A growing study over blocks is looked at block by block: only those count that all its data sets have.
    """
    if unit == "seeds":
        return d
    several = (~np.isnan(d)).sum(axis=0) > 1
    d = d[:, several] if several.any() else d
    return d[~np.isnan(d).any(axis=1)] if asked.anytime else d


def _strata(d: np.ndarray) -> list[np.ndarray]:
    """The differences of each data set, shapes (n_units,)."""
    return [column[~np.isnan(column)] for column in d.T]


def _evidence(d: np.ndarray, unit: str, resolution: float, asked: Asked) -> Evidence:
    if unit == "seeds":
        return AnytimeMedian(_strata(d), resolution) if asked.anytime else Middle(_strata(d), resolution)
    if asked.anytime:
        return AnytimeMean(d.mean(axis=1), resolution)
    return Mean(_strata(d), resolution)


def _tested(questions: list[Question], asked: Asked) -> pd.DataFrame:
    """One row per question: `level, p_adjusted, rejected, corrected, needed_at, note`.

    needed_at: the level for the units still needed: that of the test or, where no values can give a verdict, that of
    equal shares; missing where no verdict is to be had.
    """
    table = _hypotheses(questions, asked)
    within = table[table["reachable"]]
    family = hierarchical(within, asked.error) if len(within) else within
    table = table.join(family.reindex(columns=["level", "p_adjusted", "rejected"]).astype(float))
    corrected = table["level"] > 0
    alone = (asked.error / table["together"]).where(table["first"] & table["wanted"])
    few = table["wanted"] & ~table["reachable"]
    notes = [
        _too_few(question, together, asked.error) if impossible else ""
        for question, together, impossible in zip(questions, table["together"], few, strict=True)
    ]
    return table.assign(
        level=table["level"].where(corrected, asked.error),
        rejected=table["rejected"] == 1,
        corrected=corrected,
        needed_at=table["level"].where(corrected, alone),
        note=notes,
    )


def _hypotheses(questions: list[Question], asked: Asked) -> pd.DataFrame:
    """One row per question: what `hierarchical` needs, and `wanted, together, reachable`.

    together: how many are asked at the same time: all that are first, or the single problems of the pair.
    """
    rows = [
        (
            f"{q.a}\n{q.b}",
            q.dataset == ALL,
            q.dataset in asked.beforehand,
            q.wanted,
            q.evidence.p,
            q.evidence.smallest_p,
        )
        for q in questions
    ]
    table = pd.DataFrame(rows, columns=["pair", "opens", "beforehand", "wanted", "p", "smallest_p"])
    several = table.groupby("pair")["opens"].transform("any")
    table["first"] = table["opens"] | table["beforehand"] | ~several
    by = table["pair"].where(~table["first"], "")
    table["together"] = table["wanted"].groupby(by).transform("sum")
    wanted = table[table["wanted"]].groupby(by)["smallest_p"]
    possible = wanted.transform(lambda p: reachable(p, asked.error)).astype(bool)
    return table.assign(reachable=possible.reindex(table.index, fill_value=False))


def _too_few(question: Question, together: int, error: float) -> str:
    n, unit = question.evidence.n, question.unit
    enough = question.evidence.units_to_reach(error / together)
    return (
        f"{n} {unit if n > 1 else unit[:-1]} in {together} comparisons: no values could give a verdict; "
        f"{enough} {unit} on each problem could"
    )


def _row(question: Question, test: Any, asked: Asked) -> dict[str, object]:
    evidence = question.evidence
    low, high = evidence.interval(test.level)
    verdict = _verdict(evidence, low, high, test.rejected, asked.distance)
    a_ahead = (evidence.estimate < 0) == (asked.better == "lower")
    decided = verdict in (BETTER, SLIGHTLY)
    undecided = verdict == UNDECIDED and np.isfinite(test.needed_at)
    return {
        "dataset": question.dataset,
        "a": question.a,
        "b": question.b,
        "n": evidence.n,
        "unit": question.unit,
        "effect": asked.shown(evidence.estimate),
        "effect_low": asked.shown(low),
        "effect_high": asked.shown(high),
        "level": test.level,
        "p": evidence.p,
        "p_adjusted": test.p_adjusted,
        "winner": (question.a if a_ahead else question.b) if decided else "",
        "verdict": verdict,
        "corrected": test.corrected,
        "needed": evidence.further_units(test.needed_at, asked.distance) if undecided else np.nan,
        "note": test.note,
        "n_problems": question.n_problems,
        "p_signed_ranks": question.p_signed_ranks,
        "p_signs": question.p_signs,
    }


def _verdict(evidence: Evidence, low: float, high: float, rejected: bool, distance: float) -> str:
    if rejected:
        return BETTER if low > distance or high < -distance else SLIGHTLY
    low, high = evidence.interval(EQUALITY)
    return EQUAL if -distance <= low and high <= distance else UNDECIDED
