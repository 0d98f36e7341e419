"""The report of some runs: its tables, computed when they are asked for, and why others are missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from descent_lab.analysis.comparison import Comparison
from descent_lab.analysis.measure import TRAINING
from descent_lab.analysis.subset import reference_of
from descent_lab.errors import ConfigError, NotGiven
from descent_lab.report.looks import Style, styles, styles_in_order
from descent_lab.report.section import Section, Table, ordered
from descent_lab.wording import counted

LOSS = TRAINING.column
PAIR = ["dataset", "entrant"]


@dataclass
class Report(Comparison):
    """The content of the report, of which sections make their tables, figures and words.

    named_reference: the entrant that targets are derived from, where one was named.
    mlflow: the address at which the page's links open runs.
    files: the file of each table that was written.
    fixed_targets: `dataset, level, target`, fixed before the runs; None: they are derived from the reference.
    """

    named_reference: str | None = None
    mlflow: str = ""
    files: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # why a table is not there
    fixed_targets: pd.DataFrame | None = None
    _made: dict[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def notes(self) -> list[str]:
        """What the reader has to be told of the store."""
        unfinished, repeats = self.results.unfinished, self.study.repeats
        notes = []
        if unfinished:
            notes.append(f"{counted(unfinished, 'run')} of the store not finished, and left out.")
        if repeats:
            again = counted(repeats, "run")
            notes.append(
                f"{again} left out that repeat another's settings and seed; the isolated, then the latest, stay."
            )
        if self.left_out:
            notes.append(f"Left out, as no run on it has {self.measure.metric}: {', '.join(self.left_out)}.")
        if (commits := self.results.runs["git.commit"].nunique()) > 1:
            notes.append(f"The runs were made by {commits} commits of the code.")
        return notes

    @cached_property
    def reference(self) -> str | None:
        """The entrant that targets are derived from; None where no run finished. ConfigError for a wrong name."""
        return reference_of(self.selection.runs, LOSS, self.named_reference)

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

    @cached_property
    def looks(self) -> Mapping[str, Style]:
        """A style per entrant; the colour is the optimizer's where optimizers are compared, or backends."""
        runs = self.study.runs.drop_duplicates("entrant")
        if not {"optimizer", "backend"} & set(self.study.compared):
            return styles_in_order(runs["entrant"])
        names = runs["optimizer"].where(runs["optimizer"] != "none", runs["backend"])
        return styles(dict(zip(runs["entrant"], names, strict=True)))
