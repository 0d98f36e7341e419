"""One gradient, three ways: backprop by hand, reverse-mode by JAX, central differences."""

import jax.numpy as jnp
import numpy as np
import pytest
from harness import backends_for, make_run

from descent_lab.derivatives.backprop import backprop
from descent_lab.derivatives.reverse import _blocks, reverse_mode
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.losses import LOSSES
from descent_lab.nn.network import mlp
from descent_lab.problems.objective import Objective
from descent_lab.training.trainer import train

LINKED = [(name, output) for name, loss in LOSSES.items() for output in loss.outputs]
BATCHES = {  # batch normalisation (which one sample cannot have) and shape (n_runs, n)
    "one sample": (False, (1, 1)),
    "batch": (False, (3, 7)),
    "normalised": (True, (3, 7)),
}


def case(activation, linked, bias=True, batch_norm=False, shape=(3, 7)):
    """An objective with two hidden layers, and theta, x and y of shape (n_runs, ...)."""
    name, output = linked
    network = mlp((3, 5, 4, 3), activation, bias, batch_norm)
    objective = Objective(network, LOSSES[name](output), LOSSES[name].tasks[0])
    rng, (n_runs, n) = np.random.default_rng(5), shape
    y = rng.integers(2, size=(n_runs, n, 3)) * 1.0
    if name == "categorical_cross_entropy":
        y = np.eye(3)[rng.integers(3, size=(n_runs, n))]
    theta = rng.standard_normal((n_runs, network.n_params))
    return objective, theta, rng.standard_normal((n_runs, n, 3)), y


def differences(objective, theta, x, y, h=1e-5):
    """Central differences of the loss of one run, (n_params,)."""
    nudges = h * np.eye(len(theta))
    up, down = (objective.value(theta + sign * nudges, x, y)[0] for sign in (1, -1))
    return (up - down) / (2 * h)


def assert_close(g, expected, tolerance):
    scale = np.abs(expected).max()
    worst = np.abs(g - expected).argmax()
    assert np.abs(g - expected).max() <= tolerance * max(scale, 1e-3), (
        f"parameter {worst}: {g.ravel()[worst]} is not {expected.ravel()[worst]} (largest {scale})"
    )


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("linked", LINKED, ids="-".join)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backprop_is_jax_is_central_differences(activation, linked, bias, batch):
    batch_norm, shape = BATCHES[batch]
    objective, theta, x, y = case(activation, linked, bias, batch_norm, shape)
    loss, g, _, batch_stats = backprop(objective, theta, x, y)
    for r in range(len(theta)):
        assert_close(g[r], differences(objective, theta[r], x[r], y[r]), 1e-6)
    jax_loss, jax_g, _, jax_stats = reverse_mode(objective, 1, *(jnp.asarray(a[-1]) for a in (theta, x, y)))
    assert loss[-1] == pytest.approx(float(jax_loss), rel=1e-12)
    assert_close(g[-1], np.asarray(jax_g), 1e-11)
    if batch_norm:
        np.testing.assert_allclose(batch_stats[-1], jax_stats, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("linked", LINKED, ids="-".join)
@pytest.mark.parametrize("n", [8000, 8003], ids=["even blocks", "a smaller block"])
def test_a_batch_too_large_for_the_cache_has_the_gradient_of_the_whole(n, linked):
    """It is differentiated in blocks of samples."""
    objective, theta, x, y = case("tanh", linked, shape=(1, n))
    assert _blocks(objective.network, n) > 1
    derivatives = reverse_mode(objective, 1, *map(jnp.asarray, (theta[0], x[0], y[0])))
    loss, g, *_ = backprop(objective, theta, x, y)
    np.testing.assert_allclose(derivatives.loss, loss[0], rtol=1e-12)
    assert_close(np.asarray(derivatives.g), g[0], 1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_hidden_unit_at_rest_has_one_gradient(activation):
    """At z = 0, where relu has no derivative, both take the same side."""
    objective, theta, x, y = case(activation, LINKED[0])
    theta = np.zeros_like(theta)
    theta[:, -15:] = 1.0  # the output layer: hidden units stay at 0 and yet receive a gradient
    g = backprop(objective, theta, x, y).g[0]
    jax_g = reverse_mode(objective, 1, *(jnp.asarray(a[0]) for a in (theta, x, y))).g
    np.testing.assert_allclose(g, jax_g, rtol=1e-12, atol=1e-15)


DEFECTS = {  # of published code, each of which a gradient check must catch
    "through the last sample only": lambda g, last, weights: last,
    "of the opposite sign": lambda g, last, weights: -g,
    "input gradient after the update": lambda g, last, weights: weights,
    "no gradient for hidden biases": lambda g, last, weights: np.where(np.arange(len(g)) % 20 > 14, 0, g),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_check_catches_published_defects(defect):
    objective, theta, x, y = (a[0] if isinstance(a, np.ndarray) else a for a in case("tanh", LINKED[0]))
    expected = differences(objective, theta, x, y)
    g = backprop(objective, theta, x, y).g
    last = backprop(objective, theta, x[-1:], y[-1:]).g
    late = theta.copy()
    late[-15:] -= 0.1 * g[-15:]  # the output layer moved before the hidden layers see its weights
    late = np.concatenate([backprop(objective, late, x, y).g[:-15], g[-15:]])
    with pytest.raises(AssertionError, match="parameter"):
        assert_close(DEFECTS[defect](g, last, late), expected, 1e-6)


def full_batch_run(backend, linked, activation, batch_norm):
    """A full-batch run whose first step is minus the gradient."""
    name, output = linked
    dataset = {"regression": "product", "binary": "sign", "multiclass": "iris"}[LOSSES[name].tasks[0]]
    return make_run(
        *backend,
        f"dataset={dataset}",
        f"model.loss={name}",
        f"model.output={output}",
        f"model.activation={activation}",
        f"model.batch_norm={batch_norm}",
        "model.hidden=[4,3]",
        "optimizer=sgd",
        "lr=1",
        "epochs=1",
    )


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
@pytest.mark.parametrize("i", range(len(LINKED)), ids=lambda i: "-".join(LINKED[i]))
def test_the_first_step_of_every_backend_is_minus_the_gradient(i, backend):
    activation = [*ACTIVATIONS][i % len(ACTIVATIONS)]
    run = full_batch_run(backend, LINKED[i], activation, batch_norm=i % 2 == 1)
    (outcome,) = train([run])
    g, data = outcome.theta["init"] - outcome.theta["final"], run.problem.data
    expected = differences(run.problem.objective, run.problem.theta, data.x_train, data.y_train)
    assert_close(g, expected, 1e-6)
