"""The meaning of a user's labels: the task that they pose, the names of the classes, and the codes of the labels."""

from collections.abc import Mapping
from typing import Literal, NoReturn

import numpy as np

from descent_lab.data.base import Task
from descent_lab.data.files.tables import Table
from descent_lab.data.targets import is_one_hot
from descent_lab.errors import DataError

MAX_CLASSES = 20  # more different whole numbers than this are values of a regression


def task_of(table: Table, task: Task | Literal["auto"]) -> Task:
    """The task itself, or for `auto` the task that follows from the labels by this rule.

    Text names classes. Whole numbers name classes if at most 20 different numbers occur, each in at least two rows on
    average. Several columns are classes if every row is one-hot. All other labels make a regression. Two classes in
    one column make a binary task, more classes or several columns a multiclass task.
    """
    if task != "auto":
        return task
    if len(table.targets) > 1:
        return "multiclass" if table.numeric and is_one_hot(table.labels).all() else "regression"
    if not table.numeric:
        _refuse_mixture(table)
    distinct = np.unique(table.labels)
    if table.numeric and not _are_classes(distinct, len(table.labels)):
        return "regression"
    return "binary" if len(distinct) <= 2 else "multiclass"


def _are_classes(distinct: np.ndarray, n: int) -> bool:
    are_whole = bool((distinct == np.floor(distinct)).all())
    return are_whole and len(distinct) <= min(MAX_CLASSES, n // 2)


def _refuse_mixture(table: Table) -> None:
    """Raise DataError for text among numbers, which is more often a mistake than a class: the task must be stated."""
    is_text = [not is_number(label) for label in table.labels[:, 0]]
    if not all(is_text):
        row = is_text.index(True)
        raise DataError(
            f"{table.place(row)}: {str(table.labels[row, 0])!r} among numbers; correct it, or state the task"
        )


def is_number(text: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def require_numbers(table: Table) -> None:
    """Raise DataError, which names the first label that is not a number, unless all are."""
    if table.numeric:
        return
    row, target = next(index for index, label in np.ndenumerate(table.labels) if not is_number(label))
    label = str(table.labels[row, target])
    raise DataError(f"{table.place(row, target)}: {label!r} is not a number")


def encode(parts: Mapping[str, Table], task: Task) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The names of the classes, and the codes of the rows of every part: integers of shape (n,).

    parts: "train" and others. The classes are those of the training rows, sorted, or, where labels are one-hot, the
    columns of the target. Raises DataError for a single class, for a binary task with more than two classes, and for a
    class that occurs in another part only.
    """
    train = parts["train"]
    if len(train.targets) > 1:
        names, codes = train.targets, {part: _one_hot_codes(table) for part, table in parts.items()}
    else:
        distinct = np.unique(train.labels[:, 0])
        names = tuple(_class_name(value) for value in distinct)
        codes = {part: _column_codes(table, train, distinct) for part, table in parts.items()}
    _check_count(train, names, codes["train"], task)
    for part, of_part in codes.items():
        unknown = ~np.isin(of_part, codes["train"])
        if unknown.any():
            _refuse_label(part, parts[part], int(unknown.argmax()))
    return names, codes


def _column_codes(table: Table, train: Table, distinct: np.ndarray) -> np.ndarray:
    """The codes of labels in one column: places in `distinct`, the labels of the training rows; -1 for others."""
    if table.numeric != train.numeric:
        raise DataError(f"{table.name}: one of its labels and those of {train.name} are numbers, the other text")
    labels = table.labels[:, 0]
    codes: np.ndarray = np.searchsorted(distinct, labels).clip(max=len(distinct) - 1)
    codes[distinct[codes] != labels] = -1
    return codes


def _one_hot_codes(table: Table) -> np.ndarray:
    """The codes of one-hot labels, which have one column for each class."""
    require_numbers(table)
    bad = ~is_one_hot(table.labels)
    if bad.any():
        row = int(bad.argmax())
        values = table.labels[row].tolist()
        raise DataError(f"{table.place(row)}: {values} over {len(values)} target columns: must be one 1, the rest 0")
    codes: np.ndarray = table.labels.argmax(axis=1)
    return codes


def _check_count(table: Table, names: tuple[str, ...], codes: np.ndarray, task: Task) -> None:
    present = np.unique(codes)
    if len(present) < 2:
        raise DataError(f"{table.name}: only one class, {names[present[0]]!r}, in its {len(codes)} training rows")
    if task == "binary" and len(names) != 2:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(f"{table.name}: {len(names)} classes ({shown}) where a binary task has 2")


def _refuse_label(part: str, table: Table, row: int) -> NoReturn:
    labels = table.labels[row]
    name = _class_name(labels[0]) if len(labels) == 1 else table.targets[labels.argmax()]
    raise DataError(f"{table.place(row)}: class {name!r} is among the {part} rows, but in no training row")


def _class_name(value: float | str) -> str:
    """The name of a class: `3` for 3.0, `2.5` for 2.5, text unchanged."""
    if isinstance(value, str):
        return str(value)
    return str(int(value)) if value == int(value) else repr(float(value))
