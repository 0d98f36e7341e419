"""The report of some runs: its tables, computed when they are asked for, and why others are missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from descent_lab.analysis.measure import TRAINING, Measure, chosen_by, measure_of, tuned_by
from descent_lab.analysis.plans import latest_plan
from descent_lab.analysis.selection import Selection, select
from descent_lab.analysis.statistics import Asked, comparable, starts
from descent_lab.analysis.study import LR, Study, study
from descent_lab.analysis.subset import reference_of
from descent_lab.errors import ConfigError, NotGiven
from descent_lab.report.looks import Style, styles, styles_in_order
from descent_lab.report.section import Section, Table, ordered

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from descent_lab.tracking.reader import Results

LOSS = TRAINING.column
TUNED_BY = "tuned_by"  # the column that settings are chosen by; lower is better
PAIR = ["dataset", "entrant"]


@dataclass
class Report:
    """The content of the report, of which sections make their tables, figures and words.

    results: the runs as stored. study: those that are compared. selection: those that are reported.
    measure: what the report asks about. asked: what it asks of pairs.
    reference: the entrant that targets are derived from; None where no run finished.
    files: the file of each table that was written. notes: what the reader has to be told of the store.
    mlflow: the address at which the page's links open runs.
    """

    results: "Results"
    study: Study
    selection: Selection
    measure: Measure
    asked: Asked
    reference: str | None
    mlflow: str = ""
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # why a table is not there
    _made: dict[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        results: "Results",
        compared: "Sequence[str] | None" = None,
        tuning_seeds: "Collection[int] | None" = None,
        reference: str | None = None,
        mlflow: str = "",
        metric: str | None = None,
        at: str | None = None,
        tuned: "Sequence[str]" = LR,
        asked: "Mapping[str, Any] | None" = None,
    ) -> "Report":
        """The report of these runs.

        compared: the groups that make an entrant. reference: None for sgd, or else one in the middle.
        metric, at: what is asked about (`measure_of`). tuned: the params that were tuned in runs that do not say so.
        asked: what is asked of pairs, by the fields of `statistics.Asked`, but for those that follow from the metric.
        Raises ConfigError for what does not fit the runs.
        """
        runs = study(results, compared, tuned)
        measure = measure_of(runs.runs, metric, at)
        runs = replace(runs, runs=_with_tuned_by(runs, measure))
        try:
            selection = select(runs.runs, TUNED_BY, tuning_seeds)
        except NotGiven as error:
            raise ConfigError(f"tuning-seeds: {error}") from error
        pairs = _asked(measure, asked or {}, selection.runs)
        named = reference_of(selection.runs, LOSS, reference)
        return cls(results, runs, selection, measure, pairs, named, mlflow)

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The sections there are by name, in the order of the page."""
        return dict(ordered())

    @cached_property
    def declared(self) -> dict[str, Table]:
        """The tables of all sections by name. Raises ConfigError where two have the same name."""
        tables: dict[str, Table] = {}
        for name, section in self.sections.items():
            if double := sorted(set(tables) & set(section.tables)):
                raise ConfigError(f"section {name!r} of the report: another has a table named {double[0]!r} too")
            tables |= section.tables
        return tables

    def table(self, name: str) -> pd.DataFrame:
        """The table; empty where these runs do not give it, and then `missing` says why."""
        if name not in self._made:
            try:
                self._made[name] = self.declared[name].make(self)
                if self._made[name].empty:
                    raise NotGiven("no rows")
            except NotGiven as error:
                self.missing[name], self._made[name] = str(error), pd.DataFrame()
        return self._made[name]

    def given(self, *names: str) -> bool:
        """Whether these runs give all of these tables."""
        return all(len(self.table(name)) for name in names)

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """The name and the rows of every table that these runs give."""
        return ((name, self.table(name)) for name in self.declared if self.given(name))

    @property
    def value(self) -> str:
        """The column of the frame of runs that the report asks about."""
        return self.measure.column

    @cached_property
    def chosen_by(self) -> Measure:
        """What settings were chosen by."""
        return chosen_by(latest_plan(self.study.runs), self.measure)

    @cached_property
    def comparable(self) -> pd.DataFrame:
        """The reported runs with the values by which they are compared (`statistics.comparable`)."""
        return self.as_compared(self.selection.runs)

    def as_compared(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Any runs of the store with the values by which they are compared."""
        start = starts(self.results.curves, self.measure.metric)
        runs = runs.assign(start=runs["run_id"].map(start).astype(float))
        return comparable(runs, self.value, self.measure.better, self.measure.scale)

    @cached_property
    def looks(self) -> Mapping[str, Style]:
        """A style per entrant; the colour is the optimizer's where optimizers are compared, or backends."""
        runs = self.study.runs.drop_duplicates("entrant")
        if not {"optimizer", "backend"} & set(self.study.compared):
            return styles_in_order(runs["entrant"])
        names = runs["optimizer"].where(runs["optimizer"] != "none", runs["backend"])
        return styles(dict(zip(runs["entrant"], names, strict=True)))


def _asked(measure: Measure, options: "Mapping[str, Any]", runs: pd.DataFrame) -> Asked:
    """What is asked of pairs. Raises ConfigError for an option that is out of range, or names what there is not."""
    known = {"judged": "entrant", "baselines": "entrant", "beforehand": "dataset"}
    for option, column in known.items():
        given = options.get(option, ())
        names = sorted(set(runs[column]))
        if bad := [name for name in ([given] if isinstance(given, str) else given) if name not in names]:
            raise ConfigError(f"{option}={bad[0]}: must be one of {', '.join(names)}")
    if options.get("baselines") and not options.get("judged"):
        raise ConfigError(
            f"baselines={','.join(options['baselines'])}: name the entrant that is held against them: judged"
        )
    try:
        return Asked(better=measure.better, scale=measure.scale, **options)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _with_tuned_by(runs: Study, measure: Measure) -> pd.DataFrame:
    """The runs with the column TUNED_BY, by the plan of each problem."""
    by_problem = runs.runs.groupby("dataset", sort=False)
    values = [tuned_by(rows, runs.curves, chosen_by(latest_plan(rows), measure)) for _, rows in by_problem]
    return runs.runs.assign(**{TUNED_BY: pd.concat(values)})
