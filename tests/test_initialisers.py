"""Initialisers: the spread of weights, biases with their own options, the same numbers for the same stream."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from harness import choices, make_config, make_run

from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.network import mlp

WIDE = (300, 500, 200)  # layers wide enough to measure a spread within a percent or so
SPREADS = {  # standard deviation of W by (fan_in, fan_out, gain of the activation that follows)
    "normal": lambda fan_in, fan_out, gain: 1.0,
    "uniform": lambda fan_in, fan_out, gain: 1 / math.sqrt(3 * fan_in),
    "fan_in": lambda fan_in, fan_out, gain: gain / math.sqrt(fan_in),
    "lecun": lambda fan_in, fan_out, gain: 1 / math.sqrt(fan_in),
    "he": lambda fan_in, fan_out, gain: (math.sqrt(2) if gain else 1) / math.sqrt(fan_in),
    "xavier": lambda fan_in, fan_out, gain: math.sqrt(2 / (fan_in + fan_out)),
    "zeros": lambda fan_in, fan_out, gain: 0.0,
}


def layers(init, activation="tanh", seed=0, **network):
    """The layers of a network with the initial theta of that initialiser."""
    network = mlp(WIDE, activation, **({"bias": True} | network))
    blocks = network.blocks(init.theta(network, np.random.default_rng(seed)))
    return [SimpleNamespace(**{"b": None, **block}) for block in blocks]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", SPREADS)
def test_weights_have_the_spread_of_their_scheme(name, activation):
    hidden, output = layers(make_config(f"init={name}").init, activation)
    gain = ACTIVATIONS[activation].gain
    assert hidden.W.std() == pytest.approx(SPREADS[name](300, 500, gain), rel=0.01)
    last = 1 / math.sqrt(500) if name == "he" else SPREADS[name](500, 200, 1.0)
    assert output.W.std() == pytest.approx(last, rel=0.01)
    assert abs(hidden.W.mean()) < 0.01


@pytest.mark.parametrize("name", choices("init"))
def test_every_initialiser_is_finite_and_repeats(name):
    for stream in ("independent", "legacy"):
        theta = [make_run(f"init={name}", f"stream={stream}", f"seed={seed}").problem.theta for seed in (0, 0, 1)]
        assert np.isfinite(theta[0]).all() and theta[0].dtype == np.float64
        np.testing.assert_array_equal(theta[0], theta[1])
        assert name in ("zeros", "jax_key") or not np.array_equal(theta[0], theta[2])  # these do not depend on the seed


@pytest.mark.parametrize("name", choices("init"))
def test_biases_are_settable_apart_from_weights(name):
    plain = layers(make_config(f"init={name}").init)
    ones = layers(make_config(f"init={name}", "init.bias=1").init)
    spread = layers(make_config(f"init={name}", "init.bias=1", "init.bias_std=0.5").init)
    for layer, ones_layer, spread_layer in zip(plain, ones, spread, strict=True):
        assert (layer.b == 0).all() and (ones_layer.b == 1).all()
        np.testing.assert_array_equal(layer.W, ones_layer.W)
        assert spread_layer.b.mean() == pytest.approx(1, abs=0.15) and spread_layer.b.std() == pytest.approx(
            0.5, rel=0.2
        )


@pytest.mark.parametrize("name", choices("init"))
def test_normalised_layers_start_at_scale_one_and_shift_zero(name):
    hidden, output = layers(make_config(f"init={name}", "init.bias=3").init, batch_norm=True)
    assert hidden.b is None and (hidden.gamma == 1).all() and (hidden.beta == 0).all() and (output.b == 3).all()


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("name", ["fan_in", "he", "lecun", "xavier"])
def test_both_distributions_have_the_same_spread(name, distribution):
    init = make_config(f"init={name}", f"init.distribution={distribution}").init
    W = layers(init)[0].W
    assert W.std() == pytest.approx(SPREADS[name](300, 500, 5 / 3), rel=0.01)
    assert (np.abs(W).max() < 1.8 * W.std()) == (distribution == "uniform")


def test_uniform_weights_keep_to_their_limit():
    W = layers(make_config("init=uniform", "init.limit=0.3").init)[0].W
    assert 0.299 < np.abs(W).max() <= 0.3


def test_the_legacy_stream_draws_layer_by_layer():
    """The numbers are those of a script that calls np.random.randn for one weight matrix after the other."""
    overrides = ["dataset=gaussian", "init=normal", "init.std=0.5", "stream=legacy", "model.bias=true", "seed=3"]
    run = make_run(*overrides)
    old = np.random.RandomState(3)
    old.permutation(250)  # the split
    for block in run.problem.objective.network.blocks(run.problem.theta):
        np.testing.assert_array_equal(block["W"], 0.5 * old.randn(*block["W"].shape))


@pytest.mark.parametrize("change", ["init.std=0", "init.std=-1", "init.std=nan", "init.std=inf", "init.bias=nan"])
def test_impossible_spreads_are_refused(change):
    with pytest.raises(ValueError, match=change.split("=")[0]):
        make_config("init=normal", change)
