"""The summary in plain sentences: which verdicts there are, on each problem and over all, and what weakens them."""

from collections.abc import Iterator

import pandas as pd

from descent_lab.analysis.selection import AS_GIVEN, DIVERGED
from descent_lab.analysis.statistics.verdicts import ALL
from descent_lab.report.blocks import Block, Card, Heading, Lines, Words
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section
from descent_lab.report.sections import agreement, ledger, ranks
from descent_lab.report.verdict_words import Wording, details, headline
from descent_lab.report.words import interval, listed
from descent_lab.wording import counted


def wording(report: Report) -> Wording:
    """What the words for verdicts need to know of a report."""
    how = report.selection.by_block["how"]
    return Wording(report.measure, report.asked, tuned=not (how == AS_GIVEN).all())


def overall(report: Report) -> Card | None:
    """The verdicts over all problems; None where there is one problem."""
    pairs = report.table("pairs")
    rows = pairs[pairs["dataset"] == ALL] if len(pairs) else pairs
    if rows.empty:
        return None
    n = int(rows["n_problems"].max())
    return Card(f"Over all {n} problems", headline(rows, wording(report)), details(rows, wording(report)))


def verdicts(report: Report) -> Iterator[Card]:
    """One card for each problem, with the verdicts on it."""
    if not report.given("results"):
        yield Card("No verdicts", f"{report.missing['results']}.")
        return
    pairs = report.table("pairs")
    for problem, rows in report.table("results").groupby("dataset", sort=True):
        here = pairs[pairs["dataset"] == problem] if len(pairs) else pairs
        yield _card(report, str(problem), rows, here)


def _card(report: Report, problem: str, rows: pd.DataFrame, pairs: pd.DataFrame) -> Card:
    told = [f"{name} {DIVERGED}." for name in sorted(rows.loc[rows["how"] == DIVERGED, "entrant"])]
    reported = rows[rows["seeds"] > 0]
    if pairs.empty:
        reason = report.missing.get("pairs", "its entrants share no seed")
        words = f"{reported['entrant'].iloc[0]} alone was run." if len(rows) == 1 else f"No verdict: {reason}."
        return Card(problem, words, [*_typical(report, reported), *told])
    lines = [*_typical(report, reported), *details(pairs, wording(report)), *told]
    return Card(problem, headline(pairs, wording(report)), lines)


def _typical(report: Report, rows: pd.DataFrame) -> Iterator[str]:
    """What each entrant reaches, without saying who is better."""
    values = [f"{row.entrant} {interval(row.value, row.value_low, row.value_high)}" for row in rows.itertuples()]
    if values:
        seeds = sorted(set(rows["seeds"]))
        n = counted(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        yield f"{report.measure.label.capitalize()}, over {n}: {'; '.join(values)}."


def substitutes(report: Report) -> list[str]:
    """What stands in for values that cannot be compared, and for how many runs; nothing where none are compared."""
    if not report.given("results"):
        return []
    counted_as = report.comparable.groupby(["dataset", "counted_as"]).size()
    lines = []
    for reason in sorted(set(counted_as.index.get_level_values(1)) - {""}):
        where = counted_as.xs(reason, level=1)
        n = listed([f"{counted(int(count), 'run')} on {problem}" for problem, count in where.items()])
        stands = "the resolution of its dtype" if "floor" in reason else "its start"
        lines.append(f"In comparisons a run that is {reason} counts as {stands}: {n}.")
    return lines + [f"{problem} is left out of comparisons: {why}." for problem, why in report.incomparable.items()]


def about_runs(report: Report) -> str:
    """What was run, where it is stored and by which code, in a sentence."""
    runs, stored = report.study.runs, report.results
    entrants, problems = counted(runs["entrant"].nunique(), "entrant"), counted(runs["dataset"].nunique(), "problem")
    commits = ", ".join(sorted({commit[:10] for commit in stored.runs["git.commit"].dropna()})) or "unknown"
    what = f"{counted(len(runs), 'run')}: {entrants} on {problems}"
    return f"{what}, from the MLflow experiment {', '.join(stored.experiments)}; commit {commits}."


def cards(report: Report) -> list[Card]:
    """The verdicts over all problems, where there are several, and on each."""
    first = overall(report)
    return [*([] if first is None else [first]), *verdicts(report)]


def cautions(report: Report) -> list[str]:
    """What weakens the verdicts, in sentences."""
    return [*report.notes, *substitutes(report), *ledger.in_words(report.table("warnings"))]


def content(report: Report) -> Iterator[Block]:
    """Verdicts over all problems and on each, how they were reached, and cautions."""
    if (card := overall(report)) is not None:
        yield card
        yield Heading("On each problem")
    yield from verdicts(report)
    more = [*ranks.in_words(report), *agreement.in_words(report.table("agreement"))]
    if more:
        yield Heading("Beside these verdicts")
        yield Lines(more)
    yield Words(method(report))
    if lines := cautions(report):
        yield Heading("Cautions")
        yield Lines(lines, "cautions")


def method(report: Report) -> str:
    """How the verdicts were reached."""
    pairs, words = report.table("pairs"), wording(report)
    blocks = bool(len(pairs)) and (pairs["unit"] == "blocks").any()
    test = (
        "Student's t test of the mean log ratio over blocks of seeds, in each of which every entrant was tuned anew"
        if blocks
        else "the exact Wilcoxon signed-rank test over seeds"
    )
    if report.asked.anytime:
        test = "an e-process, which stays right if seeds are added until there is a verdict"
    margin = f"{report.asked.distance:g}" if report.measure.scale == "linear" else f"{words.margin} times"
    return (
        f"Verdicts are about the {report.measure.label}. Pairs have the same starts and the same batches. The test is "
        f"{test}. The chance of any false verdict on this page is at most {report.asked.error:.0%}: first each pair is "
        "tested over all problems, then, within pairs told apart there, on each problem. "
        f"Better: beyond {margin}; slightly better: less than that; practically equal: the 90 % interval lies within "
        "it; undecided: neither. A row's interval is at the level at which the row was tested."
    )


SECTIONS.add("summary", Section("Summary", 10, content=content))
