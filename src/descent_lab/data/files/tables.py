"""A table of samples: features, labels, and the place of each row in its file, which error messages name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import numpy as np

from descent_lab.errors import DataError

LARGEST = 1e150  # the square of a larger value could overflow


@dataclass(frozen=True)
class Table:
    """Features and labels as they were read.

    name: of the file. x: (n, n_features), float64. labels: (n, n_targets), float64 or text. features and targets: the
    names of the columns. lines: (n,), the place of each row in the file, counted in `unit`s such as 'line'.
    shape: that of a sample with more than one axis, whose numbers a row of x holds in C order; else ().
    """

    name: str
    x: np.ndarray
    labels: np.ndarray
    features: tuple[str, ...]
    targets: tuple[str, ...]
    lines: np.ndarray
    unit: str
    shape: tuple[int, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers."""
        return self.labels.dtype.kind == "f"

    def place(self, row: int, target: int = 0) -> str:
        """The place of a label, for an error message: `my.csv, line 5, column 'y'`."""
        return f"{self.name}, {self.unit} {self.lines[row]}, column {self.targets[target]!r}"

    def take(self, rows: np.ndarray) -> Self:
        """A table of copies of these rows."""
        return replace(self, x=self.x[rows], labels=self.labels[rows], lines=self.lines[rows])

    def arranged_as(self, other: Self) -> Self:
        """This table with its features in the order of another. Raises DataError where the columns differ."""
        if self.shape != other.shape:
            raise DataError(f"{self.name}: samples of shape {self.shape}, those of {other.name} have {other.shape}")
        columns, other_columns = {*self.features, *self.targets}, {*other.features, *other.targets}
        if columns != other_columns:
            different = ", ".join(sorted(columns ^ other_columns))
            raise DataError(f"{self.name}: columns differ from those of {other.name}: {different}")
        order = [self.features.index(feature) for feature in other.features]
        return replace(self, x=self.x[:, order], features=other.features)


def check_finite(values: np.ndarray, place: str, lines: np.ndarray, column: str) -> None:
    """Raise DataError where a value of a column, shape (n,), is missing, infinite or beyond 1e150.

    place: the name of the file and the unit of `lines`, such as `my.csv, line`. The message names the first bad value.
    """
    bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        row = int(bad.argmax())
        value = values[row]
        fault = "missing value" if np.isnan(value) else f"{value:g} is infinite or beyond {LARGEST:g}"
        raise DataError(f"{place} {lines[row]}, column {column!r}: {fault}")


def table_of(
    name: str,
    unit: str,
    arrays: Mapping[str, np.ndarray],
    features: tuple[str, ...] | None = None,
    targets: tuple[str, ...] | None = None,
) -> Table:
    """A table from two arrays.

    name: of the file, for error messages. unit: what rows are counted in, likewise.
    arrays: the features and the labels, in this order, by their names; each (n,) or (n, n_columns), and features also
    (n, *shape) with samples of several axes.
    features, targets: the names of the columns; None: the name of the array with a number, such as x0, x1.
    Raises DataError for arrays of other shapes, for features that are not finite numbers, and for labels that are
    neither finite numbers nor text.
    """
    (x_key, given), (y_key, labels) = arrays.items()
    shape = given.shape[1:] if given.ndim > 2 else ()
    x = given.reshape(len(given), prod(shape)) if shape else _columns(name, x_key, given)
    labels = _columns(name, y_key, labels)
    if len(x) != len(labels) or not x.size or not labels.size:
        raise DataError(
            f"{name}: {x_key} of shape {x.shape} and {y_key} of shape {labels.shape}: must have "
            "as many rows, at least 1, and at least 1 column each"
        )
    lines = np.arange(len(x))
    features, targets = features or _names(x_key, x), targets or _names(y_key, labels)
    place = f"{name}, {unit}"
    if labels.dtype.kind != "U":
        labels = _numbers(name, place, labels, targets, lines)
    return Table(name, _numbers(name, place, x, features, lines), labels, features, targets, lines, unit, shape)


def _columns(name: str, key: str, values: np.ndarray) -> np.ndarray:
    """An array of shape (n,) or (n, m), as an array of shape (n, m)."""
    if values.ndim not in (1, 2):
        raise DataError(f"{name}: {key} of shape {values.shape}: must have 1 or 2 dimensions")
    return values[:, None] if values.ndim == 1 else values


def _names(key: str, values: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{key}{column}" for column in range(values.shape[1]))


def _numbers(name: str, place: str, values: np.ndarray, columns: tuple[str, ...], lines: np.ndarray) -> np.ndarray:
    """The array as float64. Raises DataError unless every value is a finite number."""
    if values.dtype.kind not in "buif":
        raise DataError(f"{name}, columns {columns[0]}..{columns[-1]}: type {values.dtype}: must be numbers")
    values = values.astype(np.float64)
    for column, column_values in zip(columns, values.T, strict=True):
        check_finite(column_values, place, lines, column)
    return values
