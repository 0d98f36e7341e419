"""The time to build a report of many runs: python -m benchmarks.report [--quick] [--runs 1000]

The runs are 4 data sets x 5 optimizers x 5 lr x seeds with 100 recorded points each, in a SQLite store. The report is
timed as a whole process.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.measuring import RESULTS, Report, parser
from benchmarks.sweep import place, seconds
from descent_lab.paths import ROOT

CELLS = 100  # data sets x optimizers x lr
SWEEP = (
    "dataset=gaussian,iris,wine,diabetes",
    "optimizer=sgd,momentum,adam,rmsprop,adagrad",
    "lr=0.001,0.003,0.01,0.03,0.1",
    "backend=jax",
    "batching=minibatch",
    "epochs=60",
    "record.points=100",
)
READING = "from descent_lab.tracking.reader import load; import sys; load(sys.argv[1])"
ABOUT = (
    "Medians of whole processes; least and most are without attaching. MiB: of the largest process. Aim: 1,000 runs in "
    "10 s with a page under 5 MB, 10,000 runs in 90 s and 4 GB, both with reading."
)


def build(environment: dict[str, str], output: Path, *more: str) -> tuple[float, float]:
    """Wall seconds of reports.build as a process, and the MiB of the largest of its processes."""
    begin = perf_counter()
    command = [sys.executable, "-m", "reports.build", f"output={output}", *more]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"reports.build ended with status {status}")
    return perf_counter() - begin, used.ru_maxrss / 1024


def reading(environment: dict[str, str]) -> float:
    """Wall seconds of a process that only reads the store."""
    begin = perf_counter()
    uri = environment["MLFLOW_TRACKING_URI"]
    subprocess.run([sys.executable, "-c", READING, uri], cwd=ROOT, env=environment, check=True)
    return perf_counter() - begin


def main() -> None:
    options = parser(__doc__, "a hundred runs", 5)
    options.add_argument("--runs", type=int, nargs="+", default=[1000])
    arguments = options.parse_args()
    report = Report("report", "Building a report")
    lines = []
    for n_runs in [CELLS] if arguments.quick else arguments.runs:
        with place() as environment:
            seconds("src.run", ["-m", *SWEEP, f"seed=range({max(1, n_runs // CELLS)})"], environment)
            output = Path(environment["DESCENT_OUTBOX"]).parent / "report"
            laps = [
                (reading(environment), *build(environment, output, "attach=false"), *build(environment, output))
                for _ in range(1 if arguments.quick else arguments.rounds)
            ]
            page = (output / "index.html").stat().st_size / 1e6
        alone, plain, _, attached, memory = (median(column) for column in zip(*laps, strict=True))
        by_round = [lap[1] for lap in laps]
        times = [f"{value:.1f}" for value in (plain, attached, alone, min(by_round), max(by_round))]
        lines.append([f"{n_runs}", *times, f"{memory:.0f}", f"{page:.2f}"])
    columns = ["runs", "seconds", "and attached to MLflow", "reading alone", "least", "most", "MiB", "page MB"]
    report.table("reports.build", columns, lines, ABOUT)
    report.keep("reports.build", [dict(zip(columns, line, strict=True)) for line in lines])
    report.write(None if arguments.quick else RESULTS)


if __name__ == "__main__":
    main()
