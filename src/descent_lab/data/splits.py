"""The split into training, validation and test rows."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from descent_lab.data.base import Data, Random
from descent_lab.errors import DataError


class Split(NamedTuple):
    """The row numbers of the training, the validation and the test set; there may be no validation rows."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(n: int, test_fraction: float, validation_fraction: float, split: Random) -> Split:
    """A random split of n rows. Both fractions are shares of all rows.

    One permutation is drawn. Its last round(n * test_fraction) rows are the test rows, and the round(n *
    validation_fraction) rows before them the validation rows, so that the test rows do not depend on
    validation_fraction. All parts keep the order of the permutation, so that batches in data order are well mixed even
    where a file is sorted by class. Raises DataError where a part would be empty; with validation_fraction 0 there is
    no validation set.
    """
    n_test, n_validation = round(n * test_fraction), round(n * validation_fraction)
    n_train = n - n_test - n_validation
    if validation_fraction and not (n_train > 0 < n_validation and n_test > 0):
        raise DataError(
            f"test_fraction {test_fraction:g} and validation_fraction {validation_fraction:g} of {n} rows leave "
            f"{max(0, n_train)} for training, {n_validation} for validation and {n_test} for the test: each needs at "
            "least 1"
        )
    if not 1 <= n_test < n:
        raise DataError(
            f"test_fraction {test_fraction:g} of {n} rows leaves {n - n_test} for training and {n_test} for "
            "the test: each needs at least 1"
        )
    rows = split.permutation(n)
    return Split(rows[:n_train], rows[n_train : n - n_test], rows[n - n_test :])


def hold_out(n: int, validation_fraction: float, split: Random) -> tuple[np.ndarray, np.ndarray]:
    """The training and the validation rows among n rows of data whose test rows are given; both keep their order.

    validation_fraction: the share of the n rows that is drawn; nothing is drawn for 0. Raises DataError where a part
    would be empty.
    """
    if not validation_fraction:
        return np.arange(n), np.arange(0)
    n_validation = round(n * validation_fraction)
    if not 1 <= n_validation < n:
        raise DataError(
            f"validation_fraction {validation_fraction:g} of {n} training rows leaves {n - n_validation} for training "
            f"and {n_validation} for validation: each needs at least 1"
        )
    rows = split.permutation(n)
    return np.sort(rows[: n - n_validation]), np.sort(rows[n - n_validation :])


def held_out(data: Data, validation_fraction: float, split: Random) -> Data:
    """Data whose test rows are given, with a share of the training rows as validation rows (`hold_out`).

    The data must not be scaled. Raises DataError where a class would lose all of its training rows.
    """
    train, validation = hold_out(len(data.x_train), validation_fraction, split)
    if not len(validation):
        return data
    y = data.y_train
    parts = replace(data, x_train=data.x_train[train], y_train=y[train])
    for code, name in enumerate(data.classes):
        rows = y[train, 0] == code if data.task == "binary" else y[train, code]
        if not rows.any():
            raise DataError(f"validation_fraction {validation_fraction:g}: no training row of {name!r}")
    return replace(parts, x_validation=data.x_train[validation], y_validation=y[validation])
