"""The product target of the differential-algebra notebook of pyaudi (ESA)."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import Data, Dataset, Finite, Positive, Random, Suggested
from descent_lab.data.splits import held_out

N_FEATURES = 3


@dataclass(frozen=True, kw_only=True)
class Product(Dataset):
    """y = x1 x2 + x3 / 2 + 2, with x uniform on [-1, 1]^3.

    sample: one point (x1, x2, x3) that replaces the n_samples training points; None: they are drawn. The n_test test
    points are drawn after the training points, and are the same with and without `sample`. Validation points are drawn
    from the training points.
    """

    kind = "product"
    suggested = Suggested(hidden=(5, 5), activation="tanh")

    n_samples: Positive = 10
    n_test: Positive = 100
    sample: tuple[Finite, Finite, Finite] | None = None

    def load(self, data: Random, split: Random) -> Data:
        """The samples, of three features and one output."""
        x_train = data.uniform(-1, 1, (self.n_samples, N_FEATURES))
        x_test = data.uniform(-1, 1, (self.n_test, N_FEATURES))
        if self.sample is not None:
            x_train = np.array([self.sample], dtype=np.float64)
        points = Data(x_train, target(x_train), x_test, target(x_test), "regression", ("x1", "x2", "x3"))
        return held_out(points, self.validation_fraction, split)


def target(x: np.ndarray) -> np.ndarray:
    """The true y, of shape (n, 1), for x of shape (n, 3)."""
    x1, x2, x3 = x.T
    # y = x1 x2 + x3 / 2 + 2
    y: np.ndarray = x1 * x2 + x3 / 2 + 2
    return y[:, None]
