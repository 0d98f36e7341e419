"""The split into training and test rows."""

import numpy as np

from descent_lab.data.base import Random
from descent_lab.errors import DataError


def split_rows(n: int, test_fraction: float, split: Random) -> tuple[np.ndarray, np.ndarray]:
    """The row numbers of the training set and of the test set: a random split of n rows.

    One permutation is drawn, and its last round(n * test_fraction) rows are the test rows. Both parts keep the order
    of the permutation, so that batches in data order are well mixed even where a file is sorted by class.
    Raises DataError where either part would be empty.
    """
    n_test = round(n * test_fraction)
    if not 1 <= n_test < n:
        raise DataError(
            f"test_fraction {test_fraction:g} of {n} rows leaves {n - n_test} for training and {n_test} for "
            "the test: each needs at least 1"
        )
    rows = split.permutation(n)
    return rows[: n - n_test], rows[n - n_test :]
