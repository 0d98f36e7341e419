"""The plain loop over steps in NumPy: `print`, `breakpoint()` and `if` on values work in every line of a step.

It takes 1.3 to 3 times as long as the recorded loop, most where steps are small, and ends at the same numbers.
"""

import numpy as np

from descent_lab.loops.base import Carry, Rows
from descent_lab.loops.host import HostLoop, noted, pick


class EagerLoop(HostLoop):
    """Makes one step after the other, each by calling the update as it is written."""

    def compile(self) -> None:
        """Do nothing: there is nothing to do before the first step."""

    def advance(self, carry: Carry, start: int, stop: int, order: Rows | None, directions: Rows | None) -> Carry:
        """Make steps start, ..., stop - 1."""
        with np.errstate(all="ignore"):  # a diverging run overflows; it is noticed by its loss
            for t in range(start, stop):
                epoch, first, last = self.program.batches.place(t)
                rows = None if order is None else order.values[:, epoch - order.first, first:last]
                x = self._batch(self.inputs, first, last, rows)
                y = self._batch(self.workload.y_train, first, last, rows)
                direction = None if directions is None else directions.values[:, t - directions.first]
                carry, loss = self.update.step(carry, x, y, self.rates.at(t, carry.watched), direction)
                if carry.watched is not None:
                    carry = carry._replace(watched=self.rates.after(t, carry.watched, loss))
                if not (loss <= carry.limit).all():
                    carry = noted(carry, loss, t)
        return carry

    def _batch(self, samples: np.ndarray, first: int, last: int, rows: np.ndarray | None) -> np.ndarray:
        """Samples first, ..., last - 1 of each run, (n_runs, size, width), in data order or in the order of `rows`."""
        if self.program.batches.per_epoch == 1:
            return samples
        n_runs, _, width = samples.shape
        batch = np.empty((n_runs, last - first, width), samples.dtype)
        pick(samples, slice(first, last), rows, batch)
        return batch
