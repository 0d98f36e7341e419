"""Turns tables of samples, from a file or from memory, into training and test samples."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from descent_lab.data.base import Data, Dataset, Fraction, Random, Task
from descent_lab.data.files.labels import encode, require_numbers, task_of
from descent_lab.data.files.tables import Table
from descent_lab.data.scaling import Scaling
from descent_lab.data.splits import split_rows
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Tabular(Dataset):
    """Base class of data sets that come as a table of samples, with or without a table of test rows.

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
    def tables(self) -> tuple[Table, Table | None]:
        """The samples, and the test samples or None. Raises DataError for what cannot be trained on."""

    def load(self, data: Random, split: Random) -> Data:
        """The samples of the tables; `data` is not used. Raises DataError for what cannot be trained on."""
        table, test = self.tables()
        task = task_of(table, self.task)
        train, test = self._split(table, split) if test is None else _aligned(table, test)
        y_train, y_test, classes = _targets(train, test, task)
        x_train, x_test, x_scaling = _scaled(train.x, test.x, self.standardise)
        y_train, y_test, y_scaling = _scaled(y_train, y_test, self.standardise_target and task == "regression")
        return Data(x_train, y_train, x_test, y_test, task, train.features, classes, x_scaling, y_scaling)

    def _split(self, table: Table, split: Random) -> tuple[Table, Table]:
        try:
            train_rows, test_rows = split_rows(len(table.x), self.test_fraction, split)
        except DataError as error:
            raise DataError(f"{table.name}: {error}") from None
        return table.take(train_rows), table.take(test_rows)


def _aligned(train: Table, test: Table) -> tuple[Table, Table]:
    """Copies of both tables, with the features of the test rows in the order of the training rows."""
    test = test.arranged_as(train)
    return train.take(np.arange(len(train.x))), test.take(np.arange(len(test.x)))


def _targets(train: Table, test: Table, task: Task) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """y of the training rows, y of the test rows, and the names of the classes."""
    if task == "regression":
        require_numbers(train)
        require_numbers(test)
        return train.labels, test.labels, ()
    classes, train_codes, test_codes = encode(train, test, task)
    y_train, y_test = (as_targets(codes, task, len(classes)) for codes in (train_codes, test_codes))
    return y_train, y_test, classes


def _scaled(train: np.ndarray, test: np.ndarray, standardise: bool) -> tuple[np.ndarray, np.ndarray, Scaling | None]:
    """Both parts and their scaling, which is that of the training rows; None and raw values if not standardised."""
    if not standardise:
        return train, test, None
    scaling = Scaling.of(train)
    return scaling.apply(train), scaling.apply(test), scaling
