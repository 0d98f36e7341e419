"""From a user's file to training and test samples."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from descent_lab.data.base import Data, Dataset, Fraction, Random, Task, Text
from descent_lab.data.files.fingerprint import fingerprint
from descent_lab.data.files.labels import encode, require_numbers, task_of
from descent_lab.data.files.tables import Table
from descent_lab.data.scaling import Scaling
from descent_lab.data.splits import split_rows
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError


@dataclass(frozen=True, kw_only=True)
class UserFile(Dataset):
    """A file of samples; relative paths start at the current directory.

    The test rows are those of test_path, or else a random test_fraction of the file (not stratified).
    task auto follows the rule of `labels.task_of`. standardise applies to the features, standardise_target to
    the values of a regression; both with the training rows' statistics.
    """

    outside_identity = frozenset({"path", "test_path"})  # the content counts, wherever it lies

    path: Text
    test_path: Text | None = None
    task: Task | Literal["auto"] = "auto"
    test_fraction: Fraction = 0.2
    standardise: bool = True
    standardise_target: bool = False

    def load(self, data: Random, split: Random) -> Data:
        """DataError for anything in the files that cannot be trained on; `data` is not used."""
        whole = self.read(self.path)
        task = task_of(whole, self.task)
        train, test = self._parts(whole, split)
        y_train, y_test, classes = _targets(train, test, task)
        x_train, x_test, x_scaling = _scaled(train.x, test.x, self.standardise)
        y_train, y_test, y_scaling = _scaled(y_train, y_test, self.standardise_target and task == "regression")
        return Data(x_train, y_train, x_test, y_test, task, train.features, classes, x_scaling, y_scaling)

    def fingerprint(self) -> str:
        """sha256 of the contents of the file and of the test file."""
        return fingerprint([path for path in (self.path, self.test_path) if path is not None])

    @abstractmethod
    def read(self, path: str) -> Table:
        """The checked contents of a file of this kind."""

    def _parts(self, whole: Table, split: Random) -> tuple[Table, Table]:
        if self.test_path is not None:
            test = self.read(self.test_path).arranged_as(whole)
            return whole.take(np.arange(len(whole.x))), test.take(np.arange(len(test.x)))
        try:
            train_rows, test_rows = split_rows(len(whole.x), self.test_fraction, split)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from None
        return whole.take(train_rows), whole.take(test_rows)


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
