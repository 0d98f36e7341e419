"""The part that both loops over NumPy arrays share: how they start, and how they measure."""

from abc import ABC, abstractmethod
from platform import machine

import numpy as np

from descent_lab.loops.base import Carry, MakeUpdate, Rows, Workload, first_carry, measured
from descent_lab.loops.rates import Rates


class HostLoop(ABC):
    """Trains all runs of a workload at once, by broadcasting along the axis of runs."""

    device = f"cpu {machine()}"

    def __init__(self, workload: Workload, make_update: MakeUpdate, inputs: np.ndarray | None = None) -> None:
        """inputs: what the update takes in place of the training inputs, (n_runs, n, ...). If None, it takes these."""
        self.workload, self.program = workload, workload.program
        self.update = make_update(workload.with_columns(workload.optimizer))
        self.inputs = workload.x_train if inputs is None else inputs
        self.rates = Rates(workload)

    @abstractmethod
    def compile(self) -> None:
        """Do now whatever has to be done once, before the first step."""

    @abstractmethod
    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, directions: Rows | None) -> Carry:
        """Make steps start, ..., stop - 1."""

    def start(self) -> Carry:
        """The state before the first step."""
        return first_carry(self.workload, self.update)

    def measure(self, carry: Carry) -> dict[str, np.ndarray]:
        """Metrics of the whole training, validation and test set by name, each (n_runs,)."""
        with np.errstate(all="ignore"):  # a diverging run overflows
            return measured(self.program.objective, self.update, carry, self.workload.parts)


def pick(samples: np.ndarray, place: slice, rows: np.ndarray | None, into: np.ndarray) -> None:
    """Copy the samples of a batch into an array: those at a place in data order, or those of rows (n_runs, size)."""
    if rows is None:
        into[...] = samples[:, place]
    else:
        for r, chosen in enumerate(rows):
            samples[r].take(chosen, axis=0, out=into[r], mode="clip")  # this mode needs no buffer


def noted(carry: Carry, loss: np.ndarray, t: int) -> Carry:
    """The carry after step t, which marks the runs whose loss (n_runs,) is beyond its limit for the first time."""
    new = ~(loss <= carry.limit) & (carry.diverged_at < 0)
    return carry._replace(diverged_at=np.where(new, t, carry.diverged_at))
