"""A data set of arrays or pandas frames that are in memory already."""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from descent_lab.data.files.fingerprint import VALIDATION
from descent_lab.data.files.tables import Table, table_of
from descent_lab.data.tabular import Tables, Tabular
from descent_lab.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays(Tabular):
    """x of shape (n,) or (n, n_features) and y of shape (n,) or (n, n_targets): arrays, or pandas frames and series.

    Samples of x may have several axes: sequences (n, channels, length), pictures (n, channels, rows, columns).

    Features must be numbers; class labels may be text. x_test and y_test are the test samples; without them, a random
    test_fraction of the rows is the test set. x_validation and y_validation are the validation samples; without them, a
    random validation_fraction of the rows. The columns of a frame keep their names.
    """

    kind = "arrays"
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "arbitrary_types_allowed": True}

    x: Any
    y: Any
    x_test: Any = None
    y_test: Any = None
    x_validation: Any = None
    y_validation: Any = None

    def tables(self) -> Tables:
        return Tables(_table("arrays", self.x, self.y), self._part("validation"), self._part("test"))

    def _part(self, part: str) -> Table | None:
        """The table of the `validation` or the `test` samples; None where they are not given."""
        x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
        if (x is None) != (y is None):
            raise DataError(f"x_{part} and y_{part}: give both, or neither")
        return None if x is None else _table(f"{part} arrays", x, y)

    def fingerprint(self) -> str:
        """The SHA-256 (hexadecimal) of the features and the labels, and of the shape of samples of several axes."""
        digest = hashlib.sha256()
        marked = () if self.x_validation is None else (VALIDATION, self.x_validation, self.y_validation)
        for values in (self.x, self.y, self.x_test, self.y_test, *marked):
            if values is VALIDATION:
                digest.update(VALIDATION)
            elif values is not None:
                array = _array(values)
                digest.update(np.ascontiguousarray(array).tobytes())
                if array.ndim > 2:
                    digest.update(str(array.shape).encode())
        return digest.hexdigest()


def arrays(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    x_validation: Any = None,
    y_validation: Any = None,
    **options: Any,
) -> Arrays:
    """A data set of samples in memory.

    options: task, test_fraction, validation_fraction, standardise, standardise_target (see `Arrays`).

    >>> dl.problem(dl.arrays(x, y, test_fraction=0.3), hidden=[8])
    """
    given = {"x_test": x_test, "y_test": y_test, "x_validation": x_validation, "y_validation": y_validation}
    return Arrays(x=x, y=y, **given, **options)


def _table(name: str, x: Any, y: Any) -> Table:
    return table_of(name, "row (from 0)", {"x": _array(x), "y": _array(y)}, _columns(x), _columns(y))


def _array(values: Any) -> np.ndarray:
    """The values as an array of numbers or of text. pandas holds text as objects. Raises DataError for gaps."""
    array = np.asarray(values)
    if array.dtype.kind not in "OST":
        return array
    missing = [value is None or value != value for value in array.ravel().tolist()]
    if any(missing):
        raise DataError(f"arrays, row (from 0) {missing.index(True) * len(array) // array.size}: missing value")
    return array.astype(str)


def _columns(values: Any) -> tuple[str, ...] | None:
    """The names of the columns of a pandas frame, or the name of a series; None for arrays."""
    if hasattr(values, "columns"):
        return tuple(str(name) for name in values.columns)
    name = getattr(values, "name", None)
    return None if name is None else (str(name),)
