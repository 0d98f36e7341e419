"""The taylor backend: the same gradients and Hessians as the others, Newton's method on them, and its limits."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import choices, make_config, make_run, trained

from descent_lab.derivatives.reverse import reverse_mode
from descent_lab.derivatives.taylor import forward_mode
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.optim.second_order import Newton
from descent_lab.sweeps.execute import run_all

ORDER_2 = ["backend=taylor", "backend.order=2"]
NEWTON = ["optimizer=newton", "dataset=product", "model.hidden=[3]", "init=normal", "epochs=12", "record.every=1"]
LOSSES = {
    "mse": ["dataset=product"],
    "sigmoid mse": ["dataset=sign", "model.loss=mse", "model.output=sigmoid"],
    "tanh mse": ["dataset=sign", "model.loss=mse", "model.output=tanh"],
    "binary cross-entropy": ["dataset=sign"],
    "categorical cross-entropy": ["dataset=polynomials", "dataset.n_samples=3"],
}
EVERYWHERE = ("identity", "sigmoid", "tanh", "relu")  # tried with every loss; other activations with one


def small(loss, activation="tanh", batch_norm=False):
    """Overrides of a small network with that loss."""
    norm = f"model.batch_norm={str(batch_norm).lower()}"
    return [*LOSSES[loss], "model.hidden=[4,3]", f"model.activation={activation}", norm, "init=normal", "init.std=0.5"]


def assert_followed(given, backend, tolerance=1e-10):
    """The same losses and final theta as the numpy backend."""
    one, other = trained(*given), trained(*given, *backend)
    np.testing.assert_allclose(one.curves["train/loss"], other.curves["train/loss"], rtol=tolerance)
    scale = np.abs(one.theta["final"]).max()
    np.testing.assert_allclose(one.theta["final"], other.theta["final"], atol=tolerance * scale)


@pytest.mark.parametrize("optimizer", [name for name in choices("optimizer") if name != "newton"])
@pytest.mark.parametrize("order", [1, 2])
def test_every_optimizer_follows_numpy(optimizer, order):
    given = [*small("mse"), f"optimizer={optimizer}", "epochs=5", "record.every=1"]
    assert_followed(given, ["backend=taylor", f"backend.order={order}"])


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "normalised"])
@pytest.mark.parametrize(
    ("loss", "activation"),
    [*product(LOSSES, EVERYWHERE), *(("mse", name) for name in ACTIVATIONS if name not in EVERYWHERE)],
    ids="-".join,
)
def test_every_loss_and_activation_follows_numpy(loss, activation, batch_norm):
    given = [*small(loss, activation, batch_norm), "lr=0.01", "epochs=4", "record.every=1"]
    assert_followed(given, ["backend=taylor"])


@pytest.mark.parametrize(
    ("loss", "batch_norm", "activation"),
    [
        *((loss, False, "tanh") for loss in LOSSES),
        ("mse", True, "tanh"),
        *(("mse", False, name) for name in ("elu", "gelu", "gelu_tanh", "silu", "softplus")),
    ],
)
def test_the_hessian_is_that_of_jax(loss, batch_norm, activation):
    problem = make_run(*small(loss, activation, batch_norm)).problem
    data, objective = problem.data, problem.objective
    x, y = data.x_train[:12], data.y_train[:12]
    derivatives = forward_mode(objective, 2, problem.theta[None], x[None], y[None])
    hessian = jax.jit(jax.hessian(lambda theta: objective.value(theta, jnp.asarray(x), jnp.asarray(y))[0]))
    expected = hessian(problem.theta)
    np.testing.assert_allclose(derivatives.H[0], expected, atol=1e-8 * np.abs(expected).max())
    np.testing.assert_allclose(derivatives.H[0], derivatives.H[0].T, atol=1e-12 * np.abs(expected).max())
    g = reverse_mode(objective, 1, *(jnp.asarray(a) for a in (problem.theta, x, y))).g
    np.testing.assert_allclose(derivatives.g[0], g, atol=1e-12 * np.abs(g).max())


def test_newton_is_the_same_on_taylor_and_jax():
    one, other = (trained(*NEWTON, *backend) for backend in (ORDER_2, ["backend=jax"]))
    np.testing.assert_allclose(one.curves["train/loss"], other.curves["train/loss"], rtol=1e-7)
    np.testing.assert_array_equal(one.curves["train/newton_fallbacks"], other.curves["train/newton_fallbacks"])


def test_newton_says_how_often_it_fell_back():
    """Undamped, the Hessian of a random start is indefinite; damped strongly it never is, and the loss falls."""
    weak = trained(*NEWTON, *ORDER_2, "optimizer.damping=0").curves["train/newton_fallbacks"]
    assert weak[0] == 0 and weak[1] == 1 and (np.diff(weak) >= 0).all()
    strong = trained(*NEWTON, *ORDER_2, "optimizer.damping=100").curves
    assert strong["train/newton_fallbacks"][-1] == 0 and strong["train/loss"][-1] < strong["train/loss"][0]


def test_a_step_that_falls_back_leads_along_the_gradient():
    """-g / max |eigenvalue| where an eigenvalue is not positive, the Newton step where all are."""
    newton = Newton(damping=0.0, weight_decay=0.0, clip_value=None, clip_norm=None)
    g, H = np.array([[1.0, 2.0]] * 2), np.array([np.diag([4.0, -8.0]), np.diag([4.0, 8.0])])
    step, (fallbacks,) = newton.step(g, newton.init(g), g, 1.0, H)
    np.testing.assert_allclose(step, [[-1 / 8, -2 / 8], [-1 / 4, -2 / 8]])
    assert fallbacks.tolist() == [1, 0]


def test_the_default_damping_seldom_falls_back():
    """On the differential-algebra problem in full batches: at 1e-3 every step would be a gradient step."""
    given = ["+experiment=taylor_network", "backend=jax", "optimizer=newton", "lr=1", "batching=full", "epochs=100"]
    curves = trained(*given).curves
    assert curves["train/newton_fallbacks"][-1] <= 10 and curves["train/loss"][-1] < 1e-2


@pytest.mark.parametrize(("order", "hidden"), [(1, "[1000,1000]"), (2, "[300,300]")])
def test_a_network_whose_tangents_do_not_fit_is_refused(order, hidden):
    config = make_config("backend=taylor", f"backend.order={order}", f"model.hidden={hidden}", "dataset=gaussian")
    summary = run_all([config], progress=False)
    assert summary.code == 2 and summary.finished == 0  # refused as bad input is
    (failure,) = summary.failed
    assert "GiB of memory" in failure.reason and "backend=taylor" in failure.reason and "\n" not in failure.reason


def test_newton_needs_second_derivatives():
    with pytest.raises(ValueError, match=r"optimizer=newton: needs derivatives of order 2, and backend taylor gives"):
        make_config("backend=taylor", "optimizer=newton")


def test_the_gradient_of_the_whole_training_set_is_taken_in_blocks(monkeypatch):
    """As metrics record it: the same in one block and in several, within the memory that is estimated."""
    run = make_run("backend=taylor", "dataset=iris", "model.hidden=[4]")
    data, objective, backend = run.problem.data, run.problem.objective, run.backend
    n, given = len(data.x_train), (run.problem.theta[None], data.x_train[None], data.y_train[None])
    whole = backend.gradient(objective, *given)
    in_one = backend.evaluation_bytes(objective, n, 8)
    monkeypatch.setattr("descent_lab.derivatives.taylor.BLOCK_BYTES", 7 * in_one // n)
    np.testing.assert_allclose(backend.gradient(objective, *given), whole, rtol=1e-12, atol=1e-15)
    assert backend.evaluation_bytes(objective, n, 8) < in_one / 10
    normalised = make_run("backend=taylor", "dataset=iris", "model.hidden=[4]", "model.batch_norm=true")
    assert backend.evaluation_bytes(normalised.problem.objective, n, 8) > in_one  # it needs all samples at once
