"""Results: the final losses and test metrics of each entrant, and which pairs differ."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.measure import Measure
from descent_lab.metrics import METRICS
from descent_lab.report.blocks import Block, Files, Picture, Rows, Words
from descent_lab.report.looks import Looks, Span, leaves, natural, span_with_intervals
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.verdict_words import NO_DIFFERENCE
from descent_lab.report.words import ERROR, apart, interval, listed, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS_HEAD = (
    "problem",
    "a",
    "b",
    "units",
    "a / b",
    "p",
    "p corrected",
    "p of signed ranks",
    "p of signs",
    "verdict",
    "note",
)
NAMES = {"estimate": "value", "low": "value_low", "high": "value_high"}
LIMITS = ["estimate", "low", "high"]
SCORE = {"test_metric": "test_metric", "estimate": "test", "low": "test_low", "high": "test_high"}


def results(report: Report) -> pd.DataFrame:
    """One row per problem and entrant: the typical value of what the report asks about, and medians of test metrics.

    `value` is that of `statistics.typical`, over the held-out seeds of all blocks, at the settings that are reported.
    """
    runs, selection = report.study.runs, report.selection
    value = st.typical(report.comparable, PAIR, report.measure.scale)
    table = value.rename(columns={"n": "seeds"} | NAMES)
    scores = _scores(report)
    table = table.merge(scores, on=PAIR, how="left").merge(selection.chosen, on=PAIR, how="outer")
    tried = runs.groupby(PAIR).agg(settings_tried=("setting", "nunique"), runs=("seed", "size")).reset_index()
    named = runs.drop_duplicates(PAIR)[[*PAIR, "backend", "optimizer"]]
    table = table.merge(tried, on=PAIR).merge(named, on=PAIR)
    unreported = table["seeds"].isna()
    table["seeds"], table["diverged"] = (table[name].fillna(0).astype(int) for name in ("seeds", "diverged"))
    table["note"] = table["note"].mask(unreported, table["how"]).fillna("")
    first = [*PAIR, "backend", "optimizer", "setting", "lr", "seeds", *NAMES.values()]
    last = ["method", "diverged", "settings_tried", "runs", "share", "how", "note"]
    middle = [name for name in scores if name not in PAIR]
    lower = report.measure.better == "lower"
    return (
        table[[*first, *middle, *last]]
        .assign(metric=report.measure.metric, at=report.measure.at)
        .sort_values(["dataset", "value", "entrant"], ascending=[True, lower, True], ignore_index=True)
    )


def _scores(report: Report) -> pd.DataFrame:
    """The first test metric that each entrant has as `test_metric, test, ...`; the others as `test_<name>, ...`."""
    runs = report.selection.runs
    scores = pd.DataFrame(columns=[*PAIR, *SCORE.values()])
    for metric, facts in METRICS.items():
        column = _at_chosen(runs, metric)
        if metric == "loss" or column not in runs or not len(scored := runs[runs[column].notna()]):
            continue
        summary = st.summarise(scored, PAIR, column, better=facts.better).assign(test_metric=metric)
        fresh = summary.merge(scores[PAIR], on=PAIR, how="left", indicator=True)["_merge"].eq("left_only").to_numpy()
        added = summary[fresh].rename(columns=SCORE)[[*PAIR, *SCORE.values()]]
        scores = pd.concat([part for part in (scores, added) if len(part)], ignore_index=True)
        if not fresh.all():
            more = {"estimate": f"test_{metric}", "low": f"test_{metric}_low", "high": f"test_{metric}_high"}
            further = summary[~fresh].rename(columns=more)[[*PAIR, *more.values()]]
            scores = scores.merge(further, on=PAIR, how="left")
    return scores


def _at_chosen(runs: pd.DataFrame, metric: str) -> str:
    """The column of a test metric at the step that validation chose, where there is one; else at the last step."""
    chosen = Measure(f"test/{metric}", "chosen").column
    return chosen if chosen in runs and runs[chosen].notna().any() else Measure(f"test/{metric}").column


def pairs(report: Report) -> pd.DataFrame:
    """The verdicts on each problem and, with several, over all: `statistics.verdicts` of the reported runs."""
    return report.verdicts()


def final_losses(
    runs: pd.DataFrame,
    medians: pd.DataFrame,
    looks: Looks,
    label: str = "final training loss",
    note: str = "",
    log: bool = True,
) -> "Figure":
    """A panel per data set: the value of every seed, and the given median and interval of each entrant.

    runs: `dataset, entrant, loss`, inf where a run diverged: these are crosses at the right edge; seeds and intervals
    that go on beyond the axis are hollow triangles there. medians: `dataset, entrant, estimate, low, high`. label: of
    the values. log: whether their axis is logarithmic, where it can be.
    """
    from descent_lab.report import drawing

    def span(values: pd.DataFrame) -> Span | None:
        return span_of(values) if log else None

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        names = sorted(set(group["entrant"]), key=natural)
        here = medians[medians["dataset"] == group["dataset"].iloc[0]].set_index("entrant")[LIMITS].reindex(names)
        values = _values(group, medians)
        drawing.value_axis(ax, span(values), values[LIMITS], along="x")
        _seeds(ax, group, names, looks)
        for place, name in enumerate(names):
            mine = values[values["entrant"] == name]
            drawing.edges(ax, np.full(len(mine), place), mine, looks[name].colour, along="x")
        _diverged(ax, group, names, looks)
        _points(ax, here, [looks[name] for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), [name if len(name) <= 22 else f"{name[:21]}…" for name in names])

    height = max(1.2, 0.19 * runs.groupby("dataset")["entrant"].nunique().max() + 0.6)
    each = (_values(group, medians) for _, group in runs.groupby("dataset"))
    note += "; hollow triangle: goes on beyond the axis" * any(leaves(values, span(values)) for values in each)
    return drawing.panels(
        runs,
        "dataset",
        draw,
        label,
        "",
        {},
        note,
        panel=(4.0, height),
        left=0.4 + 0.06 * _longest(runs),
    )


def _values(group: pd.DataFrame, medians: pd.DataFrame) -> pd.DataFrame:
    """What a panel shows along its axis, finished seeds and medians: `entrant, estimate, low, high`."""
    finished = group.loc[np.isfinite(group["loss"]), ["entrant", "loss"]].rename(columns={"loss": "estimate"})
    here = medians[medians["dataset"] == group["dataset"].iloc[0]]
    return pd.concat([finished.assign(low=np.nan, high=np.nan), here[["entrant", *LIMITS]]], ignore_index=True)


def span_of(values: pd.DataFrame) -> Span | None:
    """The range of the axis: at most 1e4 times the values' median, so that a wild seed does not flatten the others."""
    positive = values.loc[values["estimate"] > 0, "estimate"]
    return span_with_intervals(values, 1e4 * positive[np.isfinite(positive)].median() if len(positive) else np.inf)


