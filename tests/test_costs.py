"""Costs in gradient-equivalents: what backends and optimizers declare, against multiplications that are counted."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import make_config, make_run, trained

from descent_lab.derivatives.backprop import Numpy, backprop
from descent_lab.derivatives.counting import Count, counted
from descent_lab.derivatives.reverse import Jax, reverse_mode
from descent_lab.derivatives.search import RandomSearch
from descent_lab.derivatives.taylor import TaylorAlgebra, forward_mode
from descent_lab.nn.losses import MeanSquaredError
from descent_lab.nn.network import mlp
from descent_lab.optim.first_order import SGD
from descent_lab.optim.second_order import Newton
from descent_lab.problems.objective import Objective
from descent_lab.tracking.outbox import describe

SHAPES = [(30, 10, 1), (4, 3), (5, 4, 4, 2), (64, 64, 10)]
N = 7  # samples


def objective_of(sizes, activation="tanh"):
    return Objective(mlp(sizes, activation, False), MeanSquaredError("identity"), "regression")


def arrays(objective, lead=(1,)):
    """theta, x and y of that network, drawn."""
    rng, network = np.random.default_rng(0), objective.network
    shapes = (network.n_params,), (N, network.n_features), (N, network.n_outputs)
    return [rng.standard_normal((*lead, *shape)) for shape in shapes]


def products_of(jaxpr):
    """Multiplications of all matrix products of a program that JAX has traced, those of calls within it too."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += equation.outvars[0].aval.size * int(np.prod([shape[axis] for axis in contracted]))
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", None)
            total += products_of(inner) if inner is not None else 0
    return total


def test_a_forward_pass_of_a_shallow_network_is_half_a_gradient():
    network = mlp((30, 10, 1), "tanh", True)
    assert (network.forward_products, network.gradient_products) == (310, 630)
    assert RandomSearch().cost(objective_of((30, 10, 1)), N, 0) == pytest.approx(310 / 630)
    assert RandomSearch().cost(objective_of((4, 3)), N, 0) == 0.5


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_backprop_makes_the_products_of_a_gradient(sizes):
    objective, count = objective_of(sizes), Count()
    backprop(objective, *(counted(array, count) for array in arrays(objective, (3,))))
    outer = 3 * N * sum(a * b for a, b in pairwise(sizes[1:]) if b == 1)  # W delta is made as a multiplication
    assert count.products + outer == 3 * N * objective.network.gradient_products
    assert Numpy().cost(objective, N, 1) == 1


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_jax_makes_the_products_of_a_gradient(sizes):
    objective = objective_of(sizes)
    traced = jax.make_jaxpr(lambda *given: reverse_mode(objective, 1, *given).g)(
        *map(jnp.asarray, arrays(objective, ()))
    )
    assert products_of(traced.jaxpr) == N * objective.network.gradient_products
    assert Jax().cost(objective, N, 1) == 1


@pytest.mark.parametrize("sizes", SHAPES[:3], ids=str)
def test_jax_carries_a_tangent_for_each_parameter_through_a_gradient(sizes):
    objective = objective_of(sizes)
    traced = jax.make_jaxpr(lambda *given: reverse_mode(objective, 2, *given).H)(
        *map(jnp.asarray, arrays(objective, ()))
    )
    unit = N * objective.network.gradient_products
    repeated = unit  # traced once for the gradient and once more below the tangents; XLA makes these products once
    assert (products_of(traced.jaxpr) - repeated) / unit == pytest.approx(Jax().cost(objective, N, 2), rel=0.02)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", ["identity", "tanh", "sigmoid"])
def test_the_algebra_multiplies_windows_of_directions(activation, order):
    """The cost is the count for that number of samples, and lies where the algebra's formulas put it."""
    objective, count = objective_of((5, 4, 2), activation), Count()
    forward_mode(objective, order, *(counted(array, count) for array in arrays(objective)))
    cost = TaylorAlgebra(order=order).cost(objective, N, 1)
    unit = objective.network.gradient_products
    assert count.multiplications / N / unit == pytest.approx(cost, rel=1e-12)
    # s = W x carries the window of W (20 directions), h as well, and z = V h that of both: 20 + 8
    tangents = 20 * 20 + 8 * 20 + 8 * 8
    assert cost * unit > tangents + objective.network.forward_products
    if order == 1:
        elementwise = {"identity": 0, "tanh": 1, "sigmoid": 3}[activation]
        assert cost * unit < 1.1 * (tangents + 28 + elementwise * 4 * 21 + 2 * 2 * 29)


def test_the_second_order_costs_pairs_of_directions():
    first, second = (TaylorAlgebra(order=order).cost(objective_of((5, 4, 2)), N, 1) for order in (1, 2))
    assert 10 < second / first < 40


def test_newton_adds_its_solve_to_every_step_whatever_the_batch():
    full = make_run("dataset=wine", "model.hidden=[3]", "optimizer=newton", "backend=jax")
    objective, n = full.problem.objective, full.problem.batches.n
    p, unit = objective.network.n_params, objective.network.gradient_products
    per_step = Jax().cost(objective, n, 2) + 4.5 * p**3 / (unit * n)
    assert full.gradient_equivalents(10) == pytest.approx(10 * per_step)
    small = make_run("dataset=wine", "model.hidden=[3]", "optimizer=newton", "backend=jax", "batching=online")
    assert small.gradient_equivalents(n) == pytest.approx(Jax().cost(objective, 1, 2) + 4.5 * p**3 / unit)
    assert Newton().multiplications(10) == 4500 and SGD().multiplications(10) == 0


@pytest.mark.parametrize("size", [1, 4, 10])
def test_an_epoch_of_gradients_costs_one_whatever_the_batches(size):
    run = make_run("dataset=product", "batching=minibatch", f"batching.size={size}")
    batches = run.problem.batches
    assert run.gradient_equivalents(3 * batches.per_epoch) == pytest.approx(3)
    assert run.gradient_equivalents(1) == pytest.approx(size / batches.n)
    assert run.gradient_equivalents(0) == 0
    search = replace(run, backend=RandomSearch(), optimizer=None)
    part = run.problem.objective.network.forward_products / run.problem.objective.network.gradient_products
    assert search.gradient_equivalents(batches.per_epoch) == pytest.approx(part)


def test_a_run_stores_what_its_steps_cost():
    words = ["dataset=product", "batching=online", "epochs=4"]
    outcome = trained(*words)
    assert outcome.gradient_equivalents == pytest.approx(4)
    summary = describe(make_config(*words).tracked, outcome, 0.0, 1.0, {}).summary
    assert summary["cost/gradient_equivalents"] == outcome.gradient_equivalents
    early = trained(*words, "stop.target=1e9")
    assert early.gradient_equivalents == 0
