"""The network: the layout of theta, and the forward pass compared with loops over samples, layers and units."""

import math

import numpy as np
import pytest

from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.network import Network
from descent_lab.portable.formulas import BN_EPS

SCALAR = {  # textbook formulas for one number
    "identity": lambda z: z,
    "relu": lambda z: max(z, 0.0),
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
}
SIZES = [(1, 1), (3, 2), (2, 5, 1), (3, 4, 5, 2)]


def draw(network, n=6, seed=0):
    """A random theta (n_params,) of the network, and n random samples (n, n_features)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(network.n_params), rng.standard_normal((n, network.sizes[0]))


def scalar(activation):
    """The activation as a function of one number: by its formula, or, if a plug-in added it, by its own code."""
    return SCALAR.get(activation) or (lambda z: float(ACTIVATIONS[activation].f(np.array([z]))[0]))


def naive(network, theta, x):
    """Logits (n, n_outputs) by loops. In theta, each layer has weights (fan_in, fan_out) in C order, then biases."""
    h, place = x.tolist(), 0
    for layer, (fan_in, fan_out) in enumerate(zip(network.sizes, network.sizes[1:], strict=False)):
        W = [theta[place + i * fan_out : place + (i + 1) * fan_out] for i in range(fan_in)]
        place += fan_in * fan_out
        b = theta[place : place + fan_out] if network.bias else [0.0] * fan_out
        place += fan_out if network.bias else 0
        f = scalar(network.activation if layer < len(network.sizes) - 2 else "identity")
        h = [[f(sum(row[i] * W[i][j] for i in range(fan_in)) + b[j]) for j in range(fan_out)] for row in h]
    assert place == len(theta)
    return np.array(h)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_forward_pass_equals_loops(sizes, activation, bias):
    network = Network(sizes, activation, bias)
    theta, x = draw(network)
    logits = network.forward(theta, x)[-1].a
    np.testing.assert_allclose(logits.T, naive(network, theta, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_runs_do_not_depend_on_each_other(activation):
    network = Network((2, 4, 3), activation, bias=True, batch_norm=True)
    theta, x = zip(*(draw(network, seed=seed) for seed in range(3)), strict=True)
    stacked = network.forward(np.stack(theta), np.stack(x))[-1].a
    alone = [network.forward(*pair)[-1].a for pair in zip(theta, x, strict=True)]
    np.testing.assert_allclose(stacked, alone, rtol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_derivative_of_an_activation_equals_a_central_difference(activation):
    kind, h = ACTIVATIONS[activation], 1e-6
    z = np.linspace(-4, 4, 42)  # 0 is not among them
    difference = (kind.f(z + h) - kind.f(z - h)) / (2 * h)
    np.testing.assert_allclose(kind.df(z, kind.f(z)) * 1.0, difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_huge_numbers_reach_their_limits(activation):
    limits = {"identity": (-1e8, 1e8), "relu": (0, 1e8), "sigmoid": (0, 1), "tanh": (-1, 1)}
    kind, z = ACTIVATIONS[activation], np.array([-1e8, 1e8])
    np.testing.assert_allclose(kind.f(z), limits.get(activation, kind.f(z)), atol=1e-15)
    assert np.isfinite(kind.df(z, kind.f(z))).all()


def test_normalised_units_have_mean_beta_and_standard_deviation_gamma():
    network = Network((3, 4, 1), "identity", bias=True, batch_norm=True)
    theta, x = draw(network, n=50)
    hidden, layer = network.forward(theta, x)[0], network.layers(theta)[0]
    s = hidden.s
    np.testing.assert_allclose(hidden.z.mean(-1, keepdims=True), layer.beta, atol=1e-13)
    expected = s.std(-1, keepdims=True) / np.sqrt(s.var(-1, keepdims=True) + BN_EPS)
    np.testing.assert_allclose(hidden.z.std(-1, keepdims=True), np.abs(layer.gamma) * expected, rtol=1e-12)


def test_running_statistics_replace_those_of_the_batch():
    network = Network((3, 4, 5, 1), "tanh", bias=True, batch_norm=True)
    theta, x = draw(network, n=50)
    traces = network.forward(theta, x)
    batch_stats = np.concatenate([moment(t.s) for t in traces[:-1] for moment in (_mean, _variance)])
    np.testing.assert_allclose(network.forward(theta, x, batch_stats)[-1].a, traces[-1].a, rtol=1e-12)
    unbiased = np.concatenate([m for t in traces[:-1] for m in (_mean(t.s), _variance(t.s) * 50 / 49)])
    np.testing.assert_allclose(network.batch_stats(traces), unbiased, rtol=1e-12)


def _mean(s):
    return s.mean(-1)


def _variance(s):
    return s.var(-1)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_every_parameter_has_a_name_of_its_own(sizes, bias, batch_norm):
    network = Network(sizes, "tanh", bias, batch_norm)
    names = network.names()
    assert len(names) == len(set(names)) == network.n_params
    assert names[: sizes[1]] == [f"w_{{(1,{j},0)}}" for j in range(sizes[1])]
    layers = network.layers(np.arange(network.n_params))
    pieces = [piece for layer in layers for piece in layer if piece is not None]
    np.testing.assert_array_equal(np.concatenate([p.ravel() for p in pieces]), np.arange(network.n_params))
