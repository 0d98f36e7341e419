"""Results: the final losses and test metrics of each entrant, and which pairs differ."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.selection import Selection
from descent_lab.analysis.subset import filled
from descent_lab.errors import NotGiven
from descent_lab.metrics import METRICS
from descent_lab.report.blocks import Block, Files, Picture, Rows, Words
from descent_lab.report.looks import Looks, natural, span_with_intervals
from descent_lab.report.report import LOSS, PAIR, Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.report.sections.ledger import unfair
from descent_lab.report.words import interval, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAD = ("problem", "backend", "optimizer", "entrant", "lr", "seeds", "training loss", "test", "diverged", "note")
PAIRS_HEAD = ("problem", "a", "b", "pairs", "a better", "a / b (or a - b)", "p (Holm)", "verdict", "note")
NAMES = {"estimate": "loss", "low": "loss_low", "high": "loss_high"}
SCORE = {"test_metric": "test_metric", "estimate": "test", "low": "test_low", "high": "test_high"}


def results(report: Report) -> pd.DataFrame:
    """One row per problem and entrant: the median final loss and test metric, at the lr that is reported."""
    runs, selection = report.study.runs, report.selection
    loss = st.summarise(selection.runs, PAIR, LOSS).rename(columns={"n": "seeds"})
    table = loss.rename(columns=NAMES).drop(columns="method")
    scores = _scores(selection)
    table = table.merge(scores, on=PAIR, how="left").merge(selection.chosen, on=PAIR)
    tried = runs.groupby(PAIR).agg(lr_tried=("lr", "nunique"), runs=("seed", "size")).reset_index()
    named = runs.drop_duplicates(PAIR)[[*PAIR, "backend", "optimizer"]]
    table = table.merge(tried, on=PAIR).merge(named, on=PAIR)
    first = [*PAIR, "backend", "optimizer", "lr", "seeds", "loss", "loss_low", "loss_high"]
    last = ["diverged", "lr_tried", "runs", "share", "how", "note"]
    middle = [name for name in scores if name not in PAIR]
    return table[[*first, *middle, *last]].sort_values(["dataset", "loss", "entrant"], ignore_index=True)


def _scores(selection: Selection) -> pd.DataFrame:
    """The first test metric that each entrant has as `test_metric, test, ...`; the others as `test_<name>, ...`."""
    runs = selection.runs
    scores = pd.DataFrame(columns=[*PAIR, *SCORE.values()])
    for metric, facts in METRICS.items():
        column = f"final_test_{metric}"
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


def scale_of(runs: pd.DataFrame) -> str:
    """The scale on which final losses are compared: log, unless one is not positive."""
    loss = runs[LOSS].to_numpy(dtype=float)
    return "log" if (loss[np.isfinite(loss)] > 0).all() else "linear"


def pairs(report: Report) -> pd.DataFrame:
    """Pairs on each problem; and over all problems, between the entrants that every one of them has."""
    runs, parts, reason = report.selection.runs, [], "no runs"
    for _, group in runs.groupby("dataset", sort=True):
        try:
            parts.append(_pairs(group))
        except NotGiven as error:
            reason = str(error)
    if not parts:
        raise NotGiven(reason)
    common = filled(runs)
    if common["dataset"].nunique() > 1 and common["entrant"].nunique() > 1:
        parts.append(_pairs(common).query("dataset == 'all'"))
    return pd.concat(parts, ignore_index=True)


def _pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Ratios where losses are positive, else differences; `scale` says which."""
    scale = scale_of(runs)
    return st.pairwise(runs, LOSS, "entrant", scale=scale).assign(scale=scale)


def final_losses(runs: pd.DataFrame, medians: pd.DataFrame, looks: Looks, note: str = "") -> "Figure":
    """A panel per data set: the final loss of every seed, and the given median and interval of each entrant.

    runs: `dataset, entrant, loss`, inf where a run diverged: these are crosses at the right edge. medians: `dataset,
    entrant, estimate, low, high`.
    """
    import seaborn as sns

    from descent_lab.report import drawing

    most = runs.groupby("dataset")["entrant"].nunique().max()

    def draw(ax: "Axes", group: pd.DataFrame) -> None:
        problem = group["dataset"].iloc[0]
        names = sorted(set(group["entrant"]), key=natural)
        palette = [looks[name].colour for name in names]
        finite = group[np.isfinite(group["loss"])]
        sns.stripplot(
            finite, x="loss", y="entrant", hue="entrant", order=names, hue_order=names, palette=palette, size=3,
            alpha=0.55, jitter=False, legend=False, ax=ax, orient="h",
        )  # fmt: skip
        _dodge(ax)
        _diverged(ax, group, names, looks)
        here = medians[medians["dataset"] == problem].set_index("entrant").reindex(names)
        _points(ax, here, [looks[name] for name in names])
        values = np.concatenate([finite["loss"], here["estimate"]])
        kept = values[np.isfinite(values) & (values > 0)]
        top = 1e4 * np.median(kept) if len(kept) else np.inf
        rows = pd.DataFrame({"estimate": values, "low": np.nan, "high": np.nan})
        drawing.log_along_x(ax, span_with_intervals(rows, top))
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), [name if len(name) <= 22 else f"{name[:21]}…" for name in names])

    height = max(1.2, 0.19 * most + 0.6)
    return drawing.panels(
        runs,
        "dataset",
        draw,
        "final training loss",
        "",
        {},
        note,
        panel=(4.0, height),
        left=0.4 + 0.06 * _longest(runs),
    )


def _longest(runs: pd.DataFrame) -> int:
    return int(min(22, runs["entrant"].str.len().max()))


