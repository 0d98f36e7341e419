"""A data set from a user's comma-separated file."""

import csv
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from annotated_types import MinLen

from descent_lab.data.base import Text
from descent_lab.data.files.fingerprint import Stamp, stamp
from descent_lab.data.files.labels import is_number
from descent_lab.data.files.tables import Table, check_finite
from descent_lab.data.files.user_file import UserFile
from descent_lab.errors import DataError

MISSING = frozenset(("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"))
Record = tuple[int, list[str]]  # the number of the line in the file, from 1, and its cells


@dataclass(frozen=True, kw_only=True)
class CsvFile(UserFile):
    """A file with the names of the columns on its first line.

    target: the name of the column of labels, or the names of several; all other columns are features. Features must be
    numbers; class labels may be text. Blank lines are skipped; a missing value is an error.
    """

    kind = "csv"

    target: Text | Annotated[tuple[Text, ...], MinLen(1)]

    def read(self, path: str) -> Table:
        """The table in the file at `path`, which is parsed again only when it has changed."""
        targets = (self.target,) if isinstance(self.target, str) else self.target
        return _read(path, targets, stamp(path))


@lru_cache(maxsize=8)
def _read(path: str, targets: tuple[str, ...], stamp: Stamp) -> Table:
    header, *records = _records(path)
    names = header[1]
    features = _features(path, names, targets)
    if not records:
        raise DataError(f"{path}: a header and no rows")
    _check_cells(path, names, records)
    lines = np.array([line for line, _ in records])
    columns = dict(zip(names, zip(*(cells for _, cells in records), strict=True), strict=True))
    x = np.stack([_feature(path, lines, name, columns[name]) for name in features], axis=1)
    labels = _labels(path, lines, {name: columns[name] for name in targets})
    return Table(path, x, labels, features, targets, lines, "line")


def _records(path: str) -> list[Record]:
    """The header and the rows, without blank lines and without spaces around the cells."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            records = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from None
    records = [record for record in records if record[1] not in ([], [""])]
    if not records:
        raise DataError(f"{path}: empty")
    return records


def _features(path: str, names: list[str], targets: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the columns that are no targets. Raises DataError for bad names."""
    repeated = [name for name, count in Counter(names).items() if count > 1 or not name]
    if repeated:
        raise DataError(f"{path}, line 1: column name {repeated[0]!r}: must be unique and not empty")
    for target in targets:
        if target not in names:
            raise DataError(f"{path}: no column {target!r}; its columns are {', '.join(names)}")
    features = tuple(name for name in names if name not in targets)
    if not features:
        raise DataError(f"{path}: no columns besides the target")
    return features


def _check_cells(path: str, names: list[str], records: list[Record]) -> None:
    """Raise DataError for a row of another length than the header, and for a missing value."""
    for line, cells in records:
        if len(cells) != len(names):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, the header has {len(names)}")
        if not MISSING.isdisjoint(cells):
            column = next(name for name, cell in zip(names, cells, strict=True) if cell in MISSING)
            raise DataError(f"{path}, line {line}, column {column!r}: missing value")


def _numbers(cells: tuple[str, ...]) -> np.ndarray | None:
    """The cells as float64, shape (n,), or None where one of them is text."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return None


def _feature(path: str, lines: np.ndarray, name: str, cells: tuple[str, ...]) -> np.ndarray:
    values = _numbers(cells)
    if values is None:
        row, cell = next((row, cell) for row, cell in enumerate(cells) if not is_number(cell))
        raise DataError(f"{path}, line {lines[row]}, column {name!r}: {cell!r} is not a number")
    check_finite(values, f"{path}, line", lines, name)
    return values


def _labels(path: str, lines: np.ndarray, columns: dict[str, tuple[str, ...]]) -> np.ndarray:
    """Labels of shape (n, n_targets): numbers if every cell is a number, else text."""
    if any(_numbers(cells) is None for cells in columns.values()):
        return np.array(list(columns.values())).T
    return np.stack([_feature(path, lines, name, cells) for name, cells in columns.items()], axis=1)
