"""scikit-learn's MLP with the same optimizer and batches, and without early stopping."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.problems import PlainRun

ACTIVATIONS = {"sigmoid": "logistic", "relu": "relu", "tanh": "tanh"}


def descent(plain: PlainRun) -> Callable[[], Any]:
    """Gradient descent. scikit-learn halves its squared error, so that the learning rate is doubled."""
    adam = type(plain.run.optimizer).__name__ == "Adam"
    x, y = plain.x, plain.y.argmax(1) if plain.multiclass else plain.y[:, 0]
    model = (MLPClassifier if plain.multiclass else MLPRegressor)(
        hidden_layer_sizes=[W.shape[1] for W, _ in plain.weights[:-1]],
        activation=ACTIVATIONS[plain.activation],
        solver="adam" if adam else "sgd",
        learning_rate_init=plain.lr if plain.multiclass else 2 * plain.lr,
        momentum=0.0,
        nesterovs_momentum=False,
        alpha=0.0,
        batch_size=plain.size,
        shuffle=False,
        max_iter=1,
        tol=0.0,
        n_iter_no_change=plain.epochs + 1,
        warm_start=True,
    )

    def fit() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)

    fit()  # this makes the arrays of weights, which then get the initial values of the run
    for k, (W, b) in enumerate(plain.weights):
        model.coefs_[k] = W.copy()
        model.intercepts_[k] = np.asarray(b).copy()
    model.set_params(max_iter=plain.epochs)

    def train() -> Any:
        fit()
        return list(zip(model.coefs_, model.intercepts_, strict=True))

    return train
