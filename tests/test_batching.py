"""Batches hold every sample exactly once per epoch, in the drawn order. A smaller last batch counts by its own mean."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from harness import backends_for, every_backend, make_config, make_run, trained, workload_of
from hypothesis import given, settings
from hypothesis import strategies as st

from descent_lab.data.batching import Batches, Batching, batches, orders
from descent_lab.derivatives.backprop import backprop
from descent_lab.derivatives.base import Backend
from descent_lab.loops.compiled import CompiledLoop
from descent_lab.loops.eager import EagerLoop
from descent_lab.loops.recorded import RecordedLoop
from descent_lab.nn.network import mlp
from descent_lab.problems.supervised import Problem
from descent_lab.seeding import streams
from descent_lab.training.trainer import train

SIZES = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


class Count:
    """An update that takes no step but adds up the samples it is given; samples are rows of a unit matrix."""

    def start(self, theta, x, y):
        return theta[..., 0] * 0

    def metrics(self, opt_state):
        return {}

    def gradient(self, theta, x, y):
        return None

    def step(self, carry, x, y, lr, direction):
        return carry._replace(theta=carry.theta + x.sum(axis=-2)), x.sum(axis=(-2, -1))


@dataclass(frozen=True)
class Counting(Backend):
    """A backend that counts samples in one of the loops."""

    make_loop: Callable
    order = 1
    stack_runs = 1

    def step_bytes(self, objective, n, itemsize):
        return 0

    def cost(self, objective, n, order):
        return 0.0

    def prepare(self, workload):
        return self.make_loop(workload)


RECORDED = Counting(lambda workload: RecordedLoop(workload, lambda optimizer: Count()))
EAGER = Counting(lambda workload: EagerLoop(workload, lambda optimizer: Count()))
COMPILED = Counting(lambda workload: CompiledLoop(workload, lambda optimizer: Count()))


def runs_that_count(backend, n, size, shuffle, n_runs=2, epochs=3):
    """Runs whose theta counts how often each of n samples has been used; it is recorded after every step."""
    run = make_run("dataset=line", "model=linear", "record.every=1")
    objective = replace(run.problem.objective, network=mlp((n, 1), "identity", bias=False))
    x, y = np.eye(n), np.zeros((n, 1))
    data = replace(run.problem.data, x_train=x, y_train=y, x_test=x, y_test=y)
    cut = Batches(n, size, shuffle and size < n)
    zeros = make_config("init=zeros").init
    problems = [Problem(data, objective, cut, zeros, streams(seed)) for seed in range(n_runs)]
    return [replace(run, problem=problem, backend=backend, epochs=epochs) for problem in problems]


def check_counts(runs):
    """After e epochs every sample has been used e times, and within an epoch none was used twice."""
    counts, cut = {}, runs[0].problem.batches
    train(runs, lambda recorder: counts.update({recorder.steps[-1]: recorder.last.copy()}))
    assert max(counts) == 3 * cut.per_epoch
    for t in range(1, max(counts) + 1):
        epoch, _, stop = cut.place(t - 1)
        assert counts[t].min() >= epoch and counts[t].max() <= epoch + 1
        np.testing.assert_array_equal(counts[t].sum(-1), epoch * cut.n + stop)
    np.testing.assert_array_equal(counts[max(counts)], 3)


@pytest.mark.parametrize("backend", [RECORDED, EAGER], ids=["recorded", "eager"])
@settings(max_examples=60, deadline=None)
@given(pair=SIZES, shuffle=st.booleans())
def test_every_sample_once_per_epoch_for_any_size(backend, pair, shuffle):
    check_counts(runs_that_count(backend, *pair, shuffle))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n", "size"), [(7, 1), (7, 3), (7, 7), (8, 4)])
def test_every_sample_once_per_epoch_when_compiled(n, size, shuffle):
    check_counts(runs_that_count(COMPILED, n, size, shuffle))


def test_counting_notices_a_lost_sample():
    class Lossy(Count):
        def step(self, carry, x, y, lr, direction):
            return super().step(carry, x[:, :2], y, lr, direction)

    lossy = Counting(lambda workload: RecordedLoop(workload, lambda optimizer: Lossy()))
    with pytest.raises(AssertionError):
        check_counts(runs_that_count(lossy, 7, 3, shuffle=False))


@given(SIZES)
def test_sizes_add_up(pair):
    n, size = pair
    cut = Batches(n, size, False)
    places = [cut.place(t) for t in range(2 * cut.per_epoch)]
    lengths = [stop - start for _, start, stop in places]
    assert sum(lengths) == 2 * n and lengths[-1] == cut.last_size and set(lengths[:-1]) <= {size, cut.last_size}
    assert [epoch for epoch, _, _ in places] == [0] * cut.per_epoch + [1] * cut.per_epoch


@pytest.mark.parametrize("n", [1, 2, 13])
def test_orders_are_permutations_that_differ_from_epoch_to_epoch(n):
    drawn = orders(np.random.default_rng(0), n, 20)
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(n), (20, 1)))
    assert n < 3 or len(np.unique(drawn, axis=0)) > 10


@pytest.mark.parametrize("backend", backends_for(), ids=" ".join)
def test_the_last_smaller_batch_is_a_mean_over_its_own_samples(backend):
    overrides = ["dataset=product", "batching=minibatch", "batching.size=4", "batching.shuffle=false"]
    run = make_run(*overrides, *backend, "optimizer=sgd", "lr=0.1", "epochs=1")
    (outcome,) = train([run])
    x, y, theta = run.problem.data.x_train, run.problem.data.y_train, run.problem.theta
    for rows in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9]):
        each = [backprop(run.problem.objective, theta, x[i : i + 1], y[i : i + 1]).g for i in rows]
        theta = theta - 0.1 * np.mean(each, axis=0)
    np.testing.assert_allclose(outcome.theta["final"], theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", every_backend(), ids=" ".join)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_any_size_trains(size, backend):
    overrides = ["dataset=line", "batching=minibatch", f"batching.size={size}", "epochs=2", "lr=1e-5", *backend]
    outcome = trained(*overrides)
    assert outcome.curves["step"][-1] == 2 * -(-9 // size) and outcome.ended == "epochs"
    assert np.isfinite(outcome.curves["train/loss"]).all()


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_full_batch_is_never_shuffled(shuffle):
    assert batches(Batching(size=None, shuffle=shuffle), 9) == Batches(9, 9, False)
    assert batches(Batching(size=9, shuffle=shuffle), 9) == Batches(9, 9, False)


@pytest.mark.parametrize("size", [10, 1000])
def test_more_than_there_are_is_refused_with_the_numbers(size):
    config = make_config("dataset=line", "batching=minibatch", f"batching.size={size}")
    with pytest.raises(ValueError, match=f"batching.size={size}: must be between 1 and the 9 training samples"):
        config.problem()


@pytest.mark.parametrize(("n", "size"), [(9, 4), (9, 1), (9, 8)])
def test_batch_normalisation_refuses_a_batch_of_one(n, size):
    config = make_config("dataset=line", "model.batch_norm=true", "batching=minibatch", f"batching.size={size}")
    if n % size == 1 or size == 1:
        with pytest.raises(ValueError, match="batch_norm needs at least 2"):
            config.problem()


def test_each_run_of_a_stack_has_an_order_of_its_own():
    order = workload_of(*runs_that_count(RECORDED, 9, 4, shuffle=True)).order.values
    assert not np.array_equal(order[0], order[1])
