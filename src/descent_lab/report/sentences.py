"""The summary in plain sentences: who wins where, by how much, and how sure that is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.agreement import FIRST, TOLERANCE
from descent_lab.report.numbers import Numbers

SAME = "indistinguishable"


@dataclass(frozen=True)
class Finding:
    """What is said about one problem."""

    problem: str
    headline: str
    details: list[str]


def number(x: float, infinite: str = "diverged") -> str:
    """Three digits."""
    if x is None or np.isnan(x):
        return "–"
    if np.isinf(x):
        return infinite
    return f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"


def interval(estimate: float, low: float, high: float, infinite: str = "diverged") -> str:
    """estimate [low, high]; without limits where there are none."""
    if np.isnan(low) or np.isnan(high):
        return number(estimate, infinite)
    return f"{number(estimate, infinite)} [{number(low, '∞')}, {number(high, '∞')}]"


def listed(names: list[str]) -> str:
    """a, b and c"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def findings(found: Numbers) -> list[Finding]:
    """One for each problem."""
    pairs = found.table("pairs")
    results = found.table("results")
    said = []
    for problem, rows in results.groupby("dataset", sort=True):
        here = pairs[pairs["dataset"] == problem] if len(pairs) else pairs
        said.append(_finding(str(problem), rows, here))
    return said


def _finding(problem: str, rows: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    best = rows.iloc[0]  # sorted by loss
    if not np.isfinite(best["loss"]):
        return Finding(problem, "Half the runs or more diverged, whatever competed: there is no winner.", [])
    value = interval(best["loss"], best["loss_low"], best["loss_high"])
    seeds = f"{best['seeds']} seed{'s' if best['seeds'] > 1 else ''}"
    ends = f"{best['entrant']} (lr {best['lr']:g}) ends lowest: median training loss {value} over {seeds}."
    if len(rows) == 1:
        return Finding(problem, ends.replace("ends lowest", "alone was run"), ["There is nothing to compare it with."])
    beaten, alike, silent = _against(best["entrant"], pairs)
    return Finding(problem, _verdict(best["entrant"], len(rows), beaten, alike) + ends, _details(beaten, alike, silent))


def _against(best: str, pairs: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """Entrants that the best beats, with the evidence; those like it; and why some pairs say nothing."""
    beaten, alike, silent = [], [], []
    mine = pairs[(pairs["a"] == best) | (pairs["b"] == best)] if len(pairs) else pairs
    for row in mine.itertuples():
        other = row.b if row.a == best else row.a
        if row.verdict == best:
            beaten.append(f"{other}: {_margin(row, best)}")
        elif row.verdict == SAME:
            alike.append(other)
            silent += [row.note] if row.note else []
    return beaten, alike, silent


def _margin(row, best: str) -> str:
    mine = row.improvement if row.a == best else 1 - row.improvement
    sure = f"lower from {mine:.0%} of {row.n} shared starts, p = {row.p_holm:.2g}"
    effect = np.array([row.effect, row.effect_low, row.effect_high])
    if row.scale == "linear":
        gap = np.sort(np.abs(effect[1:]))
        return f"lower by {abs(effect[0]):.3g} [{gap[0]:.3g}, {gap[1]:.3g}], {sure}"
    with np.errstate(divide="ignore"):
        times, low, high = 1 / effect[[0, 2, 1]] if row.a == best else effect
    return f"{interval(times, low, high, '∞')} times lower, {sure}"


def _verdict(best: str, n: int, beaten: list[str], alike: list[str]) -> str:
    if len(beaten) == n - 1:
        return f"{best} wins against every other. "
    if not beaten:
        return "No winner: the data cannot tell the leaders apart. "
    return f"{best} leads, together with {listed(alike)}. " if alike else f"{best} leads. "


def _details(beaten: list[str], alike: list[str], silent: list[str]) -> list[str]:
    said = [f"Better than {line}." for line in beaten]
    if alike:
        said.append(f"Indistinguishable from {listed(alike)}.")
    if silent:
        said.append(f"More seeds are needed: {silent[0]}.")
    return said


def overall(found: Numbers) -> list[str]:
    """Over the problems that all the ranked entrants share; and whether backends agree."""
    return _ranked(found) + _agreeing(found.table("agreement"))


def _agreeing(table: pd.DataFrame) -> list[str]:
    """Backends that are the same trajectory, and those that are not."""
    said = []
    for against, rows in table.groupby("against", sort=True) if len(table) else ():
        same = rows.groupby("backend", sort=True).filter(lambda of_one: (of_one["first"] <= TOLERANCE).all())
        if len(same):
            most = f"{same['first'].max():.0e} (relative) over the first {FIRST} steps"
            said.append(f"{listed(sorted(set(same['backend'])))} and {against}: training losses agree to {most}.")
        for row in rows[rows["first"] > TOLERANCE].itertuples():
            where = f"{row.dataset}, {row.rule}: from step {row.parts_at:.0f}, by {row.first:.0e} (relative)"
            said.append(f"{row.backend} leaves the trajectory of {against} on {where} in the first {FIRST} steps.")
    return said


def _ranked(found: Numbers) -> list[str]:
    ranks, pairs = found.table("ranks"), found.table("rank_pairs")
    if ranks.empty or pairs.empty:
        return []
    n = ranks["n_datasets"].iloc[0]
    order = listed([f"{row.entrant} ({row.rank:.2f})" for row in ranks.itertuples()])
    said = [f"Average ranks over {n} problems that all of these ran on: {order}; 1 is best."]
    apart = [f"{row.wilcoxon} over {_loser(row)}" for row in pairs.itertuples() if row.wilcoxon != SAME]
    if apart:
        said.append(f"To be expected on further data sets like these: {listed(apart)}.")
    else:
        said.append(f"On further data sets like these nobody is sure to lead: {n} problems cannot tell them apart.")
    every = found.table("pairs")
    every = every[(every["dataset"] == "all") & (every["verdict"] != SAME)]
    if len(every):
        wins = [f"{row.verdict} over {row.b if row.verdict == row.a else row.a}" for row in every.itertuples()]
        said.append(f"On these very problems, with further seeds: {listed(wins)}.")
    return said


def _loser(row) -> str:
    return row.b if row.wilcoxon == row.a else row.a
