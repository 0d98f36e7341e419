"""Every layer: its backward pass by hand, its forward pass in every namespace, and nets of it on every backend."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import descent_lab as dl
from descent_lab.derivatives.backprop import backprop
from descent_lab.derivatives.reverse import reverse_mode
from descent_lab.derivatives.taylor import forward_mode
from descent_lab.errors import ConfigError
from descent_lab.loops.recording import Recorded, Recording
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.initialisers import Scaled
from descent_lab.nn.layers import Conv2d, Embedding, Flatten, LayerNorm, MaxPool, MeanPool, Residual, RmsNorm
from descent_lab.nn.layers.attention import Heads
from descent_lab.nn.layers.pooling import as_places
from descent_lab.nn.layers.windows import Windows
from descent_lab.nn.layers.written import LAYERS, layer_of
from descent_lab.nn.losses import MeanSquaredError
from descent_lab.nn.models import Layers
from descent_lab.nn.network import Network
from descent_lab.problems.objective import Objective

LAST_DENSE = ("flatten", {"dense": 2})
LAST_CONV1D = ({"conv1d": {"channels": 2, "width": 4, "stride": 3, "padding": 2}}, "flatten", {"dense": 2})
NETS = {  # shape of a sample, and the layers as a configuration writes them; below, every kind is added by itself
    "dense": ((3,), [{"dense": 4}, "tanh", {"dense": {"width": 2, "bias": False}}]),
    "batch_norm": ((3,), [{"dense": {"width": 4, "bias": False}}, "batch_norm", "tanh", {"dense": 2}]),
    "batch_norm first": ((3,), ["batch_norm", {"dense": 2}]),
    "dense at every place": ((2, 3), [{"dense": 2}, "tanh", "flatten", {"dense": 2}]),
    "conv1d": (
        (2, 7),
        [{"conv1d": 3}, "tanh", {"conv1d": {"channels": 2, "width": 2, "bias": False}}, "flatten", {"dense": 2}],
    ),
    "conv1d, stride, same": (
        (1, 8),
        [{"conv1d": {"channels": 3, "stride": 2, "padding": "same"}}, "batch_norm", "sigmoid", *LAST_CONV1D],
    ),
    "pooling": ((2, 9), [{"conv1d": 3}, {"max_pool": 2}, "tanh", {"mean_pool": {"size": 2, "stride": 1}}, *LAST_DENSE]),
    "overlapping and global": (
        (2, 7),
        [{"max_pool": {"size": 3, "stride": 2}}, {"conv1d": {"channels": 3, "width": 1}}, "mean_pool", {"dense": 2}],
    ),
    "global maximum": ((2, 5), [{"conv1d": 3}, "tanh", "max_pool", {"dense": 2}]),
    "pictures": (
        (2, 5, 4),
        [
            {"conv2d": {"channels": 3, "size": 2, "padding": 1}},
            "batch_norm",
            {"max_pool": {"size": [3, 2]}},
            {"conv2d": {"channels": 2, "size": [2, 3], "stride": [1, 2], "padding": "same"}},
            "sigmoid",
            {"mean_pool": {"size": [2, 1], "stride": 1}},
            *LAST_DENSE,
        ],
    ),
    "pictures, pooled first": ((2, 4, 4), [{"mean_pool": 2}, {"conv2d": {"channels": 3, "size": 1}}, *LAST_DENSE]),
    "conv1d of one place": ((2, 1), [{"conv1d": {"channels": 2, "width": 1}}, "tanh", "flatten", {"dense": 2}]),
    "normalised units": (
        (3, 4),
        ["layer_norm", {"dense": 4}, "rms_norm", "tanh", {"dense": 3}, "layer_norm", *LAST_DENSE],
    ),
    "residual": (
        (2, 3),
        [
            {"dense": 3},
            {"residual": ["layer_norm", {"dense": 4}, "tanh", {"residual": [{"dense": 4}, "tanh"]}, {"dense": 3}]},
            {"residual": {"layers": ["tanh", {"dense": {"width": 3, "bias": False}}]}},
            *LAST_DENSE,
        ],
    ),
    "residual, batch_norm": (
        (3,),
        [
            {"dense": 3},
            "batch_norm",
            {"residual": [{"dense": 3}, "batch_norm", "tanh", {"residual": ["batch_norm"]}]},
            {"residual": ["tanh"]},
            {"dense": 2},
        ],
    ),
    "residual, no weights first": ((3,), [{"residual": ["tanh", "sigmoid"]}, {"residual": ["tanh", {"dense": 3}]}]),
    "attention": (
        (3, 4),
        [
            {"dense": 4},
            {"residual": ["layer_norm", {"attention": {"heads": 2, "causal": True}}]},
            {"residual": ["layer_norm", {"dense": 5}, "tanh", {"dense": 4}]},
            {"attention": {"heads": 4, "bias": False}},
            "tanh",
            *LAST_DENSE,
        ],
    ),
    "attention, one place": ((2, 1), [{"attention": 1}, "tanh", *LAST_DENSE]),
    "embedding": (
        (1, 4),
        [
            {"embedding": {"vocabulary": 3, "width": 4}},
            {"residual": ["layer_norm", {"attention": {"heads": 2, "causal": True}}]},
            "tanh",
            *LAST_DENSE,
        ],
    ),
    "embedding, no positions": (
        (4,),
        [{"embedding": {"vocabulary": 5, "width": 2, "positions": False}}, "tanh", *LAST_DENSE],
    ),
    "embedding of a vector, within": ((3,), ["tanh", {"dense": 3}, {"embedding": {"vocabulary": 2, "width": 2}}]),
    "activate": ((3,), [{"dense": 4}, {"activate": "sigmoid"}, {"dense": 2}, "tanh"]),
    **{f"activate {f}": ((3,), [{"dense": 4}, f, {"dense": 2}, f]) for f in ACTIVATIONS},
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
    if isinstance(net.layers[0], Embedding):
        x = rng.integers(net.layers[0].vocabulary, size=x.shape).astype(float)
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
def test_a_recorded_backward_pass_gives_what_numpy_gives_each_time(name):
    objective, *held = drawn(network(name), runs=(2,))
    recording = Recording()
    g = backprop(objective, *(Recorded(recording, array) for array in held)).g
    for factor in (2, 0.25):  # of which tokens become other tokens, or none
        for array in held:
            array *= factor
        recording.repeat()
        np.testing.assert_allclose(g.array, backprop(objective, *held).g, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        ((3,), {"residual": [{"dense": 2}]}, r"residual: its layers make \(2,\) of samples of shape \(3,\): must keep"),
        ((3,), {"residual": []}, r"layer residual: layers=\[\]: must hold at least one layer"),
        ((3,), {"residual": ["flatten", "max_pool"]}, r"layer max_pool: samples of shape \(3,\): must be \(channels"),
        ((3,), {"attention": 3}, r"layer attention: samples of shape \(3,\): must be \(channels, length\)"),
        ((3, 2), {"attention": 2}, "layer attention: heads=2: must divide the 3 channels"),
        ((2, 3), {"embedding": {"vocabulary": 2, "width": 2}}, r"shape \(2, 3\): must be \(length,\) or \(1, length\)"),
        ((1, 4), {"conv2d": 2}, r"layer conv2d: samples of shape \(1, 4\): must be \(channels, rows, columns\)"),
        ((4,), "max_pool", r"max_pool: samples of shape \(4,\): must be \(channels, length\) or \(channels, rows, c"),
        ((1, 4, 4), {"mean_pool": 5}, "mean_pool: a window of 5 x 5 on 4 x 4 places with 0 x 0 zeros around them"),
        ((4,), {"conv1d": 2}, r"layer conv1d: samples of shape \(4,\): must be \(channels, length\)"),
        (
            (1, 4),
            {"conv1d": {"channels": 2, "width": 7, "padding": 1}},
            "layer conv1d: a window of 7 on 4 places with 2 zeros around them: must not be larger than both together",
        ),
    ],
)
def test_layers_refuse_samples_that_do_not_fit(shape, layer, message):
    with pytest.raises(ConfigError, match=message):
        Network.of(shape, [layer_of(layer)])


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


def undivided(self, params, cache, d_out, into, wanted):
    return self.windows.summed([as_places(d_out, self.windows)] * self.windows.taps)


def places_first(self, params, cache, d_out, into, wanted):
    *lead, rows, n = d_out.shape
    places = d_out.reshape(*lead, self.n_places, rows // self.n_places, n)
    return places.swapaxes(-3, -2).reshape(*lead, rows // self.n_places, -1)


def flipped(self, parts, summed=Windows.summed):
    return summed(self, parts[::-1])


def without_zeros(self, parts, summed=Windows.summed):
    return summed(replace(self, padding=tuple((0, sum(zeros)) for zeros in self.padding)), parts)


def mean_bias(self, params, cache, d_out, into, wanted, backward=Conv2d.backward):
    d_h = backward(self, params, cache, d_out, into, wanted)
    into["A"][..., -1, :] /= self.windows.n_out
    return d_h


def size_as_constant(self, params, cache, d_out, into, wanted, backward=RmsNorm.backward):
    backward(self, params, cache, d_out, into, wanted)
    return params["gamma"] * d_out * cache.rate


def over_samples(self, params, cache, d_out, into, wanted, backward=LayerNorm.backward):
    d_h = backward(self, params, cache, d_out, into, wanted)
    du = params["gamma"] * d_out
    away = du - du.mean(-1, keepdims=True) - cache.u * (du * cache.u).mean(-1, keepdims=True)
    return None if d_h is None else away * cache.rate


def around_forgotten(self, params, cache, d_out, into, wanted):
    return super(Residual, self).backward(params, cache, d_out, into, wanted)


def shares_as_constants(self, params, cache, d_out, into, wanted, backward=Heads.backward):
    return backward(self, params, cache._replace(q=0 * cache.q, k=0 * cache.k), d_out, into, wanted)


def scaled_once(self, params, cache, d_out, into, wanted, backward=Heads.backward):
    return backward(self, params, cache._replace(k=cache.k / self._scale), d_out, into, wanted)


def last_one_counts(self, params, cache, d_out, into, wanted, backward=Embedding.backward):
    backward(self, params, cache, d_out, into, wanted)
    for place in range(cache.shape[-1]):
        into["W"][cache[:, place] == 1] = d_out[:, place]


def mean_place(self, params, cache, d_out, into, wanted, backward=Embedding.backward):
    backward(self, params, cache, d_out, into, wanted)
    into["P"][...] /= d_out.shape[-1] // self.shape_in[-1]


MISTAKES = {  # a net, and a mistake in its backward pass that implementations have had
    "a convolution in place of a correlation": ("conv1d within", Windows, "summed", flipped),
    "zeros around the places forgotten": ("conv2d within", Windows, "summed", without_zeros),
    "the mean over places for a bias": ("conv2d first", Conv2d, "backward", mean_bias),
    "all places of a window get the gradient of its maximum": ("max_pool within", MaxPool, "backward", undivided),
    "not divided by the places of a window": ("mean_pool within", MeanPool, "backward", undivided),
    "the size of a sample taken as a constant": ("rms_norm within", RmsNorm, "backward", size_as_constant),
    "means over samples, as of a batch": ("layer_norm within", LayerNorm, "backward", over_samples),
    "the way around the layers forgotten": ("residual within", Residual, "backward", around_forgotten),
    "what a query sees taken as a constant": ("attention within", Heads, "backward", shares_as_constants),
    "queries not divided by the root of their size": ("attention within", Heads, "backward", scaled_once),
    "a token that is there twice counted once": ("embedding first", Embedding, "backward", last_one_counts),
    "the mean over samples for a place": ("embedding first", Embedding, "backward", mean_place),
    "places before channels": ("flatten within", Flatten, "backward", places_first),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_backward_pass_is_noticed(mistake, monkeypatch):
    net, owner, method, wrong = MISTAKES[mistake]
    monkeypatch.setattr(owner, method, wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_backward_agrees_with_central_differences(net)


def test_batch_statistics_within_residuals_are_handed_on_in_order():
    net = network("residual, batch_norm")
    objective, theta, x, y = drawn(net, n=6)
    of_batch = backprop(objective, theta, x, y).batch_stats
    assert of_batch.shape == (net.n_batch_stats,) == (18,) and net.first_batch_stats == ([0.0] * 3 + [1.0] * 3) * 3
    biased = of_batch.reshape(3, 2, 3) * np.array([1, 5 / 6])[:, None]  # variances of a batch are divided by n
    np.testing.assert_allclose(net.outputs(theta, x, biased.ravel()), net.outputs(theta, x), rtol=1e-12)


def test_weights_within_residuals_are_scaled_for_the_activation_after_them():
    net = network("residual")
    found = {(piece.name, piece.block): piece.following for piece in net.pieces() if piece.parameter.start == "weights"}
    tanh = ACTIVATIONS["tanh"]
    assert found[("1.W", 0)] is found[("3.0.W", 0)] is tanh
    assert found[("4.W", 0)] is None and found[("W", 0)] is None


@pytest.mark.parametrize("causal", [False, True])
def test_a_causal_place_does_not_see_what_comes_after_it(causal):
    net = Network.of((2, 4), [layer_of({"attention": {"heads": 2, "causal": causal}})])
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(net.n_params), rng.standard_normal((1, 2, 4))
    changed = x + np.array([0, 0, 1, 0])
    apart = np.abs(net.outputs(theta, changed.reshape(1, -1)) - net.outputs(theta, x.reshape(1, -1))).reshape(2, 4)
    assert (apart.max(0) > 0).tolist() == [not causal, not causal, True, True]


def test_attention_keeps_float32():
    objective, *arrays = drawn(network("attention"))
    theta, x, y = (array.astype(np.float32) for array in arrays)
    assert backprop(objective, theta, x, y).g.dtype == np.float32
    assert objective.value(theta, x, y)[0].dtype == np.float32


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_formula_of_the_paper_for_each_sample_head_and_query(causal):
    net = Network.of((4, 3), [layer_of({"attention": {"heads": 2, "causal": causal}})])
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(net.n_params), rng.standard_normal((5, 4, 3))
    (pieces,) = net.params(theta)
    found = np.empty_like(x)
    for i in range(5):
        q, k, v = np.split(pieces["qkv.W"].T @ x[i] + pieces["qkv.b"], 3)
        for t in range(3):
            seen = slice(0, t + 1 if causal else 3)
            for head in (slice(0, 2), slice(2, 4)):
                e = np.exp(k[head, seen].T @ q[head, t] / np.sqrt(2))
                found[i, head, t] = v[head, seen] @ (e / e.sum())
        found[i] = pieces["out.W"].T @ found[i] + pieces["out.b"]
    np.testing.assert_allclose(net.outputs(theta, x.reshape(5, -1)), found.reshape(5, -1).T, rtol=1e-12)


def test_an_embedding_gives_each_token_and_each_place_its_vector():
    net = Network.of((1, 3), [layer_of({"embedding": {"vocabulary": 4, "width": 2}})])
    theta = np.random.default_rng(0).standard_normal(net.n_params)
    ((W, P),) = net.in_order(net.params(theta))
    none = np.zeros(2)
    found = net.outputs(theta, np.array([[3.0, 0.0, 3.0], [4.0, 1.5, -1.0]])).T.reshape(2, 2, 3).mT
    np.testing.assert_array_equal(found, np.array([[W[3], W[0], W[3]], [none, none, none]]) + P)


@pytest.mark.parametrize("strange", [-1, 0.5, 4])
def test_an_embedding_refuses_data_of_which_any_part_holds_no_tokens(strange):
    x, y = np.array([[0, 3], [1, 2], [2, 0]]), np.arange(3.0)
    model = Layers(layers=[{"embedding": {"vocabulary": 4, "width": 2}}, "flatten", {"dense": 1}])
    parts = {"x_validation": x, "y_validation": y, "x_test": x, "y_test": y}
    given = {"task": "regression", "standardise": False, "standardise_target": False}
    assert dl.problem(dl.arrays(x, y, **parts, **given), model=model).n_params == 8 + 4 + 5
    for part in ("x_validation", "x_test"):
        with pytest.raises(ConfigError, match=f"a sample holds {strange:g}: must be whole numbers from 0 to 3"):
            dl.problem(
                dl.arrays(x, y, **parts | {part: np.array([[0, 1], [3, 1], [2, strange]])}, **given), model=model
            )
