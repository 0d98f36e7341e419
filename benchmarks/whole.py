"""Whole runs and growth: python -m benchmarks.whole [--quick]

S1 compared with its published form, start-up compared with imports, the steps of a sweep compared with a loop of eager
runs, and the cost of ten times the work.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.measuring import RESULTS, Disagreement, Lap, Report, Row, contest, parser, ratios, refuse
from benchmarks.problems import S1, Work, configured, ours, peer, same_loss
from benchmarks.sweep import computing, place, seconds
from descent_lab.paths import ROOT
from descent_lab.sweeps.engines.processes import Processes
from descent_lab.sweeps.engines.serial import Serial

WALL = "Times are of whole runs, in microseconds."


def published(report: Report, rounds: int, iterations: int) -> None:
    """100 iterations of S1 with compilation, compared with its published form: an uncompiled loop over samples."""
    from benchmarks.peers.scripts import per_sample

    few = S1.but("backend=jax", epochs=iterations)
    work = S1.but("backend=jax", epochs=100)
    seconds_of = contest({"jax": ours(few), "script": peer(few, per_sample)}, 1, same_loss(few, 1e-8))
    script = 100 * median(seconds_of["script"])  # every iteration takes the same time
    lines = []
    for name, keep in (("nothing compiled before", False), ("program kept", True)):
        with place() as environment:
            times = []
            for _ in range(rounds):
                with place(
                    **({"JAX_COMPILATION_CACHE_DIR": environment["JAX_COMPILATION_CACHE_DIR"]} if keep else {})
                ) as own:
                    times.append(_alone(work, own))
            best = median(times[1:] if keep else times)
        lines.append(
            Row("S1 as published, 100 iterations", name, "its own form", script / best, 100, 1e6 * best, 1e6 * script)
        )
    about = f"Training with compilation, without imports. The script was timed for {iterations} iterations and scaled."
    report.ratios("S1 as published", lines, f"{WALL} {about}")


def _alone(work: Work, environment: dict[str, str]) -> float:
    """Seconds of training in a new process, with compilation and without imports."""
    lines = [
        "from descent_lab.loops.program_cache import keep_programs; from descent_lab.paths import CACHE",
        "keep_programs(CACHE / 'jax'); import jax; from time import perf_counter",
        "from benchmarks.problems import made; from descent_lab.training.trainer import train",
        f"run = made(*{work.overrides!r}, 'epochs={work.epochs}')",
        "import descent_lab.loops.compiled; jax.numpy.zeros(1)",
        "begin = perf_counter(); train([run]); print(perf_counter() - begin)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    return float(done.stdout)


def start_up(report: Report, rounds: int) -> None:
    """`python -m src.run` of S1 with warm caches, compared with a process that only imports the same modules."""
    lines = []
    for backend in ("jax", "numpy"):
        arguments = [f"backend={backend}", "force=true"]
        with place() as environment, tempfile.TemporaryDirectory() as folder:
            into = Path(folder) / "modules.json"
            seconds("src.run", arguments, environment)  # creates the store
            seconds("benchmarks.imports", [str(into), *arguments], environment)
            run, imports = [], []
            for _ in range(rounds):
                run.append(seconds("src.run", arguments, environment))
                imports.append(seconds("benchmarks.imports", [str(into)], environment))
            modules = set(json.loads(into.read_text()))
        unused = sorted(
            {"jax", "mlflow", "torch", "matplotlib", "seaborn", "sklearn", "scipy", "pandas", "joblib"} & modules
        )
        a, b = median(run), median(imports)
        lines.append([f"{a / b:.2f}", "1.5", backend, f"{a:.2f}", f"{b:.2f}", " ".join(unused)])
    with place() as environment:
        helping = median(seconds("src.run", ["--help"], environment) for _ in range(rounds))
    lines.append(["", "", "--help", f"{helping:.2f}", "", ""])
    columns = ["run over imports", "at most", "what", "seconds", "seconds of its imports", "heavy libraries imported"]
    report.table("start-up, S1", columns, lines)
    report.keep("start-up, S1", lines)


def sweep_compute(report: Report, rounds: int, n_runs: int, sample: int) -> None:
    """The steps of 256 runs of S1, compared with a loop of eager runs, of which a few are timed."""
    if find_spec("torch") is None:
        return
    from benchmarks.peers.eager import descent

    work = S1.but(epochs=200)

    def eager() -> Lap:
        laps = [peer(work.but(f"seed={seed}"), descent)() for seed in range(sample)]
        return Lap(n_runs * 200 * sum(lap.seconds for lap in laps) / sample, laps[0].theta)

    configs = [
        configured(*work.overrides, "backend=jax", "epochs=200", "record.points=2", f"seed={s}") for s in range(n_runs)
    ]
    workers = Processes(workers=None)
    parts = np.array_split(np.array(configs), 2 * workers.n_workers)
    entrants = {
        "processes": lambda: Lap(computing(workers, parts)),
        "serial": lambda: Lap(computing(Serial(), [configs])),
        "torch eager": eager,
        "checked alone": ours(work, "backend=jax"),
    }
    seconds_of = contest(entrants, rounds, same_loss(work, 1e-8))
    rows = [
        Row(
            f"{n_runs} runs of S1, compute",
            engine,
            "torch eager",
            median(ratios(seconds_of[engine], seconds_of["torch eager"])),
            at_least,
            1e6 * median(seconds_of[engine]),
            1e6 * median(seconds_of["torch eager"]),
        )
        for engine, at_least in (("processes", 12), ("serial", None))
    ]
    report.ratios(
        "a sweep's compute", rows, f"Times are of all runs, in microseconds; {sample} eager runs timed, and scaled."
    )


def growth(report: Report, rounds: int) -> None:
    """The time of ten times the work, and the memory of ten times the steps."""
    base = S1.but("backend=jax", epochs=500)
    grown: dict[str, tuple[Callable[[], Lap], float]] = {
        "samples x 10": (ours(base.but("dataset.n_samples=2500")), 1),
        "width x 10 (100 times the work)": (ours(base.but("model.hidden=[250,250]", epochs=100)), 1),
        "runs x 10": (ours(base, n_runs=10), 10),
        "steps x 10": (ours(base.but(epochs=5000)), 10),
    }
    contestants = {"base": ours(base)} | {name: contestant for name, (contestant, _) in grown.items()}
    seconds_of = contest(contestants, rounds, lambda laps: None)
    lines = [
        [
            f"{times * median(ratios(seconds_of['base'], seconds_of[name])):.2f}",
            "100" if "width" in name else "10",
            name,
            f"{1e6 * median(seconds_of[name]):.1f}",
        ]
        for name, (_, times) in grown.items()
    ]
    report.table("growth, S1 on jax", ["times the time", "at most", "work", "us a step of one run"], lines)
    memory = [[f"{_memory(epochs):.0f}", f"{epochs} epochs"] for epochs in (200, 2000, 20000)]
    report.table(
        "memory", ["peak MiB of the process", "S1, batches of 100"], memory, "Sample orders are drawn in windows."
    )
    report.keep("growth, S1 on jax", lines)
    report.keep("memory", memory)


def _memory(epochs: int) -> float:
    overrides = (*S1.overrides, "backend=jax", "batching=minibatch", "batching.size=100", f"epochs={epochs}")
    lines = [
        "import resource; from benchmarks.problems import made; from descent_lab.training.trainer import train",
        f"train([made(*{overrides!r})]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True)
    return float(done.stdout)


def compiling(report: Report) -> None:
    """Compile seconds by the ledger, in a first process, and in a second one that finds the program on disk."""
    line = (
        "from descent_lab.loops.program_cache import keep_programs; from descent_lab.paths import CACHE; "
        "keep_programs(CACHE / 'jax'); "  # as the command line does; the environment names another folder
        "from benchmarks.problems import made; from descent_lab.training.trainer import train; "
        "import json, sys; ledger = train([made(*json.loads(sys.argv[1]))])[0].ledger; "
        "print(ledger['setup'], ledger['compile'])"
    )
    lines = []
    for name, overrides in (
        ("S1", [*S1.overrides]),
        ("minibatches, a smaller last one", ["batching=minibatch", "batching.size=32"]),
    ):
        with place() as environment:
            for process in ("first", "second"):
                command = [sys.executable, "-c", line, json.dumps([*overrides, "backend=jax"])]
                begin = perf_counter()
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
                setup, compile_ = (float(value) for value in done.stdout.split())
                lines.append([f"{compile_:.2f}", f"{setup:.2f}", f"{perf_counter() - begin:.2f}", name, process])
    report.table("compilation", ["compile seconds", "set-up seconds", "whole process", "work", "process"], lines)
    report.keep("compilation", lines)


def main() -> None:
    options = parser(__doc__, "the parts that take seconds", 5).parse_args()
    report = Report("whole", "Whole runs, start-up and growth")
    try:
        if options.quick:
            compiling(report)
        else:
            published(report, options.rounds, 3)
            start_up(report, options.rounds)
            compiling(report)
            sweep_compute(report, options.rounds, 256, 4)
            growth(report, options.rounds)
    except Disagreement as error:
        refuse(error)
    report.write(None if options.quick else RESULTS)


if __name__ == "__main__":
    main()
