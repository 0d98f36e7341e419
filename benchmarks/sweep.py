"""A sweep as one program, compared with its runs one by one: python -m benchmarks.sweep [--quick]

256 runs (16 lr x 16 seeds) of `gaussian`, 200 epochs, jax, into an empty SQLite store, timed as whole processes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.measuring import RESULTS, Report, Row, parser
from benchmarks.problems import configured
from descent_lab.paths import ROOT
from descent_lab.sweeps.engines.processes import Processes
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.worker import Stack, TrainedStack, train_stack

LRS = [round(float(lr), 6) for lr in np.geomspace(1e-4, 0.1, 16)]
RUN = ("backend=jax", "dataset=gaussian", "epochs=200")
N_RUNS = 256
COLD = {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # no compiled program is read from disk or written
SECONDS = ["seconds", "what"]


def grid(n_lrs: int, n_seeds: int) -> list[str]:
    """The overrides of a sweep over the first n_lrs learning rates and over seeds."""
    return [*RUN, "lr=" + ",".join(str(lr) for lr in LRS[:n_lrs]), f"seed=range({n_seeds})"]


@contextmanager
def place(**more: str) -> Iterator[dict[str, str]]:
    """The environment of a process with its own store, outbox and compilation cache, all empty."""
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "DESCENT_OUTBOX": f"{folder}/outbox",
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
        }
        yield {**os.environ, **own, **more}


def seconds(module: str, arguments: Sequence[str], environment: dict[str, str]) -> float:
    """Wall seconds of a whole process, which must succeed."""
    begin = perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    return perf_counter() - begin


def stacked(n_lrs: int, n_seeds: int) -> dict[str, float]:
    """Seconds of the sweep as one process.

    cold: into an empty store, with nothing compiled. again: the same, with all runs finished. warm: into an empty
    store, with the compiled program on disk.
    """
    arguments = ["-m", *grid(n_lrs, n_seeds)]
    with place() as environment:
        cold, again = (seconds("src.run", arguments, environment) for _ in range(2))
        with place(JAX_COMPILATION_CACHE_DIR=environment["JAX_COMPILATION_CACHE_DIR"]) as empty:
            return {"cold": cold, "again": again, "warm": seconds("src.run", arguments, empty)}


def one_by_one(few: int, more: int, **environment: str) -> float:
    """Seconds of 256 runs by Hydra's basic launcher in one process, extrapolated.

    `few` and `more` runs are timed. Each of the remaining runs is assumed to take the difference between the two,
    divided by the number of runs between them.
    """
    with place(**environment) as own:
        short = seconds("benchmarks.basic", ["-m", *grid(1, few)], own)
    with place(**environment) as own:
        long = seconds("benchmarks.basic", ["-m", *grid(1, more)], own)
    return long + (N_RUNS - more) * (long - short) / (more - few)


def separately(n: int, **more: str) -> float:
    """Seconds of 256 processes with one run each, extrapolated from the median of n of them."""
    with place(**more) as environment:
        alone = [(*RUN, f"lr={lr}") for lr in LRS[: n + 1]]
        seconds("src.run", alone[-1], environment)  # creates the store, fills the caches
        return N_RUNS * median(seconds("src.run", one, environment) for one in alone[:-1])


def whole(report: Report, rounds: int) -> None:
    """Whole processes, in turns, because the speed of the machine drifts."""
    laps = [
        stacked(16, 16)
        | {"basic": one_by_one(4, 16, **COLD), "basic kept": one_by_one(4, 16)}
        | {"apart": separately(4, **COLD), "apart kept": separately(4)}
        for _ in range(rounds)
    ]
    cold, warm = ("cold", "nothing compiled before"), ("warm", "program kept")
    table = [
        _row(laps, *cold, "basic", "basic launcher, each run compiled again", 8),
        _row(laps, *warm, "basic kept", "basic launcher, with the caches of this harness", None),
        _row(laps, *cold, "apart", "256 processes, each compiling", 40),
        _row(laps, *warm, "apart kept", "256 processes, programs kept", 40),
    ]
    report.ratios("256 runs, whole process", table, "Times are of the whole sweep. " + (one_by_one.__doc__ or ""))
    again = median(lap["again"] for lap in laps)
    report.table("the same again", SECONDS, [[f"{again:.2f}", "the same sweep again, all finished (at most 2)"]])
    report.keep("the same again", laps)


def _row(laps: list[dict[str, float]], mine: str, ours: str, theirs: str, against: str, least: float | None) -> Row:
    ratios = [lap[theirs] / lap[mine] for lap in laps]
    times = [1e6 * median(lap[name] for lap in laps) for name in (mine, theirs)]
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    return Row("256 runs of gaussian", ours, against, median(ratios), least, times[0], times[1], spread)


def split(report: Report, n_lrs: int = 16, n_seeds: int = 16) -> None:
    """How the seconds of a sweep are spent."""
    lines, spent = [], {}
    with place() as environment, tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            path = f"{folder}/{name}.json"
            store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/{name}.db"}
            total = seconds("benchmarks.watch", [path, "-m", *grid(n_lrs, n_seeds)], environment | store)
            parts = json.loads(Path(path).read_text())
            spent[name] = parts | {"whole process": total}
            lines += [[f"{value:.2f}", part, name] for part, value in spent[name].items()]
    report.table("where the seconds go", [*SECONDS, "compilation cache"], lines, "Tracking runs beside training.")
    report.keep("where the seconds go", spent)


def composing(report: Report, n: int) -> None:
    """Milliseconds to compose and validate a configuration."""
    overrides = [(*RUN, f"lr={lr}", f"seed={seed}") for seed in range(n // 10) for lr in LRS[:10]]
    begin = perf_counter()
    for one in overrides:
        configured(*one)
    cost = 1e3 * (perf_counter() - begin) / len(overrides)
    report.table(
        "composing", ["ms a configuration", "configurations"], [[f"{cost:.2f}", str(len(overrides))]], "At most 2."
    )
    report.keep("composing", cost)


def throughput(report: Report, rounds: int, n_runs: int = N_RUNS, epochs: int = 200) -> None:
    """Step seconds of engine=processes compared with serial, by the ledgers."""
    overrides = (*RUN, f"epochs={epochs}", "record.points=2")
    configs = [configured(*overrides, f"seed={seed}") for seed in range(n_runs)]
    times: dict[str, list[float]] = {"serial": [], "processes": []}
    workers = Processes(workers=None)
    for _ in range(rounds):
        times["serial"].append(computing(Serial(), [configs]))
        times["processes"].append(computing(workers, np.array_split(np.array(configs), 2 * workers.n_workers)))
    serial, spread = median(times["serial"]), median(times["processes"])
    rows = [
        Row(f"{n_runs} runs, step seconds", "processes", "serial", serial / spread, 1.6, 1e6 * spread, 1e6 * serial)
    ]
    report.ratios(f"engine=processes on {workers.n_workers} cores", rows, "Times are of all runs together.")


def computing(engine: Any, parts: Sequence[Sequence[Any]]) -> float:
    """The step seconds of all parts divided by the number of workers: how long busy workers take for them."""
    stacks = [Stack(list(part), 0, 0) for part in parts]
    engine_seconds = 0.0
    for stack, trained in engine.run(train_stack, stacks):
        assert isinstance(trained, TrainedStack), trained
        engine_seconds += len(stack.configs) * trained.outcomes[0].ledger["step"]
    return engine_seconds / engine.n_workers


def main() -> None:
    options = parser(__doc__, "the parts that take seconds", 5).parse_args()
    report = Report("sweep", "A sweep")
    if options.quick:
        composing(report, 20)
    else:
        whole(report, options.rounds)
        split(report)
        composing(report, 1000)
        throughput(report, options.rounds)
    report.write(None if options.quick else RESULTS)


if __name__ == "__main__":
    main()
