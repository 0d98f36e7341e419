"""Turns tables of samples, from a file or from memory, into training, validation and test samples."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from descent_lab.data.base import Data, Dataset, Fraction, Random, Task
from descent_lab.data.files.labels import encode, require_numbers, task_of
from descent_lab.data.files.tables import Table
from descent_lab.data.splits import hold_out, split_rows
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError
from descent_lab.portable.scaling import Scaling

Parts = dict[str, Table]  # by "train", "validation" if there is such a set, and "test"
Arrays = Mapping[str, np.ndarray]  # by the same names


class Tables(NamedTuple):
    """The samples as they are given. validation, test: None where rows of `train` are to be drawn for them."""

    train: Table
    validation: Table | None
    test: Table | None


@dataclass(frozen=True, kw_only=True)
class Tabular(Dataset):
    """Base class of data sets that come as a table of samples, with or without tables of validation and test rows.

    task: auto applies the rule of `labels.task_of`.
    test_fraction: the share of the rows that is drawn as the test set, not stratified, where no test rows are given.
    standardise: shift and scale the features; standardise_target: the values of a regression. Both use the mean and
    the standard deviation of the training rows.
    """

    task: Task | Literal["auto"] = "auto"
    test_fraction: Fraction = 0.2
    standardise: bool = True
    standardise_target: bool = False

    @abstractmethod
    def tables(self) -> Tables:
        """The samples. Raises DataError for what cannot be trained on."""

    def load(self, data: Random, split: Random) -> Data:
        """The samples of the tables; `data` is not used. Raises DataError for what cannot be trained on."""
        given = self.tables()
        task = task_of(given.train, self.task)
        parts = self._split(given, split)
        y, classes = _targets(parts, task)
        x, x_scaling = _scaled({part: table.x for part, table in parts.items()}, self.standardise)
        y, y_scaling = _scaled(y, self.standardise_target and task == "regression")
        held: dict[str, Any] = {
            f"{name}_validation": of["validation"] for name, of in (("x", x), ("y", y)) if "validation" in of
        }
        sets = x["train"], y["train"], x["test"], y["test"]
        table = parts["train"]
        return Data(*sets, task, table.features, classes, x_scaling, y_scaling, **held, shape=table.shape)

    def _split(self, given: Tables, split: Random) -> Parts:
        """Copies of the rows of every part; all have their features in the order of the training rows."""
        table = given.train
        others = {"validation": given.validation, "test": given.test}
        arranged = {part: _arranged(other, table) for part, other in others.items() if other is not None}
        if "validation" in arranged and self.validation_fraction:
            raise DataError(
                f"{table.name}, validation_fraction {self.validation_fraction:g}: must be 0 with validation rows given"
            )
        try:
            if "test" in arranged:
                train, validation = hold_out(len(table.x), self.validation_fraction, split)
                drawn = {"train": train, "validation": validation}
            else:
                drawn = split_rows(len(table.x), self.test_fraction, self.validation_fraction, split)._asdict()
        except DataError as error:
            raise DataError(f"{table.name}: {error}") from None
        return {part: table.take(rows) for part, rows in drawn.items() if len(rows)} | arranged


def _arranged(table: Table, train: Table) -> Table:
    """A copy of a table, with its features in the order of the training rows."""
    arranged = table.arranged_as(train)
    return arranged.take(np.arange(len(arranged.x)))


def _targets(parts: Parts, task: Task) -> tuple[Arrays, tuple[str, ...]]:
    """y of every part, and the names of the classes."""
    if task == "regression":
        for table in parts.values():
            require_numbers(table)
        return {part: table.labels for part, table in parts.items()}, ()
    classes, codes = encode(parts, task)
    return {part: as_targets(of_part, task, len(classes)) for part, of_part in codes.items()}, classes


def _scaled(parts: Arrays, standardise: bool) -> tuple[Arrays, Scaling | None]:
    """All parts and their scaling, which is that of the training rows; None and raw values if not standardised."""
    if not standardise:
        return parts, None
    scaling = Scaling.of(parts["train"])
    return {part: scaling.apply(values) for part, values in parts.items()}, scaling
