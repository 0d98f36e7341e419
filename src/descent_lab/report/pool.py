"""Figures are drawn by a pool of processes, while this one computes the tables of the next."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from types import TracebackType

from descent_lab.report.section import Drawing

PROCESSES = 4
PRELOADED = "descent_lab.report.preloaded"


class Figures:
    """Draws figures into `folder` while the block goes on that it is the context of.

    names: the figures begun in this folder so far.
    """

    def __init__(self, folder: Path = Path("figures"), processes: int | None = None) -> None:
        """processes: 1 draws in this process; None: one for each processor, at most PROCESSES."""
        self.into(folder)
        self._pool = _pool(min(PROCESSES, os.cpu_count() or 1) if processes is None else processes)

    def into(self, folder: Path) -> None:
        """Draw into this folder from now on. Finish what was begun in another before."""
        self.folder = folder
        self.names: list[str] = []
        self._begun: list[tuple[Drawing, Future[None]]] = []

    def __enter__(self) -> "Figures":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def start(self, drawings: Iterable[Drawing]) -> None:
        """Begin to draw these."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for drawing in drawings:
            self.names.append(drawing.name)
            path = self.folder / drawing.name
            if self._pool:
                self._begun.append((drawing, self._pool.submit(draw, drawing, path)))
            else:
                draw(drawing, path)

    def finish(self) -> None:
        """Wait until all are written. What a process could not draw is drawn here, which raises what is wrong."""
        for drawing, future in self._begun:
            if future.exception() is not None:
                draw(drawing, self.folder / drawing.name)


def draw(drawing: Drawing, path: Path, kinds: Sequence[str] = ("svg", "png")) -> None:
    """Draw a figure and write its files, one of each kind."""
    from descent_lab.report.drawing import save

    save(drawing.draw(*drawing.arguments), path, kinds)


def _pool(processes: int) -> ProcessPoolExecutor | None:
    """Processes that begin at once to import matplotlib, which takes a second; None: none are wanted."""
    if processes < 2:
        return None
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([PRELOADED])  # imported once, for all
    pool = ProcessPoolExecutor(processes, mp_context=context)
    pool.submit(os.getpid)
    return pool
