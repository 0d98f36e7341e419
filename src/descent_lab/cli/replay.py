"""`python -m src.replay run=<id>`: recompute a stored run from its configuration and compare the curves.

The verdict is `bit-identical`, `equal within tolerance` (1e-10 relative in float64, 1e-4 in float32: another machine,
another version or another stack sums in another order) or `different`, with the first step that differs and what
changed in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from descent_lab.cli.entry import Parser, reported
from descent_lab.errors import ConfigError, Failure
from descent_lab.faults import told
from descent_lab.sweeps.config import Config, parse
from descent_lab.sweeps.worker import Stack, train_stack
from descent_lab.tracking.provenance import commit, versions
from descent_lab.tracking.reader import StoredRun, load_run

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
TIMES = ("time/step_seconds",)  # differ between any two runs, and are not compared


@dataclass(frozen=True)
class Verdict:
    """The result of comparing a replayed curve with the stored one."""

    word: str  # bit-identical, equal within tolerance, different
    largest: float  # largest relative difference of any metric at any step
    step: int | None  # first step that differs by more than the tolerance
    metric: str | None


def compare(stored: dict[str, np.ndarray], replayed: dict[str, np.ndarray], tolerance: float) -> Verdict:
    """Compare curves, each (n_records,) by name, metric by metric."""
    names = sorted((set(stored) & set(replayed)) - set(TIMES))
    if not np.array_equal(stored["step"], replayed["step"]):
        return Verdict("different", np.inf, _first_apart(stored["step"], replayed["step"]), "step")
    if all(np.array_equal(stored[name], replayed[name], equal_nan=True) for name in names):
        return Verdict("bit-identical", 0.0, None, None)
    apart = {name: _difference(stored[name], replayed[name]) for name in names}
    largest = max(float(values.max()) for values in apart.values())
    beyond = {name: values > tolerance for name, values in apart.items() if (values > tolerance).any()}
    if not beyond:
        return Verdict("equal within tolerance", largest, None, None)
    step, metric = min((int(stored["step"][np.argmax(late)]), name) for name, late in beyond.items())
    return Verdict("different", largest, step, metric)


def _first_apart(a: np.ndarray, b: np.ndarray) -> int:
    """The first recorded step that is not the same; the last common one where one curve is longer."""
    n = min(len(a), len(b))
    unequal = np.flatnonzero(a[:n] != b[:n])
    return int(a[unequal[0]] if unequal.size else a[n - 1])


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| relative to the larger of |a|, |b| and to rounding at the curve's own scale."""
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.finfo(float).eps * np.nanmax(np.abs(a)))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(a - b) / np.where(scale == 0, 1, scale)
    return np.where(np.isnan(a) & np.isnan(b), 0, np.nan_to_num(relative, nan=np.inf))


def replay(run_id: str, uri: str | None = None) -> tuple[Verdict, list[str]]:
    """Recompute a run; the verdict, and one line for each thing that changed.

    Raises ConfigError, ModelError or StoreError.
    """
    stored = load_run(run_id, uri)
    config = _config(stored)
    trained = train_stack(Stack([config], 0, 0))
    outcome = trained.outcomes[0]
    if isinstance(outcome, Failure):
        raise ConfigError(f"run={run_id}: cannot be recomputed here: {told(outcome)}")
    verdict = compare(stored.arrays("curves"), outcome.curves, TOLERANCE[config.dtype])
    return verdict, _changes(stored.about, outcome.device)


def _config(stored: StoredRun) -> Config:
    values = stored.config()
    if not values:
        raise ConfigError(f"run={stored.run_id}: has no config.yaml to replay")
    choices = values.pop("choices")
    return parse(values, choices)


def _changes(run: Mapping[str, Any], device: str) -> list[str]:
    now = {**commit(), "versions": versions(), "device": device}
    return [f"{name}: {run.get(name)} -> {value}" for name, value in now.items() if run.get(name) != value]


@reported
def main(arguments: Sequence[str]) -> int:
    """Print the verdict; exit code 0 unless the curves differ."""
    parser = Parser("replay", description=__doc__ or "")
    parser.add_argument("run", help="run=<id>, the id of a run in MLflow")
    parser.add_argument("--uri", help="tracking store; default: where src.run writes")
    given = parser.parse_args(arguments)
    verdict, changes = replay(given.run.removeprefix("run="), given.uri)
    where = "" if verdict.step is None else f", first in {verdict.metric} at step {verdict.step}"
    print(f"{verdict.word}: largest relative difference {verdict.largest:.3g}{where}")
    print(
        "\n".join(["changed since:", *changes]) if changes else "nothing changed since: same commit, versions, device"
    )
    return 1 if verdict.word == "different" else 0
