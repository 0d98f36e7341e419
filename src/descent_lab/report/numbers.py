"""Every table of the report, from analysis.statistics. A table that the runs cannot give is missing, and says why."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.selection import SAME, Selection
from descent_lab.analysis.study import CELL, Study
from descent_lab.analysis.subset import filled, reference_of, shared_targets

LOSS = "final_train_loss"
PAIR = ["dataset", "entrant"]
SCORES = {"accuracy": "higher", "rmse": "lower"}  # test metrics, and which way is better
CLOCKS = ("step", "epoch", "gradients", "step_seconds")
LEVELS = (0.5, 0.75, 0.9, 1.0)


@dataclass
class Numbers:
    """Tables by name, each written to a file of that name; and why others are missing."""

    study: Study
    selection: Selection
    reference: str | None  # the entrant that targets are derived from
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, selection: Selection, reference: str | None = None) -> "Numbers":
        """No table yet. reference: the entrant that sets the targets; None: sgd, or else one in the middle."""
        return cls(study, selection, reference_of(selection.runs, LOSS, reference))

    def add(self, name: str, make: Callable[[], pd.DataFrame]) -> None:
        """Keep the table, or the reason why these runs do not give it."""
        try:
            table = make()
        except ValueError as error:
            self.missing[name] = str(error)
            return
        if len(table):
            self.tables[name] = table
        else:
            self.missing[name] = "no rows"

    def table(self, name: str) -> pd.DataFrame:
        """The table; empty if it is missing."""
        return self.tables.get(name, pd.DataFrame())


def add_curves(found: Numbers) -> None:
    """What was run, and how the loss went: the curves, and what is to be said of them."""
    study, selection = found.study, found.selection
    found.add("cells", lambda: _cells(study.runs, selection.tuning))
    found.add("results", lambda: _results(selection, study.runs))
    found.add("curves", lambda: _curves(study, selection.chosen, selection.tuning))
    found.add("clock_curves", lambda: _clock_curves(study, selection.chosen))
    found.add("fairness", lambda: _fairness(study, selection))
    found.add("warnings", lambda: _warnings(found))


def add_comparison(found: Numbers) -> None:
    """Who is better, by how much and how surely; after `add_curves`."""
    study, selection = found.study, found.selection
    found.add("pairs", lambda: _per_problem_pairs(selection.runs))
    found.add("step_cost", lambda: _step_cost(study.runs))
    found.add("agreement", lambda: st.agreement(study.curves, study.runs, ["dataset", "rule"]))
    found.add("sensitivity", lambda: st.sensitivity(found.table("cells"), PAIR))
    found.add("best_of_k", lambda: st.best_of_k(_tuned(found.table("cells")), PAIR))
    _rank(found)
    _time(found)


def _cells(runs: pd.DataFrame, tuning: Mapping[str, Collection[int]]) -> pd.DataFrame:
    """Every lr on the same seeds: those that it was chosen on, or all where nothing was."""
    problems = runs.groupby("dataset", sort=True)
    parts = [st.tuning_cells(rows, LOSS, tuning[str(name)] or set(rows["seed"]), PAIR) for name, rows in problems]
    return pd.concat(parts, ignore_index=True)


def _tuned(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of entrants that were tried at several lr."""
    several = cells.groupby(PAIR)["lr"].transform("size") > 1
    if not several.any():
        raise ValueError("no entrant was run at more than one lr")
    return cells[several]


def _results(selection: Selection, runs: pd.DataFrame) -> pd.DataFrame:
    loss = st.summarise(selection.runs, PAIR, LOSS).rename(columns={"n": "seeds"})
    names = {"estimate": "loss", "low": "loss_low", "high": "loss_high"}
    table = loss.rename(columns=names).drop(columns="method")
    table = table.merge(_scores(selection.runs), on=PAIR, how="left").merge(selection.chosen, on=PAIR)
    tried = runs.groupby(PAIR).agg(lr_tried=("lr", "nunique"), runs=("seed", "size")).reset_index()
    named = runs.drop_duplicates(PAIR)[[*PAIR, "backend", "optimizer"]]
    table = table.merge(tried, on=PAIR).merge(named, on=PAIR)
    first = ["dataset", "entrant", "backend", "optimizer", "lr", "seeds", "loss", "loss_low", "loss_high"]
    last = ["diverged", "lr_tried", "runs", "share", "how", "note"]
    middle = ["test_metric", "test", "test_low", "test_high"]
    return table[[*first, *middle, *last]].sort_values(["dataset", "loss", "entrant"], ignore_index=True)


