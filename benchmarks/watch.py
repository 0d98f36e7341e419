"""Runs src.run in this process and notes where its seconds go: python -m benchmarks.watch <into.json> <arguments>"""

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
    """f, its seconds added to that part."""

    @wraps(f)
    def call(*arguments: Any, **options: Any) -> Any:
        begin = perf_counter()
        try:
            return f(*arguments, **options)
        finally:
            SPENT[part] += perf_counter() - begin

    return call


def ledgered(train: Callable[..., Any]) -> Callable[..., Any]:
    """train, the parts of its ledger noted."""

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
    into, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    begin = perf_counter()
    import jax  # noqa: F401
    import mlflow  # noqa: F401

    from descent_lab.cli import session
    from descent_lab.sweeps import plan as sweep
    from descent_lab.sweeps import worker
    from descent_lab.tracking import server as tracking
    from descent_lab.tracking import uploader as delivery

    SPENT["imports"] = perf_counter() - begin
    session._entries = timed("compose and validate", session._entries)
    sweep._by_program = timed("build problems and group", sweep._by_program)
    sweep._finished = timed("open the store and look for finished runs", sweep._finished)
    worker.train = ledgered(worker.train)
    delivery.Uploader.close = timed("tracking after training", delivery.Uploader.close)  # type: ignore[method-assign]
    delivery.Uploader.take = timed("outbox", delivery.Uploader.take)  # type: ignore[method-assign]
    tracking.Store.deliver = timed("tracking by this process, beside the rest", tracking.Store.deliver)  # type: ignore[method-assign]
    try:
        runpy.run_module("src.run", run_name="__main__", alter_sys=True)
    finally:
        Path(into).write_text(json.dumps(SPENT))


if __name__ == "__main__":
    main()
