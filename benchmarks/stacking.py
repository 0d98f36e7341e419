"""The quickest way to train the runs of a stack on a CPU: python -m benchmarks.stacking [--quick]

The runs are trained one after the other in a loop (lax.map), all together in vectors (vmap), in chunks, and in two
threads that each train half of the stack. The choice in descent_lab/loops/compiled.py follows from the result.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.measuring import RESULTS, Report, parser
from benchmarks.problems import DIGITS, S1, S2, S3, Work
from descent_lab.loops.base import Workload
from descent_lab.loops.compiled import CompiledLoop
from descent_lab.training.run import Run
from descent_lab.training.trainer import train

JAX = "backend=jax"
SMALL = S1.but(JAX, "batching=minibatch", "batching.size=8", name="S1, minibatch 8")
WORKS = (S1.but(JAX), SMALL, S2.but(JAX), DIGITS.but(JAX), S3.but("dtype=float32"))


class Caught(Exception):
    """Carries a workload out of `train`."""


def workload_of(runs: list[Run]) -> Workload:
    """The workload that `train` gives to the backend of these runs."""

    def catch(backend: Any, workload: Workload) -> None:
        raise Caught(workload)

    with patch.object(type(runs[0].backend), "prepare", catch):
        try:
            train(runs)
        except Caught as caught:
            return caught.args[0]
    raise AssertionError("the backend was not asked")


def trainer(runs: list[Run], together: int | None) -> Callable[[], np.ndarray]:
    """The compiled training of a stack. together: runs that are vectorised together; None: as the backend chooses."""
    workload = workload_of(runs)
    with patch.object(CompiledLoop, "_together", lambda self, n: together) if together else nullcontext():
        loop = runs[0].backend.prepare(workload)
        loop.compile()
    start = loop.start()
    n_steps = runs[0].program.n_steps
    return lambda: np.asarray(loop.advance(start, 0, n_steps, workload.order, workload.directions).theta)


def entrants(work: Work, n_runs: int) -> dict[str, Callable[[], np.ndarray]]:
    """Ways to train n_runs runs, each with a program of its own."""
    from descent_lab.loops import compiled as backend

    def runs(first: int, last: int) -> list[Run]:
        return [work.run(f"seed={seed}") for seed in range(first, last)]

    ways: dict[str, Callable[[], np.ndarray]] = {}
    for together in (1, 4, n_runs, None):
        backend._compiled.clear()  # the key of a compiled program does not contain `together`
        ways[f"{together} at a time" if together else "as chosen"] = trainer(runs(0, n_runs), together)
    backend._compiled.clear()
    halves = [trainer(runs(0, n_runs // 2), 1), trainer(runs(n_runs // 2, n_runs), 1)]
    pool = ThreadPoolExecutor(2)
    ways["two threads, 1 at a time"] = lambda: np.concatenate(list(pool.map(lambda half: half(), halves)))
    return ways


def measured(work: Work, n_runs: int, rounds: int) -> dict[str, float]:
    """Microseconds of a step of one run: medians, measured in turns. How far results differ is printed before."""
    ways = entrants(work, n_runs)
    ends = {name: way() for name, way in ways.items()}
    serial = ends["1 at a time"]
    for name, theta in ends.items():
        gap = float(np.max(np.abs(theta - serial)) / np.max(np.abs(serial)))
        print(f"  {work.name}: {name} ends within {gap:.1e} of the serial loop", flush=True)
    steps = n_runs * work.run().program.n_steps
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = perf_counter()
            way()
            seconds[name].append(1e6 * (perf_counter() - begin) / steps)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    options = parser(__doc__, "two runs of few steps", 5).parse_args()
    report, n_runs = Report("stacking", "How runs are stacked on a CPU"), 2 if options.quick else 16
    lines, all_times = [], {}
    for work in WORKS[:1] if options.quick else WORKS:
        short = work.but(epochs=5 if options.quick else max(1, work.epochs // 5))
        times = all_times[work.name] = measured(short, n_runs, 1 if options.quick else options.rounds)
        serial = times["1 at a time"]
        lines += [[f"{serial / us:.2f}", work.name, name, f"{us:.3g}"] for name, us in times.items()]
    columns = ["times faster than 1 at a time", "work", f"{n_runs} runs", "us a step of one run"]
    report.table("ways to train a stack", columns, lines)
    report.keep("ways to train a stack", all_times)
    report.write(None if options.quick else RESULTS)


if __name__ == "__main__":
    main()
