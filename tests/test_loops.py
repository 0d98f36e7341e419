"""The eager loop: the recorded one's results to the bit, with `if`, print and breakpoint() in every line of a step."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from harness import backends_for, choices, every_backend, make_config, make_run

from descent_lab.derivatives.base import Derivatives, NumpyBackend
from descent_lab.errors import ConfigError
from descent_lab.loops.memory import activation_bytes
from descent_lab.optim.first_order import SGD
from descent_lab.sweeps.config import parse
from descent_lab.training.trainer import train

BATCHINGS = [
    ["dataset=gaussian", "model.hidden=[6,5]"],
    ["dataset=wine", "batching=minibatch", "batching.size=50"],
    ["dataset=product", "batching=online"],
]
OTHERS = [
    ["backend=numpy", "dataset=wine", "model.batch_norm=true", "batching=minibatch", "batching.size=50"],
    ["backend=numpy", "dataset=iris", "dtype=float32", "batching=minibatch", "batching.size=32"],
    ["backend=numpy", "dataset=line", "model=linear", "lr=1e6", "init=normal"],
    ["backend=taylor", "dataset=iris", "model.hidden=[4]", "batching=minibatch"],
    ["backend=taylor", "backend.order=2", "optimizer=newton", "dataset=product", "model.hidden=[3]"],
    ["backend=random_search", "backend.arrays=numpy", "dataset=wine", "model.batch_norm=true"],
]


def assert_equal_to_the_bit(words, n_runs):
    loops = [[*words, f"backend.loop={loop}", "epochs=8", "record.every=1"] for loop in ("recorded", "eager")]
    ends = [train([make_run(*overrides, f"seed={seed}") for seed in range(n_runs)]) for overrides in loops]
    for recorded, eager in zip(*ends, strict=True):
        assert (recorded.ended, recorded.diverged_at) == (eager.ended, eager.diverged_at)
        for name in recorded.curves.keys() - {"time/step_seconds"}:
            np.testing.assert_array_equal(recorded.curves[name], eager.curves[name], err_msg=name)
        for name, theta in recorded.theta.items():
            np.testing.assert_array_equal(theta, eager.theta[name])


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_every_optimizer_and_batching(optimizer, n_runs):
    if backends_for(optimizer)[0] != ("backend=numpy",):
        pytest.skip("not for the numpy backend")
    for given in BATCHINGS:
        assert_equal_to_the_bit(
            ["backend=numpy", f"optimizer={optimizer}", "optimizer.clip_norm=1.0", "schedule=cosine", *given], n_runs
        )


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_every_derivative(words, n_runs):
    assert_equal_to_the_bit(words, n_runs)


@dataclass(frozen=True, kw_only=True)
class Careful(SGD):
    """Halves the step where the gradient is long, prints how long it is, and stops a debugger there."""

    def update(self, g, state, theta, lr):
        length = float(np.sqrt((g * g).sum()))
        if length > 1:
            print(f"|g| = {length:.3f}")
            breakpoint()
            return -lr / 2 * g, state
        return -lr * g, state


def test_an_optimizer_may_look_at_values_in_the_eager_loop(capsys, monkeypatch):
    looked = []
    monkeypatch.setattr("sys.breakpointhook", lambda: looked.append(True))
    run = make_run("dataset=line", "model=linear", "lr=1e-5", "epochs=6", "backend.loop=eager")
    (outcome,) = train([replace(run, optimizer=Careful())])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(looked) == 6
    assert printed[0].startswith("|g| = ") and len(set(printed)) == 6
    losses = outcome.curves["train/loss"]
    assert losses[-1] < losses[0]
    recorded = make_run("dataset=line", "model=linear", "lr=1e-5", "epochs=6")
    with pytest.raises(TypeError, match=r"with backend\.loop=eager all of them work"):
        train([replace(recorded, optimizer=Careful())])


def test_a_compiled_search_has_no_eager_loop():
    with pytest.raises(ConfigError, match="loop=eager: is for numpy arrays") as refusal:
        make_config("backend=random_search", "backend.loop=eager")
    assert "\n" not in str(refusal.value)
    assert make_config("backend=random_search", "backend.arrays=numpy", "backend.loop=eager").backend.loop == "eager"
    with pytest.raises(ConfigError, match=r"backend\.loop=eager: must be 'compiled'"):
        make_config("backend=jax", "backend.loop=eager")


def test_runs_stored_without_a_loop_have_the_loop_they_were_trained_with():
    for words in every_backend():
        config = make_config(*words)
        stored = {name: value for name, value in config.values["backend"].items() if name != "loop"}
        assert parse({**config.values, "backend": stored}, config.choices).backend == config.backend


@dataclass(frozen=True, kw_only=True)
class CentralDifferences(NumpyBackend):
    """A backend of somebody's own: derivatives from values, one parameter after the other."""

    h: float = 1e-5
    order = 1

    def step_bytes(self, objective, n, itemsize):
        return activation_bytes(objective, n, itemsize)

    def cost(self, objective, n, order):
        return 2 * objective.network.n_params * objective.network.forward_products / objective.network.gradient_products

    def differentiate(self, objective, theta, x, y):
        value = objective.value(theta, x, y)
        steps = self.h * np.eye(theta.shape[-1])
        above, below = ([objective.value(theta + sign * step, x, y)[0] for step in steps] for sign in (1, -1))
        return Derivatives(value[0], (np.stack(above, -1) - np.stack(below, -1)) / (2 * self.h), None, value[1])


@pytest.mark.parametrize("loop", ["recorded", "eager"])
def test_a_backend_of_ones_own_says_only_how_to_differentiate(loop):
    run = make_run("dataset=product", "model.hidden=[3]", "model.activation=tanh", "epochs=5", "optimizer=adam")
    ours, numpy = (
        train([replace(run, backend=backend)])[0] for backend in (CentralDifferences(loop=loop), run.backend)
    )
    np.testing.assert_allclose(ours.curves["train/loss"], numpy.curves["train/loss"], rtol=1e-6)
    np.testing.assert_allclose(ours.curves["train/grad_norm"], numpy.curves["train/grad_norm"], rtol=1e-6)
    assert ours.gradient_equivalents > 10 * numpy.gradient_equivalents
