"""Checks of frames and arguments, and the value of a diverged run.

A diverged run is never dropped. When runs are ranked, sorted or summarised, its value is the worst possible: +inf
where lower is better, -inf where higher is better. A run has diverged if its `status` says so, or if its value is not
finite.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from descent_lab.errors import DataError, NotGiven

WORST = {"lower": np.inf, "higher": -np.inf}


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """`value`, if it is allowed. Raises ValueError, which names the argument, the value and the choices."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
    return value


def require(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """`frame`, if it has rows, these columns, and no missing value in a column of text.

    Raises ValueError for a missing column, NotGiven for a frame without rows, and DataError for a missing value.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing: the frame has {', '.join(map(str, frame.columns))}")
    if frame.empty:
        raise NotGiven(f"the frame with columns {', '.join(columns)} has no rows")
    for column in columns:
        if not is_numeric_dtype(frame[column]) and (gaps := frame[column].isna().sum()):
            raise DataError(f"column {column!r}: {gaps} of {len(frame)} rows have no name; give them one")
    return frame


def once(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """`frame`, if no two rows are equal in all keys. Raises DataError, which names the first such row."""
    repeated = frame[frame.duplicated(keys)]
    if len(repeated):
        row = ", ".join(f"{key}={repeated.iloc[0][key]}" for key in keys)
        raise DataError(f"more than one row has {row}: choose one setting for each first")
    return frame


def confident(confidence: float) -> float:
    """`confidence`, if it lies strictly between 0 and 1. Raises ValueError."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: must lie between 0 and 1")
    return confidence


def levels(frame: pd.DataFrame, value: str, better: str, scale: str = "linear") -> np.ndarray:
    """The column `value` as floats (n_rows,), on a `linear` or `log` scale; diverged runs have the worst value.

    Raises NotGiven on a `log` scale for a finite value that is not positive.
    """
    one_of("scale", scale, ("linear", "log"))
    one_of("better", better, WORST)
    x = frame[value].to_numpy(dtype=float)
    diverged = ~np.isfinite(x)
    if "status" in frame.columns:
        diverged = diverged | (frame["status"] == "diverged").to_numpy()
    if scale == "log":
        x = _logarithm(x, diverged, value)
    return np.where(diverged, WORST[better], x)


def _logarithm(x: np.ndarray, diverged: np.ndarray, value: str) -> np.ndarray:
    if (x[~diverged] <= 0).any():
        raise NotGiven(f"column {value!r}: {x[~diverged].min():g} has no logarithm; use scale='linear'")
    return np.log(np.where(diverged, 1.0, x))


def complete(table: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """`table`, if no value is missing. Raises NotGiven, which names the first gap and the purpose, a plural noun."""
    gaps = np.argwhere(table.isna().to_numpy())
    if len(gaps):
        row, column = table.index[gaps[0, 0]], table.columns[gaps[0, 1]]
        raise NotGiven(f"{column} is missing on {table.index.name} {row}: {purpose} need every one on each")
    return table


def columns_of(by: str | Sequence[str]) -> list[str]:
    """The names of columns as a list, where one name may be given as text."""
    return [by] if isinstance(by, str) else list(by)
