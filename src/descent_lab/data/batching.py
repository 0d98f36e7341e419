"""Batches: which samples a step uses."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from descent_lab.errors import ConfigError
from descent_lab.seeding import Stream


@dataclass(frozen=True, kw_only=True)
class Batching:
    """Batches of `size` samples (None: all samples), in data order, or shuffled again for every epoch."""

    size: Annotated[int, Ge(1)] | None = None
    shuffle: bool = False


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch over n samples; the last batch is smaller where `size` does not divide n."""

    n: int
    size: int
    shuffle: bool

    @property
    def per_epoch(self) -> int:
        """The number of batches, and so of steps, in an epoch."""
        return -(-self.n // self.size)

    @property
    def last_size(self) -> int:
        """The number of samples in the last batch of an epoch."""
        return self.n - (self.per_epoch - 1) * self.size

    def place(self, t: int) -> tuple[int, int, int]:
        """(epoch, first row, one past the last row) of the batch of step t, all counted from 0."""
        epoch, k = divmod(t, self.per_epoch)
        return epoch, k * self.size, min(self.n, (k + 1) * self.size)


def batches(batching: Batching, n: int) -> Batches:
    """The batches of n training samples. A full batch is never shuffled. Raises ConfigError for a bad size."""
    size = n if batching.size is None else batching.size
    if not 1 <= size <= n:
        raise ConfigError(f"batching.size={size}: must be between 1 and the {n} training samples")
    return Batches(n, size, batching.shuffle and size < n)


def orders(stream: Stream, n: int, epochs: int) -> np.ndarray:
    """The order of the samples in each epoch: an int32 array (epochs, n), each row a permutation of 0..n-1."""
    return np.stack([stream.permutation(n) for _ in range(epochs)]).astype(np.int32)