def _scores(runs: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for metric, better in SCORES.items():
        column = f"final_test_{metric}"
        if column in runs and len(scored := runs[runs[column].notna()]):
            parts.append(st.summarise(scored, PAIR, column, better=better).assign(test_metric=metric))
    if not parts:
        return pd.DataFrame(columns=[*PAIR, "test_metric", "test", "test_low", "test_high"])
    names = {"estimate": "test", "low": "test_low", "high": "test_high"}
    return pd.concat(parts).rename(columns=names)[[*PAIR, "test_metric", *names.values()]]


def _scale(runs: pd.DataFrame) -> str:
    loss = runs[LOSS].to_numpy(dtype=float)
    return "log" if (loss[np.isfinite(loss)] > 0).all() else "linear"


def _per_problem_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Pairs on each problem; and over all problems, between the entrants that every one of them has."""
    parts, reason = [], "no runs"
    for _, group in runs.groupby("dataset", sort=True):
        try:
            parts.append(_pairs(group))
        except ValueError as error:
            reason = str(error)
    if not parts:
        raise ValueError(reason)
    common = filled(runs)
    if common["dataset"].nunique() > 1 and common["entrant"].nunique() > 1:
        parts.append(_pairs(common).query("dataset == 'all'"))
    return pd.concat(parts, ignore_index=True)


def _pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Ratios where losses are positive, else differences; `scale` says which."""
    scale = _scale(runs)
    return st.pairwise(runs, LOSS, "entrant", scale=scale).assign(scale=scale)


def _held_out(runs: pd.DataFrame, tuning: Mapping[str, Collection[int]]) -> pd.DataFrame:
    """Without the tuning seeds of each problem, unless there are no others."""
    apart = pd.Series(
        [seed not in tuning[problem] for problem, seed in zip(runs["dataset"], runs["seed"], strict=True)],
        index=runs.index,
        dtype=bool,
    )
    some = apart.groupby(runs["dataset"]).transform("any")
    return runs[apart | ~some]


def _curves(study: Study, chosen: pd.DataFrame, tuning: Mapping[str, Collection[int]]) -> pd.DataFrame:
    """Bands of train/loss for every cell, and of the test metric for those chosen, on three axes at once.

    The chosen cells are shown on the seeds held out, where there are some.
    """
    reported = _held_out(study.runs.merge(chosen[CELL], on=CELL), tuning)
    others = study.runs.merge(chosen[CELL], on=CELL, how="left", indicator=True).query("_merge == 'left_only'")
    parts = [_bands(study, pd.concat([reported, others.drop(columns="_merge")]), "train/loss")]
    for metric, better in SCORES.items():
        if (column := f"final_test_{metric}") in reported and reported[column].notna().any():
            parts.append(_bands(study, reported[reported[column].notna()], f"test/{metric}", better))
    table = pd.concat(parts, ignore_index=True)
    picked = pd.MultiIndex.from_frame(chosen[CELL])
    return table.assign(chosen=pd.MultiIndex.from_frame(table[CELL]).isin(picked))


def _bands(study: Study, runs: pd.DataFrame, metric: str, better: str = "lower") -> pd.DataFrame:
    bands = st.summarise_curves(study.curves, runs, CELL, metric, "step", better=better)
    rates = runs.groupby(CELL)[["passes", "gradients", "steps"]].max()
    per_step = rates[["passes", "gradients"]].div(rates["steps"].clip(lower=1), axis=0).reset_index()
    bands = bands.merge(per_step, on=CELL).assign(metric=metric)
    bands["epoch"] = bands["step"] * bands.pop("passes")
    bands["gradients"] = bands["step"] * bands["gradients"]
    return bands[[*CELL, "metric", "n", "step", "epoch", "gradients", "estimate", "low", "high"]]


def _clock_curves(study: Study, chosen: pd.DataFrame) -> pd.DataFrame:
    """Bands over step seconds of the chosen cells. Runs that shared a clock only where no run had its own."""
    runs = study.runs.merge(chosen[CELL], on=CELL)
    own = runs["timing"] == "isolated"
    isolated = own.groupby(runs["dataset"]).transform("any")
    parts = [(runs[own], "isolated"), (runs[~isolated], "shared")]
    found = [
        st.summarise_curves(study.curves, part, CELL, "train/loss", "step_seconds").assign(timing=timing)
        for part, timing in parts
        if len(part)
    ]
    return pd.concat(found, ignore_index=True)


def _step_cost(runs: pd.DataFrame) -> pd.DataFrame:
    timed = runs[(runs["timing"] == "isolated") & (runs["steps"] > 0)]
    if timed.empty:
        raise ValueError("no run had a clock of its own (timing=isolated)")
    return st.summarise(
        timed.assign(per_step=timed["step_seconds"] / timed["steps"], status="finished"), PAIR, "per_step"
    )


def _fairness(study: Study, selection: Selection) -> pd.DataFrame:
    parts = []
    for problem, runs in study.runs.groupby("dataset", sort=True):
        tuning = selection.tuning[str(problem)]
        ledger = st.fairness_ledger(runs, tuning, "entrant")
        if set(runs["seed"]) <= set(tuning):
            ledger["phase"] = "tuning and evaluation"
        parts.append(ledger)
    return pd.concat(parts, ignore_index=True)


def _warnings(found: Numbers) -> pd.DataFrame:
    tried = found.table("cells")
    several = tried.groupby(PAIR)["lr"].transform("size") > 1
    parts = [st.tuning_warnings(tried, PAIR)]
    single = tried.loc[~several, PAIR].assign(edge=True)
    parts[0] = parts[0].merge(single, on=PAIR, how="left")
    parts[0] = parts[0][~((parts[0]["warning"] == "edge") & parts[0].pop("edge").notna())]
    same = found.selection.chosen
    parts.append(same.loc[same["how"] == SAME, PAIR].assign(warning="same seeds", detail=SAME))
    unequal = found.table("fairness")
    unequal = unequal[unequal["unequal"] != ""].drop_duplicates(["dataset", "phase"])
    detail = unequal["phase"] + ": entrants differ in " + unequal["unequal"].str.replace(" ", ", ")
    parts.append(pd.DataFrame({"dataset": unequal["dataset"], "entrant": "all", "warning": "unequal budgets"}))
    parts[-1]["detail"] = detail
    return pd.concat(parts, ignore_index=True).sort_values(["dataset", "entrant", "warning"], ignore_index=True)


def _rank(found: Numbers) -> None:
    common = filled(found.selection.runs)
    if common["dataset"].nunique() < 2:
        found.missing["ranks"] = "ranks need two data sets or more that have the same entrants"
        return
    scale = _scale(common)
    found.add("ranks", lambda: st.average_ranks(common, LOSS, "entrant"))
    found.add("rank_pairs", lambda: st.rank_pairs(common, LOSS, "entrant", scale=scale))
    found.add("friedman", lambda: st.friedman(common, LOSS, "entrant"))


def _time(found: Numbers) -> None:
    """Targets, when they were reached on each clock, and how close each entrant is to the quickest."""
    found.add("targets", lambda: shared_targets(found.study, found.selection.runs, found.reference, LEVELS))
    targets = found.table("targets")
    if targets.empty:
        return
    found.add("hits", lambda: _hits(found, targets))
    hits = found.table("hits")
    if hits.empty:
        return
    by = ["clock", "dataset", "level", "entrant"]
    found.add("time_to_target", lambda: _times(hits, by))
    found.add("batch_size", lambda: _by_batch_size(found))
    found.add("runtime_ecdf", lambda: _reached(hits))
    found.add("survival", lambda: st.survival(hits[hits["level"] == max(LEVELS)], by))
    found.add("profile_ratios", lambda: _ratios(found))
    ratios = found.table("profile_ratios")
    if len(ratios):
        found.add("profile", lambda: st.performance_profile(ratios, "entrant"))
        found.add("profile_score", lambda: st.profile_score(ratios, "entrant"))


def _hits(found: Numbers, targets: pd.DataFrame) -> pd.DataFrame:
    runs = found.selection.runs[found.selection.runs["dataset"].isin(targets["dataset"])]
    keep = ["clock", "dataset", "level", "target", "entrant", "lr", "seed", "run_id", "reached", "time", "spent"]
    parts = []
    for clock in CLOCKS:
        timed = runs[runs["timing"] == "isolated"] if clock == "step_seconds" else runs
        timed = timed[timed["gradients"].notna()] if clock == "gradients" else timed
        if len(timed):
            hits = st.first_hits(found.study.curves, timed, targets, axis=clock)
            parts.append(hits.assign(clock=clock)[keep])
    return pd.concat(parts, ignore_index=True)


def _times(hits: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    ert = st.expected_runtime(hits, by).rename(columns={"estimate": "ert", "low": "ert_low", "high": "ert_high"})
    median = st.time_to_target(hits, by).rename(columns={"estimate": "median"})
    return median.merge(ert[[*by, "ert", "ert_low", "ert_high"]], on=by).drop(columns="method")


def _by_batch_size(found: Numbers) -> pd.DataFrame:
    """Steps and epochs to each target, where batch sizes alone are compared."""
    if found.study.compared != ("batching",) or "batching.size" not in found.study.runs:
        raise ValueError("batch sizes are compared where nothing else is: --compared batching")
    runs = found.study.runs.dropna(subset="batching.size").drop_duplicates("entrant")
    size = dict(zip(runs["entrant"], runs["batching.size"].astype(int), strict=True))
    times = found.table("time_to_target")
    times = times[times["clock"].isin(["step", "epoch"]) & times["entrant"].isin(size)]
    return times.assign(size=times["entrant"].map(size)).sort_values(["clock", "dataset", "level", "size"])


def _reached(hits: pd.DataFrame) -> pd.DataFrame:
    """Shares over all problems: on each clock of entrants that ran on the same ones alone."""
    parts = [filled(group) for _, group in hits.groupby("clock", sort=True)]
    return st.runtime_ecdf(pd.concat(parts, ignore_index=True), ["clock", "entrant"])


def _ratios(found: Numbers) -> pd.DataFrame:
    """On gradient-equivalents, each data set with each level a problem of its own."""
    times = found.table("time_to_target")
    times = times[times["clock"] == "gradients"]
    times = times[times["entrant"].isin(set(filled(times)["entrant"]))]
    times = filled(times).assign(problem=lambda rows: rows["dataset"] + " @" + rows["level"].astype(str))
    return st.performance_ratios(times, "entrant", "problem", "median")
