"""Hill climbing: never up on full batches, keeps what lowers the loss, knows no optimizer."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from harness import choices, make_config, make_run, trained

from descent_lab.loops.rowwise import RowwiseObjective, rowwise
from descent_lab.training.trainer import train

SEARCH = ["backend=random_search"]
ARRAYS = ["jax", "numpy"]


@pytest.mark.parametrize("arrays", ARRAYS)
@pytest.mark.parametrize("dataset", ["gaussian", "polynomials", "sign"])
def test_full_batch_loss_never_goes_up(dataset, arrays):
    given = [f"dataset={dataset}", f"backend.arrays={arrays}", "lr=0.05", "epochs=150", "record.every=1"]
    losses = trained(*SEARCH, *given).curves["train/loss"]
    assert (np.diff(losses) <= 0).all() and losses[-1] < losses[0]
    assert (np.diff(losses) == 0).any()  # and proposals that would raise it were refused


def test_it_is_the_textbook_loop():
    """theta' = theta + lr N(0, 1), kept if the loss is lower than the best: written out, step by step."""
    run = make_run(*SEARCH, "backend.arrays=numpy", "dataset=product", "lr=0.1", "epochs=60", "record.every=1")
    data, value = run.problem.data, run.problem.objective.value
    stream = make_run(*SEARCH, "dataset=product").problem.streams.search
    theta, losses = run.problem.theta, []
    lowest = value(theta, data.x_train, data.y_train)[0]
    for _ in range(60):
        losses.append(lowest)
        proposal = theta + 0.1 * stream.standard_normal(theta.shape)
        loss = value(proposal, data.x_train, data.y_train)[0]
        if loss < lowest:
            theta, lowest = proposal, loss
    (outcome,) = train([run])
    np.testing.assert_allclose(outcome.theta["final"], theta, rtol=1e-13)
    np.testing.assert_allclose(outcome.curves["train/loss"], [*losses, lowest], rtol=1e-13)


@pytest.mark.parametrize(
    "given",
    [
        ["dataset=polynomials", "dataset.n_samples=50"],
        ["dataset=wine", "model.bias=false", "model.activation=tanh"],
        ["dataset=diabetes"],
        ["dataset=gaussian", "model.hidden=[5,5]"],
        ["dataset=iris", "model.hidden=[]"],
    ],
)
def test_the_unit_by_unit_form_is_the_same_objective(given):
    """What is compiled for small networks on full batches: the loss itself, and a whole search."""
    run = make_run(*SEARCH, *given)
    data, objective = run.problem.data, run.problem.objective
    form = rowwise(objective, run.problem.batches)
    assert type(form) is RowwiseObjective
    for scale in (1, 300):  # the latter with logits that overflow if they are not held back
        theta = scale * run.problem.theta
        value, batch_stats = form.value(jnp.asarray(theta), jnp.asarray(data.x_train), jnp.asarray(data.y_train))
        np.testing.assert_allclose(value, objective.value(theta, data.x_train, data.y_train)[0], rtol=1e-12)
        assert batch_stats is None
    ends = [trained(*SEARCH, *given, "epochs=80", f"backend.arrays={arrays}") for arrays in ARRAYS]
    np.testing.assert_allclose(*(outcome.theta["final"] for outcome in ends), rtol=1e-11)


@pytest.mark.parametrize("given", [["batching=minibatch"], ["model.hidden=[25,25]"], ["model.batch_norm=true"]])
def test_other_networks_and_batches_keep_the_form_they_have(given):
    run = make_run(*SEARCH, "dataset=iris", *given)
    assert rowwise(run.problem.objective, run.problem.batches) is run.problem.objective


def test_optimizers_share_one_identity():
    configs = [make_config(*SEARCH, f"optimizer={name}") for name in choices("optimizer")]
    assert {config.optimizer for config in configs} == {None}
    assert len({config.identity for config in configs}) == 1
    assert {config.params["optimizer"] for config in configs} == {"none"}
    assert len({config.lr for config in configs}) == 1  # its own, whatever the optimizer's


def test_array_libraries_do_not_share_an_identity():
    assert len({make_config(*SEARCH, f"backend.arrays={arrays}").identity for arrays in ARRAYS}) == 2


def test_it_records_no_gradient():
    assert "train/grad_norm" not in trained(*SEARCH, "epochs=2").curves
    assert "train/grad_norm" in trained("epochs=2").curves


@pytest.mark.parametrize("arrays", ARRAYS)
def test_an_infinite_start_ends_at_once(arrays):
    outcome = trained(
        *SEARCH, f"backend.arrays={arrays}", "init=normal", "init.std=1e200", "dataset=product", "epochs=5"
    )
    assert outcome.status == "diverged" and outcome.diverged_at == 0


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("", "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1048576"),
        ("--xla_cpu_multi_thread_eigen=false", "--xla_cpu_multi_thread_eigen=false --xla_backend_extra_options="),
        ("--xla_backend_extra_options=a=b", "--xla_backend_extra_options=a=b"),
    ],
)
def test_flags_of_ones_own_for_xla_are_kept(own, kept):
    code = "import os, descent_lab.derivatives.reverse; print(os.environ['XLA_FLAGS'])"
    environment = {**os.environ, "XLA_FLAGS": own}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    said = done.stdout.strip()
    assert said.startswith(kept) and said.count("extra_options") == 1
