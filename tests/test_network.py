"""The network: the layout of theta, and the forward pass compared with loops over samples, layers and units."""

import itertools
import math

import numpy as np
import pytest

from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.network import mlp
from descent_lab.portable.formulas import BN_EPS

SCALAR = {  # textbook formulas for one number
    "identity": lambda z: z,
    "relu": lambda z: max(z, 0.0),
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "gelu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "softplus": lambda z: math.log(1 + math.exp(z)),
}
LIMITS = {  # of f(z) / max(1, |z|) as z goes to - and + infinity, and of f'(z)
    "identity": ((-1, 1), (1, 1)),
    "sigmoid": ((0, 0), (0, 0)),
    "tanh": ((0, 0), (0, 0)),
    "leaky_relu": ((-0.01, 1), (0.01, 1)),
    **dict.fromkeys(("relu", "elu", "gelu", "gelu_tanh", "silu", "softplus"), ((0, 1), (0, 1))),
}
BOUNDS = {"sigmoid": (0, 1), "tanh": (-1, 1), "elu": (-1, 1e8)}  # f(z) itself, where the limit does not tell it
SIZES = [(1, 1), (3, 2), (2, 5, 1), (3, 4, 5, 2)]


def draw(network, n=6, seed=0):
    """A random theta (n_params,) of the network, and n random samples (n, n_features)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(network.n_params), rng.standard_normal((n, network.n_features))


def scalar(activation):
    """The activation as a function of one number: by its formula, or, if a plug-in added it, by its own code."""
    return SCALAR.get(activation) or (lambda z: float(ACTIVATIONS[activation].f(np.array([z]))[0]))


def naive(sizes, activation, bias, theta, x):
    """Logits (n, n_outputs) by loops. In theta, each layer has weights (fan_in, fan_out) in C order, then biases."""
    h, place = x.tolist(), 0
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        W = [theta[place + i * fan_out : place + (i + 1) * fan_out] for i in range(fan_in)]
        place += fan_in * fan_out
        b = theta[place : place + fan_out] if bias else [0.0] * fan_out
        place += fan_out if bias else 0
        f = scalar(activation if layer < len(sizes) - 2 else "identity")
        h = [[f(sum(row[i] * W[i][j] for i in range(fan_in)) + b[j]) for j in range(fan_out)] for row in h]
    assert place == len(theta)
    return np.array(h)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_forward_pass_equals_loops(sizes, activation, bias):
    network = mlp(sizes, activation, bias)
    theta, x = draw(network)
    logits = network.outputs(theta, x)
    np.testing.assert_allclose(logits.T, naive(sizes, activation, bias, theta, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_runs_do_not_depend_on_each_other(activation):
    network = mlp((2, 4, 3), activation, bias=True, batch_norm=True)
    theta, x = zip(*(draw(network, seed=seed) for seed in range(3)), strict=True)
    stacked = network.outputs(np.stack(theta), np.stack(x))
    alone = [network.outputs(*pair) for pair in zip(theta, x, strict=True)]
    np.testing.assert_allclose(stacked, alone, rtol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_derivative_of_an_activation_equals_a_central_difference(activation):
    kind, h = ACTIVATIONS[activation], 1e-6
    z = np.linspace(-4, 4, 42)  # 0 is not among them
    difference = (kind.f(z + h) - kind.f(z - h)) / (2 * h)
    np.testing.assert_allclose(kind.df(z, kind.f(z)) * 1.0, difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_huge_numbers_reach_their_limits(activation, dtype):
    kind, z = ACTIVATIONS[activation], np.array([-1e8, 1e8], dtype)
    a = kind.f(z)
    slopes = kind.df(z, a) * np.ones_like(z)
    assert a.dtype == slopes.dtype == dtype and np.isfinite(slopes).all()
    if activation in LIMITS:
        np.testing.assert_allclose(a / 1e8, LIMITS[activation][0], rtol=1e-6, atol=2e-8)
        np.testing.assert_allclose(slopes, LIMITS[activation][1], rtol=1e-6, atol=1e-15)
        np.testing.assert_allclose(a, BOUNDS.get(activation, a), atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus"])
def test_the_gain_keeps_the_mean_square_of_activations(activation):
    """E f(z)^2 = 1 / gain^2 for z in N(0, 1) (He et al. 2015), here by a sum over a fine grid on each side of 0."""
    z, h = np.linspace(0, 12, 100_001, retstep=True)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    f = ACTIVATIONS[activation].f
    square = sum(np.trapezoid(f(side) ** 2 * density, dx=h) for side in (-z, z))
    assert 1 / math.sqrt(square) == pytest.approx(ACTIVATIONS[activation].gain, rel=1e-8)


def test_normalised_units_have_mean_beta_and_standard_deviation_gamma():
    network = mlp((3, 4, 1), "identity", bias=True, batch_norm=True)
    theta, x = draw(network, n=50)
    params = network.params(theta)
    cache, gamma, beta = network.through(params, x)[1][1], params[1]["gamma"], params[1]["beta"]
    s, z = cache.s, gamma * cache.u + beta
    np.testing.assert_allclose(z.mean(-1, keepdims=True), beta, atol=1e-13)
    expected = s.std(-1, keepdims=True) / np.sqrt(s.var(-1, keepdims=True) + BN_EPS)
    np.testing.assert_allclose(z.std(-1, keepdims=True), np.abs(gamma) * expected, rtol=1e-12)


def test_running_statistics_replace_those_of_the_batch():
    network = mlp((3, 4, 5, 1), "tanh", bias=True, batch_norm=True)
    theta, x = draw(network, n=50)
    logits, caches = network.through(network.params(theta), x)
    normalised = [caches[k].s for k, layer in enumerate(network.layers) if layer.n_stats]
    batch_stats = np.concatenate([moment(s) for s in normalised for moment in (_mean, _variance)])
    np.testing.assert_allclose(network.outputs(theta, x, batch_stats), logits, rtol=1e-12)
    unbiased = np.concatenate([m for s in normalised for m in (_mean(s), _variance(s) * 50 / 49)])
    np.testing.assert_allclose(network.batch_stats(caches), unbiased, rtol=1e-12)


def _mean(s):
    return s.mean(-1)


def _variance(s):
    return s.var(-1)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_every_parameter_has_a_name_of_its_own(sizes, bias, batch_norm):
    network = mlp(sizes, "tanh", bias, batch_norm)
    names = network.names()
    assert len(names) == len(set(names)) == network.n_params
    assert names[: sizes[1]] == [f"w_{{(1,{j},0)}}" for j in range(sizes[1])]
    pieces = [piece for of_layer in network.params(np.arange(network.n_params)) for piece in of_layer.values()]
    np.testing.assert_array_equal(np.concatenate([p.ravel() for p in pieces]), np.arange(network.n_params))
