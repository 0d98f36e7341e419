"""Seconds of a step, compared with what a user would otherwise use: python -m benchmarks.steps [--quick]

Every contest first checks that all contestants end at the same loss. It is measured with one thread and with all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS, Clock, Disagreement, Report, Row, contest, parser, refuse, rows
from benchmarks.problems import CONV1D, DIGITS, S1, S2, S3, Work, made, ours, peer, same_loss
from descent_lab.paths import ROOT
from descent_lab.sweeps.engines.base import one_thread_each

SINGLE = "dtype=float32"
ABOUT = (
    "All numbers, also the ratios, are medians over rounds. us: microseconds of one step of one run. All contestants "
    "have the same problem, start, batches and steps, and end at the same loss on the whole training set, which is "
    "checked before anything is timed. The seconds of this harness are the step seconds of its ledger (for hill "
    "climbing with the drawing of all proposals); it records metrics only at the first and the last step. With one "
    "thread, seconds are those of the processor; with all threads, wall seconds."
)


def _peers(module: str, library: str) -> Any:
    """A module of scripts, or None where its library is not installed; its rows are then left out."""
    if find_spec(library) is None:
        return None
    from importlib import import_module

    return import_module(f"benchmarks.peers.{module}")


Contest = Callable[[int, bool], list[Row]]


def s1(rounds: int, quick: bool) -> list[Row]:
    """One compiled loop against eager steps, and against a scan that is written by hand."""
    work = S1.but(epochs=30) if quick else S1
    eager, scan = _peers("eager", "torch"), _peers("scan", "optax")
    entrants = {"jax": ours(work, "backend=jax"), "bare loop": peer(work, _peers("scripts", "jax").bare_loop)}
    if eager:
        entrants["torch eager"] = peer(work, eager.descent)
        if not quick and _compiles(eager, work):
            entrants["torch.compile"] = peer(work, lambda plain: eager.descent(plain, compiled=True))
    if scan:
        entrants["optax scan"] = peer(work, scan.descent)
    seconds = contest(entrants, rounds, same_loss(work, 1e-8))
    return rows(work.name, "jax", seconds, {"torch eager": 8, "optax scan": 1.2}, "float64")


def _compiles(eager: Any, work: Work) -> bool:
    """Whether torch.compile works here: it needs a C++ compiler."""
    try:
        peer(work.but(epochs=2), lambda plain: eager.descent(plain, compiled=True))()
    except Exception as error:
        print(f"  torch.compile left out: {type(error).__name__}")
        return False
    return True


def s2(rounds: int, quick: bool) -> list[Row]:
    """Steps of single samples, which show the cost of a loop itself."""
    work, eager = S2.but(epochs=5 if quick else 100), _peers("eager", "torch")
    entrants = {"jax": ours(work, "backend=jax")}
    if eager:
        entrants["torch eager"] = peer(work, eager.descent)
    seconds = contest(entrants, rounds, same_loss(work, 1e-8))
    return rows(work.name, "jax", seconds, {"torch eager": 100}, "float64")


def s3(rounds: int, quick: bool) -> list[Row]:
    """Hill climbing in single precision. A first contest in double precision checks that all decisions are the same."""
    scripts = _peers("scripts", "jax")
    exact = S3.but(epochs=100)
    contest({"random_search": ours(exact), "script": peer(exact, scripts.hill_climbing)}, 0, same_loss(exact, 1e-9))
    work = S3.but(SINGLE, epochs=50 if quick else 3000)
    entrants = {
        "random_search": ours(work),
        "random_search, 8 chains": ours(work, n_runs=8, threads=min(8, Clock.threads())),
        "S3's NumPy form": peer(work, scripts.hill_climbing),
    }
    seconds = contest(entrants, rounds, same_loss(work, 0.02, SINGLE))
    several = seconds.pop("random_search, 8 chains")
    alone = rows(work.name, "random_search", seconds, {"S3's NumPy form": 10}, "float32")
    together = {"8 chains at once": several, "S3's NumPy form": seconds["S3's NumPy form"]}
    return alone + rows(
        work.name, "8 chains at once", together, {"S3's NumPy form": 15}, "float32, a step of one chain"
    )


def host(rounds: int, quick: bool) -> list[Row]:
    """The numpy backend against scripts, scikit-learn (whose networks always have biases) and eager PyTorch."""
    by_hand, scikit, eager = _peers("by_hand", "numpy"), _peers("scikit", "sklearn"), _peers("eager", "torch")
    biased = S1.but("model.bias=true", name="S1 full batch, with biases", epochs=10 if quick else 200)
    digits = DIGITS.but(epochs=2 if quick else 5)
    table = []
    for work, tolerance in ((biased, 1e-8), (digits, 1e-3)):
        entrants = {
            "numpy": ours(work, "backend=numpy"),
            "NumPy script": peer(work, by_hand.tutorial),
            "NumPy script, tuned": peer(work, by_hand.tuned),
            "scikit-learn": peer(work, scikit.descent),
        }
        table += rows(work.name, "numpy", contest(entrants, rounds, same_loss(work, tolerance)), {"scikit-learn": 2})
    if eager:
        climbing = S3.but("backend.arrays=numpy", SINGLE, epochs=20 if quick else 300)
        for work, script, tolerance in (
            (S1.but("backend=numpy", epochs=10 if quick else 200), eager.descent, 1e-8),
            (S2.but("backend=numpy", epochs=3 if quick else 50), eager.descent, 1e-8),
            (climbing, eager.hill_climbing, 0.02),
        ):
            entrants = {"numpy": ours(work), "torch eager": peer(work, script)}
            more = (SINGLE,) if work is climbing else ()
            times = contest(entrants, rounds, same_loss(work.but(), tolerance, *more))
            table += rows(work.name, "numpy", times, {"torch eager": 1}, "float32" if more else "float64")
    return table


def digits(rounds: int, quick: bool) -> list[Row]:
    """Small batches of a real data set."""
    work, eager, scan = DIGITS.but(epochs=2 if quick else 10), _peers("eager", "torch"), _peers("scan", "optax")
    entrants = {"jax": ours(work, "backend=jax")}
    if eager:
        entrants["torch eager"] = peer(work, eager.descent)
    if scan:
        entrants["optax scan"] = peer(work, scan.descent)
    seconds = contest(entrants, rounds, same_loss(work, 1e-6))
    return rows(work.name, "jax", seconds, {"torch eager": 10, "optax scan": 0.95}, "float64")


def conv1d(rounds: int, quick: bool) -> list[Row]:
    """Convolutions over sequences."""
    work = CONV1D.but(SINGLE, epochs=1 if quick else 5)
    eager, scan = _peers("eager", "torch"), _peers("scan", "optax")
    table = []
    for backend, at_least in (
        ("jax", {"torch eager, fused": 4, "optax scan": 1.2}),
        ("numpy", {"torch eager, fused": 3}),
    ):
        entrants = {backend: ours(work, f"backend={backend}")}
        if eager:
            entrants["torch eager, fused"] = peer(work, lambda plain: eager.descent(plain, fused=True))
        if scan and backend == "jax":
            entrants["optax scan"] = peer(work, scan.descent)
        table += rows(work.name, backend, contest(entrants, rounds, same_loss(work, 1e-3)), at_least, "float32")
    return table


def taylor(rounds: int, quick: bool) -> list[Row]:
    """The cost of forward mode, which carries a derivative for each parameter, and of backprop, as networks grow."""
    table = []
    for width in (5, 10) if quick else (5, 10, 20, 40):
        shape = f"model.hidden=[{width},{width}]"
        n_params = made(*S2.overrides, shape).problem.objective.network.n_params
        work = S2.but(shape, name=f"S2 online, {n_params} parameters", epochs=2 if quick else 10)
        entrants = {"taylor": ours(work, "backend=taylor"), "numpy": ours(work, "backend=numpy")}
        table += rows(work.name, "taylor", contest(entrants, rounds, same_loss(work, 1e-9)), {}, "order 1")
    return table


CONTESTS: dict[str, Contest] = {f.__name__: f for f in (s1, s2, s3, host, digits, conv1d, taylor)}


def measured(names: list[str], rounds: int, quick: bool) -> Iterator[Row]:
    """The rows of these contests, measured in this process with the threads that it has."""
    for name in names:
        yield from CONTESTS[name](rounds, quick)


def elsewhere(names: list[str], rounds: int, threads: str) -> list[Row]:
    """The rows of these contests, measured in another process whose libraries use one thread or all."""
    with one_thread_each() if threads == "one" else nullcontext(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks.steps", "--into", str(path), "--rounds", str(rounds)]
        command += ["--threads", threads, "--only", *names]
        if subprocess.run(command, cwd=ROOT, env=os.environ).returncode:
            sys.exit(1)
        return [Row(**row) for row in json.loads(path.read_text())]


def main() -> None:
    arguments = parser(__doc__, "a few steps in seconds", 7)
    arguments.add_argument("--only", nargs="+", choices=CONTESTS, default=list(CONTESTS))
    arguments.add_argument("--threads", nargs="+", choices=("one", "all"), default=["one", "all"])
    arguments.add_argument("--into", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    try:
        if options.into:
            if options.threads == ["one"]:
                Clock.of_processor()
            table = [asdict(row) for row in measured(options.only, options.rounds, False)]
            Path(options.into).write_text(json.dumps(table, default=float))
            return
        report = Report("steps", "Time of a step")
        if options.quick:
            report.ratios("a few steps", list(measured(options.only, 1, True)))
        else:
            for threads in options.threads:
                report.ratios(f"threads: {threads}", elsewhere(options.only, options.rounds, threads), ABOUT)
        complete = not options.quick and len(options.only) == len(CONTESTS)
        report.write(RESULTS if complete else None)
    except Disagreement as error:
        refuse(error)


if __name__ == "__main__":
    main()