def _longest(runs: pd.DataFrame) -> int:
    return int(min(22, runs["entrant"].str.len().max()))


def _seeds(ax: "Axes", group: pd.DataFrame, names: list[str], looks: Looks) -> None:
    """A dot for each value on the axis, those of an entrant spread over half a row in their order: chance has no part.

    group: `entrant, loss`.
    """
    ax.grid(visible=False, axis="y")
    on_axis = group[group["loss"].between(*ax.get_xlim())]
    for place, name in enumerate(names):
        values = on_axis.loc[on_axis["entrant"] == name, "loss"].to_numpy()
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(len(values))
        ax.plot(values, place + spread, "o", color=looks[name].colour, markersize=3, markeredgewidth=0, alpha=0.55)


def _diverged(ax: "Axes", group: pd.DataFrame, names: list[str], looks: Looks) -> None:
    """A cross at the right edge for entrants with diverged runs, and their number before it."""
    from descent_lab.report.drawing import diverged

    at_edge = ax.get_yaxis_transform()
    for place, name in enumerate(names):
        n = int((~np.isfinite(group.loc[group["entrant"] == name, "loss"])).sum())
        if n:
            ax.plot(0.975, place, transform=at_edge, **diverged(looks[name].colour))
            ax.annotate(f"{n}", (0.975, place), (-5, 0), at_edge, "offset points", fontsize=6, ha="right", va="center")


def _points(ax: "Axes", medians: pd.DataFrame, styles: list[Any]) -> None:
    """The medians with their intervals, in black beside the seeds' colours, as far as the axis goes."""
    shown = medians.clip(*ax.get_xlim())
    for place, (row, style) in enumerate(zip(shown.itertuples(), styles, strict=True)):
        if not np.isnan([row.low, row.high]).any():
            ax.hlines(place, row.low, row.high, color="#222222", linewidth=1.1, zorder=3)
        if np.isfinite(medians["estimate"].iloc[place]):
            ax.plot(
                row.estimate, place, style.marker, color=style.colour, markeredgecolor="#222222", markersize=5, zorder=4
            )


