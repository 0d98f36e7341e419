"""Batch normalisation: by hand, in training and inference, through every gradient, and never of a single sample."""

import numpy as np
import pytest
from harness import backends_for, make_config, make_run, trained

from descent_lab.derivatives.backprop import backprop
from descent_lab.errors import ConfigError
from descent_lab.nn.layers.batch_norm import MOMENTUM
from descent_lab.nn.losses import MeanSquaredError
from descent_lab.nn.network import mlp
from descent_lab.portable.formulas import BN_EPS
from descent_lab.problems.objective import Objective

NORMALISED = ["model.batch_norm=true", "dataset=polynomials", "dataset.n_samples=4", "model.hidden=[5,4]"]


def one_layer():
    """A network 1-2-1 with identity activation, its theta: W, gamma, beta, then W, b; and three samples."""
    objective = Objective(mlp((1, 2, 1), "identity", True, True), MeanSquaredError("identity"), "regression")
    theta = np.array([1.0, -2.0, 3.0, 0.5, 0.25, -1.0, 1.0, 2.0, 0.75])
    return objective, theta, np.array([[0.0], [3.0], [6.0]]), np.array([[1.0], [0.0], [2.0]])


def by_hand(theta, x, mean=None, variance=None):
    """The prediction of `one_layer`, (n,), and the batch's mean and variance (biased), each (2,)."""
    W, gamma, beta, V, b = theta[0:2], theta[2:4], theta[4:6], theta[6:8], theta[8]
    s = x * W
    mean, variance = (s.mean(0), s.var(0)) if mean is None else (mean, variance)
    return (gamma * (s - mean) / np.sqrt(variance + BN_EPS) + beta) @ V + b, mean, variance


def test_the_training_loss_uses_the_batch():
    objective, theta, x, y = one_layer()
    prediction, mean, variance = by_hand(theta, x)
    loss, batch_stats = objective.value(theta, x, y)
    assert loss == pytest.approx(np.mean((prediction - y[:, 0]) ** 2), rel=1e-14)
    np.testing.assert_allclose(batch_stats, [*mean, *(variance * 3 / 2)], rtol=1e-14)  # unbiased, as PyTorch keeps it
    np.testing.assert_allclose(mean, [3.0, -6.0])
    np.testing.assert_allclose(variance, [6.0, 24.0])


def test_predictions_use_running_statistics():
    objective, theta, x, _ = one_layer()
    statistics = np.array([1.0, 2.0, 4.0, 9.0])
    prediction, _, _ = by_hand(theta, x, statistics[:2], statistics[2:])
    np.testing.assert_allclose(objective.predict(theta, x, statistics)[0], prediction, rtol=1e-14)
    alone = objective.predict(theta, x[:1], statistics)[0]  # a single point can be predicted, though not trained on
    np.testing.assert_allclose(alone, prediction[:1], rtol=1e-14)


def test_the_gradient_is_that_of_central_differences():
    objective, theta, x, y = one_layer()
    nudges = 1e-6 * np.eye(len(theta))
    wanted = [(objective.value(theta + d, x, y)[0] - objective.value(theta - d, x, y)[0]) / 2e-6 for d in nudges]
    np.testing.assert_allclose(backprop(objective, theta, x, y).g, wanted, atol=1e-7 * np.abs(wanted).max())


def test_running_statistics_are_a_moving_average():
    """0 and 1 at the start; after a full-batch step with lr close to 0, a tenth of the way to the batch's own."""
    given = [*NORMALISED, "optimizer=sgd", "lr=1e-300", "epochs=1"]
    run = make_run(*given)
    data = run.problem.data
    batch_stats = run.problem.objective.value(run.problem.theta, data.x_train, data.y_train)[1]
    theta = trained(*given).theta
    start = np.concatenate([np.zeros(5), np.ones(5), np.zeros(4), np.ones(4)])
    np.testing.assert_array_equal(theta["statistics_init"], start)
    wanted = (1 - MOMENTUM) * start + MOMENTUM * batch_stats
    np.testing.assert_allclose(theta["statistics_final"], wanted, rtol=1e-12)


@pytest.mark.parametrize("backend", backends_for()[1:], ids=" ".join)
@pytest.mark.parametrize("batching", [["batching=full"], ["batching=minibatch", "batching.size=7"]], ids=" ".join)
def test_backends_agree(batching, backend):
    given = [*NORMALISED, *batching, "optimizer=adam", "lr=0.01", "epochs=6", "record.every=1"]
    one, other = trained(*given), trained(*given, *backend)
    np.testing.assert_allclose(one.curves["train/loss"], other.curves["train/loss"], rtol=1e-10)
    for name in ("final", "statistics_final"):
        np.testing.assert_allclose(one.theta[name], other.theta[name], atol=1e-10 * np.abs(one.theta[name]).max())


def test_it_trains():
    curves = trained("model.batch_norm=true", "dataset=iris", "optimizer=adam", "lr=0.05", "epochs=150").curves
    assert curves["train/accuracy"][-1] > 0.9 and curves["test/accuracy"][-1] > 0.8


@pytest.mark.parametrize("given", [["batching=online"], ["batching=minibatch", "batching.size=47"]], ids=" ".join)
def test_a_batch_of_one_is_refused(given):
    """Also where only the last batch is one: 48 = 47 + 1."""
    with pytest.raises(ConfigError, match=r"leaves a batch of 1 of the 48 .* model.batch_norm needs at least 2"):
        make_config(*NORMALISED, *given).problem()


def test_without_hidden_layers_there_is_nothing_to_normalise():
    given = ["dataset=product", "model=linear", "epochs=3"]
    one, other = (trained(*given, f"model.batch_norm={on}") for on in (True, False))
    np.testing.assert_array_equal(one.curves["train/loss"], other.curves["train/loss"])
