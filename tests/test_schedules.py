"""Schedules have values worked out by hand, equal for Python, NumPy and traced JAX numbers. Every YAML is tested."""

import dataclasses
import math
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import choices, double_precision, values_of
from pydantic import TypeAdapter, ValidationError

NAMES = choices("schedule")
N = 40

every_name = pytest.mark.parametrize("name", NAMES)


def read(name):
    values = values_of("schedule", name)
    module, _, kind = values.pop("_target_").rpartition(".")
    return getattr(import_module(module), kind), values


def build(name, **changes):
    kind, values = read(name)
    return kind(**values | changes)


GOLDEN = [
    ("constant", {}, 10, {0: 1.0, 9: 1.0}),
    # a tenth after every 30
    ("step", {}, 100, {0: 1.0, 29: 1.0, 30: 0.1, 59: 0.1, 60: 0.01, 99: 0.001}),
    ("exponential", {"gamma": 0.5}, 10, {0: 1.0, 1: 0.5, 3: 0.125}),
    # (1 + cos 0) / 2, (1 + cos(pi/3)) / 2 = 3/4, (1 + cos(pi/2)) / 2, (1 + cos(2 pi/3)) / 2 = 1/4
    ("cosine", {}, 6, {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25}),
    # 0.2 + 0.8 * the above
    ("cosine", {"final": 0.2}, 6, {0: 1.0, 2: 0.8, 3: 0.6, 4: 0.4}),
    # 1/3 + 2/3 * k/5
    ("warmup", {}, 10, {0: 1 / 3, 1: 7 / 15, 4: 13 / 15, 5: 1.0, 9: 1.0}),
    # 0.5 + 0.5 * k/4, then the cosine over the 6 epochs left
    (
        "warmup_cosine",
        {"start": 0.5, "warmup_epochs": 4},
        10,
        {0: 0.5, 1: 0.625, 3: 0.875, 4: 1.0, 6: 0.75, 7: 0.5, 8: 0.25},
    ),
    # a run that ends with its warm-up, or before
    ("warmup_cosine", {"start": 0.5, "warmup_epochs": 4}, 4, {0: 0.5, 1: 0.625, 3: 0.875}),
    ("warmup_cosine", {"start": 0.5, "warmup_epochs": 4}, 1, {0: 0.5}),
]


@pytest.mark.parametrize(("name", "changes", "n", "expected"), GOLDEN)
def test_golden_values(name, changes, n, expected):
    schedule = build(name, **changes)
    factors_of = {k: schedule.factor(k, n) for k in expected}
    assert factors_of == pytest.approx(expected, rel=1e-14)


@every_name
def test_factors_are_positive_and_finite(name):
    factors = [build(name).factor(k, N) for k in range(N)]
    assert all(0 < factor < math.inf for factor in factors)


@every_name
def test_stacked_runs_have_their_own(name):
    kind, values = read(name)
    rows = [{f: type(v)(v * scale) for f, v in values.items()} for scale in (1.0, 0.6, 0.3)]
    stacked = kind(**{f: np.array([[float(row[f])] for row in rows]) for f in values})
    for k in range(N):
        stacked_factors = np.broadcast_to(stacked.factor(k, N), (3, 1))
        np.testing.assert_allclose(stacked_factors[:, 0], [kind(**row).factor(k, N) for row in rows], rtol=1e-14)


@every_name
def test_python_equals_traced(name):
    kind, values = read(name)
    with double_precision():
        numbers = {f: jnp.float64(v) for f, v in values.items()}
        factors = jax.jit(lambda numbers, ks, n: jax.vmap(lambda k: kind(**numbers).factor(k, n))(ks))
        compiled_factors = np.broadcast_to(factors(numbers, jnp.arange(N), N), N)
    np.testing.assert_allclose(compiled_factors, [build(name).factor(k, N) for k in range(N)], rtol=1e-12)


@pytest.mark.parametrize("k", [3, np.float32(3), np.array(3, "float32")], ids=["int", "scalar", "array"])
@every_name
def test_float32_stays_float32_in_numpy(name, k):
    kind, values = read(name)
    numbers = {f: np.full((2, 1), v, "float32") for f, v in values.items()}
    lr = np.ones((2, 1), "float32")
    assert (lr * kind(**numbers).factor(k, N)).dtype == np.float32


@pytest.mark.parametrize("counter", ["int32", "int64", "float32"])
@every_name
def test_float32_stays_float32_in_jax(name, counter):
    kind, values = read(name)
    with double_precision():
        numbers = {f: jnp.float32(v) for f, v in values.items()}
        count = jnp.zeros((), counter)
        lr = jax.eval_shape(lambda numbers, k, n: jnp.float32(1) * kind(**numbers).factor(k, n), numbers, count, count)
    assert lr.dtype == jnp.float32


@every_name
def test_yaml_validates_and_names_every_field(name):
    kind, values = read(name)
    assert TypeAdapter(kind).validate_python(values) == kind(**values)
    assert set(values) == {f.name for f in dataclasses.fields(kind)}


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf])
@every_name
def test_numbers_out_of_range_are_refused(name, bad):
    kind, values = read(name)
    for field in values:
        with pytest.raises(ValidationError, match=field):
            TypeAdapter(kind).validate_python(values | {field: bad})


def test_warmup_of_no_epochs_is_refused():
    kind, values = read("warmup")
    with pytest.raises(ValidationError, match="warmup_epochs"):
        TypeAdapter(kind).validate_python(values | {"warmup_epochs": 0})
