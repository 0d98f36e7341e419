"""Which rows are for training and which for the test."""

import numpy as np

from descent_lab.data.base import Random
from descent_lab.errors import DataError


def split_rows(n: int, test_fraction: float, split: Random) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test) of a random split of n rows.

    One permutation is drawn; its last round(n * test_fraction) rows are the test rows. Both parts keep the
    permutation's order, so that even batches in data order meet a file sorted by class well mixed.
    DataError where either part would be empty.
    """
    n_test = round(n * test_fraction)
    if not 1 <= n_test < n:
        raise DataError(
            f"test_fraction {test_fraction:g} of {n} rows leaves {n - n_test} for training and {n_test} for "
            "the test: each needs at least 1"
        )
    rows = split.permutation(n)
    return rows[: n - n_test], rows[n - n_test :]
