"""The summary in plain sentences: who wins where, by how much, and how sure that is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.report.blocks import Block, Card, Heading, Lines, Words
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section
from descent_lab.report.sections import agreement, ledger, ranks
from descent_lab.report.words import interval, listed

SAME = ranks.SAME


def verdicts(report: Report) -> list[Card]:
    """One card for each problem, with the verdict on it."""
    pairs, results = report.table("pairs"), report.table("results")
    cards = []
    for problem, rows in results.groupby("dataset", sort=True):
        here = pairs[pairs["dataset"] == problem] if len(pairs) else pairs
        cards.append(_verdict_on(str(problem), rows, here))
    return cards


def _verdict_on(problem: str, rows: pd.DataFrame, pairs: pd.DataFrame) -> Card:
    best = rows.iloc[0]  # sorted by loss
    if not np.isfinite(best["loss"]):
        return Card(problem, "Half the runs or more diverged, whatever competed: there is no winner.")
    value = interval(best["loss"], best["loss_low"], best["loss_high"])
    seeds = f"{best['seeds']} seed{'s' if best['seeds'] > 1 else ''}"
    ends = f"{best['entrant']} (lr {best['lr']:g}) ends lowest: median training loss {value} over {seeds}."
    if len(rows) == 1:
        return Card(problem, ends.replace("ends lowest", "alone was run"), ["There is nothing to compare it with."])
    beaten, alike, silent = _against(best["entrant"], pairs)
    return Card(problem, _verdict(best["entrant"], len(rows), beaten, alike) + ends, _details(beaten, alike, silent))


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


def _margin(row: Any, best: str) -> str:
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
    lines = [f"Better than {line}." for line in beaten]
    if alike:
        lines.append(f"Indistinguishable from {listed(alike)}.")
    if silent:
        lines.append(f"More seeds are needed: {silent[0]}.")
    return lines


def content(report: Report) -> Iterator[Block]:
    """A card for each problem, what holds over all, and cautions."""
    yield from verdicts(report)
    overall = [*ranks.in_words(report), *agreement.in_words(report.table("agreement"))]
    if overall:
        yield Heading("Over all problems")
        yield Lines(overall)
    yield Words(
        "Verdicts: paired over seeds (same start, same batches), exact Wilcoxon signed-rank test, Holm's correction "
        "over all pairs of a problem, at 95 %. Intervals are 95 % intervals of the median. Training loss is that of "
        "the whole training set at the last step."
    )
    cautions = [*report.notes, *ledger.in_words(report.table("warnings"))]
    if cautions:
        yield Heading("Cautions")
        yield Lines(cautions, "cautions")


SECTIONS.add("summary", Section("Summary", 10, content=content))
