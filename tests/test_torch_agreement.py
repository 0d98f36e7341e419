"""Optimizers and schedules against PyTorch's, where PyTorch is installed (it is no dependency)."""

import inspect
import itertools
from pathlib import Path

import numpy as np
import pytest
from harness import read_choice

from descent_lab import optim as optimizers
from descent_lab.derivatives.backprop import backprop
from descent_lab.nn import activations
from descent_lab.nn.layers.written import layer_of
from descent_lab.nn.losses import MeanSquaredError
from descent_lab.nn.network import Network
from descent_lab.optim import schedules
from descent_lab.problems.objective import Objective

torch = pytest.importorskip("torch")
from torch import optim  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402

CONF = Path(__file__).parent.parent / "conf"
N_STEPS, N_PARAMS = 300, 20


def sgd(o):
    return {}


def momentum(o):
    return {"momentum": o.mu}


def adagrad(o):
    return {"lr_decay": o.lr_decay, "initial_accumulator_value": o.initial_accumulator, "eps": o.eps}


def rmsprop(o):
    return {"alpha": o.alpha, "eps": o.eps, "momentum": o.mu, "centered": o.centered}


def adadelta(o):
    return {"rho": o.rho, "eps": o.eps}


def adam(o):
    return {"betas": (o.beta1, o.beta2), "eps": o.eps}


def nadam(o):
    return adam(o) | {"momentum_decay": o.momentum_decay}


# name: PyTorch's class, its arguments from ours, its switches, and what else of ours to try
PAIRS = {
    "sgd": (optim.SGD, sgd, {}, {}),
    "momentum": (optim.SGD, momentum, {}, {"mu": 0.7}),
    "nesterov": (optim.SGD, momentum, {"nesterov": True}, {"mu": 0.7}),
    "adagrad": (optim.Adagrad, adagrad, {}, {"lr_decay": 0.1, "initial_accumulator": 0.5, "eps": 1e-3}),
    "rmsprop": (optim.RMSprop, rmsprop, {}, {"alpha": 0.8, "eps": 1e-3, "mu": 0.7, "centered": True}),
    "adadelta": (optim.Adadelta, adadelta, {}, {"rho": 0.7, "eps": 1e-3}),
    "adam": (optim.Adam, adam, {}, {"beta1": 0.7, "beta2": 0.8, "eps": 1e-3}),
    "amsgrad": (optim.Adam, adam, {"amsgrad": True}, {"beta1": 0.7, "beta2": 0.8, "eps": 1e-3}),
    "adamw": (optim.AdamW, adam, {}, {"beta1": 0.7, "beta2": 0.8, "eps": 1e-3}),
    "nadam": (
        optim.NAdam,
        nadam,
        {},
        {"beta1": 0.7, "beta2": 0.8, "eps": 1e-3, "momentum_decay": 0.1},
    ),
}
SHARED = [
    {},
    {"weight_decay": 0.1},
    {"clip_value": 0.5},
    {"clip_norm": 1.0},
    {"weight_decay": 0.1, "clip_value": 0.5, "clip_norm": 1.0},
]


def read(name):
    values = read_choice("optimizer", name)
    kind = values["optimizer"].pop("_target_").rpartition(".")[2]
    return getattr(optimizers, kind), values["optimizer"], values["lr"]


def torch_path(theta, gradients, ours, pair, lr):
    kind, arguments, switches, _ = pair
    p = torch.nn.Parameter(torch.tensor(theta))
    theirs = kind([p], lr=lr, weight_decay=ours.weight_decay, **arguments(ours), **switches)
    for g in gradients:
        p.grad = torch.tensor(g)
        if ours.clip_value is not None:
            torch.nn.utils.clip_grad_value_([p], ours.clip_value)
        if ours.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([p], ours.clip_norm)
        theirs.step()
        yield p.detach().numpy().copy()


