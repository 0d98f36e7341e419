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
from typing import NamedTuple

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
BY_SQL = "from descent_lab.tracking.reader import load; import sys; load(sys.argv[1])"
BY_CLIENT = f"from descent_lab.tracking.reader import client, store; store.connect = client.Client; {BY_SQL}"
READING = [
    "runs",
    "by SQL, s",
    "by MLflow's client, s",
    "times less",
    "by SQL, processor s",
    "by the client, processor s",
    "by SQL, MiB",
    "by the client, MiB",
]
ABOUT_READING = "Medians of whole processes in turns, which read runs and their curves, but make no long table of them."
ABOUT = (
    "Medians of whole processes; least and most are without attaching. MiB: of the largest process. Aim: 1,000 runs in "
    "10 s with a page under 5 MB, 10,000 runs in 90 s and 4 GB, both with reading."
)


class Used(NamedTuple):
    """What a process used: its wall seconds, processor seconds, and the MiB of the largest process."""

    wall: float
    processor: float
    memory: float


def used(environment: dict[str, str], *arguments: str) -> Used:
    """What a Python process used that runs these arguments; exits where it fails."""
    begin = perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} ended with status {status}")
    return Used(perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def build(environment: dict[str, str], output: Path, *more: str) -> Used:
    """What reports.build used as a process."""
    return used(environment, "-m", "reports.build", f"output={output}", *more)


def reading(environment: dict[str, str], rounds: int) -> list[float]:
    """Medians of whole processes that read the store by SQL and by MLflow's client, in turns.

    Wall seconds of either, how many times less by SQL, processor seconds of either, MiB of either.
    """
    uri = environment["MLFLOW_TRACKING_URI"]
    laps = [[used(environment, "-c", way, uri) for way in (BY_SQL, BY_CLIENT)] for _ in range(rounds)]
    sql, client = (Used(*map(median, zip(*way, strict=True))) for way in zip(*laps, strict=True))
    times = median(theirs.wall / ours.wall for ours, theirs in laps)
    return [sql.wall, client.wall, times, sql.processor, client.processor, sql.memory, client.memory]


def main() -> None:
    options = parser(__doc__, "a hundred runs", 5)
    options.add_argument("--runs", type=int, nargs="+", default=[1000])
    arguments = options.parse_args()
    report = Report("report", "Building a report")
    lines, read = [], []
    rounds = 1 if arguments.quick else arguments.rounds
    for n_runs in [CELLS] if arguments.quick else arguments.runs:
        with place() as environment:
            seconds("src.run", ["-m", *SWEEP, f"seed=range({max(1, n_runs // CELLS)})"], environment)
            output = Path(environment["DESCENT_OUTBOX"]).parent / "report"
            laps = [(build(environment, output, "attach=false"), build(environment, output)) for _ in range(rounds)]
            page = (output / "index.html").stat().st_size / 1e6
            read.append([f"{n_runs}", *(f"{value:.3g}" for value in reading(environment, rounds))])
        plain, attached = ([lap.wall for lap in way] for way in zip(*laps, strict=True))
        memory = median(lap.memory for _, lap in laps)
        times = [f"{value:.1f}" for value in (median(plain), median(attached), min(plain), max(plain))]
        lines.append([f"{n_runs}", *times, f"{memory:.0f}", f"{page:.2f}"])
    columns = ["runs", "seconds", "and attached to MLflow", "least", "most", "MiB", "page MB"]
    report.table("reports.build", columns, lines, ABOUT)
    report.keep("reports.build", [dict(zip(columns, line, strict=True)) for line in lines])
    report.table("reading alone", READING, read, ABOUT_READING)
    report.keep("reading alone", [dict(zip(READING, line, strict=True)) for line in read])
    report.write(None if arguments.quick else RESULTS)


if __name__ == "__main__":
    main()
