"""The time ledger: where the wall time of training goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

PURPOSES = ("setup", "compile", "step", "eval", "log")


class Ledger:
    """Seconds by purpose: every moment since the ledger began is booked to one purpose, `eval` where none is named."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PURPOSES, 0.0)
        self.purpose, self.since = "eval", perf_counter()

    @contextmanager
    def __call__(self, purpose: str) -> Iterator[None]:
        """Book the time within to this purpose."""
        outer = self.purpose
        self.book(purpose)
        try:
            yield
        finally:
            self.book(outer)

    def book(self, following: str) -> None:
        """Book the time since the last booking, and go on with another purpose."""
        now = perf_counter()
        self.seconds[self.purpose] += now - self.since
        self.purpose, self.since = following, now
