"""Noise-free linear functions of one, two or three features, from a set of hand-written layers (P. J. Winn)."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import MinLen

from descent_lab.data.base import Data, Dataset, Finite, Positive, Random, Suggested
from descent_lab.data.splits import held_out
from descent_lab.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Linear(Dataset):
    """y = intercept + slopes . x, not standardised; in a sample all features are equal: 1, 2, ..., last.

    The test samples ask for extrapolation: all features are test_first, ..., or test_last. Only validation
    rows are drawn, from the training samples.
    """

    kind = "linear"
    suggested = Suggested(hidden=(6,), activation="relu")

    intercept: Finite = 5.0
    slopes: Annotated[tuple[Finite, ...], MinLen(1)] = (3.0,)
    last: Positive = 9
    test_first: int = 40
    test_last: int = 49

    def __post_init__(self) -> None:
        """Raise DataError for an empty test range."""
        if self.test_last < self.test_first:
            raise DataError(f"test_last {self.test_last}: must be at least test_first {self.test_first}")

    def load(self, data: Random, split: Random) -> Data:
        """The samples, of as many features as slopes (x alone, or x1, x2, ...) and one output; `data` is not used."""
        x_train, y_train = self._points(1, self.last)
        x_test, y_test = self._points(self.test_first, self.test_last)
        points = Data(x_train, y_train, x_test, y_test, "regression", self._features())
        return held_out(points, self.validation_fraction, split)

    def _points(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """x (n, n_features) and y (n, 1) for features from first to last, both included."""
        values = np.arange(first, last + 1, dtype=np.float64)
        x = np.repeat(values[:, None], len(self.slopes), axis=1)
        # y = intercept + slopes . x
        y = self.intercept + x @ np.array(self.slopes)
        return x, y[:, None]

    def _features(self) -> tuple[str, ...]:
        n = len(self.slopes)
        return ("x",) if n == 1 else tuple(f"x{i + 1}" for i in range(n))
