"""What the data say of one difference between two entrants: an estimate, a p value, and intervals at any level.

Each kind of evidence is one test and its inversion, so that the interval at a level leaves out zero exactly where p is
at most that level. Differences are of levels (`comparable`): log ratios, or differences of scores.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

NEARLY = 1 + 1e-9  # p = 0.05 and the level 0.05 may differ in their last bits
POWER = 0.8  # probability of finding a difference as large as the margin, for the units needed
MOST_UNITS = 1_000_000


class Evidence(ABC):
    """An estimate with its test of zero, and the inversion of that test."""

    @property
    @abstractmethod
    def n(self) -> int:
        """The number of units on all problems together: seeds, or blocks of replicated tuning."""

    @property
    @abstractmethod
    def n_each(self) -> float:
        """The number of units on each problem, on average."""

    @property
    @abstractmethod
    def estimate(self) -> float:
        """The difference a - b."""

    @property
    @abstractmethod
    def p(self) -> float:
        """The two-sided p of a difference of zero."""

    @property
    @abstractmethod
    def smallest_p(self) -> float:
        """The smallest p that this many units could give, whatever their values."""

    @abstractmethod
    def interval(self, level: float) -> tuple[float, float]:
        """The differences whose own p would be above `level`; from -inf to inf where too few units bound none."""

    @abstractmethod
    def units_to_reach(self, level: float) -> int:
        """The fewest units on each problem with which p could be as low as `level`."""

    @abstractmethod
    def units_needed(self, level: float, margin: float) -> float:
        """How many units on each problem find a difference of `margin` with the probability POWER; NaN if unknown."""

    def further_units(self, level: float, margin: float) -> float:
        """How many of `units_needed` are not there yet."""
        needed = np.fmax(self.units_needed(level, margin), self.units_to_reach(level))  # at least these if unknown
        return max(0.0, float(np.ceil(needed - self.n_each)))


def least_units(required: Callable[[float], float]) -> float:
    """The smallest whole n >= 2 that is at least `required(n)`; NaN where MOST_UNITS are too few.

    required: how many units are required if quantiles are taken at n units; n - required(n) must not decrease in n.
    """
    low, high = 2, 2
    while not high >= required(high):  # also where `required` is NaN
        low, high = high + 1, 2 * high
        if high > MOST_UNITS:
            return float("nan")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle >= required(middle) else (middle + 1, high)
    return float(low)
