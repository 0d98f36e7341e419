"""The Gaussian curve of a set of course notes (J. Butler, 2023)."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import AtLeastTwo, Data, Dataset, Fraction, Random, Suggested
from descent_lab.data.splits import split_rows


@dataclass(frozen=True, kw_only=True)
class Gaussian(Dataset):
    """y = exp(-x^2) at n_samples points evenly spaced on [-10, 10], split at random."""

    kind = "gaussian"
    suggested = Suggested(hidden=(25, 25), activation="sigmoid", bias=False)

    n_samples: AtLeastTwo = 250
    test_fraction: Fraction = 0.2

    def load(self, data: Random, split: Random) -> Data:
        """The samples, of one feature and one output; `data` is not used."""
        x = np.linspace(-10, 10, self.n_samples)[:, None]
        # y = exp(-x^2)
        y = np.exp(-(x**2))
        train, validation, test = split_rows(self.n_samples, self.test_fraction, self.validation_fraction, split)
        held = {"x_validation": x[validation], "y_validation": y[validation]}
        return Data(x[train], y[train], x[test], y[test], "regression", ("x",), **held)
