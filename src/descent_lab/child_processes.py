"""Processes that end when the one that started them ends, however it ends, and that leave Ctrl-C to it."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from types import TracebackType


class Leash:
    """Makes pools of one process each, so that a process that is lost takes no other's work with it.

    Left by an exception, it ends the processes at once; else they may finish what they were given.
    """

    def __init__(self) -> None:
        self.context = get_context("spawn")
        self.theirs, self.ours = self.context.Pipe(duplex=False)
        self.pools: list[ProcessPoolExecutor] = []

    def pool(self) -> ProcessPoolExecutor:
        """A pool of one more process."""
        pool = ProcessPoolExecutor(1, self.context, _on_leash, (self.theirs,))
        self.pools.append(pool)
        pool.submit(int)  # starts the process, which has its own end of the pipe for results. Ours is of no use, and
        # while it is open, half a result of a killed process never comes to an end
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
        return pool

    def __enter__(self) -> "Leash":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind:
            self.ours.close()
        for pool in self.pools:
            pool.shutdown()


def _on_leash(leash: Connection) -> None:
    """In the process: leave Ctrl-C to the one that started it, and end when that lets go of the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(leash,), daemon=True).start()


def _end_with(leash: Connection) -> None:
    with suppress(EOFError, OSError):
        leash.recv()
    os._exit(1)
