"""Was everyone given the same? Trials, seeds, steps, gradients and seconds, in tuning and in evaluation."""

from collections.abc import Collection, Sequence

import pandas as pd

from descent_lab.analysis.statistics.frames import require

SPENT = {"steps": "steps", "gradients": "gradients", "seconds": "step_seconds"}
BUDGETS = ("trials", "seeds", "runs", "steps_per_run", "gradients_per_run")


def fairness_ledger(
    runs: pd.DataFrame,
    tuning_seeds: Collection[int],
    entrant: str = "optimizer",
    setting: str = "lr",
    budgets: Sequence[str] = BUDGETS,
    tolerance: float = 0.05,
) -> pd.DataFrame:
    """What each entrant was given, one row per data set, phase and entrant: `dataset, phase, <entrant>,
    trials, seeds, runs, diverged, steps, gradients, seconds, steps_per_run, gradients_per_run,
    seconds_per_run, unequal`.

    phase: `tuning` or `evaluation`, by seed. trials: distinct settings. steps, gradients (equivalents),
    seconds: totals spent; *_per_run: the most that one run spent, which is its budget where some run neither
    diverged nor stopped early. unequal: those `budgets`, joined by spaces, in which the entrants of the data
    set and phase differ by more than the relative tolerance; the same for all of them, empty where equal. An
    entrant that got nothing where others got something has a row of zeros.
    `budgets` may also name `seconds_per_run`, where time is what was given.
    """
    require(runs, "dataset", entrant, setting, "seed", "status", "steps", "gradients", "step_seconds")
    if tolerance < 0:
        raise ValueError(f"tolerance {tolerance}: must be 0 or more")
    tuned = runs["seed"].isin(list(tuning_seeds)).map({True: "tuning", False: "evaluation"})
    diverged = runs["status"] == "diverged"
    given = runs.assign(phase=tuned, diverged=diverged).groupby(["dataset", "phase", entrant], sort=True)
    named = {
        "trials": (setting, "nunique"),
        "seeds": ("seed", "nunique"),
        "runs": ("seed", "size"),
        "diverged": ("diverged", "sum"),
    }
    totals = {name: (column, "sum") for name, column in SPENT.items()}
    most = {f"{name}_per_run": (column, "max") for name, column in SPENT.items()}
    ledger = _with_absent(given.agg(**named, **totals, **most))
    return ledger.assign(unequal=_unequal(require(ledger, *budgets), list(budgets), tolerance))


def _with_absent(ledger: pd.DataFrame) -> pd.DataFrame:
    """The ledger with a row of zeros for each entrant that got nothing where others got something."""
    phases = ledger.index.droplevel(-1).unique()
    entrants = ledger.index.levels[-1]
    rows = [(*phase, entrant) for phase in phases for entrant in entrants]
    return ledger.reindex(pd.MultiIndex.from_tuples(rows, names=ledger.index.names), fill_value=0).reset_index()


def _unequal(ledger: pd.DataFrame, budgets: list[str], tolerance: float) -> list[str]:
    phases = ledger.groupby(["dataset", "phase"])[budgets]
    spread = phases.transform("max") - phases.transform("min")
    apart = spread > tolerance * phases.transform("max")
    return [" ".join(name for name in budgets if row[name]) for _, row in apart.iterrows()]
