"""Reads new points for a trained model from the command line or a file, and checks them against its features."""

import csv
from collections.abc import Iterator

import numpy as np

from descent_lab.data.files.labels import is_number
from descent_lab.data.files.tables import check_finite
from descent_lab.errors import DataError


def read_text(text: str, features: tuple[str, ...]) -> np.ndarray:
    """x of shape (n, n_features) from `[1,2]`, `[[1,2],[3,4]]` or, for a single feature, `[1]` or `1`.

    Raises DataError for anything but finite numbers, and for another number of features.
    """
    rows = text.strip().removeprefix("[").removesuffix("]").split("],")
    cells = [[cell.strip() for cell in row.strip(" []").split(",")] for row in rows]
    for row in cells:
        _refuse_text(f"x={text}", row)
        if len(row) != len(features):
            raise DataError(f"x={text}: {len(row)} numbers, the model has {_named(features)}")
    return _finite(f"x={text}, point", cells, features, 1)


def read_file(path: str, features: tuple[str, ...]) -> np.ndarray:
    """x of shape (n, n_features) from comma-separated lines.

    If the first line holds names of columns, the features are found by name, and other columns are ignored. Without
    names the columns are the features in their order. Raises DataError, which names the line.
    """
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path}: empty")
    order, rows = _columns(path, lines, features)
    if not rows:
        raise DataError(f"{path}: column names and no points")
    for number, row in rows:
        if len(row) != len(lines[0][1]):
            raise DataError(f"{path}, line {number}: {len(row)} cells, the first line has {len(lines[0][1])}")
    cells = [[row[i] for i in order] for _, row in rows]
    for (number, _), row in zip(rows, cells, strict=True):
        _refuse_text(f"{path}, line {number}", row)
    return _finite(f"{path}, line", cells, features, rows[0][0])


def _lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """The number, from 1, and the cells of each line that is not blank."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read: {reason}") from None


def _columns(
    path: str, lines: list[tuple[int, list[str]]], features: tuple[str, ...]
) -> tuple[list[int], list[tuple[int, list[str]]]]:
    """The index of each feature in a line, and the lines that hold points."""
    first = lines[0][1]
    if any(is_number(cell) for cell in first) and not set(features) & set(first):
        if len(first) != len(features):
            raise DataError(f"{path}: {len(first)} columns, the model has {_named(features)}")
        return list(range(len(features))), lines
    absent = [feature for feature in features if feature not in first]
    if absent:
        raise DataError(f"{path}: no column {absent[0]!r}; the model has {_named(features)}")
    return [first.index(feature) for feature in features], lines[1:]


def _refuse_text(place: str, row: list[str]) -> None:
    for cell in row:
        if not is_number(cell):
            raise DataError(f"{place}: {cell!r} is not a number")


def _finite(place: str, cells: list[list[str]], features: tuple[str, ...], first: int) -> np.ndarray:
    x = np.array(cells, dtype=np.float64)
    for feature, column in zip(features, x.T, strict=True):
        check_finite(column, place, np.arange(first, first + len(x)), feature)
    return x


def _named(features: tuple[str, ...]) -> str:
    shown = ", ".join(features[:6]) + (", ..." if len(features) > 6 else "")
    return f"{len(features)} feature{'' if len(features) == 1 else 's'}: {shown}"
