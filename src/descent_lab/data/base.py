"""Defines data sets: the arrays that it gives, its abstract base class, and the types of its options."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Interval, MinLen

from descent_lab.components import Component, neutral
from descent_lab.portable.scaling import Scaling

Task = Literal["regression", "binary", "multiclass"]
Random = np.random.Generator | np.random.RandomState

Positive = Annotated[int, Interval(ge=1)]
AtLeastTwo = Annotated[int, Interval(ge=2)]
Fraction = Annotated[float, Interval(gt=0, lt=1)]
Share = Annotated[float, Interval(ge=0, lt=1)]
Finite = Annotated[float, Interval(gt=-math.inf, lt=math.inf)]
Text = Annotated[str, MinLen(1)]


def _no_rows() -> np.ndarray:
    return np.empty((0, 0))


@dataclass(frozen=True)
class Outline:
    """What data are like, without their numbers.

    rows: the number of samples of each part: train, validation (where there are such samples) and test.
    features: the names of the columns of x. n_targets: the number of columns of y. classes: as in `Data`.
    """

    rows: tuple[tuple[str, int], ...]
    features: tuple[str, ...]
    n_targets: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """Training, validation and test samples of one problem, all float64.

    x_train (n_train, n_features), y_train (n_train, n_outputs); x_test and y_test likewise. Neither part is empty.
    x_validation and y_validation likewise; without a validation set they have no rows.
    y holds values for a regression, 0. or 1. of shape (n, 1) for a binary task (1. stands for classes[1]), and
    one-hot rows of shape (n, n_classes) for a multiclass task.
    features: the names of the columns of x. classes: the names of the classes; empty for a regression.
    x_scaling and y_scaling were applied to the raw values; None where nothing was applied. A new sample must go
    through `x_scaling.apply`, and a prediction through `y_scaling.invert`.
    shape: that of one sample, whose numbers a row of x holds in C order, such as (channels, rows, columns); () stands
    for (n_features,).
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    x_scaling: Scaling | None = None
    y_scaling: Scaling | None = None
    x_validation: np.ndarray = field(default_factory=_no_rows)
    y_validation: np.ndarray = field(default_factory=_no_rows)
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Give a validation set without rows the columns of the training set."""
        if not len(self.x_validation) and not len(self.y_validation):
            object.__setattr__(self, "x_validation", self.x_train[:0])
            object.__setattr__(self, "y_validation", self.y_train[:0])

    @property
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """x and y of `train`, of `validation` where there are such samples, and of `test`."""
        parts = {"train": (self.x_train, self.y_train), "validation": (self.x_validation, self.y_validation)}
        return {name: xy for name, xy in parts.items() if len(xy[0])} | {"test": (self.x_test, self.y_test)}

    @property
    def outline(self) -> Outline:
        """What these data are like."""
        rows = tuple((part, len(x)) for part, (x, _) in self.parts.items())
        return Outline(rows, self.features, self.y_train.shape[1], self.classes)


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """The network that a data set suggests, by the fields of `Model` that choose it."""

    hidden: tuple[int, ...] = (16,)
    activation: str = "tanh"
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Dataset(Component, ABC):
    """Base class of data sets: a frozen dataclass of options, which loads or draws the samples.

    suggested: the network that is used where none is given. validation_fraction: the share of all rows that is drawn as
    the validation set; where a data set has test rows of its own, the share of its training rows. 0: no validation set.
    """

    group = "dataset"
    suggested: ClassVar[Suggested] = Suggested()
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # refuse unknown options

    validation_fraction: Share = neutral(0.0)

    @abstractmethod
    def load(self, data: Random, split: Random) -> Data:
        """The samples.

        data: the generator that samples are drawn from. split: the generator that validation and test rows
        are drawn from.
        Raises DataError where there is nothing that can be trained on.
        """

    def source(self) -> str | None:
        """The path of the file that the training samples come from; None where code makes them."""
        return None

    def fingerprint(self) -> str | None:
        """A hash of the samples, where the options do not determine them, such as for files; None where they do."""
        return None
