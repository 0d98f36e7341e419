"""A data set: conf/dataset/moons.yaml makes `dataset=moons`."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import AtLeastTwo, Data, Dataset, Finite, Fraction, Random, Suggested
from descent_lab.data.splits import split_rows


@dataclass(frozen=True, kw_only=True)
class Moons(Dataset):
    """Two interleaved half circles, one a class, n_samples points in all, with normal noise of that deviation."""

    suggested = Suggested(hidden=(8,), activation="tanh")

    n_samples: AtLeastTwo = 200
    noise: Finite = 0.1
    test_fraction: Fraction = 0.25

    def load(self, data: Random, split: Random) -> Data:
        label = np.arange(self.n_samples) % 2
        angle = data.uniform(0, np.pi, self.n_samples)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x[label == 1] = [1.0, 0.5] - x[label == 1]
        x = x + self.noise * data.standard_normal(x.shape)
        y = label[:, None].astype(np.float64)
        train, validation, test = split_rows(self.n_samples, self.test_fraction, self.validation_fraction, split)
        held = {"x_validation": x[validation], "y_validation": y[validation]}
        return Data(x[train], y[train], x[test], y[test], "binary", ("x1", "x2"), ("upper", "lower"), **held)
