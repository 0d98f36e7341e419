"""Optimizers: steps equal those worked out by hand, NumPy equals JAX, and stacked runs equal separate runs.

Every optimizer that has a YAML in conf/optimizer is tested, without an edit of this file.
"""

import dataclasses
import math
from importlib import import_module

import jax
import numpy as np
import pytest
from harness import choices, double_precision, read_choice
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter, ValidationError

NAMES = choices("optimizer")
N_RUNS, N_PARAMS, N_STEPS = 3, 7, 200


def read(name):
    """The class that a YAML names, the values of its fields, and its lr."""
    values = read_choice("optimizer", name)
    module, _, kind = values["optimizer"].pop("_target_").rpartition(".")
    return getattr(import_module(module), kind), values["optimizer"], values["lr"]


def build(name, **changes):
    kind, values, _ = read(name)
    return kind(**values | changes)


def variants():
    """Gives every YAML as it is, with weight decay and both clippings, and with each of its booleans negated."""
    for name in NAMES:
        yield pytest.param(name, {}, id=name)
        yield pytest.param(
            name, {"weight_decay": 0.1, "clip_value": 0.5, "clip_norm": 1.0}, id=f"{name}-clipped-decayed"
        )
        for field, value in read(name)[1].items():
            if isinstance(value, bool):
                yield pytest.param(name, {field: not value}, id=f"{name}-{field}={not value}")


every_variant = pytest.mark.parametrize(("name", "changes"), list(variants()))
every_name = pytest.mark.parametrize("name", NAMES)


def second_order(kind, dtype="float64"):
    """Hessians (n_runs, n_params, n_params) for optimizers that need them: of two bowls with a saddle between."""
    if kind.order < 2:
        return {}
    factors = np.random.default_rng(1).normal(size=(N_RUNS, N_PARAMS, N_PARAMS))
    H = factors @ factors.mT + np.eye(N_PARAMS)
    H[1] -= 3 * np.eye(N_PARAMS)
    return {"H": H.astype(dtype)}


def float_dtypes(*values):
    return {v.dtype for v in values if hasattr(v, "dtype") and v.dtype.kind == "f"}


def numbers(name, changes, dtype="float64"):
    """Hyperparameters that differ from run to run, with lr, each (n_runs, 1); and the fields that are not floats."""
    _, values, lr = read(name)
    scale = np.array([[1.0], [0.9], [0.7]])
    values = values | changes | {"lr": lr}
    numeric = {f: (v * scale).astype(dtype) for f, v in values.items() if type(v) is float}
    return numeric, {f: v for f, v in values.items() if f not in numeric}


