"""A run on its way into MLflow, by SQL and through MLflow's client: python -m benchmarks.tracking [--quick]"""

import os
import tempfile
from collections.abc import Callable, Set
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from statistics import median
from time import process_time
from unittest.mock import patch

import numpy as np

from benchmarks.measuring import RESULTS, Report, Row, parser
from benchmarks.problems import configured
from benchmarks.sweep import place
from descent_lab.tracking import schema
from descent_lab.tracking.stores import Stores
from descent_lab.tracking.uploader import Uploader
from descent_lab.training.run import Outcome
from descent_lab.training.trainer import train

ABOUT = (
    "Processor time of a run: outbox, all params and tags, curves of 101 points, summary, ledger and the artifacts, in "
    "SQLite, by one process. At most 12 ms are asked for. MLflow alone: create_run, one log_batch of at most 1000 "
    "of those points, one log_artifact of a small file, and set_terminated."
)


def tracking(report: Report, n: int, rounds: int) -> None:
    """Track n runs in each of the ways, in turns."""
    config = configured("backend=numpy", "epochs=100", "record.every=1")
    (outcome,) = train([config.run(config.problem())])
    outcome.timing = "shared"  # so that runs are written while others are taken
    ways: dict[str, Callable[[], float]] = {
        "by SQL": lambda: _by_uploader(n, outcome),
        "through MLflow's client": lambda: _by_uploader(n, outcome, known_tables=frozenset()),
        "MLflow alone": lambda: _by_hand(n, outcome.curves),
    }
    laps = [{name: way() for name, way in ways.items()} for _ in range(rounds)]
    rows = [_row(laps, "through MLflow's client", 5), _row(laps, "MLflow alone", None)]
    report.ratios("a run", rows, ABOUT)
    report.keep("milliseconds a run", laps)


def _row(laps: list[dict[str, float]], other: str, least: float | None) -> Row:
    ratios = [lap[other] / lap["by SQL"] for lap in laps]
    ours, theirs = (1e3 * median(lap[name] for lap in laps) for name in ("by SQL", other))
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    return Row("a tracked run", "by SQL", other, median(ratios), least, ours, theirs, spread)


def _by_uploader(n: int, outcome: Outcome, known_tables: Set[str] = schema.TESTED) -> float:
    """known_tables: the revisions of the tables of a store that are written by SQL."""
    with place() as environment, patch.object(schema, "TESTED", known_tables), redirect_stderr(StringIO()):
        os.environ["DESCENT_OUTBOX"] = environment["DESCENT_OUTBOX"]
        uri = f"tracking.uri={environment['MLFLOW_TRACKING_URI']}"
        runs = [configured("backend=numpy", f"seed={seed}", uri).tracked for seed in range(n)]
        stores = Stores()
        stores.of(runs[0]).finished(runs)  # as a sweep does first
        begin = process_time()
        uploader = Uploader(stores, {"sweep": "benchmark"})
        for run in runs:
            uploader.take(run, outcome, 1e9, 1.0)
        uploader.close()
        assert not uploader.undelivered
        return 1e3 * (process_time() - begin) / n


def _by_hand(n: int, curves: dict[str, np.ndarray]) -> float:
    import mlflow
    from mlflow.entities import Metric

    with place() as environment, tempfile.NamedTemporaryFile(suffix=".txt") as file:
        client = mlflow.MlflowClient(environment["MLFLOW_TRACKING_URI"])
        folder = Path(environment["DESCENT_OUTBOX"]).parent
        experiment = client.create_experiment("benchmark", artifact_location=f"file://{folder}/artifacts")
        names = [name for name in curves if name not in ("step", "epoch")]
        points = [Metric(name, float(value), 0, k) for name in names for k, value in enumerate(curves[name])]
        begin = process_time()
        for _ in range(n):
            run = client.create_run(experiment).info.run_id
            client.log_batch(run, metrics=points[:1000])
            client.log_artifact(run, file.name)
            client.set_terminated(run)
        return 1e3 * (process_time() - begin) / n


def main() -> None:
    options = parser(__doc__, "3 runs a round", 5).parse_args()
    report = Report("tracking", "Tracking")
    tracking(report, 3 if options.quick else 64, 1 if options.quick else options.rounds)
    report.write(None if options.quick else RESULTS)


if __name__ == "__main__":
    main()
