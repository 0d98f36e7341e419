"""Contract 1: from one identity, every gradient backend follows the same trajectory; every search its twin's."""

from dataclasses import dataclass, replace
from itertools import cycle, product
from math import ceil

import numpy as np
import pytest
from harness import backend_of, backends_for, choices, every_backend, make_run

from descent_lab.nn.initialisers import Initialiser
from descent_lab.training.trainer import train

STEPS = 200
TOLERANCE = 1e-10
SLOWER = {"line": 0.01, "plane": 0.01, "space": 0.01}  # times lr: raw features up to 9, targets up to 122
SMALLER = {  # of the larger data sets and networks enough is left, so that every backend is quick, Hessians too
    "digits": ("dataset.test_fraction=0.96", "model.hidden=[2]"),
    "breast_cancer": ("dataset.test_fraction=0.9", "model.hidden=[3]"),
    "diabetes": ("dataset.test_fraction=0.9", "model.hidden=[4]"),
    "gaussian": ("dataset.test_fraction=0.8", "model.hidden=[5,4]"),
    "polynomials": ("dataset.n_samples=4", "model.hidden=[3]"),
    "mnist1d": ("dataset.n_samples=100", "dataset.test_fraction=0.6", "model.hidden=[2]"),
}


def turns(*groups):
    """The choices of groups, each again and again."""
    return [cycle(choices(group)) for group in groups]


def covering():
    """(dataset, optimizer, batching, init, schedule): every choice of each at least once."""
    length = max(len(choices(group)) for group in ("dataset", "optimizer", "batching", "init", "schedule"))
    rest = [cycle(reversed(choices("optimizer"))), *turns("batching", "init", "schedule")]
    return [names for _, *names in zip(range(length), cycle(choices("dataset")), *rest, strict=False)]


def everything():
    """Every data set x optimizer x batching; init and schedule in turn."""
    grid = product(*(choices(group) for group in ("dataset", "optimizer", "batching")))
    return [[*names, *rest] for names, *rest in zip(grid, *turns("init", "schedule"), strict=False)]


def pairs(sample):
    """Each combination with the backend to start from and another one that its optimizer goes with."""
    return [
        pytest.param(names, first, other, id="-".join([*names, "".join(other)]))
        for names in sample
        for first, *others in [backends_for(names[1])]
        for other in others
    ]


