"""What a tuned study set out to do, as each of its runs says in `tracking.tuning`."""

from functools import lru_cache

import numpy as np
import pandas as pd

from descent_lab.tracking.study_record import StudyRecord


@lru_cache(maxsize=4096)
def plan_of(text: str | None) -> StudyRecord | None:
    """The plan in the `tracking.tuning` of a run; None where there is none that can be read.

    Runs of earlier versions have none, and a store from elsewhere may hold anything.
    """
    if not isinstance(text, str):
        return None
    try:
        plan = StudyRecord.read(text)
        numbers = [int(seed) for seeds in (*plan.tuning_seeds, *plan.held_out_seeds) for seed in seeds]
        fits = len(plan.tuning_seeds) == len(plan.held_out_seeds) and len(set(numbers)) == len(numbers)
        return plan if fits and all(isinstance(axis, dict) for axis in plan.space.values()) else None
    except (ValueError, TypeError, AttributeError):
        return None


def latest_plan(runs: pd.DataFrame) -> StudyRecord | None:
    """The plan of the run that was started last, of those that have one; None where no run has one."""
    if "tracking.tuning" not in runs:
        return None
    texts, started = runs["tracking.tuning"].to_numpy(), runs["started"].to_numpy()
    told = np.flatnonzero([plan_of(text) is not None for text in texts])
    return plan_of(texts[told[started[told].argmax()]]) if len(told) else None
