"""Child processes that end when their parent ends, however it ends, and that leave Ctrl-C to it."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from types import TracebackType


class ChildProcesses:
    """Pools of one process each, so that a process which is killed takes no other's work with it.

    If the `with` block ends by an exception, the processes end at once; else they finish the work they have.
    """

    def __init__(self) -> None:
        self.context = get_context("spawn")
        self.child_end, self.parent_end = self.context.Pipe(duplex=False)
        self.pools: list[ProcessPoolExecutor] = []

    def pool(self) -> ProcessPoolExecutor:
        """A pool of one more process."""
        pool = ProcessPoolExecutor(1, self.context, _begin, (self.child_end,))
        self.pools.append(pool)
        pool.submit(int)  # starts the process
        # The process writes results to its own end of a pipe. While the parent keeps that end open too, half a result
        # of a killed process never comes to an end.
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
        return pool

    def __enter__(self) -> "ChildProcesses":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind:
            self.parent_end.close()
        for pool in self.pools:
            pool.shutdown()


def _begin(child_end: Connection) -> None:
    """In the child: leave Ctrl-C to the parent, and end when the parent's end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, args=(child_end,), daemon=True).start()


def _end_with_parent(child_end: Connection) -> None:
    with suppress(EOFError, OSError):
        child_end.recv()
    os._exit(1)
