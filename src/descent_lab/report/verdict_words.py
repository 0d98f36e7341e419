"""The words for verdicts. They are made from the table of verdicts alone, here and nowhere else.

No sentence says that an entrant is better, unless a row of the table does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.measure import Measure
from descent_lab.analysis.statistics.verdicts import BETTER, EQUAL, SLIGHTLY, UNDECIDED, Asked
from descent_lab.report.words import interval, listed, number, p_value
from descent_lab.wording import counted

ONE_BLOCK = "At the settings chosen; the variance of tuning is not included"
AS_GIVEN = "At the settings given; nothing was tuned"
P_FLOOR = 1e-4
NO_DIFFERENCE = 1.0  # as a ratio; 0, as a difference, is no number that others are rounded onto
MANY = 1000  # further seeds that nobody runs: their number is not told


@dataclass(frozen=True)
class Wording:
    """What the words need beside the table. tuned: whether settings were chosen."""

    measure: Measure
    asked: Asked
    tuned: bool

    @property
    def margin(self) -> str:
        """The margin, as a ratio of losses or a difference of scores."""
        distance = self.asked.distance
        return number(float(np.exp(distance)) if self.measure.scale == "log" else distance)

    @property
    def margin_as_share(self) -> str:
        """The margin in words: `10 %` for a ratio of 1.1, or `0.01`."""
        return f"{100 * np.expm1(self.asked.distance):.3g} %" if self.measure.scale == "log" else self.margin


def headline(rows: pd.DataFrame, wording: Wording) -> str:
    """One or more sentences for the pairs of one problem, or of all problems together."""
    if rows.empty:
        return "There is nothing to compare."
    told = " ".join(_sentence(rows))
    return f"{condition(rows, wording)}{told}"


def condition(rows: pd.DataFrame, wording: Wording) -> str:
    """What a verdict over the seeds of one block leaves out; empty for replicated tuning."""
    if (rows["unit"] == "blocks").any():
        return ""
    return f"{ONE_BLOCK if wording.tuned else AS_GIVEN}: "


def _sentence(rows: pd.DataFrame) -> Iterator[str]:
    entrants = sorted(set(rows["a"]) | set(rows["b"]))
    decided = rows[rows["winner"] != ""]
    for winner, mine in decided.groupby("winner", sort=True):
        losers = {verdict: _others(part, str(winner)) for verdict, part in mine.groupby("verdict", sort=True)}
        if len(mine) == len(entrants) - 1 and len(entrants) > 2:
            words = BETTER if set(losers) == {BETTER} else f"{BETTER} or {SLIGHTLY}"
            words = SLIGHTLY if set(losers) == {SLIGHTLY} else words
            yield f"{winner} is {words} than every other."
        else:
            yield f"{winner} is {' and '.join(f'{v} than {listed(names)}' for v, names in losers.items())}."
    left = rows[rows["winner"] == ""]
    equal, undecided = (left[left["verdict"] == verdict] for verdict in (EQUAL, UNDECIDED))
    if len(decided):
        return
    if len(equal) == len(rows):
        yield f"{listed(entrants)} are practically equal."
    elif not rows["corrected"].any() and len(undecided) == len(rows):
        yield f"Not tested: {listed(entrants)} are not told apart over all problems."
    elif len(undecided) == len(rows):
        yield f"Undecided: these runs do not tell {listed(entrants)} apart."
    else:
        yield (
            f"No entrant is shown to be better than another: {counted(len(equal), 'pair')} practically equal, "
            f"{len(undecided)} undecided."
        )


def _others(rows: pd.DataFrame, name: str) -> list[str]:
    return sorted(row.b if row.a == name else row.a for row in rows.itertuples())


def details(rows: pd.DataFrame, wording: Wording) -> list[str]:
    """A line for each decided pair with its evidence, one for those practically equal and one for those undecided."""
    lines = [_decided(row, wording) for row in rows[rows["winner"] != ""].itertuples()]
    what = "ratio" if wording.measure.scale == "log" else "difference"
    equal = [
        f"{row.a} and {row.b} ({what} {number(row.effect)})" for row in rows[rows["verdict"] == EQUAL].itertuples()
    ]
    if equal:
        within = f"the 90 % interval lies within {wording.margin_as_share}"
        lines.append(f"Practically equal, as {within}: {'; '.join(equal)}.")
    return lines + list(_undecided(rows[rows["verdict"] == UNDECIDED], wording))


def _decided(row: Any, wording: Wording) -> str:
    loser = row.b if row.winner == row.a else row.a
    return f"{row.winner} is {row.verdict} than {loser}: {_effect(row, wording)}, {evidence(row)}."


def evidence(row: Any) -> str:
    """How sure a verdict is, in words: the units and the corrected p."""
    p = row.p_adjusted if row.corrected else row.p
    said = "" if row.corrected else " (not corrected)"
    return f"over {counted(int(row.n), row.unit.removesuffix('s'))}, p {p_value(p, P_FLOOR)}{said}"


def _effect(row: Any, wording: Wording) -> str:
    """The effect in the direction of the winner, such as `final training loss 1.4 [1.2, 1.7] times lower`."""
    effect, low, high = row.effect, row.effect_low, row.effect_high
    lower = wording.measure.better == "lower"
    if wording.measure.scale == "log":
        with np.errstate(divide="ignore"):
            times, least, most = (1 / effect, 1 / high, 1 / low) if row.winner == row.a else (effect, low, high)
        return f"{wording.measure.label} {interval(times, least, most, '∞', NO_DIFFERENCE)} times lower"
    sign = (-1 if lower else 1) * (1 if row.winner == row.a else -1)
    least, most = sorted((sign * low, sign * high))
    return f"{wording.measure.label} {'lower' if lower else 'higher'} by {interval(sign * effect, least, most, '∞')}"


def _ratio(row: Any, wording: Wording) -> str:
    """The effect of a pair without a winner: a ratio or a difference, with its interval where there is one."""
    what = "ratio" if wording.measure.scale == "log" else "difference"
    bounded = np.isfinite(row.effect_high) and (row.effect_low > 0 or wording.measure.scale == "linear")
    low, high = (row.effect_low, row.effect_high) if bounded else (np.nan, np.nan)
    neutral = NO_DIFFERENCE if wording.measure.scale == "log" else None
    return f"{what} {interval(row.effect, low, high, neutral=neutral)}"


def _undecided(rows: pd.DataFrame, wording: Wording) -> Iterator[str]:
    """Undecided pairs, with what it would take to decide them, and why some have no verdict whatever their values."""
    tested = rows[(rows["note"] == "") & rows["corrected"]]
    pairs = [f"{row.a} and {row.b} ({_ratio(row, wording)}{_needed(row)})" for row in tested.itertuples()]
    if pairs:
        units, listed_pairs = tested["unit"].iloc[0], "; ".join(pairs)
        yield f"Undecided, with the further {units} that would tell {wording.margin_as_share} apart: {listed_pairs}."
    outside = rows[(rows["note"] == "") & ~rows["corrected"]]
    if len(outside):
        pairs = [f"{row.a} and {row.b} ({_ratio(row, wording)})" for row in outside.itertuples()]
        yield f"Not tested, with 95 % intervals that are not corrected: {'; '.join(pairs)}."
    for note, same in rows[rows["note"] != ""].groupby("note", sort=True):
        names = "; ".join(f"{row.a} and {row.b} ({_ratio(row, wording)})" for row in same.itertuples())
        yield f"No verdict: {names}; {note}."


def _needed(row: Any) -> str:
    """Further units that would tell the margin apart; 0 where there are enough, so that the difference is smaller."""
    if not row.corrected or np.isnan(row.needed):
        return ""
    if row.needed == 0:
        return "; there are enough, so the difference is probably smaller"
    return f"; about {row.needed:.0f}" if row.needed < MANY else f"; {MANY} or more"
