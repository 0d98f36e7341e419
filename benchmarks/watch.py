"""Runs src.run in this process and notes how its seconds are spent: python -m benchmarks.watch <path> <arguments>"""

import json
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import Any

SPENT: Counter[str] = Counter()


def timed(part: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which adds the seconds of each call to that part."""

    @wraps(f)
    def call(*arguments: Any, **options: Any) -> Any:
        begin = perf_counter()
        try:
            return f(*arguments, **options)
        finally:
            SPENT[part] += perf_counter() - begin

    return call


def ledgered(train: Callable[..., Any]) -> Callable[..., Any]:
    """train, which adds the seconds of its ledger to their parts."""

    @wraps(train)
    def call(runs: Any, *arguments: Any) -> Any:
        outcomes = train(runs, *arguments)
        names = {
            "setup": "set-up and tracing",
            "compile": "compile",
            "step": "compute: steps",
            "eval": "compute: metrics",
        }
        for purpose, part in names.items():
            SPENT[part] += outcomes[0].ledger[purpose] * len(runs)
        return outcomes

    return call


def main() -> None:
    path, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    begin = perf_counter()
    import jax  # noqa: F401

    from descent_lab.cli import session
    from descent_lab.sweeps import execute, plan, worker
    from descent_lab.tracking.database import DatabaseStore
    from descent_lab.tracking.uploader import Uploader

    SPENT["imports"] = perf_counter() - begin
    session._configs = timed("compose and validate", session._configs)
    plan.by_program = timed("build problems and group", plan.by_program)
    execute._finished = timed("open the store and look for finished runs", execute._finished)
    worker.train = ledgered(worker.train)
    Uploader.close = timed("tracking after training", Uploader.close)  # type: ignore[method-assign]
    Uploader.take = timed("outbox", Uploader.take)  # type: ignore[method-assign]
    written = timed("tracking by this process, beside the rest", DatabaseStore.deliver)
    DatabaseStore.deliver = written  # type: ignore[method-assign]
    try:
        runpy.run_module("src.run", run_name="__main__", alter_sys=True)
    finally:
        Path(path).write_text(json.dumps(SPENT))


if __name__ == "__main__":
    main()
