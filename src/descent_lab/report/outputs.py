"""What the reported models predict on their test sets: points for a regression, counts for a classification."""

import numpy as np
import pandas as pd

from descent_lab.report.numbers import LOSS, Numbers
from descent_lab.tracking.reader import Results

POINTS = ["dataset", "entrant", "lr", "seed", "run_id", "truth", "prediction"]
COUNTS = ["dataset", "entrant", "lr", "truth", "prediction", "count"]


def add_outputs(found: Numbers, results: Results) -> None:
    """Tables `predictions` (of each entrant's median run) and `confusion` (of each problem's best entrant)."""
    runs = found.selection.runs
    runs = runs[np.isfinite(runs[LOSS].astype(float)) & (runs["status"] == "finished")]
    classified = _has(runs, "final_test_accuracy")
    found.add("predictions", lambda: _points(runs[~classified & _has(runs, "final_test_rmse")], results))
    found.add("confusion", lambda: _confusion(runs[classified], found.table("results"), results))


def _has(runs: pd.DataFrame, column: str) -> pd.Series:
    return runs[column].notna() if column in runs else pd.Series(False, index=runs.index)


def _points(runs: pd.DataFrame, results: Results) -> pd.DataFrame:
    parts = []
    for _, group in runs.groupby(["dataset", "entrant"], sort=True):
        run = group.sort_values([LOSS, "seed"]).iloc[(len(group) - 1) // 2]
        arrays = results.predictions(run["run_id"])
        if arrays and arrays["truth"].size:
            named = {name: run[name] for name in POINTS[:-2]}
            values = {name: np.ravel(arrays[name]) for name in POINTS[-2:]}
            parts.append(pd.DataFrame(named | values))
    return _joined(parts, POINTS)


def _confusion(runs: pd.DataFrame, table: pd.DataFrame, results: Results) -> pd.DataFrame:
    best = table.drop_duplicates("dataset")[["dataset", "entrant"]]  # sorted by loss
    parts = []
    for (dataset, entrant, lr), group in runs.merge(best).groupby(["dataset", "entrant", "lr"], sort=True):
        pairs = [_classes(results.predictions(run_id)) for run_id in group["run_id"]]
        if pairs := [pair for pair in pairs if pair is not None]:
            counts = pd.DataFrame(np.concatenate(pairs), columns=["truth", "prediction"]).value_counts(sort=False)
            parts.append(counts.reset_index(name="count").assign(dataset=dataset, entrant=entrant, lr=lr))
    return _joined([_square(part) for part in parts], COUNTS)


def _classes(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """(n_test, 2): true and predicted class; one output is split halfway between its two targets."""
    if not arrays or not arrays["truth"].size:
        return None
    truth, prediction = arrays["truth"], arrays["prediction"]
    if truth.shape[1] > 1:
        return np.stack([truth.argmax(axis=1), prediction.argmax(axis=1)], axis=1)
    middle = 0.0 if truth.min() < 0 else 0.5
    return np.concatenate([truth > middle, prediction > middle], axis=1).astype(int)


def _square(counts: pd.DataFrame) -> pd.DataFrame:
    """With a row for every pair of classes."""
    n = int(counts[["truth", "prediction"]].to_numpy().max()) + 1
    every = pd.MultiIndex.from_product([range(n), range(n)], names=["truth", "prediction"])
    filled = counts.set_index(["truth", "prediction"])["count"].reindex(every, fill_value=0).reset_index()
    return filled.assign(**{name: counts[name].iloc[0] for name in ("dataset", "entrant", "lr")})


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not parts:
        raise ValueError("no reported run has kept its predictions")
    return pd.concat(parts, ignore_index=True)[columns]
