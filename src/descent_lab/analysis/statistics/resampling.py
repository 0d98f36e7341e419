"""Draws for bootstraps that respect what is independent: seeds, or blocks of seeds that share their tuning."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

RESAMPLES = 1_000  # number of draws


def unit_of(runs: pd.DataFrame) -> str:
    """The column of what was drawn independently: `block`, if there are several, else `seed`.

    The seeds of a block were judged at the same chosen setting, so that they are not independent of one another.
    """
    return "block" if "block" in runs and runs["block"].nunique() > 1 else "seed"


def drawn(runs: pd.DataFrame, entrant: str, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each row of the runs of one problem is in each draw: shape (resamples, n_rows).

    A draw takes n - 1 of the n units with replacement: n would make the variance too small by the factor (n - 1) / n
    (McCarthy & Snowden 1985). A single unit is in every draw once. Entrants with the same units share their draws,
    because runs of one seed have the same start and batches. Rows may be in any order.
    """
    units, names = runs[unit_of(runs)].to_numpy(), runs[entrant].to_numpy()
    weights = np.empty((resamples, len(runs)), dtype=np.int32)
    shared: dict[tuple[object, ...], np.ndarray] = {}
    for name in sorted(set(names)):
        rows = np.flatnonzero(names == name)
        own, position = np.unique(units[rows], return_inverse=True)
        key = tuple(own.tolist())
        if key not in shared:
            shared[key] = _draws(len(own), rng, resamples)
        weights[:, rows] = shared[key][:, position]
    return weights


def _draws(n: int, rng: np.random.Generator, resamples: int) -> np.ndarray:
    if n == 1:
        return np.ones((resamples, 1), dtype=int)
    return rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples)


def limits(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper limits of the percentile interval along the first axis. Draws may be infinite."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(draws, tails, axis=0, method="inverted_cdf")
    return low, high


def few(runs: pd.DataFrame, by: Sequence[str]) -> str:
    """A note where some group of runs has so few units that a bootstrap is too narrow; else empty."""
    unit = unit_of(runs)
    least = int(runs.groupby(list(by))[unit].nunique().min())
    if least == 1:
        return f"1 {unit}: no interval"
    return f"{least} {unit}s: the interval is too narrow" if least < 5 else ""
