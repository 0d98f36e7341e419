"""Standardisation: columns are shifted and scaled to mean 0 and standard deviation 1."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """z = (x - mean) / scale, column by column; mean and scale have shape (n_columns,)."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """The scaling that standardises x, shape (n, n_columns); a constant column is only shifted (scale 1)."""
        deviation = x.std(axis=0)
        constant = (x.min(axis=0) == x.max(axis=0)) | (deviation == 0)
        return cls(x.mean(axis=0), np.where(constant, 1.0, deviation))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Raw values of shape (n, n_columns), standardised."""
        z: np.ndarray = (x - self.mean) / self.scale
        return z

    def invert(self, z: np.ndarray) -> np.ndarray:
        """Standardised values of shape (n, n_columns) as raw values."""
        x: np.ndarray = z * self.scale + self.mean
        return x
