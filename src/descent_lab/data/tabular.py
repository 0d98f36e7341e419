"""From tables of samples, read from a file or given in memory, to training and test samples."""

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
    """A table of samples, with a table of test rows or without.

    Without one, a random test_fraction of the rows are the test rows (not stratified). task auto follows the rule of
    `labels.task_of`. standardise applies to the features, standardise_target to the values of a regression; both with
    the training rows' statistics.
    """

    task: Task | Literal["auto"] = "auto"
    test_fraction: Fraction = 0.2
    standardise: bool = True
    standardise_target: bool = False

    @abstractmethod
    def tables(self) -> tuple[Table, Table | None]:
        """The samples, and the test samples if they are given. Raises DataError for what cannot be trained on."""

    def load(self, data: Random, split: Random) -> Data:
        """DataError for anything in the tables that cannot be trained on; `data` is not used."""
        whole, test = self.tables()
        task = task_of(whole, self.task)
        train, test = self._split(whole, split) if test is None else _given(whole, test)
        y_train, y_test, classes = _targets(train, test, task)
        x_train, x_test, x_scaling = _scaled(train.x, test.x, self.standardise)
        y_train, y_test, y_scaling = _scaled(y_train, y_test, self.standardise_target and task == "regression")
        return Data(x_train, y_train, x_test, y_test, task, train.features, classes, x_scaling, y_scaling)

    def _split(self, whole: Table, split: Random) -> tuple[Table, Table]:
        try:
            train_rows, test_rows = split_rows(len(whole.x), self.test_fraction, split)
        except DataError as error:
            raise DataError(f"{whole.name}: {error}") from None
        return whole.take(train_rows), whole.take(test_rows)


def _given(train: Table, test: Table) -> tuple[Table, Table]:
    test = test.arranged_as(train)
    return train.take(np.arange(len(train.x))), test.take(np.arange(len(test.x)))


def _targets(train: Table, test: Table, task: Task) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """y of the training and of the test rows, and the names of the classes."""
    if task == "regression":
        require_numbers(train)
        require_numbers(test)
        return train.labels, test.labels, ()
    classes, train_codes, test_codes = encode(train, test, task)
    y_train, y_test = (as_targets(codes, task, len(classes)) for codes in (train_codes, test_codes))
    return y_train, y_test, classes


def _scaled(train: np.ndarray, test: np.ndarray, wanted: bool) -> tuple[np.ndarray, np.ndarray, Scaling | None]:
    """Both parts standardised by the first one's statistics, where that is wanted."""
    if not wanted:
        return train, test, None
    scaling = Scaling.of(train)
    return scaling.apply(train), scaling.apply(test), scaling
