"""Classification of numbers by their sign, from a set of hand-written layers (P. J. Winn)."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import Data, Dataset, Random, Suggested
from descent_lab.data.splits import held_out

X_TRAIN = (50, -1, 10, -10, -15, -20, 20, 17)
X_TEST = (-100, -510, 1, 100, -1000, -2, 29, 67)


@dataclass(frozen=True, kw_only=True)
class Sign(Dataset):
    """y = 1 where x > 0, else 0, for the eight training and eight test points as published, not standardised.

    Validation points are drawn from the training points.
    """

    kind = "sign"
    suggested = Suggested(hidden=(6,), activation="relu")

    def load(self, data: Random, split: Random) -> Data:
        """The samples, of one feature and two classes; `data` is not used."""
        x_train, x_test = (np.array(x, dtype=np.float64)[:, None] for x in (X_TRAIN, X_TEST))
        # y = [x > 0]
        y_train, y_test = ((x > 0).astype(np.float64) for x in (x_train, x_test))
        points = Data(x_train, y_train, x_test, y_test, "binary", ("x",), ("negative", "positive"))
        return held_out(points, self.validation_fraction, split)
