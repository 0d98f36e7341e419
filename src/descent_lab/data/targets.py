"""Turns labels into the arrays that a loss takes."""

import numpy as np
from numpy.typing import ArrayLike

from descent_lab.data.base import Task
from descent_lab.errors import DataError


def as_targets(labels: ArrayLike, task: Task, n_classes: int) -> np.ndarray:
    """Labels as float64 y of shape (n, n_outputs), the layout that `Data` describes.

    Class labels are integers 0..n_classes-1 of shape (n,) or (n, 1), or one-hot rows of shape (n, n_classes).
    A regression takes values of shape (n,) or (n, n_outputs) and ignores n_classes. Raises DataError for others.
    """
    values: np.ndarray = np.asarray(labels)
    if task == "regression":
        return values.reshape(len(values), -1).astype(np.float64)
    if task == "binary" and n_classes != 2:
        raise DataError(f"task binary with {n_classes} classes: must be 2")
    codes = as_codes(values, n_classes)
    y: np.ndarray = codes[:, None] if task == "binary" else np.eye(n_classes)[codes]
    return y.astype(np.float64)


def as_codes(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Class labels, integer or one-hot (see `as_targets`), as integers of shape (n,)."""
    if n_classes < 2:
        raise DataError(f"{n_classes} class: classification needs at least 2")
    if labels.dtype.kind not in "buif":
        raise DataError(f"labels of type {labels.dtype}: must be integers or one-hot rows")
    if labels.ndim == 2 and labels.shape[1] == n_classes:
        return _from_one_hot(labels)
    if labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1):
        return _from_integers(labels.reshape(-1), n_classes)
    raise DataError(f"labels of shape {labels.shape}: must be (n,), (n, 1) or one-hot (n, {n_classes})")


def _from_integers(labels: np.ndarray, n_classes: int) -> np.ndarray:
    bad = ~((labels >= 0) & (labels < n_classes)) | (labels != np.floor(labels))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"label {labels[row]:g} at index {row}: must be an integer from 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def _from_one_hot(labels: np.ndarray) -> np.ndarray:
    bad = ~is_one_hot(labels)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"label {labels[row].tolist()} at index {row}: a one-hot row has one 1, the rest 0")
    codes: np.ndarray = labels.argmax(axis=1)
    return codes


def is_one_hot(labels: np.ndarray) -> np.ndarray:
    """Whether each row (n, n_classes) has one 1 and is 0 elsewhere: booleans of shape (n,)."""
    one_hot: np.ndarray = np.isin(labels, (0, 1)).all(axis=1) & (labels.sum(axis=1) == 1)
    return one_hot