def data(dtype="float64"):
    """A start (n_runs, n_params) and gradients (n_steps, n_runs, n_params). Both are read-only."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(N_RUNS, N_PARAMS)).astype(dtype)
    g = rng.normal(size=(N_STEPS, N_RUNS, N_PARAMS)).astype(dtype)
    theta.flags.writeable = g.flags.writeable = False
    return theta, g


def descend(kind, numeric, fixed, theta, gradients, second):
    """theta after every step, (n_steps, n_runs, n_params), computed in NumPy, and the last state."""
    numeric = dict(numeric)
    lr = numeric.pop("lr")
    optimizer = kind(**numeric, **fixed)
    state, path = optimizer.init(theta), []
    for g in gradients:
        for array in state:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        step, state = optimizer.step(g, state, theta, lr, **second)
        theta = theta + step
        theta.flags.writeable = False
        path.append(theta)
    return np.array(path), state


def descend_jax(kind, numeric, fixed, theta, gradients, second):
    """What `descend` gives, computed by JAX in a compiled loop that traces each run by itself."""

    def one_run(numeric, theta, gradients, second):
        numeric = dict(numeric)
        lr = numeric.pop("lr")
        optimizer = kind(**numeric, **fixed)

        def body(i, carry):
            theta, state, path = carry
            step, state = optimizer.step(gradients[i], state, theta, lr, **second)
            theta = theta + step
            return theta, state, path.at[i].set(theta)

        carry = theta, optimizer.init(theta), jax.numpy.zeros_like(gradients)
        return jax.lax.fori_loop(0, len(gradients), body, carry)

    numeric = {field: values[:, 0] for field, values in numeric.items()}
    runs = jax.jit(jax.vmap(one_run, in_axes=(0, 0, 1, 0), out_axes=(0, 0, 1)))
    _, state, path = runs(numeric, theta, gradients, second)
    return path, state


# Two steps worked out by hand; the second begins where the first ended. Each entry holds the name of the optimizer, the
# fields that are changed, lr, theta, the two gradients, and the two steps.
GOLDEN = [
    # -0.1 * 2;  -0.1 * -1
    ("sgd", {}, 0.1, 1.0, (2.0, -1.0), (-0.2, 0.1)),
    # L2: theta = 1, g = 2 + 0.5 * 1 = 2.5;  theta = 0.75, g = -1 + 0.375 = -0.625
    ("sgd", {"weight_decay": 0.5}, 0.1, 1.0, (2.0, -1.0), (-0.25, 0.0625)),
    # clipped before the decay: g = 1 + 0.5;  theta = 0.85, g = -1 + 0.425 = -0.575
    ("sgd", {"weight_decay": 0.5, "clip_value": 1.0}, 0.1, 1.0, (2.0, -1.0), (-0.15, 0.0575)),
    # v = 2;  v = 0.9 * 2 - 1 = 0.8
    ("momentum", {}, 0.1, 1.0, (2.0, -1.0), (-0.2, -0.08)),
    # v = 2, 2 + 0.9 * 2 = 3.8;  v = 0.8, -1 + 0.9 * 0.8 = -0.28
    ("nesterov", {}, 0.1, 1.0, (2.0, -1.0), (-0.38, 0.028)),
    # s = 4, 2 / sqrt 4;  s = 4 + 12 = 16, sqrt 12 / sqrt 16
    ("adagrad", {"eps": 0.0}, 0.1, 1.0, (2.0, math.sqrt(12)), (-0.1, -0.08660254037844387)),
    # s = 5 + 4 = 9, 0.1 * 2 / (3 + 1);  s = 9 + 16 = 25, lr = 0.1 / (1 + 1), 0.05 * 4 / (5 + 1) = 1/30
    (
        "adagrad",
        {"eps": 1.0, "initial_accumulator": 5.0, "lr_decay": 1.0},
        0.1,
        1.0,
        (2.0, 4.0),
        (-0.05, -0.03333333333333333),
    ),
    # s = 16/4 = 4, v = 4 / (2 + 1);  s = 3 + 4/4 = 4, v = 4/3 / 4 - 2/3 = -1/3
    (
        "rmsprop",
        {"alpha": 0.75, "eps": 1.0, "mu": 0.25},
        0.1,
        1.0,
        (4.0, -2.0),
        (-0.13333333333333333, 0.03333333333333333),
    ),
    # s = 8, m = 2, s - m^2 = 4, v = 4 / 3;  s = 4.5, m = 1.5, s - m^2 = 2.25, v = 2/3 + 1 / 2.5 = 16/15
    (
        "rmsprop",
        {"alpha": 0.5, "eps": 1.0, "mu": 0.5, "centered": True},
        0.1,
        1.0,
        (4.0, 1.0),
        (-0.13333333333333333, -0.10666666666666667),
    ),
    # s = 8, d = sqrt 1 / sqrt 9 * 4 = 4/3, u = 8/9;  s = 6, d = sqrt(17/9) / sqrt 7 * -2 = -2 sqrt(17/63)
    (
        "adadelta",
        {"rho": 0.5, "eps": 1.0},
        1.0,
        1.0,
        (4.0, -2.0),
        (-1.3333333333333333, 1.0389249632986395),
    ),
    # m = 1, m_hat = 2, v = 1, v_hat = 4, 2 / (2 + 1)
    # m = 0.5 - 2.5 = -2, m_hat = -2 / 0.75, v = 0.75 + 6.25 = 7, v_hat = 7 / (7/16) = 16, -8/3 / (4 + 1) = -8/15
    (
        "adam",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0},
        0.1,
        1.0,
        (2.0, -5.0),
        (-0.06666666666666667, 0.05333333333333333),
    ),
    # m_hat = 4, v = w = 4, w_hat = 16, 4 / (4 + 1);  m = 1, m_hat = 4/3, v = 3, w = 4, w_hat = 64/7
    # 4/3 / (8 / sqrt 7 + 1) = 0.331368...
    (
        "amsgrad",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0},
        0.1,
        1.0,
        (4.0, 0.0),
        (-0.08, -0.0331368666398052),
    ),
    # Adam's steps, beside theta = 3, 0.1 * 0.5 * 3 = 0.15;  theta = 3 - 1/15 - 0.15 = 167/60, 0.05 * 167/60 = 167/1200
    (
        "adamw",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0, "weight_decay": 0.5},
        0.1,
        3.0,
        (2.0, -5.0),
        (-0.06666666666666667 - 0.15, 0.05333333333333333 - 0.13916666666666666),
    ),
    # psi = 0: mu = 0.5 / 2 = 1/4 always; m, v_hat as Adam's
    # m_hat = 1/4 / (1 - 1/16) * 1 + 3/4 / (1 - 1/4) * 2 = 4/15 + 2 = 34/15, / (2 + 1)
    # m_hat = 1/4 / (1 - 1/64) * -2 + 3/4 / (1 - 1/16) * -5 = -32/63 - 4 = -284/63, / (4 + 1)
    (
        "nadam",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0, "momentum_decay": 0.0},
        0.1,
        1.0,
        (2.0, -5.0),
        (-0.07555555555555556, 0.09015873015873016),
    ),
    # psi = 1: mu_1 = 0.5 (1 - 0.48) = 0.26, mu_2 = 0.5 (1 - 0.4608) = 0.2696, mu_3 = 0.5 (1 - 0.442368) = 0.278816
    # m_hat = 0.2696 / (1 - 0.26 * 0.2696) * 1 + 0.74 / 0.74 * 2 = 2.289922..., / (2 + 1)
    # 0.26 * 0.2696 = 0.070096: m_hat = 0.278816 / (1 - 0.070096 * 0.278816) * -2 + 0.7304 / 0.929904 * -5
    # = -4.496034..., / (4 + 1)
    (
        "nadam",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0, "momentum_decay": 1.0},
        0.1,
        1.0,
        (2.0, -5.0),
        (-0.07633074668639631, 0.08992069310062689),
    ),
    # sign(0.25 * 2) = 1, decay 0.1 * 0.5 * 1 = 0.05;  m = 1, theta = 0.85, sign(0.75 * 1 - 0.25 * 2) = 1
    (
        "lion",
        {"beta1": 0.75, "beta2": 0.5, "weight_decay": 0.5},
        0.1,
        1.0,
        (2.0, -2.0),
        (-0.15, -0.1 - 0.0425),
    ),
]


@pytest.mark.parametrize(("name", "changes", "lr", "theta", "gradients", "expected"), GOLDEN)
def test_golden_steps(name, changes, lr, theta, gradients, expected):
    optimizer, theta = build(name, **changes), np.array([theta])
    state, steps = optimizer.init(theta), []
    for g in gradients:
        step, state = optimizer.step(np.array([g]), state, theta, lr)
        theta = theta + step
        steps.append(step.item())
    assert steps == pytest.approx(expected, rel=1e-13)


def test_clip_norm_clips_each_run_by_itself():
    # |(6, -8)| = 10 is cut to 5 / (1 + 1e-7), as in PyTorch, which adds 1e-6 to the norm; |(0.3, 0.4)| = 0.5 stays
    g = build("sgd", clip_norm=5.0).clip(np.array([[6.0, -8.0], [0.3, 0.4]]))
    np.testing.assert_allclose(g, [[3.0 / (1 + 1e-7), -4.0 / (1 + 1e-7)], [0.3, 0.4]], rtol=1e-15)


def test_clip_value_comes_before_clip_norm():
    # (6, -8) is clamped to (4, -4), then |(4, -4)| = sqrt 32 is cut to sqrt 8
    g = build("sgd", clip_value=4.0, clip_norm=math.sqrt(8)).clip(np.array([6.0, -8.0]))
    np.testing.assert_allclose(g, [2.0, -2.0], rtol=1e-6)


def test_newton_golden_steps():
    # A = diag(3, 1) + 1 = diag(4, 2), A^-1 (8, 6) = (2, 3);  A = diag(3, -3) + 1 = diag(4, -2): (8, 6) / 4
    optimizer = build("newton", damping=1.0)
    H = np.array([np.diag([3.0, 1.0]), np.diag([3.0, -3.0])])
    g = np.array([[8.0, 6.0], [8.0, 6.0]])
    step, state = optimizer.step(g, optimizer.init(g), g, 0.5, H)
    np.testing.assert_allclose(step, [[-1.0, -1.5], [-1.0, -0.75]], rtol=1e-14)
    np.testing.assert_array_equal(optimizer.metrics(state)["newton_fallbacks"], [0, 1])


def test_the_centered_variance_is_never_negative():
    theta = np.zeros(4)
    optimizer = build("rmsprop", centered=True, alpha=0.5)
    state = optimizer.init(theta)
    for _ in range(200):  # gradients are constant: in the end the variance is nothing but rounding
        step, state = optimizer.step(np.array([0.1, 0.3, 0.7, 1.1]), state, theta, 0.01)
        assert np.isfinite(step).all()


@every_variant
def test_stacked_runs_equal_separate_runs(name, changes):
    (kind, _, _), (numeric, fixed), (theta, g) = read(name), numbers(name, changes), data()
    second = second_order(kind)
    together, _ = descend(kind, numeric, fixed, theta, g, second)
    for r in range(N_RUNS):
        own, own_second = ({f: values[r : r + 1] for f, values in d.items()} for d in (numeric, second))
        alone, _ = descend(kind, own, fixed, theta[r : r + 1], g[:, r : r + 1], own_second)
        np.testing.assert_array_equal(together[:, r : r + 1], alone)


@every_variant
def test_numpy_equals_jax(name, changes):
    (kind, _, _), (numeric, fixed), (theta, g) = read(name), numbers(name, changes), data()
    second = second_order(kind)
    with double_precision():
        traced, _ = descend_jax(kind, numeric, fixed, theta, g, second)
    path, _ = descend(kind, numeric, fixed, theta, g, second)
    np.testing.assert_allclose(path, traced, rtol=1e-12, atol=1e-12)


@every_variant
def test_float32_stays_float32(name, changes):
    (kind, _, _), (numeric, fixed), (theta, g) = read(name), numbers(name, changes, "float32"), data("float32")
    second = second_order(kind, "float32")
    path, state = descend(kind, numeric, fixed, theta, g, second)
    assert np.isfinite(path).all()
    assert float_dtypes(path, *state) == {np.dtype("float32")}
    with double_precision():
        path, state = jax.eval_shape(lambda *data: descend_jax(kind, numeric, fixed, *data), theta, g, second)
    assert float_dtypes(path, *state) == {np.dtype("float32")}


@every_name
def test_every_yaml_is_valid_and_names_every_field(name):
    kind, values, lr = read(name)
    assert TypeAdapter(kind).validate_python(values) == kind(**values)
    assert set(values) == {f.name for f in dataclasses.fields(kind)}
    assert isinstance(lr, float) and lr > 0


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@every_name
def test_numbers_out_of_range_are_refused(name, bad):
    kind, values, _ = read(name)
    for field, value in values.items():
        if not isinstance(value, bool):
            with pytest.raises(ValidationError, match=field):
                TypeAdapter(kind).validate_python(values | {field: bad})


@every_name
def test_every_optimizer_descends_in_a_bowl(name):
    """On |theta|^2 / 2 every optimizer ends lower than it began, at the lr of its YAML."""
    kind, values, lr = read(name)
    optimizer, theta = kind(**values), np.array([[1.0, -2.0, 0.5]])
    start, state = theta, optimizer.init(theta)
    second = {"H": np.eye(3)[None]} if kind.order == 2 else {}
    for _ in range(100):
        step, state = optimizer.step(theta, state, theta, lr, **second)
        theta = theta + step
    assert np.linalg.norm(theta) < np.linalg.norm(start)


vectors = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 5)), elements=st.floats(-1e6, 1e6))
lengths = st.floats(1e-3, 1e3)


@given(g=vectors, length=lengths)
def test_clipping_shortens_and_never_turns(g, length):
    clipped = build("sgd", clip_norm=length).clip(g)
    norms = np.linalg.norm(g, axis=-1, keepdims=True)
    lengths = np.linalg.norm(clipped, axis=-1, keepdims=True)
    assert (lengths <= np.minimum(norms, length) * (1 + 1e-12)).all()
    np.testing.assert_allclose(clipped * norms, g * lengths, rtol=1e-9, atol=1e-200)


@given(g=vectors, bound=lengths)
def test_clamping_keeps_signs_and_small_components(g, bound):
    clipped = build("sgd", clip_value=bound).clip(g)
    assert (np.abs(clipped) <= bound).all() and (clipped * g >= 0).all()
    inside = np.abs(g) <= bound
    np.testing.assert_array_equal(clipped[inside], g[inside])


@given(g=vectors, lr=lengths)
def test_sgd_steps_along_the_gradient(g, lr):
    step, _ = build("sgd").step(g, (), np.ones_like(g), lr)
    np.testing.assert_array_equal(step, -lr * g)


@given(g=vectors, scale=st.floats(1e-2, 1e2))
def test_adam_steps_do_not_depend_on_the_gradients_scale(g, scale):
    g = np.where(np.abs(g) < 1e-3, 1.0, g)
    optimizer = build("adam", eps=0.0)
    steps = [optimizer.step(h, optimizer.init(h), h, 0.1)[0] for h in (g, scale * g)]
    np.testing.assert_allclose(*steps, rtol=1e-12)
    np.testing.assert_allclose(steps[0], -0.1 * np.sign(g), rtol=1e-12)
