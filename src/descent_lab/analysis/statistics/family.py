"""Many verdicts on one page: at which level is each tested, so that the page is wrong with at most 5 %?

The family is the whole report. Its questions are asked in order:

1. each pair of entrants over all problems, and whatever was asked for beforehand;
2. the single problems of a pair, once the pair is told apart over all problems.

At any moment a pair that is not yet told apart weighs 1, one that is told apart and still has undecided problems weighs
PROBLEMS = 1/4, which these problems share equally, and one without undecided problems weighs 0. A question asked for
beforehand weighs 1 until it is decided. Each question is tested at

    level_h = error x weight_h / sum of all weights.

After every rejection the weights are taken anew, until nothing more is rejected.

Why the family-wise error stays at `error`, whatever the dependence of the tests: let R be the set of rejected
questions. (1) The levels of the questions outside R sum to at most `error`. (2) Where R grows, no level outside R
falls: a weight outside R only rises, when the number of its undecided sisters falls or when its pair is told apart,
while the sum of all weights only falls, because 1 becomes 1/4 or 0, and 1/4 becomes 0. By (2) the first rejection
of a true hypothesis happens at a level not above the one that it has where all false hypotheses, and no others, are
rejected; by (1) these levels sum to at most `error`: the principle of sequential rejection (Goeman & Solari 2010), of
which Holm's procedure and the graphs of Bretz et al. (2009) are instances. With one problem this is Holm's procedure
over pairs; with one pair it is a test over all problems, and then Holm's over single ones. To give the single problems
the full `error` and to go on with Holm's over pairs as well would spend it twice.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.evidence import NEARLY
from descent_lab.analysis.statistics.frames import require

# The weight of the single problems of a pair that is told apart; a pair that is not told apart weighs 1. Of 0, 1/4,
# 1/2, 3/4 and 1 this gives single problems as many verdicts as any, and pairs nearly as many as 0 (tests/COVERAGE.md).
PROBLEMS = 0.25


def hierarchical(questions: pd.DataFrame, error: float = 0.05, problems: float = PROBLEMS) -> pd.DataFrame:
    """`questions` with the columns `level`, `p_adjusted` and `rejected`. problems: as PROBLEMS, above 0 and at most 1.

    questions: one row per hypothesis: `pair` (any label), `first` (whether it is asked at once), `opens` (whether its
    rejection opens the questions of its pair that are not first; for at most one row of a pair) and `p`.

    - level: where the hypothesis was tested: the level at its rejection, or at the end. 0 where it was never asked.
    - rejected: whether p <= level.
    - p_adjusted: the smallest `error` with which it would be rejected. Missing where it was never asked.
    """
    require(questions, "pair", "first", "opens", "p")
    pair = pd.factorize(questions["pair"])[0]
    first, opens = questions["first"].to_numpy(bool), questions["opens"].to_numpy(bool)
    p = questions["p"].to_numpy(float)
    rejected = np.zeros(len(p), dtype=bool)
    level, adjusted, highest = np.zeros(len(p)), np.full(len(p), np.nan), 0.0
    while not rejected.all():
        weight = _weights(pair, first, opens, rejected, problems)
        if highest <= error * NEARLY:
            level[~rejected] = error * weight[~rejected]
        ratio = np.where(rejected | (weight == 0), np.inf, p / np.where(weight > 0, weight, 1.0))
        best = int(ratio.argmin())
        if not np.isfinite(ratio[best]):
            break
        highest = max(highest, float(ratio[best]))
        adjusted[best] = min(1.0, highest)
        rejected[best] = True
    return questions.assign(
        level=level, p_adjusted=np.where(level > 0, adjusted, np.nan), rejected=adjusted <= error * NEARLY
    )


def _weights(
    pair: np.ndarray, first: np.ndarray, opens: np.ndarray, rejected: np.ndarray, problems: float
) -> np.ndarray:
    """The share of each hypothesis that is not rejected; shapes (n,)."""
    is_open = np.zeros(pair.max() + 1, dtype=bool)
    is_open[pair[opens & rejected]] = True
    later = ~first & ~rejected & is_open[pair]
    sisters = np.bincount(pair[later], minlength=len(is_open))
    weight = np.where(first & ~rejected, 1.0, 0.0)
    weight[later] = problems / sisters[pair[later]]
    return np.asarray(weight / weight.sum()) if weight.any() else weight


def reachable(smallest_p: Sequence[float], error: float = 0.05) -> np.ndarray:
    """Which hypotheses could be rejected together in a family, whatever the data: booleans, (n,).

    A hypothesis whose smallest possible p is above error / (the number of those that are no easier) can never be
    rejected. Such ones are left out of the family, the hardest first, so that they take no level from the others.
    """
    p = np.asarray(smallest_p, dtype=float)
    within = np.ones(len(p), dtype=bool)
    for hardest in np.unique(p)[::-1]:
        if hardest * (within & (p >= hardest)).sum() > error * NEARLY:
            within &= p < hardest
    return within