def _dodge(ax: "Axes") -> None:
    """Spread the points of each entrant over half a row, in the order of the runs: chance has no part in it."""
    for points in ax.collections:
        offsets = np.ma.getdata(points.get_offsets()).copy()
        if len(offsets) > 1:
            offsets[:, 1] += np.linspace(-0.25, 0.25, len(offsets))
            points.set_offsets(offsets)


def _diverged(ax: "Axes", group: pd.DataFrame, names: list[str], looks: Looks) -> None:
    """A cross at the right edge for entrants with diverged runs, and their number before it."""
    at_edge = ax.get_yaxis_transform()
    for place, name in enumerate(names):
        n = int((~np.isfinite(group.loc[group["entrant"] == name, "loss"])).sum())
        if n:
            ax.plot(0.99, place, "X", color=looks[name].colour, transform=at_edge, markeredgewidth=0)
            ax.annotate(f"{n}", (0.99, place), (-5, 0), at_edge, "offset points", fontsize=6, ha="right", va="center")


def _points(ax: "Axes", medians: pd.DataFrame, styles: list[Any]) -> None:
    """The medians with their intervals, in black beside the seeds' colours."""
    for place, (row, style) in enumerate(zip(medians.itertuples(), styles, strict=True)):
        if np.isfinite(row.low) and np.isfinite(row.high):
            ax.hlines(place, row.low, row.high, color="#222222", linewidth=1.1, zorder=3)
        if np.isfinite(row.estimate):
            ax.plot(
                row.estimate, place, style.marker, color=style.colour, markeredgecolor="#222222", markersize=5, zorder=4
            )


def figures(report: Report) -> Iterator[Drawing]:
    """The final loss of every seed that is reported."""
    if not report.given("results"):
        return
    runs = report.selection.runs
    ended = runs[LOSS].to_numpy(dtype=float)
    loss = np.where(np.isfinite(ended) & (runs["status"] == "finished"), ended, np.inf)
    medians = report.table("results").rename(columns={new: old for old, new in NAMES.items()})
    drawn = runs[PAIR].assign(loss=loss)
    note = "dot: a seed; outlined marker: median; bar: 95 % interval; cross: diverged seeds, and how many"
    arguments = (drawn, medians[[*PAIR, "estimate", "low", "high"]], report.looks, note + unfair(report))
    yield Drawing("final_losses", final_losses, arguments)


def rows_of(table: pd.DataFrame, short: bool = False) -> Rows:
    """The results as text. short: the entrant alone says what its backend and optimizer are."""
    body = []
    for row in table.to_dict("records"):
        lr = f"{row['lr']:g}" if row["share"] == 1 else f"{row['lr']:g} (on {row['share']:.0%} of seeds)"
        loss = interval(row["loss"], row["loss_low"], row["loss_high"])
        named = [row[name] for name in ("dataset", "backend", "optimizer", "entrant")]
        body.append([*named, lr, str(row["seeds"]), loss, _test(row), str(row["diverged"]), row["note"]])
    left_out = {"backend", "optimizer"} if short else set()
    left_out |= set() if any(row[-1] for row in body) else {"note"}
    kept = [i for i, name in enumerate(HEAD) if name not in left_out]
    return Rows([HEAD[i] for i in kept], [[row[i] for i in kept] for row in body])


def _test(row: dict[str, Any]) -> str:
    """The test metrics of an entrant in words; a dash where it has none."""
    if not isinstance(row["test_metric"], str):
        return "–"
    first = f"{row['test_metric']} {interval(row['test'], row['test_low'], row['test_high'])}"
    others = [name for name in METRICS if f"test_{name}" in row and not pd.isna(row[f"test_{name}"])]
    more = [f"{name} {interval(*(row[f'test_{name}{end}'] for end in ('', '_low', '_high')))}" for name in others]
    return "; ".join([first, *more])


def _pair_rows(table: pd.DataFrame) -> Rows:
    body = []
    for row in table.itertuples():
        better = f"{row.improvement:.0%} [{row.improvement_low:.0%}, {row.improvement_high:.0%}]"
        effect = interval(row.effect, row.effect_low, row.effect_high, "∞")
        body.append([row.dataset, row.a, row.b, str(row.n), better, effect, number(row.p_holm), row.verdict, row.note])
    return Rows(PAIRS_HEAD, body, folded="Every pair")


def how_chosen(chosen: pd.DataFrame) -> list[str]:
    """Sentences on how the lr were chosen. They name the problems if the way was not the same on all of them."""
    ways = chosen.groupby("how", sort=True)["dataset"].agg(lambda names: "; ".join(sorted(set(names))))
    return [f"{how[:1].upper()}{how[1:]}" + ("." if len(ways) == 1 else f": {names}.") for how, names in ways.items()]


def content(report: Report) -> Iterator[Block]:
    """The results, every seed as a picture, and every pair."""
    yield rows_of(report.table("results"), short=True)
    yield from (Words(line) for line in how_chosen(report.selection.chosen))
    yield Picture("final_losses", "Final training loss of every seed, with the median of each entrant")
    yield Files(["results", "pairs", "runs"])
    yield _pair_rows(report.table("pairs"))


SECTIONS.add(
    "results",
    Section(
        "Results",
        20,
        tables={
            "results": Table(
                results,
                "statistics.summarise of the reported runs by dataset and entrant: final train/loss, test metric",
            ),
            "pairs": Table(pairs, "statistics.pairwise of the reported runs, by data set and over those all share"),
        },
        figures=figures,
        content=content,
    ),
)