@pytest.fixture
def float64_counters():
    """PyTorch keeps NAdam's product of momenta in its default dtype, whatever that of the parameters."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("float64_counters")
@pytest.mark.parametrize(("name", "shared", "tried"), list(itertools.product(PAIRS, SHARED, ["defaults", "others"])))
def test_optimizer_follows_torch(name, shared, tried):
    kind, values, lr = read(name)
    ours = kind(**values | shared | (PAIRS[name][3] if tried == "others" else {}))
    rng = np.random.default_rng(1)
    theta, gradients = rng.normal(size=N_PARAMS), rng.normal(size=(N_STEPS, N_PARAMS))
    expected = list(torch_path(theta, gradients, ours, PAIRS[name], lr))
    state = ours.init(theta)
    for g, there in zip(gradients, expected, strict=True):
        step, state = ours.step(g, state, theta, lr)
        theta = theta + step
        np.testing.assert_allclose(theta, there, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_those_of_torch(name):
    """But for momentum and nesterov, whose mu of 0 in PyTorch would make them sgd."""
    kind, values, lr = read(name)
    theirs, arguments, _, _ = PAIRS[name]
    defaults = inspect.signature(theirs).parameters
    ours = arguments(kind(**values)) | {"lr": lr, "weight_decay": values["weight_decay"]}
    if theirs is optim.SGD:
        ours.pop("momentum", None)
    assert ours == {argument: defaults[argument].default for argument in ours}


def warmup_cosine(optimizer, warmup_epochs, n):
    parts = [
        lr_scheduler.LinearLR(optimizer, 1 / 3, total_iters=warmup_epochs),
        lr_scheduler.CosineAnnealingLR(optimizer, n - warmup_epochs, eta_min=0.1 * 0.5),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [warmup_epochs])


def warmup_linear(optimizer, warmup, n):
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warmup),
        lr_scheduler.LinearLR(optimizer, 1.0, 0.2, total_iters=n - warmup),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [warmup])


def warmup_stable_decay(optimizer, warmup, decay, n):
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warmup),
        lr_scheduler.ConstantLR(optimizer, 1.0),
        lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=decay),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [warmup, n - decay])


def one_cycle(optimizer, rise, n):
    """Its last rate is that of step n here, and of the step before in PyTorch."""
    return lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=n + 1, pct_start=(rise + 1) / (n + 1), cycle_momentum=False
    )


SCHEDULES = [
    (schedules.Constant(), lambda o, n: lr_scheduler.ConstantLR(o, factor=1.0)),
    (schedules.Step(size=7, gamma=0.3), lambda o, n: lr_scheduler.StepLR(o, 7, 0.3)),
    (schedules.Exponential(gamma=0.95), lambda o, n: lr_scheduler.ExponentialLR(o, 0.95)),
    (schedules.Cosine(final=0.0), lambda o, n: lr_scheduler.CosineAnnealingLR(o, n)),
    (schedules.Cosine(final=0.1), lambda o, n: lr_scheduler.CosineAnnealingLR(o, n, eta_min=0.1 * 0.5)),
    (schedules.Warmup(start=1 / 3, warmup_epochs=5), lambda o, n: lr_scheduler.LinearLR(o)),
    (schedules.Warmup(start=0.2, warmup_epochs=9), lambda o, n: lr_scheduler.LinearLR(o, 0.2, total_iters=9)),
    (
        schedules.WarmupCosine(start=1 / 3, warmup_epochs=5, final=0.1),
        lambda o, n: warmup_cosine(o, 5, n),
    ),
    (schedules.Cosine(warmup=0.05, start=1 / 3, final=0.1), lambda o, n: warmup_cosine(o, 5, n)),
    (schedules.Linear(), lambda o, n: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=n)),
    (schedules.Linear(warmup=0.2, final=0.2), lambda o, n: warmup_linear(o, 20, n)),
    (schedules.Polynomial(power=1.7), lambda o, n: lr_scheduler.PolynomialLR(o, n, 1.7)),
    (schedules.OneCycle(warmup=0.3), lambda o, n: one_cycle(o, 30, n)),
    (schedules.WarmupStableDecay(), lambda o, n: warmup_stable_decay(o, 5, 20, n)),
    (schedules.WarmRestarts(), lambda o, n: lr_scheduler.CosineAnnealingWarmRestarts(o, 10)),
    (
        schedules.WarmRestarts(cycle_epochs=3, growth=2, final=0.1),
        lambda o, n: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.1 * 0.5),
    ),
]


# SequentialLR still passes an epoch to its parts, which PyTorch itself deprecates.
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@pytest.mark.parametrize(("ours", "build"), SCHEDULES, ids=[repr(ours) for ours, _ in SCHEDULES])
def test_schedule_follows_torch(ours, build):
    n = 100
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = build(optimizer, n)
    for k in range(n):
        assert 0.5 * ours.factor(k, n) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_restarts_by_step_follow_torch():
    """PyTorch counts parts of epochs in this schedule, too."""
    ours = schedules.WarmRestarts(cycle_epochs=3, growth=2)
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2)
    optimizer.step()
    for t in range(7 * 50):
        theirs.step(t / 7)
        assert 0.5 * ours.factor(t // 7 + t % 7 / 7, 50) == pytest.approx(theirs.get_last_lr()[0], rel=1e-11)


PLATEAUS = [
    {},
    {"gamma": 0.5, "patience": 2, "threshold": 0.1, "cooldown": 3, "final": 0.3},
    {"patience": 0, "gamma": 0.9},
]


@pytest.mark.parametrize("changes", PLATEAUS)
def test_reduce_on_plateau_follows_torch(changes):
    ours = schedules.ReduceOnPlateau(**changes)
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=ours.gamma,
        patience=ours.patience,
        threshold=ours.threshold,
        cooldown=ours.cooldown,
        min_lr=0.5 * ours.final,
        eps=0,
    )
    rng = np.random.default_rng(1)
    losses = np.exp(-np.arange(300) / 100) * rng.uniform(0.9, 1.1, 300)
    state = ours.init(losses[:1])
    for loss in losses:
        assert 0.5 * ours.feedback(state)[0] == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        theirs.step(loss)
        state = ours.observe(np.array([loss]), state)


@pytest.mark.parametrize(
    ("kind", "theirs", "names"),
    [
        (schedules.Cosine, lr_scheduler.CosineAnnealingLR, {"final": "eta_min"}),
        (schedules.Warmup, lr_scheduler.LinearLR, {"start": "start_factor", "warmup_epochs": "total_iters"}),
        (schedules.WarmRestarts, lr_scheduler.CosineAnnealingWarmRestarts, {"growth": "T_mult", "final": "eta_min"}),
        (schedules.OneCycle, lr_scheduler.OneCycleLR, {"warmup": "pct_start"}),
        (
            schedules.ReduceOnPlateau,
            lr_scheduler.ReduceLROnPlateau,
            {"gamma": "factor", "patience": "patience", "threshold": "threshold", "cooldown": "cooldown"},
        ),
    ],
)
def test_defaults_of_schedules_are_those_of_torch(kind, theirs, names):
    defaults = inspect.signature(theirs).parameters
    ours = kind()
    assert {name: getattr(ours, name) for name in names} == {name: defaults[t].default for name, t in names.items()}


def torch_layer(layer, pieces):
    """PyTorch's layer with the same options and weights. W is (channels_in taps, channels) here."""
    if layer.kind == "flatten":
        return torch.nn.Flatten()
    if layer.kind == "activate":
        return torch.nn.Tanh()
    if layer.kind == "dense":
        theirs, W = torch.nn.Linear(*pieces["W"].shape), pieces["W"].T
    elif layer.kind in ("conv1d", "conv2d"):
        kind = torch.nn.Conv1d if layer.kind == "conv1d" else torch.nn.Conv2d
        theirs = kind(layer.shape_in[0], layer.channels, layer.window, layer.steps, layer.padding)
        W = pieces["W"].T.reshape(theirs.weight.shape)
    else:
        kinds = {
            "max_pool": [torch.nn.MaxPool1d, torch.nn.MaxPool2d],
            "mean_pool": [torch.nn.AvgPool1d, torch.nn.AvgPool2d],
        }
        return kinds[layer.kind][len(layer.shape_in) - 2](layer.size, layer.stride)
    theirs.weight.data, theirs.bias.data = torch.tensor(W.copy()), torch.tensor(pieces["b"][:, 0].copy())
    return theirs


