"""Work in a process of its own, beside this one."""

import sys
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


def may_fork() -> bool:
    """Whether a copy of this process can go on alone: not with other threads about, such as JAX's."""
    return sys.platform == "linux" and threading.active_count() == 1 and "jax" not in sys.modules


class Apart:
    """One process that makes calls in turn while this one goes on; without it, where it cannot be had, they wait."""

    def __init__(self) -> None:
        self.pipe: Connection | None = None
        self.waiting: list[tuple[Any, ...]] = []
        if may_fork():
            context = get_context("fork")
            self.pipe, theirs = context.Pipe()
            context.Process(target=_serve, args=(theirs,), daemon=True).start()

    def ask(self, f: Callable[..., Any], *arguments: Any) -> None:
        """Have f called there."""
        if self.pipe:
            self.pipe.send((f, *arguments))
        else:
            self.waiting.append((f, *arguments))

    def answer(self) -> Any:
        """What the earliest call that was asked for returned, or raised."""
        if not self.pipe:
            f, *arguments = self.waiting.pop(0)
            return f(*arguments)
        returned, raised = self.pipe.recv()
        if raised:
            raise raised
        return returned


def _serve(pipe: Connection) -> None:
    while True:
        f, *arguments = pipe.recv()
        try:
            pipe.send((f(*arguments), None))
        except Exception as error:
            pipe.send((None, error))
