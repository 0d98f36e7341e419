"""The task of a random-search tutorial in NumPy: tell on which of twelve polynomials a point lies."""

from dataclasses import dataclass

import numpy as np

from descent_lab.data.base import Data, Dataset, Positive, Random, Suggested
from descent_lab.data.splits import held_out
from descent_lab.data.targets import as_targets


@dataclass(frozen=True)
class Polynomial:
    """p(x) = c_0 x^m + ... + c_m, given by its coefficients c, highest power first."""

    coefficients: tuple[float, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """p(x) for x of any shape, computed by Horner's rule."""
        p = np.zeros_like(x)
        for c in self.coefficients:
            p = p * x + c
        return p

    def __str__(self) -> str:
        """The polynomial in the usual notation: `-x^2 + 1`, `3x + 1`; `0` where every coefficient is 0."""
        powers = range(len(self.coefficients) - 1, -1, -1)
        terms = [(c, power) for c, power in zip(self.coefficients, powers, strict=True) if c != 0]
        if not terms:
            return "0"
        (c, power), *rest = terms
        first = ("-" if c < 0 else "") + _term(abs(c), power)
        return first + "".join(f" {'-' if c < 0 else '+'} {_term(abs(c), power)}" for c, power in rest)


def _term(c: float, power: int) -> str:
    """The term c x^power for c > 0; a factor 1 and the powers 0 and 1 are not written."""
    if power == 0:
        return f"{c:g}"
    factor = "" if c == 1 else f"{c:g}"
    return f"{factor}x" if power == 1 else f"{factor}x^{power}"


POLYNOMIALS = (
    Polynomial((3, 1)),
    Polynomial((-2, -3)),
    Polynomial((4, -1, -2)),
    Polynomial((-1, 2, 0)),
    Polynomial((3, 0, 2)),
    Polynomial((1, -1, 3, 2)),
    Polynomial((-3, 1, 0, 0)),
    Polynomial((2, 0, 1, -2)),
    Polynomial((5, -3, 1, -2, 2)),
    Polynomial((-2, -3, 0, 4, 1)),
    Polynomial((1, 0, -4, 2, 3)),
    Polynomial((1, 0, 0, 0, -2)),
)


@dataclass(frozen=True, kw_only=True)
class Polynomials(Dataset):
    """Points (x, p(x)) on the twelve polynomials; the label is the index of p.

    Each class has n_samples training points with x uniform on [-1, 1], and n_test test points whose x are evenly
    spaced on [-1, 1]. Validation points are drawn from the training points. The test points are not drawn, so that in
    a legacy stream, which data and init share, the initial theta is drawn at the same place of the sequence as in the
    published script.
    """

    kind = "polynomials"
    suggested = Suggested(hidden=(12,), activation="relu")

    n_samples: Positive = 100
    n_test: Positive = 50

    def load(self, data: Random, split: Random) -> Data:
        """The samples, of two features and twelve classes, sorted by class."""
        x_train, y_train = _points([data.uniform(-1, 1, self.n_samples) for _ in POLYNOMIALS])
        x_test, y_test = _points([np.linspace(-1, 1, self.n_test) for _ in POLYNOMIALS])
        classes = tuple(str(p) for p in POLYNOMIALS)
        points = Data(x_train, y_train, x_test, y_test, "multiclass", ("x", "y"), classes)
        return held_out(points, self.validation_fraction, split)


def _points(xs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 2) and one-hot labels (n, 12). xs: the x of the points of each class."""
    points = [np.stack([x, p(x)], axis=1) for x, p in zip(xs, POLYNOMIALS, strict=True)]
    labels = np.repeat(np.arange(len(POLYNOMIALS)), len(xs[0]))
    return np.concatenate(points), as_targets(labels, "multiclass", len(POLYNOMIALS))