ACTIVATIONS = {
    "relu": torch.nn.ReLU(),
    "sigmoid": torch.nn.Sigmoid(),
    "tanh": torch.nn.Tanh(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "elu": torch.nn.ELU(),
    "gelu": torch.nn.GELU(),
    "gelu_tanh": torch.nn.GELU(approximate="tanh"),
    "silu": torch.nn.SiLU(),
    "softplus": torch.nn.Softplus(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_derivatives_are_those_of_torch(name):
    """At 0 too. From 20 on, torch's softplus gives z itself, which is less by up to e^-20."""
    ours, z = activations.ACTIVATIONS[name], torch.linspace(-19, 19, 77, dtype=torch.float64, requires_grad=True)
    theirs = ACTIVATIONS[name](z)
    theirs.sum().backward()
    values = z.detach().numpy()
    a = ours.f(values)
    np.testing.assert_allclose(a, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours.df(values, a), z.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "leaky_relu"])  # torch knows no others of ours
def test_gains_are_those_of_torch(name):
    assert activations.ACTIVATIONS[name].gain == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)


CONVOLUTIONS = {
    "sequences": (
        (2, 11),
        [
            {"conv1d": {"channels": 4, "width": 3, "padding": 1}},
            "tanh",
            {"max_pool": {"size": 3, "stride": 2}},
            {"conv1d": {"channels": 3, "width": 2, "stride": 2, "padding": "valid"}},
            {"mean_pool": 2},
        ],
    ),
    "pictures": (
        (2, 7, 6),
        [
            {"conv2d": {"channels": 4, "size": [3, 2], "padding": "same"}},
            {"max_pool": 2},
            {"conv2d": {"channels": 3, "size": 2, "stride": [2, 1], "padding": 1}},
            "tanh",
            {"mean_pool": {"size": 2, "stride": 1}},
        ],
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # that it copies
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_pooling_follow_torch(name):
    shape, layers = CONVOLUTIONS[name]
    network = Network.of(shape, [layer_of(layer) for layer in (*layers, "flatten", {"dense": 3})])
    rng = np.random.default_rng(0)
    theta, x, y = rng.normal(size=network.n_params), rng.normal(size=(5, network.n_features)), rng.normal(size=(5, 3))
    theirs = torch.nn.Sequential(*map(torch_layer, network.layers, network.params(theta)))
    loss = torch.nn.functional.mse_loss(theirs(torch.tensor(x.reshape(5, *shape))), torch.tensor(y))
    loss.backward()
    ours = backprop(Objective(network, MeanSquaredError("identity"), "regression"), theta, x, y)
    assert ours.loss == pytest.approx(loss.item(), rel=1e-13)
    gradients = [layer for layer in theirs if hasattr(layer, "weight")]
    expected = [part for layer in gradients for part in (layer.weight.grad.flatten(1).T.ravel(), layer.bias.grad)]
    np.testing.assert_allclose(ours.g, torch.cat(expected).numpy(), rtol=1e-11, atol=1e-14)


def torch_output(layer, pieces, h):
    """PyTorch's output (n, places, channels) of a layer of ours, with these pieces of theta, for h of such a shape."""
    from torch.nn import functional

    width = (h.shape[-1],)
    if layer.kind == "activate":
        return torch.tanh(h)
    if layer.kind == "dense":
        return functional.linear(h, pieces["W"].T, pieces["b"][:, 0])
    if layer.kind == "layer_norm":
        return functional.layer_norm(h, width, pieces["gamma"][:, 0], pieces["beta"][:, 0])
    if layer.kind == "residual":
        return h + torch_chain(layer, pieces, h)
    if layer.kind == "embedding":
        return functional.embedding(h[..., 0].long(), pieces["W"]) + pieces["P"]
    if layer.kind == "attention":
        return torch_attention(layer, pieces, h.transpose(0, 1)).transpose(0, 1)
    assert layer.kind == "rms_norm"
    return functional.rms_norm(h, width, pieces["gamma"][:, 0], 1e-5)


def torch_attention(layer, pieces, h):
    """h: (places, n, channels). The function is that of torch.nn.MultiheadAttention."""
    length, channels = h.shape[0], h.shape[-1]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1) if layer.causal else None
    (W, b), (W_out, b_out) = ((pieces[f"{part}.W"].T, pieces[f"{part}.b"][:, 0]) for part in ("qkv", "out"))
    return torch.nn.functional.multi_head_attention_forward(
        *(h, h, h, channels, layer.heads, W, b, None, None, False, 0.0, W_out, b_out),
        need_weights=False,
        attn_mask=hidden,
    )[0]


def torch_chain(layer, pieces, h):
    for at, inner in layer.inner.items():
        own = {name.removeprefix(f"{at}."): piece for name, piece in pieces.items() if name.startswith(f"{at}.")}
        h = torch_output(inner, own, h)
    return h


SEQUENCES = {
    "attention": ((4, 5), [{"attention": 2}, "tanh", {"attention": {"heads": 4, "causal": True}}, {"dense": 2}]),
    "embedding": ((1, 4), [{"embedding": {"vocabulary": 3, "width": 2}}, "tanh", {"dense": 2}]),
    "layer_norm": ((3, 4), ["layer_norm", {"dense": 5}, "tanh", "layer_norm", {"dense": 2}]),
    "residual": ((3, 4), [{"residual": ["layer_norm", {"dense": 5}, "tanh", {"dense": 3}]}, "tanh", {"dense": 2}]),
    "rms_norm": ((3, 4), ["rms_norm", {"dense": 5}, "tanh", "rms_norm", {"dense": 2}]),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_layers_of_sequences_follow_torch(name):
    shape, layers = SEQUENCES[name]
    network = Network.of(shape, [layer_of(layer) for layer in layers])
    rng = np.random.default_rng(0)
    theta, x, y = (rng.normal(size=size) for size in (network.n_params, (5, *shape), (5, network.n_outputs)))
    if name == "embedding":
        x = rng.integers(network.layers[0].vocabulary, size=x.shape).astype(float)
    theirs, h = torch.tensor(theta, requires_grad=True), torch.tensor(x).mT
    for layer, pieces in zip(network.layers, network.params(theirs), strict=True):
        h = torch_output(layer, pieces, h)
    loss = torch.nn.functional.mse_loss(h.mT.flatten(1), torch.tensor(y))
    loss.backward()
    ours = backprop(Objective(network, MeanSquaredError("identity"), "regression"), theta, x.reshape(5, -1), y)
    assert ours.loss == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(ours.g, theirs.grad.numpy(), rtol=1e-11, atol=1e-14)
