"""Which columns a frame must have, and what a diverged run counts as.

A diverged run is never dropped. Wherever runs are ranked, sorted or summarised it stands at the worst end of
the scale: +inf where lower is better, -inf where higher is better. A run is diverged when its `status` says
so, or when its value is not finite.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

WORST = {"lower": np.inf, "higher": -np.inf}


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """`value`, if it is allowed; else a ValueError that names the argument, the value and the choices."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
    return value


def require(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """`frame`, if it has a row, every column, and no gap in a column of names; else a ValueError saying which."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing: the frame has {', '.join(map(str, frame.columns))}")
    if frame.empty:
        raise ValueError(f"the frame with columns {', '.join(columns)} has no rows")
    for column in columns:
        if not is_numeric_dtype(frame[column]) and (gaps := frame[column].isna().sum()):
            raise ValueError(f"column {column!r}: {gaps} of {len(frame)} rows have no name; give them one")
    return frame


def once(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """`frame`, if no two rows share all keys; else a ValueError that names the first such row."""
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        row = ", ".join(f"{key}={twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"more than one row has {row}: choose one setting for each first")
    return frame


def confident(confidence: float) -> float:
    """`confidence`, if it lies strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: must lie between 0 and 1")
    return confidence


def levels(frame: pd.DataFrame, value: str, better: str, scale: str = "linear") -> np.ndarray:
    """Column `value` as floats of shape (n_rows,), on a `linear` or `log` scale; diverged runs are worst.

    Raises ValueError where a logarithm is asked of a finite value that is not positive.
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
        raise ValueError(f"column {value!r}: {x[~diverged].min():g} has no logarithm; use scale='linear'")
    return np.log(np.where(diverged, 1.0, x))


def complete(table: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """`table` (index x columns), if it has no gap; else a ValueError that names the first."""
    gaps = np.argwhere(table.isna().to_numpy())
    if len(gaps):
        row, column = table.index[gaps[0, 0]], table.columns[gaps[0, 1]]
        raise ValueError(f"{column} is missing on {table.index.name} {row}: {purpose} need every one on each")
    return table


def columns_of(by: str | Sequence[str]) -> list[str]:
    """A column name, or several, as a list."""
    return [by] if isinstance(by, str) else list(by)
