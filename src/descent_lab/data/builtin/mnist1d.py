"""MNIST-1D: sequences that are ten templates, one a digit, each shifted, scaled, sheared and covered with noise.

Greydanus & Kobak, Scaling down deep learning with MNIST-1D, ICML 2024 (arXiv:2011.14439), whose constants these are.
The sequences are those of the authors' package `mnist1d`, up to rounding, because the same random numbers are drawn.
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np
from annotated_types import Interval

from descent_lab.data.base import Data, Dataset, Fraction, Random, Suggested
from descent_lab.data.splits import held_out
from descent_lab.data.targets import as_targets
from descent_lab.errors import DataError

TEMPLATES = (  # the heights of a pen that draws the digit from top to bottom
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
HEIGHT = 6.0  # templates are divided by it once they have the standard deviation 1
FEWEST, MOST = 36, 60  # zeros behind a template
STRETCHED = len(TEMPLATES[0]) + MOST  # places of a sequence while it is made
SCALE = 0.4  # a sequence is multiplied by 1 - SCALE / 2 to 1 + SCALE / 2
FARTHEST = 48  # a sequence is shifted by less
CORRELATED, INDEPENDENT = 0.25, 0.02  # standard deviations of the two noises
SMOOTHED = 2  # places: the standard deviation of the Gaussian that smooths the first noise
SHEAR = 0.75
LENGTH = 40
NOT_ZERO = 1e-8  # added to a template, so that its own zeros are told from those behind it


@dataclass(frozen=True, kw_only=True)
class Mnist1d(Dataset):
    """Sequences of shape (1, 40) and the digits 0 to 9, as many of each; all numbers have mean 0 and deviation 1.

    n_samples: of the training and the test set together. test_fraction: the share that is the test set. number: the
    seed of the authors' package, 42 for the published set. The samples are the same for every seed of a run; only
    validation rows, a share of the training rows, are drawn.
    """

    kind = "mnist1d"
    suggested = Suggested(hidden=(100, 100), activation="relu")

    n_samples: Annotated[int, Interval(ge=20)] = 5000
    test_fraction: Fraction = 0.2
    number: Annotated[int, Interval(ge=0, lt=2**32)] = 42

    def load(self, data: Random, split: Random) -> Data:
        """The samples; `data` is not used. Raises DataError where a part lacks rows."""
        x, labels = samples(self.n_samples, self.number)
        n_train = int(len(x) * (1 - self.test_fraction) + 1e-9)
        absent = set(range(len(TEMPLATES))) - set(labels[:n_train].tolist())
        if absent or n_train == len(x):
            raise DataError(
                f"mnist1d, n_samples {self.n_samples}, test_fraction {self.test_fraction:g}: leaves {n_train} for "
                f"training, {len(x) - n_train} for the test; each digit must be trained on, and 1 sample be tested"
            )
        y = as_targets(labels, "multiclass", len(TEMPLATES))
        features, classes = tuple(f"x{i}" for i in range(LENGTH)), tuple(map(str, range(len(TEMPLATES))))
        parts = x[:n_train], y[:n_train], x[n_train:], y[n_train:]
        whole = Data(*parts, "multiclass", features, classes, shape=(1, LENGTH))
        return held_out(whole, self.validation_fraction, split)


@cache
def samples(n: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """x (n, 40) and labels (n,) of the set of that number, in the order of the authors' package."""
    random = np.random.RandomState(number)
    templates = np.array(TEMPLATES)
    templates = (templates - templates.mean(1, keepdims=True)) / templates.std(1, keepdims=True)
    templates = (templates - templates[:, :1]) / HEIGHT
    each = n // len(templates)
    x = np.array([_drawn(template, random) for template in templates for _ in range(each)])
    order = random.permutation(len(x))
    x = (x - x.mean()) / x.std()
    x, labels = x[order], np.repeat(np.arange(len(templates)), each)[order]
    x.flags.writeable = labels.flags.writeable = False
    return x, labels


def _drawn(template: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A sequence (40,) from a template."""
    from scipy.ndimage import gaussian_filter

    n_zeros = FEWEST + int(random.rand() * (MOST - FEWEST + 1))
    x = _resampled(np.append(template + NOT_ZERO, np.zeros(n_zeros)), STRETCHED)
    x = x * (1 + SCALE * (random.rand() - 0.5))
    x = np.roll(x, random.choice(FARTHEST))
    smooth = gaussian_filter(CORRELATED * random.randn(STRETCHED), SMOOTHED)
    x = np.where(x != 0, x, smooth) + INDEPENDENT * random.randn(STRETCHED)
    x = x - SHEAR * (random.rand() - 0.5) * np.linspace(-0.5, 0.5, STRETCHED)
    return _resampled(x, LENGTH)


def _resampled(x: np.ndarray, n: int) -> np.ndarray:
    """x at n evenly spaced places from its first to its last, by linear interpolation."""
    return np.asarray(np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(x)), x))
