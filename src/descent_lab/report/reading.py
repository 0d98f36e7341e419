"""Reads the runs of a report, with the curves that its tables and figures need."""

from collections.abc import Collection

from descent_lab.analysis.plans import plan_of
from descent_lab.metrics import METRICS
from descent_lab.tracking.reader import Results, Wanted, find, read_curves


def read(uri: str | None, wanted: Wanted, metrics: Collection[str] = ()) -> Results:
    """These runs, with the curves that are drawn, or that settings were chosen by.

    metrics: those that are asked about, whose curves are read as well. Raises StoreError as `find` does.
    """
    results = find(uri, wanted)
    of_sets = (f"{part}/{name}" for part in ("validation", "test") for name in METRICS)
    needed = {"train/loss", *of_sets, *metrics}
    if "tracking.tuning" in results.runs:
        needed |= {plan.by for text in results.runs["tracking.tuning"].unique() if (plan := plan_of(text))}
    return results.with_curves(read_curves(results.artifacts, results.runs, sorted(needed)))
