"""What a user's labels mean: the task they pose, the classes they name, and their codes."""

from typing import Literal, NoReturn

import numpy as np

from descent_lab.data.base import Task
from descent_lab.data.files.tables import Table
from descent_lab.data.targets import is_one_hot
from descent_lab.errors import DataError

MOST_CLASSES = 20


def task_of(table: Table, task: Task | Literal["auto"]) -> Task:
    """The task as stated, or by this rule where it is `auto`.

    Text is classes. Whole numbers are classes where at most 20 different ones occur, each in two rows or more
    on average. Several columns are classes where every row is one-hot. Anything else is a regression. Two
    classes in one column make a binary task, others a multiclass one.
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
    whole = bool((distinct == np.floor(distinct)).all())
    return whole and len(distinct) <= min(MOST_CLASSES, n // 2)


def _refuse_mixture(table: Table) -> None:
    """DataError for text among numbers: more often a slip than classes, so the task must be stated."""
    text = [not is_number(label) for label in table.labels[:, 0]]
    if not all(text):
        row = text.index(True)
        raise DataError(
            f"{table.place(row)}: {str(table.labels[row, 0])!r} among numbers; correct it, or state the task"
        )


def is_number(text: str) -> bool:
    """Whether a cell reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def require_numbers(table: Table) -> None:
    """DataError naming the first label that is not a number."""
    if table.numeric:
        return
    row, target = next(index for index, label in np.ndenumerate(table.labels) if not is_number(label))
    label = str(table.labels[row, target])
    raise DataError(f"{table.place(row, target)}: {label!r} is not a number")


def encode(train: Table, test: Table, task: Task) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Class names and the codes (integers, shape (n,)) of the training and the test rows.

    The classes are those of the training rows, in sorted order, or the target columns where the labels
    are one-hot. DataError where there is only one, where a binary task has not two, or where the test has
    another.
    """
    if len(train.targets) > 1:
        names, codes, test_codes = train.targets, _one_hot_codes(train), _one_hot_codes(test)
    else:
        names, codes, test_codes = _column_codes(train, test)
    _check_count(train, names, codes, task)
    unknown = ~np.isin(test_codes, codes)
    if unknown.any():
        _refuse_label(test, int(unknown.argmax()))
    return names, codes, test_codes


def _column_codes(train: Table, test: Table) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names and codes of labels in one column; -1 for a test label that the training rows lack."""
    if train.numeric != test.numeric:
        raise DataError(f"{test.name}: one of its labels and those of {train.name} are numbers, the other text")
    distinct, codes = np.unique(train.labels[:, 0], return_inverse=True)
    labels = test.labels[:, 0]
    test_codes = np.searchsorted(distinct, labels).clip(max=len(distinct) - 1)
    test_codes[distinct[test_codes] != labels] = -1
    return tuple(_class_name(value) for value in distinct), codes, test_codes


def _one_hot_codes(table: Table) -> np.ndarray:
    """Codes of one-hot labels, one column for each class."""
    require_numbers(table)
    bad = ~is_one_hot(table.labels)
    if bad.any():
        row = int(bad.argmax())
        values = table.labels[row].tolist()
        raise DataError(f"{table.place(row)}: {values} over {len(values)} target columns: must be one 1, the rest 0")
    return table.labels.argmax(axis=1)


def _check_count(table: Table, names: tuple[str, ...], codes: np.ndarray, task: Task) -> None:
    present = np.unique(codes)
    if len(present) < 2:
        raise DataError(f"{table.name}: only one class, {names[present[0]]!r}, in its {len(codes)} training rows")
    if task == "binary" and len(names) != 2:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(f"{table.name}: {len(names)} classes ({shown}) where a binary task has 2")


def _refuse_label(test: Table, row: int) -> NoReturn:
    labels = test.labels[row]
    name = _class_name(labels[0]) if len(labels) == 1 else test.targets[labels.argmax()]
    raise DataError(f"{test.place(row)}: class {name!r} is among the test rows, but in no training row")


def _class_name(value: float | str) -> str:
    """`3` for 3.0, `2.5` for 2.5, text as it is."""
    if isinstance(value, str):
        return str(value)
    return str(int(value)) if value == int(value) else repr(float(value))
