"""From the runs of a store to what is compared: entrants, the settings at which they are judged, and values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from descent_lab.analysis.measure import Measure, chosen_by, measure_of, tuned_by
from descent_lab.analysis.plans import latest_plan
from descent_lab.analysis.selection import DIVERGED, Selection, select
from descent_lab.analysis.statistics import Asked, comparable, starts, verdicts, with_diverged_blocks
from descent_lab.analysis.study import LR, Study, study
from descent_lab.errors import ConfigError, NotGiven

if TYPE_CHECKING:
    from descent_lab.tracking.reader import Results

NAMED = {"judged": "entrant", "baselines": "entrant", "beforehand": "dataset"}  # options that name what there is


@dataclass
class Comparison:
    """Runs that are compared with each other.

    results: the runs as stored. study: those that can be compared, labelled. selection: those that are reported.
    measure: what is asked about. asked: what is asked of pairs.
    left_out: the problems on which no run has what is asked about.
    incomparable: why other problems are left out of comparisons, as far as these were made. at_start: the value of a
    metric at the start of each run, as far as it was asked for.
    """

    results: "Results"
    study: Study
    selection: Selection
    measure: Measure
    asked: Asked
    left_out: Sequence[str]
    incomparable: dict[str, str] = field(default_factory=dict)
    at_start: dict[str, pd.Series] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        results: "Results",
        *,
        compared: Sequence[str] | None = None,
        tuned: Sequence[str] = LR,
        tuning_seeds: Collection[int] | None = None,
        metric: str | None = None,
        at: str | None = None,
        asked: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Self:
        """The comparison of these runs.

        compared: the groups that make an entrant. tuned: the params that were tuned in runs that do not say so.
        tuning_seeds: the seeds that settings are chosen on (`select`). metric, at: what is asked about (`measure_of`).
        asked: what is asked of pairs, by the fields of `statistics.Asked`, but for those that follow from the metric.
        Raises ConfigError for what does not fit the runs.
        """
        labelled = study(results, compared, tuned)
        measure = measure_of(labelled.runs, metric, at)
        labelled, left_out = _having(labelled, measure)
        labelled = replace(labelled, runs=_with_tuned_by(labelled, measure))
        try:
            selection = select(labelled.runs, tuning_seeds)
        except NotGiven as error:
            raise ConfigError(f"tuning-seeds: {error}") from error
        pairs = _asked(measure, asked or {}, selection.runs)
        return cls(results, labelled, selection, measure, pairs, left_out, **more)

    @property
    def value(self) -> str:
        """The column of the frame of runs that is asked about."""
        return self.measure.column

    @cached_property
    def chosen_by(self) -> Measure:
        """What settings were chosen by."""
        return chosen_by(latest_plan(self.study.runs), self.measure)

    @cached_property
    def comparable(self) -> pd.DataFrame:
        """The reported runs with the values by which they are compared (`statistics.comparable`).

        Blocks in which an entrant diverged at every setting count as its start.
        """
        chosen = self.selection.by_block
        return self.as_compared(with_diverged_blocks(self.selection.runs, chosen[chosen["how"] == DIVERGED]))

    def as_compared(self, runs: pd.DataFrame, measure: Measure | None = None, value: str | None = None) -> pd.DataFrame:
        """Any runs of the store with the values by which they are compared.

        measure, value: another measure, and the column that holds it. A problem without comparable values is left out,
        and `incomparable` says why. Raises NotGiven where no problem has some.
        """
        measure, value = measure or self.measure, value or self.value
        runs = runs.assign(start=runs["run_id"].map(self._starts(measure.metric)).astype(float))
        parts, reason = [], "no runs"
        for problem, rows in runs.groupby("dataset", sort=False):
            try:
                parts.append(comparable(rows, value, measure.better, measure.scale))
            except NotGiven as error:
                reason = self.incomparable[str(problem)] = str(error)
        if not parts:
            raise NotGiven(reason)
        return pd.concat(parts, ignore_index=True)

    def _starts(self, metric: str) -> pd.Series:
        """The value of a metric at step 0 of each run, also of those that are left out of the study."""
        if metric not in self.at_start:
            of_all = len(self.study.runs) == len(self.results.runs)
            curves = self.study.curves_of(metric) if of_all else self.results.curves
            self.at_start[metric] = starts(curves, metric) if len(curves) else pd.Series(dtype=float)
        return self.at_start[metric]

    def verdicts(self) -> pd.DataFrame:
        """The verdicts on each problem and, with several, over all (`statistics.verdicts`)."""
        return verdicts(self.comparable, "entrant", self.asked)


def _having(runs: Study, measure: Measure) -> tuple[Study, list[str]]:
    """The problems on which some run has the measure, and the names of the others, such as regressions for accuracy."""
    known = set(runs.runs.loc[runs.runs[measure.column].notna(), "dataset"])
    left_out = sorted(set(runs.runs["dataset"]) - known)
    kept = {
        name: frame[frame["dataset"].isin(known)] for name, frame in (("runs", runs.runs), ("sources", runs.sources))
    }
    return (replace(runs, **kept) if left_out else runs), left_out


def _with_tuned_by(runs: Study, measure: Measure) -> pd.DataFrame:
    """The runs with what settings are chosen by, by the plan of each problem."""
    by_problem = runs.runs.groupby("dataset", sort=False)
    values = []
    for _, rows in by_problem:
        chosen = chosen_by(latest_plan(rows), measure)
        values.append(tuned_by(rows, runs.curves_of(chosen.metric), chosen))
    return runs.runs.join(pd.concat(values))


def _asked(measure: Measure, options: Mapping[str, Any], runs: pd.DataFrame) -> Asked:
    """What is asked of pairs. Raises ConfigError for an option that is out of range, or names what there is not."""
    for option, column in NAMED.items():
        given = options.get(option) or ()
        names = sorted(set(runs[column]))
        if bad := [name for name in ([given] if isinstance(given, str) else given) if name not in names]:
            raise ConfigError(f"{option}={bad[0]}: must be one of {', '.join(names)}")
    if (baselines := options.get("baselines")) and not options.get("judged"):
        raise ConfigError(f"baselines={','.join(baselines)}: name the entrant that is held against them: judged")
    try:
        return Asked(better=measure.better, scale=measure.scale, **options)
    except ValueError as error:
        raise ConfigError(str(error)) from None