def figures(report: Report) -> Iterator[Drawing]:
    """The value of every seed that is reported."""
    if not report.given("results"):
        return
    runs = report.selection.runs
    ended = runs[report.value].to_numpy(dtype=float)
    value = np.where(np.isfinite(ended) & (runs["status"] == "finished"), ended, np.inf)
    medians = report.table("results").rename(columns={new: old for old, new in NAMES.items()})
    drawn = runs[PAIR].assign(loss=value)
    medians = medians.loc[medians["seeds"] > 0, [*PAIR, "estimate", "low", "high"]]
    method = listed(sorted(set(report.table("results")["method"].dropna())))
    note = f"dot: a seed; outlined marker: {method}; bar: 95 % interval; diverged seeds and how many: at the right edge"
    log = report.measure.scale == "log"
    arguments = (drawn, medians, report.looks, report.measure.label, note + unfair(report), log)
    yield Drawing("final_losses", final_losses, arguments)


def rows_of(table: pd.DataFrame, label: str, short: bool = False) -> Rows:
    """The results as text. label: of the value. short: the entrant alone says what its backend and optimizer are."""
    head = ("problem", "backend", "optimizer", "entrant", "setting", "seeds", label, "test", "diverged", "note")
    body = []
    for row in table.to_dict("records"):
        setting = row["setting"] if row["share"] in (0, 1) else f"{row['setting']} (on {row['share']:.0%} of seeds)"
        value = interval(*(row[name] for name in NAMES.values()))
        named = [row[name] for name in ("dataset", "backend", "optimizer", "entrant")]
        body.append([*named, setting, str(row["seeds"]), value, _test(row), str(row["diverged"]), row["note"]])
    left_out = {"backend", "optimizer"} if short else set()
    left_out |= set() if any(row[-1] for row in body) else {"note"}
    kept = [i for i, name in enumerate(head) if name not in left_out]
    return Rows([head[i] for i in kept], [[row[i] for i in kept] for row in body])


def _test(row: dict[str, Any]) -> str:
    """The test metrics of an entrant in words; a dash where it has none."""
    if not isinstance(row["test_metric"], str):
        return "–"
    first = f"{row['test_metric']} {interval(row['test'], row['test_low'], row['test_high'])}"
    others = [name for name in METRICS if f"test_{name}" in row and not pd.isna(row[f"test_{name}"])]
    more = [f"{name} {interval(*(row[f'test_{name}{end}'] for end in ('', '_low', '_high')))}" for name in others]
    return "; ".join([first, *more])


def pair_rows(table: pd.DataFrame, short: bool = False) -> Rows:
    """The pairs as text, folded on the page. short: without the tests beside the verdicts, and without notes."""
    body = []
    for row in table.itertuples():
        effect = interval(row.effect, row.effect_low, row.effect_high, "∞", NO_DIFFERENCE)
        verdict = f"{row.winner} {row.verdict}" if row.winner else row.verdict
        corrected = apart(row.p_adjusted, ERROR) if row.corrected else "not corrected"
        p = [number(row.p), corrected, number(row.p_signed_ranks), number(row.p_signs)]
        body.append([row.dataset, row.a, row.b, f"{row.n} {row.unit}", effect, *p, verdict, row.note])
    left_out = {"p", "p of signed ranks", "p of signs", "note"} if short else set()
    kept = [i for i, name in enumerate(PAIRS_HEAD) if name not in left_out]
    return Rows([PAIRS_HEAD[i] for i in kept], [[row[i] for i in kept] for row in body], folded="Every pair")


def how_chosen(chosen: pd.DataFrame) -> list[str]:
    """Sentences on how the settings were chosen. They name the problems if the way was not the same on all of them."""
    reported = chosen[chosen["n"] > 0] if "n" in chosen else chosen
    ways = reported.groupby("how", sort=True)["dataset"].agg(lambda names: "; ".join(sorted(set(names))))
    return [f"{how[:1].upper()}{how[1:]}" + ("." if len(ways) == 1 else f": {names}.") for how, names in ways.items()]


def content(report: Report) -> Iterator[Block]:
    """The results, every seed as a picture, and every pair."""
    yield rows_of(report.table("results"), report.measure.label, short=True)
    yield from (Words(line) for line in how_chosen(report.selection.by_block))
    yield Picture("final_losses", f"{report.measure.label} of every seed, with the typical value of each entrant")
    yield Files(["results", "pairs", "runs", "settings_by_block"])
    if report.given("pairs"):
        yield pair_rows(report.table("pairs"))


SECTIONS.add(
    "results",
    Section(
        "Results",
        20,
        tables={
            "results": Table(
                results,
                "statistics.typical of the reported runs by dataset and entrant; statistics.summarise of test metrics",
            ),
            "pairs": Table(pairs, "statistics.verdicts of the reported runs, on each problem and over all"),
            "settings_by_block": Table(
                lambda report: report.selection.by_block, "the setting that was chosen in each block of seeds"
            ),
        },
        figures=figures,
        content=content,
    ),
)
