"""The fairness ledger: what each entrant was given, and what a reader has to be warned of."""

from collections.abc import Iterator

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.selection import SAME
from descent_lab.report.blocks import Block, Files, Words, plain
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Section, Table

UNEQUAL = "unequal budgets"
COLUMNS = {
    "dataset": "problem", "phase": "phase", "entrant": "entrant", "trials": "settings tried", "seeds": "seeds",
    "runs": "runs", "diverged": "diverged", "steps": "steps", "gradients": "gradient-equivalents",
    "seconds": "step seconds", "unequal": "unequal in",
}  # fmt: skip


def fairness(report: Report) -> pd.DataFrame:
    """The budget that each entrant was given on each problem."""
    parts = []
    for problem, runs in report.study.runs.groupby("dataset", sort=True):
        tuning = report.selection.tuning[str(problem)]
        ledger = st.fairness_ledger(runs, tuning, "entrant", "setting")
        if set(runs["seed"]) <= set(tuning):
            ledger["phase"] = "tuning and evaluation"
        parts.append(ledger)
    return pd.concat(parts, ignore_index=True)


def warnings(report: Report) -> pd.DataFrame:
    """The circumstances that weaken a comparison: `dataset, entrant, warning, detail`."""
    parts = [_tuning_warnings(report.table("cells")), _same_seeds(report), _unequal(report.table("fairness"))]
    return pd.concat(parts, ignore_index=True).sort_values(["dataset", "entrant", "warning"], ignore_index=True)


def _tuning_warnings(cells: pd.DataFrame) -> pd.DataFrame:
    """The warnings about tuning. An entrant that was run at one lr gets none that this lr is the edge of a grid."""
    warned = st.tuning_warnings(cells, PAIR)
    single = cells.loc[cells.groupby(PAIR)["setting"].transform("size") == 1, PAIR].drop_duplicates().assign(edge=True)
    warned = warned.merge(single, on=PAIR, how="left")
    return warned[~((warned["warning"] == "edge") & warned.pop("edge").notna())]


def _same_seeds(report: Report) -> pd.DataFrame:
    chosen = report.selection.chosen
    return chosen.loc[chosen["how"] == SAME, PAIR].assign(warning="same seeds", detail=SAME)


def _unequal(ledger: pd.DataFrame) -> pd.DataFrame:
    rows = ledger[ledger["unequal"] != ""].drop_duplicates(["dataset", "phase"])
    detail = rows["phase"] + ": entrants differ in " + rows["unequal"].str.replace(" ", ", ")
    return pd.DataFrame({"dataset": rows["dataset"], "entrant": "all", "warning": UNEQUAL, "detail": detail})


def unfair(report: Report) -> str:
    """The note on every figure that compares entrants with unequal budgets; empty if the budgets are equal."""
    warned = report.table("warnings")
    if warned.empty or not (warned["warning"] == UNEQUAL).any():
        return ""
    return "; budgets are unequal (see the ledger)"


def in_words(warned: pd.DataFrame) -> list[str]:
    """The warnings as lines, each for all entrants of a problem that have the same warning."""
    if warned.empty:
        return []
    joined = warned.groupby(["dataset", "warning", "detail"], sort=True)["entrant"].agg(", ".join).reset_index()
    everyone = joined["entrant"] == "all"
    who = joined["dataset"] + (": " + joined["entrant"]).mask(everyone, "")
    return list(who + ": " + joined["detail"] + ".")


def content(report: Report) -> Iterator[Block]:
    """The ledger."""
    yield Words(
        "What each entrant was given. A gradient-equivalent is as many multiplications as one gradient of the whole "
        "training set takes by backpropagation; each run counts its own, from its network."
    )
    yield plain(report.table("fairness"), COLUMNS)
    yield Files(["fairness", "warnings"])


SECTIONS.add(
    "ledger",
    Section(
        "Ledger",
        90,
        tables={
            "fairness": Table(fairness, "statistics.fairness_ledger by data set"),
            "warnings": Table(warnings, "statistics.tuning_warnings, and unequal budgets of fairness"),
        },
        content=content,
    ),
)
