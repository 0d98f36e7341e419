"""In this process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from descent_lab.sweeps.engines.base import Engine, Function, Work, attempt


@dataclass(frozen=True, kw_only=True)
class Serial(Engine):
    """Trains one stack after the other, in this process."""

    kind = "serial"

    n_workers = 1

    def run(self, function: Function, works: Sequence[Work]) -> Iterator[tuple[Work, Any]]:
        for work in works:
            yield work, attempt(function, work)
