"""A user's file in memory: features, labels, and where each value stands in the file."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from descent_lab.errors import DataError

LARGEST = 1e150  # the square of a larger value overflows


@dataclass(frozen=True)
class Table:
    """x (n, n_features) float64; labels (n, n_targets), float64 or text; lines (n,), counted in `unit`s."""

    name: str
    x: np.ndarray
    labels: np.ndarray
    features: tuple[str, ...]
    targets: tuple[str, ...]
    lines: np.ndarray
    unit: str

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers."""
        return self.labels.dtype.kind == "f"

    def place(self, row: int, target: int = 0) -> str:
        """Where a label stands: `my.csv, line 5, column 'y'`."""
        return f"{self.name}, {self.unit} {self.lines[row]}, column {self.targets[target]!r}"

    def take(self, rows: np.ndarray) -> Self:
        """These rows only, copied."""
        return replace(self, x=self.x[rows], labels=self.labels[rows], lines=self.lines[rows])

    def arranged_as(self, other: Self) -> Self:
        """Features in the order of another table; DataError unless both have the same columns."""
        ours, theirs = {*self.features, *self.targets}, {*other.features, *other.targets}
        if ours != theirs:
            odd = sorted(ours ^ theirs)
            raise DataError(f"{self.name}: columns differ from those of {other.name}: {', '.join(odd)}")
        order = [self.features.index(feature) for feature in other.features]
        return replace(self, x=self.x[:, order], features=other.features)


def check_finite(values: np.ndarray, place: str, lines: np.ndarray, column: str) -> None:
    """DataError naming the first missing, infinite or overflowing one of a column's values, shape (n,).

    `place` is the file's name and the unit its `lines` are counted in: `my.csv, line`.
    """
    bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        row = int(bad.argmax())
        value = values[row]
        fault = "missing value" if np.isnan(value) else f"{value:g} is infinite or beyond {LARGEST:g}"
        raise DataError(f"{place} {lines[row]}, column {column!r}: {fault}")
