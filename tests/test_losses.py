"""Losses agree with their definitions, are finite for any logits, and are chosen to fit the task."""

import jax.numpy as jnp
import numpy as np
import pytest

from descent_lab.data.targets import as_targets
from descent_lab.nn.losses import DEFAULT_LOSS, LOSSES, choose

LINKED = [(name, output) for name, loss in LOSSES.items() for output in loss.outputs]
DEFINED = [linked for linked in LINKED if linked[0] in ("mse", "binary_cross_entropy", "categorical_cross_entropy")]
SIZES = [0.0, 1.0, 1e3, 1e8]


def loss_of(name, output):
    return LOSSES[name](output)


def targets(name, rng, shape):
    """Targets that fit the loss, of shape (..., n_outputs, n)."""
    if name == "categorical_cross_entropy":
        return np.moveaxis(np.eye(shape[-2])[rng.integers(shape[-2], size=shape[-1])], -1, -2)
    return rng.integers(2, size=shape) * 1.0


def by_definition(name, output, z, y):
    """The loss by its formula in probabilities, which is accurate for small logits."""
    sigmoid = 1 / (1 + np.exp(-z))
    if name == "mse":
        return np.mean(({"identity": z, "sigmoid": sigmoid, "tanh": np.tanh(z)}[output] - y) ** 2)
    if name == "binary_cross_entropy":
        return -np.mean(y * np.log(sigmoid) + (1 - y) * np.log(1 - sigmoid))
    return -np.mean(np.sum(y * np.log(np.exp(z) / np.exp(z).sum(0)), axis=0))


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize(("name", "output"), DEFINED)
def test_value_is_the_definition(name, output, n):
    rng = np.random.default_rng(n)
    z, y = rng.standard_normal((3, n)), targets(name, rng, (3, n))
    assert loss_of(name, output).value(z, y) == pytest.approx(by_definition(name, output, z, y), rel=1e-12)


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "output"), LINKED)
def test_any_logits_give_finite_losses_and_slopes(name, output, size, xp):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(3, 8))
    y = targets(name, np.random.default_rng(1), (3, 8))
    z, y = xp.asarray(size * signs), xp.asarray(y)
    loss = loss_of(name, output)
    for result in (loss.value(z, y), *loss.differential(z, y), loss.predict(z)):
        assert np.isfinite(result).all()


@pytest.mark.parametrize("size", [1e3, 1e8])
def test_cross_entropies_grow_with_a_wrong_logit_and_vanish_with_a_right_one(size):
    binary, categorical = choose("binary", None, None), choose("multiclass", None, None)
    z = np.array([[size], [0.0]])
    right, wrong = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    assert categorical.value(z, right) == 0 and categorical.value(z, wrong) == size
    assert binary.value(z[:1], right[:1]) == 0 and binary.value(z[:1], wrong[:1]) == size
    assert binary.value(-z[:1], wrong[:1]) == 0 and binary.value(-z[:1], right[:1]) == size


@pytest.mark.parametrize(("name", "output"), LINKED)
def test_predictions_are_in_the_range_of_the_link(name, output):
    z = np.random.default_rng(0).standard_normal((3, 8))
    p = loss_of(name, output).predict(z)
    low, high = {"identity": (-np.inf, np.inf), "tanh": (-1, 1)}.get(output, (0, 1))
    assert (p >= low).all() and (p <= high).all()
    if output == "softmax":
        np.testing.assert_allclose(p.sum(0), 1, rtol=1e-14)


@pytest.mark.parametrize(("task", "n_classes"), [("binary", 2), ("multiclass", 4)])
def test_integer_and_one_hot_labels_mean_the_same(task, n_classes):
    labels = np.arange(12) % n_classes
    y = as_targets(labels, task, n_classes)
    np.testing.assert_array_equal(y, as_targets(np.eye(n_classes)[labels], task, n_classes))
    np.testing.assert_array_equal(y, labels[:, None] if task == "binary" else np.eye(n_classes)[labels])


@pytest.mark.parametrize("task", DEFAULT_LOSS)
def test_the_task_chooses_loss_and_link(task):
    name, output = DEFAULT_LOSS[task]
    assert choose(task, None, None) == choose(task, name, output) == loss_of(name, output)
    assert choose(task, "mse", "tanh") == loss_of("mse", "tanh")


@pytest.mark.parametrize(
    ("task", "loss", "output", "named"),
    [
        ("regression", "binary_cross_entropy", None, "model.loss=binary_cross_entropy"),
        ("binary", "categorical_cross_entropy", None, "model.loss=categorical_cross_entropy"),
        ("multiclass", "binary_cross_entropy", None, "model.loss=binary_cross_entropy"),
        ("binary", "binary_cross_entropy", "tanh", "model.output=tanh"),
        ("regression", None, "softmax", "model.output=softmax"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(task, loss, output, named):
    with pytest.raises(ValueError, match=named):
        choose(task, loss, output)
