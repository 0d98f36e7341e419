"""What a report asks about: a recorded metric, at the last step, at its best, or at the step that validation chose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from descent_lab.analysis.plans import latest_plan
from descent_lab.analysis.statistics.frames import WORST
from descent_lab.errors import ConfigError
from descent_lab.metrics import METRICS, Better, better
from descent_lab.tracking.columns import column
from descent_lab.tracking.study_record import StudyRecord

At = Literal["final", "best", "chosen", "time_to"]
TUNED_BY, THEN_BY = "tuned_by", "then_by"  # the columns that settings are chosen by; lower is better
SETS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Measure:
    """A number of each run.

    at: final (the last step), best (of all records), chosen (at the step where validation was best), or time_to (the
    first recorded step at which the metric is as good as `target`). then: what decides where such steps are equal.
    """

    metric: str = "train/loss"
    at: At = "final"
    target: float | None = None
    then: At = "final"

    @property
    def column(self) -> str:
        """The column of the frame of runs that holds it."""
        return column(f"{self.at}/{self.metric}")

    @property
    def better(self) -> Better:
        """Whether low or high values are better."""
        return "lower" if self.at == "time_to" else self._better

    @property
    def _better(self) -> Better:
        return better(self.metric.partition("/")[2])

    @property
    def scale(self) -> Literal["log", "linear"]:
        """Losses and errors are compared by their ratios, scores by their differences."""
        return "log" if self.better == "lower" else "linear"

    @property
    def label(self) -> str:
        """Its name in plots and tables, such as `final training loss`."""
        part, _, name = self.metric.partition("/")
        plain = f"{SETS.get(part, part)} {METRICS[name].label if name in METRICS else name}"
        if self.at == "time_to":
            return f"steps to {plain} {self.target:g}"
        return f"{plain} where validation is best" if self.at == "chosen" else f"{self.at} {plain}"

    def of(self, runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
        """The value of each run; missing where a run has none, infinite where it never reaches the target."""
        if self.at == "time_to":
            sign = 1.0 if self._better == "lower" else -1.0
            hit = curves[(curves["metric"] == self.metric) & (sign * curves["value"] <= sign * (self.target or 0.0))]
            return runs["run_id"].map(hit.groupby("run_id")["step"].min()).astype(float).fillna(np.inf)
        if self.column in runs:
            return runs[self.column].astype(float)
        return pd.Series(np.nan, index=runs.index)


TRAINING = Measure()


def measure_of(runs: pd.DataFrame, metric: str | None, at: str | None) -> Measure:
    """The measure that was asked for.

    metric: None is the training loss, or, where settings were tuned on a validation set, the same metric of the test
    set. at: None is the last step, or, for the test set of runs with a validation set, the step that validation chose.
    Raises ConfigError where no run has it.
    """
    if metric is None:
        metric = _asked(runs)
    wanted = [Measure(metric, at)] if at else _preferred(metric)  # type: ignore[arg-type]
    for measure in wanted:
        if measure.column in runs and runs[measure.column].notna().any():
            return measure
    known = sorted({name.removeprefix("final_").replace("_", "/", 1) for name in runs if name.startswith("final_")})
    raise ConfigError(f"metric={metric}{f' at={at}' if at else ''}: no run has it; there are {', '.join(known)}")


def _preferred(metric: str) -> list[Measure]:
    return [Measure(metric, "chosen"), Measure(metric)] if metric.startswith("test/") else [Measure(metric)]


def _asked(runs: pd.DataFrame) -> str:
    plan = latest_plan(runs)
    part, _, name = plan.by.partition("/") if plan else ("train", "", "loss")
    return f"test/{name}" if part == "validation" else TRAINING.metric


def chosen_by(plan: StudyRecord | None, measure: Measure) -> Measure:
    """What settings are chosen by.

    plan: what the study says; None: the measure that is reported, or the training loss where that is of the test set,
    on which nothing may be chosen.
    """
    if plan is None:
        return TRAINING if measure.metric.startswith("test/") or measure.at == "chosen" else measure
    if isinstance(plan.at, Mapping):
        then: At = "best" if plan.at.get("then") == "best" else "final"
        return Measure(plan.by, "time_to", float(plan.at["time_to"]), then)
    return Measure(plan.by, "best" if plan.at == "best" else "final")


def tuned_by(runs: pd.DataFrame, curves: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """What settings are chosen by, of each run: the columns TUNED_BY and THEN_BY; lower is better.

    THEN_BY decides where TUNED_BY is equal: of equal numbers of steps to a target, the last or best value. A diverged
    run is infinite in both.
    """
    then = replace(measure, at=measure.then) if measure.at == "time_to" else measure
    return pd.DataFrame({TUNED_BY: _lowest(runs, curves, measure), THEN_BY: _lowest(runs, curves, then)})


def _lowest(runs: pd.DataFrame, curves: pd.DataFrame, measure: Measure) -> pd.Series:
    values = measure.of(runs, curves)
    sign = 1.0 if measure.better == "lower" else -1.0
    bad = ~np.isfinite(values) | (runs["status"] == "diverged")
    return (sign * values).mask(bad, WORST["lower"])