def run_of(dataset, optimizer, batching, init, schedule):
    """A run of at least STEPS steps on that combination; minibatches are three, the last one smaller."""
    given = [f"dataset={dataset}", f"optimizer={optimizer}", f"init={init}", f"schedule={schedule}", "record.points=60"]
    run = make_run(
        *given, *SMALLER.get(dataset, ()), *backends_for(optimizer)[0], f"batching={batching}", "batching.size=1"
    )
    n = len(run.problem.data.x_train)
    size = {"minibatch": n // 3 + 1, "online": 1}.get(batching, n)
    batches = replace(run.problem.batches, size=size, shuffle=batching == "minibatch")
    epochs = ceil(STEPS / batches.per_epoch)
    return replace(
        run, problem=replace(run.problem, batches=batches), epochs=epochs, lr=run.lr * SLOWER.get(dataset, 1)
    )


def held(optimizer, batching):
    """How many steps are compared. Newton's steps on parts of the data are chaotic: rounding grows e-fold in a few."""
    return 25 if optimizer == "newton" and batching != "full" else STEPS


def trajectory(run, backend=None, steps_held=STEPS):
    """Recorded steps, training losses (n_records,) and theta with its statistics (n_records, n) of a run."""
    run = run if backend is None else replace(run, backend=backend_of(backend))
    states = {}
    (outcome,) = train([run], lambda recorder: states.update({recorder.steps[-1]: recorder.last[0].copy()}))
    steps = [t for t in outcome.curves["step"].tolist() if 0 < t <= steps_held]
    assert outcome.status == "finished" and steps[-1] > steps_held / 2
    return steps, outcome.curves["train/loss"][: len(steps) + 1], np.array([states[t] for t in steps])


def apart(one, other):
    """Relative distance of losses and of theta (to its largest component) at every record, step 0 of the losses too."""
    (steps, losses, thetas), (other_steps, other_losses, other_thetas) = one, other
    assert steps == other_steps
    off = np.abs(losses - other_losses) / np.maximum(np.abs(losses), np.finfo(float).tiny)
    far = np.abs(thetas - other_thetas).max(-1) / np.maximum(np.abs(thetas).max(-1), np.finfo(float).tiny)
    return off, far


def assert_same(one, other, nudged=None, tolerance=TOLERANCE):
    """Within the tolerance; or, given the same run nudged, within 1,000 times what a rounding at the start grows to."""
    own = (0, 0) if nudged is None else (np.maximum.accumulate(np.minimum(d, 1)) for d in apart(one, nudged))
    for name, distance, grown in zip(("train/loss", "theta"), apart(one, other), own, strict=True):
        excess = distance / np.maximum(tolerance, 1000 * grown)
        assert excess.max() < 1, f"{name} off by {distance[excess.argmax()]:.1e} at record {excess.argmax()}"


@dataclass(frozen=True)
class Nudged:
    """Another initialiser's start, off by about one rounding."""

    init: Initialiser

    def theta(self, network, stream):
        theta = self.init.theta(network, stream)
        noise = np.random.default_rng(0).standard_normal(theta.shape)
        return theta + 1e-16 * np.maximum(np.abs(theta), 0.1) * noise


def nudge(run):
    return replace(run, problem=replace(run.problem, init=Nudged(run.problem.init)))


@pytest.mark.parametrize(("names", "first", "other"), pairs(covering()))
def test_trajectories_agree(names, first, other):
    steps = held(*names[1:3])
    assert_same(trajectory(run_of(*names), first, steps), trajectory(run_of(*names), other, steps))


@pytest.mark.slow
@pytest.mark.parametrize(("names", "first", "other"), pairs(everything()))
def test_trajectories_agree_in_every_combination(names, first, other):
    """Where a trajectory is chaotic, or a gradient is nothing but rounding, no more can be asked than of itself.

    `sign` has raw features up to 50: its predictions become certain, and p - y a difference of nearly equal numbers,
    whose rounding an optimizer that divides by the size of the gradient (rmsprop, nadam) magnifies at every step.
    """
    nudged = trajectory(nudge(run_of(*names)), first)
    tolerance = 1e-7 if names[0] == "sign" else TOLERANCE
    assert_same(trajectory(run_of(*names), first), trajectory(run_of(*names), other), nudged, tolerance)


MODELS = [
    ["dataset=iris", "model=conv1d", "model.channels=[3]", "model.stride=1", "model.pooling=max", "model.padding=2"],
    [
        "dataset=digits",
        "dataset.test_fraction=0.96",
        "model=cnn",
        "model.channels=[2]",
        "model.stride=2",
        "init=xavier",
    ],
    [
        "dataset=iris",
        "model=layers",
        "model.layers=[{dense: 4}, {residual: [layer_norm, batch_norm, tanh, {dense: 4}]}, rms_norm, {dense: 3}]",
    ],
    [
        "dataset=mnist1d",
        "dataset.n_samples=100",
        "dataset.test_fraction=0.6",
        "model=layers",
        "model.layers=[{conv1d: {channels: 2, stride: 8}}, {residual: [{attention: 2}]}, mean_pool, {dense: 10}]",
    ],
    [
        "dataset=space",
        "lr=0.0001",
        "model=layers",
        "model.layers=[{embedding: {vocabulary: 50, width: 4}}, {residual: [{attention: 2}]}, flatten, {dense: 1}]",
    ],
    ["dataset=polynomials", "dataset.n_samples=4", "model.batch_norm=true", "batching=minibatch"],
    ["dataset=sign", "model.loss=mse", "model.output=tanh", "optimizer.clip_norm=0.1"],
    ["dataset=product", "model=linear", "optimizer.clip_value=0.05"],
    ["dataset=iris", "model.loss=mse", "model.output=sigmoid", "optimizer.weight_decay=0.1", "model.bias=false"],
    *(
        [
            "dataset=iris",
            "init=he",
            "model=layers",
            f"model.layers=[{{dense: 4}}, {a}, {{dense: 4}}, {b}, {{dense: 3}}]",
        ]
        for a, b in (("leaky_relu", "gelu"), ("elu", "silu"), ("gelu_tanh", "softplus"))
    ),
    ["model.hidden=[5]", "optimizer=rmsprop", "optimizer.centered=true", "optimizer.mu=0.5", "stream=legacy"],
]


@pytest.mark.parametrize("backend", backends_for()[1:], ids=" ".join)
@pytest.mark.parametrize("given", MODELS, ids=" ".join)
def test_trajectories_agree_whatever_the_model(given, backend):
    given = [*given, "epochs=200", "record.points=20"]
    assert_same(trajectory(make_run(*given)), trajectory(make_run(*given), backend))


@pytest.mark.parametrize("batching", ["full", "minibatch"])
def test_random_search_is_the_same_on_both_array_libraries(batching):
    given = ["backend=random_search", "dataset=polynomials", f"batching={batching}", "epochs=200"]
    first, other = (b for b in every_backend() if "backend=random_search" in b)
    assert_same(trajectory(make_run(*given), first), trajectory(make_run(*given), other))


def test_every_choice_is_covered():
    for place, group in enumerate(("dataset", "optimizer", "batching", "init", "schedule")):
        assert {names[place] for names in covering()} == set(choices(group))


def test_the_comparison_notices_a_small_difference():
    run = make_run("dataset=product", "epochs=200")
    with pytest.raises(AssertionError, match="off by"):
        assert_same(trajectory(run), trajectory(replace(make_run("dataset=product", "epochs=200"), lr=0.001000001)))
