"""Draws sample orders and search directions on the host, in windows, while a stack of runs trains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from descent_lab.data.batching import orders
from descent_lab.loops.base import Rows
from descent_lab.training.run import Run

DRAWN = 2**21  # numbers that are drawn ahead for a stack at most: this bounds the memory for any number of steps


class Draws:
    """Rows that the host draws for each run, handed out in windows of one length so that the memory stays bounded."""

    def __init__(self, draw: Callable[[int], np.ndarray], n_rows: int, row_numbers: int) -> None:
        """draw(k) gives the next k rows of all runs. n_rows: all that will be needed. row_numbers: numbers in a row."""
        windows = max(1, ceil(n_rows * row_numbers / DRAWN))
        self.draw, self.length = draw, max(1, ceil(n_rows / windows))
        self.rows = Rows(0, draw(self.length))

    def at(self, i: int) -> Rows:
        """The window that holds row i; i may not decrease from call to call."""
        while i >= self.stop:
            self.rows = Rows(self.stop, self.draw(self.length))
        return self.rows

    @property
    def stop(self) -> int:
        """The first row after the present window."""
        return self.rows.first + self.length


@dataclass
class Feed:
    """Sample orders by epoch, and search directions by step; None where the runs need none."""

    order: Draws | None
    directions: Draws | None
    per_epoch: int  # steps

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Feed":
        """The feed of runs that share a program, each drawn from the run's own streams."""
        program, n_runs, n_params = runs[0].program, len(runs), runs[0].problem.objective.network.n_params
        batches, streams = program.batches, [run.problem.streams for run in runs]

        def draw_orders(k: int) -> np.ndarray:
            return np.stack([orders(of_run.order, batches.n, k) for of_run in streams])

        def draw_directions(k: int) -> np.ndarray:
            drawn = [of_run.search.standard_normal((k, n_params)).astype(program.dtype) for of_run in streams]
            return np.stack(drawn)

        shuffled = batches.shuffle and program.n_steps > 0
        return cls(
            Draws(draw_orders, program.epochs, n_runs * batches.n) if shuffled else None,
            Draws(draw_directions, program.n_steps, n_runs * n_params) if runs[0].backend.draws_directions else None,
            batches.per_epoch,
        )

    def at(self, t: int) -> tuple[Rows | None, Rows | None]:
        """The windows of orders and of directions for step t."""
        order = self.order.at(t // self.per_epoch) if self.order else None
        return order, self.directions.at(t) if self.directions else None

    def end(self) -> float:
        """The first step that the present windows do not cover."""
        ends = [self.order.stop * self.per_epoch] if self.order else []
        return min(ends + ([self.directions.stop] if self.directions else []), default=np.inf)
