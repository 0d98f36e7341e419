"""Values, gradients and Hessians of Taylor numbers agree with derivatives worked out by hand and with JAX."""

import doctest

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

import descent_lab.taylor as ta
from descent_lab.taylor import Taylor, chain, seed, tangent_bytes, variables

jax.config.update("jax_enable_x64", True)

ORDERS = (1, 2)
POINT = np.array([0.3, -0.7, 1.1])


def assert_close(actual, desired, rtol=1e-9):
    desired = np.asarray(desired)
    scale = np.max(np.abs(desired), initial=1e-3)
    np.testing.assert_allclose(actual, desired, rtol=rtol, atol=1e-12 * scale)
    assert np.shape(actual) == desired.shape


def compiled(f):
    """jax.jit without optimisation passes, because each reference is evaluated only once."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


def assert_agrees_with_jax(f, point, rtol=1e-9):
    """Value, Jacobian and (order 2) second derivatives of f(xp, p) of a vector p equal those of JAX."""

    def theirs(p):
        return f(jnp, p)

    jacobian = jax.jacfwd(theirs)
    value, gradient, hessian = compiled(lambda p: (theirs(p), jacobian(p), jax.jacfwd(jacobian)(p)))(point)
    for order in ORDERS:
        ours = f(ta_namespace(), seed(point, order))
        assert_close(ours.value, value, rtol)
        assert_close(ours.gradient, gradient, rtol)
    assert_close(ours.hessian, hessian, rtol)


def ta_namespace():
    return seed(POINT, 1).__array_namespace__()


# By hand


def test_docstring_examples():
    result = doctest.testmod(ta)
    assert result.attempted > 10 and result.failed == 0


def test_derivatives_by_hand():
    x, y = variables({"x": 1.5, "y": -2.0}, order=2)
    f = x**3 * y + y / x
    expected = {
        (0, 0): 1.5**3 * -2 - 2 / 1.5,
        (1, 0): 3 * 1.5**2 * -2 + 2 / 1.5**2,
        (0, 1): 1.5**3 + 1 / 1.5,
        (2, 0): 6 * 1.5 * -2 - 4 / 1.5**3,
        (1, 1): 3 * 1.5**2 - 1 / 1.5**2,
        (0, 2): 0.0,
    }
    for index, derivative in expected.items():
        assert f.get_derivative(index) == pytest.approx(derivative, rel=1e-14)
        assert f.get_derivative(dict(zip("xy", index, strict=True))) == f.get_derivative(list(index))
    np.testing.assert_array_equal(f.hessian, f.hessian.T)


def test_constants_have_no_derivative():
    x, y = variables({"x": 1.0, "y": 2.0}, order=2)
    f = 3 * x + 0 * y + 7
    np.testing.assert_array_equal(f.gradient, [3, 0])
    np.testing.assert_array_equal(f.hessian, np.zeros((2, 2)))
    assert f.get_derivative({"y": 2}) == 0


def test_variables_may_be_arrays():
    t = np.linspace(-1, 1, 5)
    x, y = variables({"x": t, "y": 2 * t[:, None]}, order=2)
    f = ta.sin(x) * y
    assert f.shape == (5, 5) and f.gradient.shape == (5, 5, 2) and f.hessian.shape == (5, 5, 2, 2)
    np.testing.assert_allclose(f.get_derivative({"x": 1, "y": 1}), np.broadcast_to(np.cos(t), (5, 5)))
    np.testing.assert_allclose(f.get_derivative({"x": 2}), -np.sin(t) * 2 * t[:, None])


def test_numbers_of_other_symbols_unify_by_name():
    x, y = variables({"x": 1.0, "y": 2.0}, order=2)
    z, also_y = variables({"z": 3.0, "y": 2.0}, order=2)
    f = (x * y) * (z * also_y)  # x y^2 z
    assert f.symbols == ("x", "y", "z")
    assert f.value == 12
    assert f.get_derivative({"x": 1, "z": 1}) == 4
    assert f.get_derivative({"y": 2}) == 6
    assert f.get_derivative({"y": 1, "z": 1}) == 4
    assert ta.where(x > z, x, z).get_derivative({"z": 1}) == 1
    np.testing.assert_array_equal(ta.stack([z, x]).gradient, [[1, 0, 0], [0, 0, 1]])


def test_newton_step_reaches_the_minimum_of_a_quadratic():
    theta = seed(np.array([[4.0, -1.0], [0.5, 0.5]]), order=2)  # two runs at once
    a, b = theta[:, 0], theta[:, 1]
    f = (a - 1) ** 2 + 2 * (b + a) ** 2 + a * b
    step = np.linalg.solve(f.hessian, f.gradient[..., None])[..., 0]
    minimum = seed(theta.value - step, order=1)
    a, b = minimum[:, 0], minimum[:, 1]
    np.testing.assert_allclose(((a - 1) ** 2 + 2 * (b + a) ** 2 + a * b).gradient, 0, atol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_relu_and_ties(order):
    (x,) = variables({"x": np.array([-1.0, 0.0, 2.0])}, order)
    for relu in (ta.maximum(x, 0.0), ta.maximum(0.0, x)):
        np.testing.assert_array_equal(relu.value, [0, 0, 2])
        np.testing.assert_array_equal(relu.get_derivative({"x": 1}), [0, 0, 1])
    np.testing.assert_array_equal(ta.minimum(x, 0.0).get_derivative({"x": 1}), [1, 0, 0])
    np.testing.assert_array_equal(abs(x).get_derivative({"x": 1}), [-1, 0, 1])
    np.testing.assert_array_equal(ta.clip(x, -0.5, 1.0).get_derivative({"x": 1}), [0, 1, 0])
    assert np.isnan(ta.maximum(x * np.nan, 0.0).value).all()


def test_where_hides_the_branch_not_taken():
    (x,) = variables({"x": np.array([-1.0, 0.0, 4.0])}, order=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        f = ta.where(x > 0, ta.sqrt(x), 0.0)
    np.testing.assert_array_equal(f.get_derivative({"x": 1}), [0, 0, 0.25])
    np.testing.assert_array_equal(f.get_derivative({"x": 2}), [0, 0, -0.25 / 8])


def test_whole_powers_are_exact_at_zero():
    (x,) = variables({"x": 0.0}, order=2)
    derivatives = [[(x**p).get_derivative((n,)) for n in range(3)] for p in range(4)]
    assert derivatives == [[1, 0, 0], [0, 1, 0], [0, 0, 2], [0, 0, 0]]
    np.testing.assert_array_equal((x ** np.array([0.0, 1.0, 2.0])).get_derivative((2,)), [0, 0, 2])


def test_sigmoid_and_logaddexp_do_not_overflow():
    (x,) = variables({"x": np.array([-1e4, 0.0, 1e4])}, order=2)
    np.testing.assert_array_equal(ta.sigmoid(x).value, [0, 0.5, 1])
    np.testing.assert_array_equal(ta.logaddexp(0.0, x).value, [0, np.log(2), 1e4])
    np.testing.assert_array_equal(ta.logaddexp(0.0, x).get_derivative({"x": 1}), [0, 0.5, 1])
    np.testing.assert_array_equal(ta.logaddexp(x, 0.0).get_derivative({"x": 2}), [0, 0.25, 0])


# Against JAX: elementary functions and random formulas

ELEMENTARY = (
    *("exp", "expm1", "log", "log1p", "sqrt", "square", "reciprocal", "abs", "negative"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid", "erf"),
)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_elementary_functions(name):
    x = np.random.default_rng(0).uniform(0.1, 1.4, (2, 3))
    ours = getattr(ta_namespace(), name)
    theirs = {"sigmoid": jax.nn.sigmoid, "erf": jax.scipy.special.erf}.get(name) or getattr(jnp, name)
    assert_agrees_with_jax(lambda xp, p: (theirs if xp is jnp else ours)(p[:2] * p[1:]), x.ravel()[:3])
    assert_close(ours(x), theirs(x))  # plain arrays


def powers(xp, p):
    q = 1.5 + p * p
    return q**3 + q**-2 + q**0.5 + q ** np.array([0.0, 1.0, -1.5]) + 2.0**p + q**p


def test_powers():
    assert_agrees_with_jax(powers, POINT)


UNARY = {
    "sin": lambda xp, u: xp.sin(u),
    "tanh": lambda xp, u: xp.tanh(u),
    "exp": lambda xp, u: xp.exp(xp.sin(u)),
    "log": lambda xp, u: xp.log(1 + u * u),
    "sqrt": lambda xp, u: xp.sqrt(0.5 + xp.square(u)),
    "log1p": lambda xp, u: xp.log1p(xp.square(xp.cos(u))),
    "power": lambda xp, u: (1 + u**2) ** -0.7,
    "minus": lambda xp, u: -u,
}
BINARY = {
    "add": lambda xp, u, v: u + v,
    "subtract": lambda xp, u, v: u - v,
    "multiply": lambda xp, u, v: u * v,
    "divide": lambda xp, u, v: u / (2 + xp.sin(v)),
    "logaddexp": lambda xp, u, v: xp.logaddexp(u, v),
    "where": lambda xp, u, v: xp.where(u > v, xp.sin(u), v * v),
}


def formulas():
    """A strategy of trees: a direction (int), a constant (float), or (operation, one or two trees)."""
    leaf = st.integers(0, 2) | st.sampled_from([-1.5, 0.25, 2.0])

    def grow(tree):
        return st.tuples(st.sampled_from(sorted(UNARY)), tree) | st.tuples(st.sampled_from(sorted(BINARY)), tree, tree)

    return st.recursive(leaf, grow, max_leaves=10)


def evaluate(tree, xp, p):
    if isinstance(tree, tuple):
        operation = {**UNARY, **BINARY}[tree[0]]
        return operation(xp, *(evaluate(branch, xp, p) for branch in tree[1:]))
    return p[tree] if isinstance(tree, int) else xp.asarray(tree)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(tree=formulas(), point=st.tuples(*[st.floats(-2, 2)] * 3))
def test_random_formulas(tree, point):
    assert_agrees_with_jax(lambda xp, p: p[0] + evaluate(tree, xp, p), np.array(point), rtol=1e-8)


# Against JAX: arrays

BASIS = np.random.default_rng(1).normal(size=(3, 2, 3, 4))
M = np.random.default_rng(2).normal(size=(4, 5))


def array_of(xp, p):
    """An array of shape (2, 3, 4) in which every entry depends on p in a non-linear way."""
    return xp.sin(p[0] * BASIS[0] + p[1] * BASIS[1]) * p[2] + p[1] * BASIS[2]


ARRAY_FUNCTIONS = {
    "getitem": lambda xp, a: a[..., 1:3] * a[0, :, None, 2][..., :1],
    "boolean mask": lambda xp, a: a[BASIS[0] > 0],
    "index arrays": lambda xp, a: a[1, np.array([0, 2, 0])],
    "reshape": lambda xp, a: xp.reshape(a, (6, -1)) + a.reshape(6, 4) + a.reshape((-1, 4)),
    "mT": lambda xp, a: a.mT + xp.matrix_transpose(a) + xp.swapaxes(a, 1, -1),
    "T": lambda xp, a: a.T,
    "permute_dims": lambda xp, a: xp.permute_dims(a, (2, 0, 1)),
    "moveaxis": lambda xp, a: xp.moveaxis(a, -1, 0),
    "expand_dims": lambda xp, a: xp.expand_dims(a, axis=1) * xp.expand_dims(a, axis=2),
    "squeeze": lambda xp, a: xp.squeeze(a[:, :1, :], axis=1),
    "broadcast_to": lambda xp, a: xp.broadcast_to(a[:1, :, :1], (2, 3, 4)) * a,
    "sum": lambda xp, a: xp.sum(a, axis=(0, -1)) + xp.sum(a) + a.sum(axis=1).sum(),
    "mean": lambda xp, a: xp.mean(a, axis=-1, keepdims=True) + a.mean() + xp.mean(a * a, axis=(1, 2))[:, None, None],
    "var": lambda xp, a: xp.var(a, axis=1),
    "max": lambda xp, a: xp.max(a, axis=-1, keepdims=True) * xp.max(a) + xp.max(a, axis=(0, 2))[:, None],
    "min": lambda xp, a: xp.min(a, axis=1),
    "take_along_axis": lambda xp, a: xp.take_along_axis(a, np.array([[[1], [0], [3]]] * 2), axis=-1),
    "maximum": lambda xp, a: xp.maximum(a, 0.0) * xp.minimum(a, a[:, ::-1] + 0.1) + xp.maximum(a[0], a[1]),
    "clip": lambda xp, a: xp.clip(a, -0.3, 0.4) ** 2,
    "sign": lambda xp, a: xp.sign(a) * a + abs(a),
    "logsumexp": lambda xp, a: xp.log(xp.sum(xp.exp(a - xp.max(a, axis=-1, keepdims=True)), axis=-1)),
    "concat": lambda xp, a: xp.concat([a, BASIS[0], a[:, :1] ** 2], axis=1),
    "stack": lambda xp, a: xp.stack([a[0], a[1] * a[0], BASIS[0, 0]], axis=1),
    "broadcasting": lambda xp, a: (a[0, 0] * BASIS[0] + BASIS[1] - a[:, :1]) / (3 + a[1]) + M[:, 0] / (3 + a),
    "likes": lambda xp, a: a * xp.ones_like(a) + xp.zeros_like(a),
    "array @ matrix": lambda xp, a: a @ M,
    "matrix @ array": lambda xp, a: M.T @ a.mT,
    "stack @ stack": lambda xp, a: (BASIS[0] @ a.mT) @ (a @ a.mT),
    "broadcast matmul": lambda xp, a: a[0] @ xp.expand_dims(a.mT, axis=1),
    "vectors": lambda xp, a: (a @ M[:, 0]) @ a[0, 1, :3] + a[0, 0] @ M[:, 1] + (M[:3, 0] @ a[1]) @ a[1, 1],
}


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_array_functions(name):
    f = ARRAY_FUNCTIONS[name]
    assert_agrees_with_jax(lambda xp, p: f(xp, array_of(xp, p)), POINT)


def test_functions_of_plain_arrays_are_those_of_numpy():
    xp, a = ta_namespace(), BASIS[0]
    for name, f in ARRAY_FUNCTIONS.items():
        np.testing.assert_array_equal(f(xp, a), f(np, a), err_msg=name)
    assert xp.pi == np.pi and xp.float32 is np.float32


# Against JAX: networks whose weights are parts of the seed

X = np.random.default_rng(3).normal(size=(2, 6, 3))
Y = np.random.default_rng(4).normal(size=(2, 6, 2))


def network(xp, theta, activation, x=X, y=Y):
    """The mean squared error of a 3-4-4-2 network, shape (n_runs,), from theta (n_runs, 46)."""
    a, at, n_runs = x.mT, 0, theta.shape[0]
    for k, (i, o) in enumerate(((3, 4), (4, 4), (4, 2))):
        W, b = theta[..., at : at + i * o].reshape(n_runs, i, o), theta[..., at + i * o : at + i * o + o]
        z = W.mT @ a + b[..., None]
        a, at = (activation(xp, z) if k < 2 else z), at + i * o + o
    return xp.mean(xp.square(a.mT - y), axis=(1, 2))


ACTIVATIONS = {
    "identity": lambda xp, z: z,
    "tanh": lambda xp, z: xp.tanh(z),
    "sigmoid": lambda xp, z: 0.5 * (1 + xp.tanh(0.5 * z)),
    "relu": lambda xp, z: xp.maximum(z, 0),
}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_networks_of_stacked_runs(activation, monkeypatch):
    monkeypatch.setattr(chain, "SMALL", 100)  # wide layers use `_placed`, narrow ones multiply
    theta = np.random.default_rng(5).normal(size=(2, 46))

    def one_run(p, x, y):
        return network(jnp, p[None], activation, x[None], y[None])[0]

    hessian = jax.vmap(jax.hessian(one_run))
    references = compiled(lambda *of: (*jax.vmap(jax.value_and_grad(one_run))(*of), hessian(*of)))
    value, gradient, hessian = references(theta, X, Y)
    for order in ORDERS:
        loss = network(ta_namespace(), seed(theta, order), activation)
        assert_close(loss.value, value)
        assert_close(loss.gradient, gradient)
    assert_close(loss.hessian, hessian)
    np.testing.assert_allclose(loss.hessian, loss.hessian.mT, rtol=1e-12, atol=1e-15)


SEED_MATRICES = {
    "weights": lambda xp, p: p.reshape(2, 3, 2) @ M[:2],
    "transposed": lambda xp, p: p.reshape(2, 3, 2).mT @ BASIS[0],
    "stacked": lambda xp, p: xp.permute_dims(p.reshape(3, 2, 2), (1, 0, 2)) @ M[:2],
    "reversed": lambda xp, p: p[::-1].reshape(4, 3) @ BASIS[1],
    "repeated": lambda xp, p: p[np.array([[0, 0, 1], [5, 1, 5]])] @ M[:3],
    "broadcast": lambda xp, p: xp.broadcast_to(p[:, None], (12, 4)) @ M,
    "summed": lambda xp, p: p.reshape(2, 3, 2).sum(axis=0) @ M[:2],
    "times itself": lambda xp, p: p.reshape(3, 4) @ (p[:4, None] * p[None, 3:5]),
    "two of them": lambda xp, p: p[:6].reshape(2, 3) @ p[6:].reshape(3, 2),
}


@pytest.mark.parametrize("name", SEED_MATRICES)
@pytest.mark.parametrize("small", [0, np.inf], ids=["placed", "multiplied"])
def test_products_of_seeded_matrices(name, small, monkeypatch):
    monkeypatch.setattr(chain, "SMALL", small)
    assert_agrees_with_jax(SEED_MATRICES[name], np.random.default_rng(6).normal(size=12))


def test_only_directions_met_so_far_are_stored():
    theta = seed(np.arange(10.0)[None], order=1)
    a = theta[..., 2:6].reshape(1, 2, 2)
    assert a.window == slice(2, 6) and a.tangent.shape == (1, 2, 2, 4)
    assert (a @ a.mT).window == slice(2, 6)
    assert (a[0, 0] + theta[0, 7:9]).window == slice(2, 9)
    assert a[0, 1, 0].window == slice(4, 5)


# Types and messages


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(order, dtype):
    theta = np.random.default_rng(7).normal(size=(2, 46)).astype(dtype)
    for activation in ACTIVATIONS.values():
        loss = network(ta_namespace(), seed(theta, order), activation, X.astype(dtype), Y.astype(dtype))
        assert loss.dtype == loss.gradient.dtype == dtype
        assert order == 1 or loss.hessian.dtype == dtype
    for name in ELEMENTARY:
        u = getattr(ta_namespace(), name)(variables({"x": dtype(0.5)}, order)[0])
        assert u.dtype == u.tangent.dtype == dtype


def test_integers_become_floats_and_precisions_promote():
    (x,) = variables({"x": np.array([1, 2], np.float32)}, order=2)
    assert variables({"n": 3}, order=1)[0].dtype == np.float64
    for f in (x * np.ones(2), x + np.ones(2), np.ones(2) / x):
        assert f.dtype == f.gradient.dtype == f.hessian.dtype == np.float64


def test_operators_with_arrays_on_either_side():
    (x,) = variables({"x": np.array([1.0, 2.0])}, order=1)
    a = np.array([3.0, 5.0])
    for f, derivative in ((a + x, 1), (a - x, -1), (a * x, a), (a / x, -a / x.value**2), (x / a, 1 / a)):
        assert isinstance(f, Taylor)
        np.testing.assert_allclose(f.get_derivative({"x": 1}), np.broadcast_to(derivative, (2,)))
    np.testing.assert_array_equal(x > 1, [False, True])
    np.testing.assert_array_equal(a[0] >= 3 * x, [True, False])
    np.testing.assert_array_equal((x == x.value) & ~(x != x.value), [True, True])
    assert (+x) is x and len(x) == 2 and x.size == 2 and [float(u.value) for u in x] == [1, 2]
    assert ta_namespace().isfinite(x / np.array([1.0, 4.0])).all() and not ta_namespace().isnan(x).any()
    assert bool(x[0] < x[1])


def test_repr():
    x, y = variables({"x": 1.0, "y": 2.0}, order=2)
    assert repr(1.5 + 2 * (x - 1) + 0.5 * (x - 1) * (y - 2)) == "1.5 + 2*dx + 0.5*dx*dy"
    assert repr(-(x * x)) == "-1 - 2*dx - 1*dx^2"
    assert repr(seed(np.ones(2), 1)[1]) == "1 + 1*d1"
    assert repr(seed(np.ones(40), 1).sum()).endswith(" + 1*d9 + ...")
    assert repr(seed(np.ones((2, 3)), 1)) == "Taylor(shape=(2, 3), order=1, 3 unnamed directions (0 to 2))"
    assert repr(x * np.ones(2)) == "Taylor(shape=(2,), order=2, symbols x, y)"


def test_names_are_optional_and_may_be_the_networks():
    symbols = ["w_{(1,0,0)}", "b_{(1,0)}"]
    theta = seed(np.array([2.0, 1.0]), order=2, symbols=symbols)
    f = theta[0] * theta[1]
    assert f.get_derivative({symbols[0]: 1}) == 1 and f.get_derivative(dict.fromkeys(symbols, 1)) == 1
    assert (seed(np.array([2.0, 1.0]), order=2)[0] ** 2).get_derivative({0: 2}) == 2


def two(order=1):
    return variables({"x": 1.0, "y": 2.0}, order)


MISTAKES = {
    "order 3: must be 1 or 2": lambda: variables({"x": 1.0}, order=3),
    "symbol 'z' unknown: this number has symbols x, y": lambda: two()[0].get_derivative({"z": 1}),
    "symbol 7 unknown: this number has 2 unnamed": lambda: seed(np.ones(2), 1).get_derivative({7: 1}),
    "has order 2: this number carries orders 0 to 1": lambda: two()[0].get_derivative({"x": 1, "y": 1}),
    "has order 3: this number carries orders 0 to 2": lambda: two(2)[0].get_derivative((3, 0)),
    "has 3 counts: this number has symbols x, y": lambda: two()[0].get_derivative((1, 0, 0)),
    "count -1 for symbol 'x'": lambda: two()[0].get_derivative({"x": -1}),
    "count 0.5 for symbol 'x'": lambda: two()[0].get_derivative({"x": 0.5}),
    "hessian of a number of order 1": lambda: two()[0].hessian,
    "orders 1 and 2 do not combine": lambda: two(1)[0] * two(2)[1],
    "2 unnamed directions": lambda: seed(np.ones(2), 1)[0] + seed(np.ones(3), 1)[0],
    "1 symbols for 2 directions": lambda: seed(np.ones(2), 1, symbols=["a"]),
    "symbols a appear more than once": lambda: seed(np.ones(2), 1, symbols=["a", "a"]),
    "at least one axis": lambda: seed(1.0, 1),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        MISTAKES[message]()
    assert message in str(error.value)


def test_derivatives_are_not_lost_silently():
    (x,) = variables({"x": np.ones(2)}, order=1)
    for lose in (np.asarray, np.exp, np.mean, lambda x: np.concatenate([x, x])):
        with pytest.raises(TypeError):
            lose(x)


def test_tangent_bytes_is_what_the_arrays_take():
    for order in ORDERS:
        u = ta.square(seed(np.ones((2, 5), np.float32), order))
        stored = u.value.nbytes + u.gradient.nbytes + (u.hessian.nbytes if order == 2 else 0)
        assert tangent_bytes(10, 5, order, itemsize=4) == stored
