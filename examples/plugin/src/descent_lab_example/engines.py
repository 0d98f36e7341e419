"""An engine: conf/engine/logged.yaml makes `engine=logged`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from descent_lab.sweeps.engines.base import Engine, attempt


@dataclass(frozen=True, kw_only=True)
class Logged(Engine):
    """Trains in this process, one stack after the other, and notes in a file how many seconds each took."""

    path: str = "stacks.log"
    n_workers = 1

    def run(self, function: Callable[[Any], Any], works: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        for work in works:
            begin = perf_counter()
            result = attempt(function, work)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{perf_counter() - begin:.3f} s\n")
            yield work, result
