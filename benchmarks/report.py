"""The time to build a report of many runs: python -m benchmarks.report [--quick] [--runs 1000 10000] [--against FOLDER]

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
AT_MOST = {1_000: 4, 10_000: 20}  # wall seconds by runs
ABOUT = (
    "Medians of whole processes in turns, with reading; least and most are without attaching. Before: another version, "
    "which reads the same store. MiB: of the largest process."
)


class Used(NamedTuple):
    """What a process used: its wall seconds, processor seconds, and the MiB of the largest process."""

    wall: float
    processor: float
    memory: float


def used(environment: dict[str, str], *arguments: str, version: Path = ROOT) -> Used:
    """What a Python process used that runs these arguments; exits where it fails. version: the folder of a clone."""
    python = sys.executable if version == ROOT else version / ".venv" / "bin" / "python"
    begin = perf_counter()
    process = subprocess.Popen([python, *arguments], cwd=version, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} ended with status {status}")
    return Used(perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def build(environment: dict[str, str], output: Path, attach: bool = False, version: Path = ROOT) -> Used:
    """What reports.build used as a process, without the processes that draw for it."""
    words = [f"output={output}", f"attach={str(attach).lower()}"]
    return used(environment, "-m", "reports.build", *words, version=version)


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
    options.add_argument("--against", type=Path, help="a clone of another version in which `make setup` has been run")
    arguments = options.parse_args()
    report = Report("report", "Building a report")
    lines, read = [], []
    rounds = 1 if arguments.quick else arguments.rounds
    for n_runs in [CELLS] if arguments.quick else arguments.runs:
        with place() as environment:
            seconds("src.run", ["-m", *SWEEP, f"seed=range({max(1, n_runs // CELLS)})"], environment)
            output = Path(environment["DESCENT_OUTBOX"]).parent / "report"
            laps, before = [], []
            for _ in range(rounds):
                laps.append((build(environment, output), build(environment, output, attach=True)))
                if arguments.against:
                    theirs = output.with_name("before")
                    before.append(build(environment, theirs, version=arguments.against.resolve()).wall)
            page = (output / "index.html").stat().st_size / 1e6
            read.append([f"{n_runs}", *(f"{value:.3g}" for value in reading(environment, rounds))])
        plain, attached = ([lap.wall for lap in way] for way in zip(*laps, strict=True))
        memory = median(lap.memory for _, lap in laps)
        at_most = AT_MOST.get(n_runs)
        reached = "" if at_most is None else "yes" if median(plain) <= at_most else "no"
        times = [f"{value:.1f}" for value in (median(plain), median(attached), min(plain), max(plain))]
        limits = [f"{median(before):.1f}" if before else "", f"{at_most or ''}", reached]
        lines.append([f"{n_runs}", *times, *limits, f"{memory:.0f}", f"{page:.2f}"])
    timed = ["seconds", "and attached to MLflow", "least", "most", "before", "at most", "reached"]
    columns = ["runs", *timed, "MiB", "page MB"]
    report.table("reports.build", columns, lines, ABOUT)
    report.keep("reports.build", [dict(zip(columns, line, strict=True)) for line in lines])
    report.table("reading alone", READING, read, ABOUT_READING)
    report.keep("reading alone", [dict(zip(READING, line, strict=True)) for line in read])
    report.write(None if arguments.quick else RESULTS)


if __name__ == "__main__":
    main()
