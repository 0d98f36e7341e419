"""The small real data sets that come with scikit-learn."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from descent_lab.data.base import Data, Dataset, Fraction, Random, Suggested
from descent_lab.data.splits import split_rows
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError
from descent_lab.portable.scaling import Scaling

SHAPES = {"digits": (1, 8, 8)}  # of the samples that are pictures


@dataclass(frozen=True, kw_only=True)
class BundledClassification(Dataset):
    """Features, standardised with the mean and standard deviation of the training rows, and class labels.

    The validation and the test rows are drawn at random and are not stratified.
    """

    kind = "bundled_classification"
    suggested = Suggested(hidden=(16,), activation="relu")

    name: Literal["breast_cancer", "digits", "iris", "wine"]
    test_fraction: Fraction = 0.2

    def load(self, data: Random, split: Random) -> Data:
        """The samples; `data` is not used. Raises DataError where a class has no training row."""
        x, labels, features, classes = _bunch(self.name)
        train, validation, test = split_rows(len(x), self.test_fraction, self.validation_fraction, split)
        absent = [name for code, name in enumerate(classes) if code not in labels[train]]
        if absent:
            given = f", validation_fraction {self.validation_fraction:g}" if self.validation_fraction else ""
            place = f"{self.name}, test_fraction {self.test_fraction:g}{given}"
            raise DataError(f"{place}: no training row of {absent[0]!r}")
        task: Literal["binary", "multiclass"] = "binary" if len(classes) == 2 else "multiclass"
        y = as_targets(labels, task, len(classes))
        scaling = Scaling.of(x[train])
        x = scaling.apply(x)
        held = {"x_validation": x[validation], "y_validation": y[validation]}
        shape = SHAPES.get(self.name, ())
        return Data(x[train], y[train], x[test], y[test], task, features, classes, scaling, **held, shape=shape)


@dataclass(frozen=True, kw_only=True)
class BundledRegression(Dataset):
    """Features, standardised with the mean and standard deviation of the training rows, and a target.

    The validation and the test rows are drawn at random. With standardise_target the target is standardised likewise;
    losses and RMSE are then in units of its standard deviation.
    """

    kind = "bundled_regression"

    name: Literal["diabetes"] = "diabetes"
    test_fraction: Fraction = 0.2
    standardise_target: bool = True

    def load(self, data: Random, split: Random) -> Data:
        """The samples; `data` is not used."""
        x, values, features, _ = _bunch(self.name)
        y = as_targets(values, "regression", 0)
        train, validation, test = split_rows(len(x), self.test_fraction, self.validation_fraction, split)
        x_scaling, y_scaling = Scaling.of(x[train]), Scaling.of(y[train]) if self.standardise_target else None
        x = x_scaling.apply(x)
        y = y_scaling.apply(y) if y_scaling else y
        held = {"x_validation": x[validation], "y_validation": y[validation]}
        return Data(x[train], y[train], x[test], y[test], "regression", features, (), x_scaling, y_scaling, **held)


@cache
def _bunch(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """x (n, n_features), labels or values (n,), names of the features, and of the classes (none in a regression)."""
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    features = tuple(str(feature) for feature in bunch.feature_names)
    classes = tuple(str(label) for label in bunch.get("target_names", ()))
    return bunch.data.astype(np.float64), bunch.target, features, classes
