"""Every layer: its backward pass by hand, its forward pass in every namespace, and nets of it on every backend."""

import jax
import numpy as np
import pytest

from descent_lab.derivatives.backprop import backprop
from descent_lab.derivatives.reverse import reverse_mode
from descent_lab.derivatives.taylor import forward_mode
from descent_lab.nn.initialisers import Scaled
from descent_lab.nn.layers.written import LAYERS, layer_of
from descent_lab.nn.losses import MeanSquaredError
from descent_lab.nn.network import Network
from descent_lab.problems.objective import Objective

NETS = {  # shape of a sample, and the layers as a configuration writes them; below, every kind is added by itself
    "dense": ((3,), [{"dense": 4}, "tanh", {"dense": {"width": 2, "bias": False}}]),
    "batch_norm": ((3,), [{"dense": {"width": 4, "bias": False}}, "batch_norm", "tanh", {"dense": 2}]),
    "batch_norm first": ((3,), ["batch_norm", {"dense": 2}]),
    "activate": ((3,), [{"dense": 4}, {"activate": "sigmoid"}, {"dense": 2}, "tanh"]),
}
for name, kind in LAYERS.items():
    shape, options = kind.tried
    NETS[f"{name} first"] = shape, [{name: dict(options)}, {"dense": 2}]
    NETS[f"{name} within"] = shape, [{"dense": shape[0]}, "tanh", {name: dict(options)}, {"dense": 2}]
BY_TAYLOR = set(NETS)  # the nets that the Taylor algebra differentiates


def network(name):
    shape, layers = NETS[name]
    return Network.of(shape, [layer_of(layer) for layer in layers])


def drawn(net, n=5, runs=(), seed=0):
    """The objective of a net, theta (*runs, n_params), x and y of n samples."""
    rng = np.random.default_rng(seed)
    theta = 0.7 * rng.standard_normal((*runs, net.n_params))
    x, y = (rng.standard_normal((*runs, n, width)) for width in (net.n_features, net.n_outputs))
    return Objective(net, MeanSquaredError("identity"), "regression"), theta, x, y


@pytest.mark.parametrize("name", NETS)
def test_backward_agrees_with_central_differences(name):
    objective, theta, x, y = drawn(network(name))
    g, h = backprop(objective, theta, x, y).g, 1e-5
    steps = h * np.eye(len(theta))
    difference = [(objective.value(theta + d, x, y)[0] - objective.value(theta - d, x, y)[0]) / (2 * h) for d in steps]
    np.testing.assert_allclose(g, difference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_backward_agrees_with_reverse_mode_and_the_taylor_algebra(name):
    objective, theta, x, y = drawn(network(name))
    ours, theirs = backprop(objective, theta, x, y), jax.jit(lambda *at: reverse_mode(objective, 1, *at))(theta, x, y)
    scale = np.abs(theirs.g).max()
    np.testing.assert_allclose(ours.g, theirs.g, rtol=1e-12, atol=1e-14 * scale)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-13)
    if name in BY_TAYLOR:
        np.testing.assert_allclose(forward_mode(objective, 1, theta[None], x, y).g[0], ours.g, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", NETS)
def test_runs_of_a_stack_do_not_depend_on_each_other(name):
    objective, *arrays = drawn(network(name), runs=(3,))
    stacked = backprop(objective, *arrays)
    alone = [backprop(objective, *(array[r] for array in arrays)) for r in range(3)]
    np.testing.assert_allclose(stacked.g, [of_run.g for of_run in alone], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(stacked.loss, [of_run.loss for of_run in alone], rtol=1e-13)


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_has_a_name_and_a_start(name):
    net = network(name)
    assert len(set(net.names())) == net.n_params
    theta = Scaled().theta(net, np.random.default_rng(0))
    assert theta.shape == (net.n_params,) and np.isfinite(theta).all()
