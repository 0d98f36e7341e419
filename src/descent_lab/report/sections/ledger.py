"""The fairness ledger: what each entrant was given, and what a reader has to be warned of."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.plans import latest_plan, plan_of
from descent_lab.analysis.selection import DIVERGED, SAME
from descent_lab.analysis.study import as_number
from descent_lab.components import resolve
from descent_lab.errors import ConfigError
from descent_lab.report.blocks import Block, Files, Words, plain
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import SECTIONS, Section, Table
from descent_lab.report.words import listed
from descent_lab.sweeps.cautions import Tuned, cautions
from descent_lab.sweeps.space import axis_of
from descent_lab.wording import counted

UNEQUAL = "unequal budgets"
BUDGETS = {
    "trials": "settings tried", "seeds": "seeds", "runs": "runs", "steps_per_run": "steps per run",
    "gradients_per_run": "gradient-equivalents per run",
}  # fmt: skip
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
    parts = [
        _tuning_warnings(report),
        _space_warnings(report),
        _same_seeds(report),
        _unequal(report.table("fairness")),
        _confounds(report),
        _unplanned(report),
        _changed_data(report),
        _without_targets(report),
    ]
    return pd.concat(parts, ignore_index=True).sort_values(["dataset", "entrant", "warning"], ignore_index=True)


def _tuning_warnings(report: Report) -> pd.DataFrame:
    cells = report.table("cells")
    axes = sorted({name for names in cells["tuned"].unique() for name in names.split(",") if name in cells})
    warned = st.tuning_warnings(cells, PAIR, report.chosen_by.better, "place", axes)
    planned = {name for name, runs in report.study.runs.groupby("dataset") if latest_plan(runs) is not None}
    return warned[~((warned["warning"] == "edge") & warned["dataset"].isin(planned))]  # `_space_warnings` has those


def _space_warnings(report: Report) -> pd.DataFrame:
    """What weakens a comparison by the spaces that were searched, where runs say what these were."""
    chosen = report.selection.by_block
    tuned = []
    for (problem, entrant), runs in report.study.runs.groupby(PAIR, sort=True):
        plan = latest_plan(runs)
        if plan is not None:
            places = chosen[(chosen["dataset"] == problem) & (chosen["entrant"] == entrant)]
            settings = runs.drop_duplicates("place").set_index("place")
            picked = [
                {} if row.how == DIVERGED else {name: as_number(settings.loc[row.place, name]) for name in plan.space}
                for row in places.itertuples()
            ]
            axes = {name: axis_of("tracking.tuning", axis) for name, axis in plan.space.items()}
            tuned.append(Tuned(str(problem), str(entrant), axes, picked, plan.trials, **_optimizer(runs.iloc[0])))
    return pd.DataFrame(cautions(tuned), columns=[*PAIR, "warning", "detail"])


def _optimizer(run: pd.Series) -> dict[str, Any]:
    """The kind, the options and the special cases of the optimizer of a run; nothing where its class is not here."""
    try:
        kind = resolve("optimizer", run["optimizer._target_"])
    except (ConfigError, KeyError):
        return {}
    own = {
        str(name).partition(".")[2]: as_number(value) for name, value in run.items() if str(name)[:10] == "optimizer."
    }
    return {"kind": kind.kind, "options": own, "includes": getattr(kind, "includes", {})}


def _same_seeds(report: Report) -> pd.DataFrame:
    chosen = report.selection.chosen
    return chosen.loc[chosen["how"] == SAME, PAIR].assign(warning="same seeds", detail=SAME)


def _unequal(ledger: pd.DataFrame) -> pd.DataFrame:
    """Unequal budgets. Each block has a setting of its own, so that these may differ in number in the evaluation."""
    unequal = ledger["unequal"].str.split().map(lambda names: [name for name in names if name != "trials"])
    ledger = ledger.assign(unequal=ledger["unequal"].mask(ledger["phase"] == "evaluation", unequal.str.join(" ")))
    rows = ledger[ledger["unequal"] != ""].drop_duplicates(["dataset", "phase"])
    detail = rows["phase"] + ": entrants differ in " + rows["unequal"].map(_budgets)
    return pd.DataFrame({"dataset": rows["dataset"], "entrant": "all", "warning": UNEQUAL, "detail": detail})


def _budgets(names: str) -> str:
    """`trials gradients_per_run` in words."""
    return ", ".join(BUDGETS[name] for name in names.split())


def _confounds(report: Report) -> pd.DataFrame:
    """What differs between the entrants of a problem, beside what is compared."""
    differences = st.confounds(report.selection.runs, "entrant", report.study.compared)
    detail = "entrants differ in " + differences["what"] + ": " + differences["detail"]
    named = {"entrant": "all", "warning": "confounded", "detail": detail}
    return pd.DataFrame({"dataset": differences["dataset"], **named})


def _unplanned(report: Report) -> pd.DataFrame:
    """Seeds beyond those that the study planned, which are not used; and other plans than the last."""
    rows = []
    for problem, runs in report.study.runs.groupby("dataset", sort=True):
        plan = latest_plan(runs)
        if plan is None:
            continue
        beyond = {seed for seed in runs["seed"] if plan.place(int(seed)) is None}
        if beyond:
            rows.append((problem, "all", "unplanned", f"{counted(len(beyond), 'seed')} beyond the plan are not used"))
        plans = runs["tracking.tuning"].map(lambda text: told.held_out_seeds if (told := plan_of(text)) else None)
        if len({str(seeds) for seeds in plans.dropna()}) > 1:
            rows.append((problem, "all", "unplanned", "runs say different plans of seeds; the latest counts"))
    return pd.DataFrame(rows, columns=[*PAIR, "warning", "detail"])


def _changed_data(report: Report) -> pd.DataFrame:
    """Data sets whose content changed between runs, so that they are several problems."""
    runs = report.study.runs
    changed = runs[runs["dataset"].str.contains(", content ", regex=False)]
    rows = [
        (problem, "all", "changed data", "the content of this data set changed between runs; each content is a problem")
        for problem in sorted(set(changed["dataset"]))
    ]
    return pd.DataFrame(rows, columns=[*PAIR, "warning", "detail"])


def _without_targets(report: Report) -> pd.DataFrame:
    """Problems on which no target is fair, and why."""
    absent = report.table("no_targets")
    rows = absent if len(absent) else pd.DataFrame(columns=["dataset", "detail"], dtype=object)
    return rows[["dataset", "detail"]].assign(entrant="all", warning="no target")


def unfair(report: Report) -> str:
    """The note on every figure that compares entrants with unequal budgets; empty if the budgets are equal."""
    warned = report.table("warnings")
    if warned.empty or not (warned["warning"] == UNEQUAL).any():
        return ""
    return "; budgets are unequal (see the ledger)"


def in_words(warned: pd.DataFrame) -> list[str]:
    """The warnings as lines, each once for all problems and all entrants that have the same."""
    if warned.empty:
        return []
    said = warned.groupby(["dataset", "warning", "detail"], sort=True)["entrant"].agg(", ".join).reset_index()
    said = said.groupby(["warning", "entrant", "detail"], sort=False)["dataset"].agg(list).reset_index()
    who = said["dataset"].map(listed) + (": " + said["entrant"]).mask(said["entrant"] == "all", "")
    return list(who + ": " + said["detail"] + ".")


def content(report: Report) -> Iterator[Block]:
    """The ledger."""
    yield Words(
        "What each entrant was given. A gradient-equivalent is as many multiplications as one gradient of the whole "
        "training set takes by backpropagation; each run counts its own, from its network."
    )
    ledger = report.table("fairness")
    yield plain(ledger.assign(unequal=ledger["unequal"].map(_budgets)), COLUMNS)
    yield Files(["fairness", "warnings"])


SECTIONS.add(
    "ledger",
    Section(
        "Ledger",
        90,
        tables={
            "fairness": Table(fairness, "statistics.fairness_ledger by data set"),
            "warnings": Table(warnings, "statistics.tuning_warnings, unequal budgets of fairness, and confounds"),
        },
        content=content,
    ),
)
