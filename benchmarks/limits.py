"""How quick a step could be on this machine, and how quick it is: python -m benchmarks.limits [--quick]

The flops, transcendental calls, bytes and random draws of a step are counted by hand. The rate of the machine for each
is measured by a small program of the same compiler (for draws: by NumPy) on one thread. The limit is the time that the
parts of a step would take at these rates, one after the other, as one core computes them.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measuring import RESULTS, Clock, Report, parser
from benchmarks.problems import DIGITS, S1, S3, Work, activation, ours
from descent_lab.loops.compiled import WIDE
from descent_lab.sweeps.engines.base import one_thread_each

STATES = {"SGD": 0, "Adam": 2}  # number of arrays like theta that an optimizer reads and writes


@dataclass(frozen=True)
class Count:
    """The work of a step of one run."""

    flops: float  # of matrix products
    calls: float  # of tanh, exp, log
    roots: float  # quotients with a square root in the divisor, as in Adam
    bytes: float  # read and written by fused elementwise kernels: each intermediate result once
    draws: float  # normal numbers that the host draws


def count(work: Work) -> Count:
    """The work of a step, counted from the shape of the network and the number n of samples of a batch."""
    run = work.run()
    network, n = run.problem.objective.network, run.problem.batches.size
    itemsize, climbs = np.dtype(run.dtype).itemsize, run.backend.draws_directions
    flops = 2 * n * (network.forward_products if climbs else network.gradient_products)
    hidden, outputs = n * (network.units - network.n_features - network.n_outputs), n * network.n_outputs
    calls = hidden if activation(run) == "sigmoid" else 0
    calls += outputs + n if run.problem.objective.task == "multiclass" else 0  # softmax: exp of each, log of each sum
    states = 0 if climbs else STATES[type(run.optimizer).__name__]
    # theta and states read and written, g read and written; inputs read; z written and read, a written and read
    # (and dL/dz, dL/da likewise)
    numbers = (
        (2 + 2 * states + 2) * network.n_params + n * network.n_features + (2 if climbs else 4) * 2 * (hidden + outputs)
    )
    roots = network.n_params if states == 2 else 0
    draws = network.n_params if climbs else 0
    return Count(flops, calls, roots, numbers * itemsize, draws)


def rate(step: Callable[[Any], Any], x: Any, amount: float, loops: int) -> float:
    """The amount per second that a step handles when it is repeated in a compiled loop: the best of five."""
    import jax

    repeat = jax.jit(lambda x: jax.lax.fori_loop(0, loops, lambda _, x: step(x), x)).lower(x).compile(WIDE)
    jax.block_until_ready(repeat(x))
    seconds = []
    for _ in range(5):
        begin = Clock.now()
        jax.block_until_ready(repeat(x))
        seconds.append(Clock.now() - begin)
    return amount * loops / min(seconds)


def peaks(dtype: str, loops: int) -> dict[str, float]:
    """The rates of the machine: flops of a matrix product in the cache, tanh, exp, roots, bytes and draws per second.

    Bytes are those through the second-level cache.
    """
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    Q = jnp.asarray(np.linalg.qr(rng.standard_normal((256, 256)))[0], dtype)
    x, big = jnp.asarray(rng.uniform(size=10000), dtype), jnp.asarray(rng.uniform(size=2**16), dtype)
    return {
        "flops": rate(lambda X: Q @ X, Q, 2 * 256**3, loops),
        "tanh": rate(lambda x: jnp.tanh(x) + 0.5, x, 10000, 10 * loops),
        "exp": rate(lambda x: jnp.exp(-x), x, 10000, 10 * loops),
        "roots": rate(lambda x: x / (jnp.sqrt(x / 0.9) + 0.5), x, 10000, 10 * loops),
        "bytes": rate(lambda x: 0.5 * x + 0.25, big, 2 * big.nbytes, 10 * loops),
        "draws": 1 / min(_drawing(rng, dtype) for _ in range(5)),
    }


def _drawing(rng: np.random.Generator, dtype: str) -> float:
    """The seconds to draw a normal number and to convert it to that precision."""
    begin = Clock.now()
    rng.standard_normal(100_000).astype(dtype)
    return (Clock.now() - begin) / 100_000


def small_products(work: Work, loops: int) -> float:
    """Flops per second of matrix products of the shape of the largest layer."""
    import jax.numpy as jnp

    run = work.run()
    weights = (block["W"].shape for block in run.problem.objective.network.blocks(run.problem.theta))
    a, b = max(weights, key=lambda shape: shape[0] * shape[1])
    n, side = run.problem.batches.size, min(a, b)
    W = jnp.asarray(np.linalg.qr(np.random.default_rng(0).standard_normal((a, a)))[0], run.dtype)
    H = jnp.ones((a, n), run.dtype)
    return rate(lambda H: W.T @ H, H, 2 * a * a * n, 20 * loops) if side else 0.0


def shares(work: Work, rounds: int, loops: int) -> list[str]:
    """The line of a workload in the table."""
    needed, dtype = count(work), work.run().dtype
    peak = peaks(dtype, loops)
    lap = ours(work)
    lap()
    step = median(lap().seconds for _ in range(rounds))
    curve = peak["tanh"] if activation(work.run()) == "sigmoid" else peak["exp"]
    smooth = needed.calls / curve + needed.roots / peak["roots"]
    parts = (needed.flops / peak["flops"], smooth, needed.bytes / peak["bytes"], needed.draws / peak["draws"])
    shaped = needed.flops / small_products(work, loops)
    at_shape = shaped + sum(parts[1:])
    counts = [f"{needed.flops / 1e3:.0f}k", f"{needed.calls:.0f} + {needed.roots:.0f}", f"{needed.bytes / 1e3:.0f}k"]
    times = [f"{1e6 * seconds:.1f}" for seconds in (*parts, sum(parts), at_shape, step)]
    return [f"{sum(parts) / step:.0%}", f"{at_shape / step:.0%}", work.name, dtype, *counts, *times]


def main() -> None:
    options = parser(__doc__, "one short workload", 7).parse_args()
    report = Report("limits", "Share of the machine's limit")
    works = (S1.but("backend=jax"), DIGITS.but("backend=jax"), S3.but("dtype=float32", epochs=1000))
    Clock.of_processor()
    if options.quick:
        lines = [shares(works[0].but(epochs=20), 1, 2)]
    else:
        lines = [shares(work, options.rounds, 200) for work in works]
    columns = ["share of the limit", "with products at their shape", "work", "dtype", "flops", "calls + roots", "bytes"]
    columns += ["us of flops", "us of calls", "us of bytes", "us of draws", "limit us"]
    columns += ["limit us, products at their shape", "step us"]
    report.table("one thread", columns, lines, (__doc__ or "").split("\n\n")[1].replace("\n", " "))
    report.keep("one thread", [dict(zip(columns, line, strict=True)) for line in lines])
    report.write(None if options.quick else RESULTS)


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        with one_thread_each():  # at the start of the process, as other threads would be counted while they wait
            os.execv(sys.executable, [sys.executable, "-m", "benchmarks.limits", *sys.argv[1:]])
    main()
