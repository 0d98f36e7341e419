"""Were all entrants given the same? Trials, seeds, steps, gradients and seconds, in tuning and in evaluation."""

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
    """The budget that each entrant was given: one row per data set, phase and entrant.

    Gives `dataset, phase, <entrant>, trials, seeds, runs, diverged, steps, gradients, seconds, steps_per_run,
    gradients_per_run, seconds_per_run, unequal`. An entrant that was given nothing, where others were given something,
    has a row of zeros.

    - phase: `tuning` for runs on tuning_seeds, else `evaluation`.
    - trials: the number of different settings.
    - steps, gradients (gradient-equivalents), seconds: the totals that were spent.
    - *_per_run: the most that one run spent. It is the budget of a run if some run neither diverged nor stopped early.
    - unequal: the `budgets`, joined by spaces, in which the entrants of this data set and phase differ by more than the
      relative tolerance; empty where they are equal.

    budgets: what must be equal; `seconds_per_run` may be among them, where the time was limited.
    """
    require(runs, "dataset", entrant, setting, "seed", "status", "steps", "gradients", "step_seconds")
    if tolerance < 0:
        raise ValueError(f"tolerance {tolerance}: must be 0 or more")
    tuned = runs["seed"].isin(list(tuning_seeds)).map({True: "tuning", False: "evaluation"})
    diverged = runs["status"] == "diverged"
    needed = runs[list(dict.fromkeys(["dataset", entrant, setting, "seed", *SPENT.values()]))]
    groups = needed.assign(phase=tuned, diverged=diverged).groupby(["dataset", "phase", entrant], sort=True)
    counts = {
        "trials": (setting, "nunique"),
        "seeds": ("seed", "nunique"),
        "runs": ("seed", "size"),
        "diverged": ("diverged", "sum"),
    }
    totals = {name: (column, "sum") for name, column in SPENT.items()}
    most = {f"{name}_per_run": (column, "max") for name, column in SPENT.items()}
    ledger = _with_absent(groups.agg(**counts, **totals, **most))
    return ledger.assign(unequal=_unequal(require(ledger, *budgets), list(budgets), tolerance))


def _with_absent(ledger: pd.DataFrame) -> pd.DataFrame:
    """The ledger with a row of zeros for each entrant that was given nothing where others were given something."""
    phases = ledger.index.droplevel(-1).unique()
    entrants = ledger.index.levels[-1]
    rows = [(*phase, entrant) for phase in phases for entrant in entrants]
    return ledger.reindex(pd.MultiIndex.from_tuples(rows, names=ledger.index.names), fill_value=0).reset_index()


def _unequal(ledger: pd.DataFrame, budgets: list[str], tolerance: float) -> list[str]:
    phases = ledger.groupby(["dataset", "phase"])[budgets]
    spread = phases.transform("max") - phases.transform("min")
    apart = spread > tolerance * phases.transform("max")
    return [" ".join(name for name in budgets if row[name]) for _, row in apart.iterrows()]
