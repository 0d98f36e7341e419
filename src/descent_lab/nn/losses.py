"""Losses with their output functions: the value, its derivative, and how logits become predictions.

All take logits z and targets y of shape (..., n_outputs, n). Samples are the last axis, because the network computes
W^T x^T. Losses are computed from the logits, so that nothing overflows and nothing needs clipping.

A plug-in adds a class of its own, derived from `Loss`, by `LOSSES.add("huber", Huber)`; `model.loss=huber` names it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

from descent_lab.components import Registry
from descent_lab.errors import ConfigError
from descent_lab.nn.activations import ACTIVATIONS, Array
from descent_lab.portable.formulas import lowered, sigmoid, softmax

_OUTPUT_AXES = (-2, -1)


@dataclass(frozen=True)
class Loss(ABC):
    """A loss with its output function, which turns logits into predictions.

    outputs: the output functions that it goes with, the one where none is given first. tasks: those that it goes with.
    """

    outputs: ClassVar[tuple[str, ...]]
    tasks: ClassVar[tuple[str, ...]] = ("regression", "binary", "multiclass")

    output: str

    @abstractmethod
    def value(self, z: Array, y: Array) -> Array:
        """The loss, of shape (...)."""

    @abstractmethod
    def differential(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss, of shape (...), and d loss / d z, of the shape of z."""

    def predict(self, z: Array) -> Array:
        """Predictions, of the shape of z."""
        return ACTIVATIONS[self.output].f(z)

    def value_of_units(self, z: list[Array], y: Array) -> Array:
        """The loss, of shape (...), of logits given unit by unit, each (..., n), and targets y (..., n, n_outputs)."""
        return self.value(z[0].__array_namespace__().stack(z, axis=-2), y.mT)

    @property
    def class_targets(self) -> tuple[float, float]:
        """The targets of a classification: of "not this class" and of "this class"."""
        return ACTIVATIONS[self.output].class_targets if self.output in ACTIVATIONS else (0.0, 1.0)


def _mean(values: Array) -> Array:
    n_outputs, n = values.shape[-2:]
    return values.sum(axis=_OUTPUT_AXES) / (n_outputs * n)  # equals mean, in a third of the time where n is small


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """mean (a - y)^2 over samples and outputs (as torch.nn.MSELoss), a = output(z)."""

    outputs = ("identity", "sigmoid", "tanh")

    def value(self, z: Array, y: Array) -> Array:
        """The loss, of shape (...)."""
        error = self.predict(z) - y
        return _mean(error * error)

    def differential(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss, of shape (...), and d loss / d z, of the shape of z."""
        n_outputs, n = z.shape[-2:]
        a = self.predict(z)
        error = a - y
        # dL/dz = 2 (a - y) a'(z) / (k n)
        slope = (2.0 / (n_outputs * n)) * ACTIVATIONS[self.output].df(z, a)
        return _mean(error * error), slope * error


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """mean of log(1 + e^z) - y z: the negative log-likelihood of y in [0, 1] under p = sigmoid(z)."""

    outputs = ("sigmoid",)
    tasks = ("binary",)

    output: str = "sigmoid"

    def value(self, z: Array, y: Array) -> Array:
        """The loss, of shape (...)."""
        return _mean(z.__array_namespace__().logaddexp(z, 0 * z) - y * z)

    def differential(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss, of shape (...), and d loss / d z, of the shape of z."""
        n_outputs, n = z.shape[-2:]
        return self.value(z, y), (self.predict(z) - y) / (n_outputs * n)

    def predict(self, z: Array) -> Array:
        """The probability of class 1, of the shape of z."""
        return sigmoid(z)


@dataclass(frozen=True)
class CategoricalCrossEntropy(Loss):
    """mean of log(sum_k e^z_k) - sum_k y_k z_k: the negative log-likelihood of one-hot y under p = softmax(z)."""

    outputs = ("softmax",)
    tasks = ("multiclass",)

    output: str = "softmax"

    def value(self, z: Array, y: Array) -> Array:
        """The loss, of shape (...)."""
        z = lowered(z)
        xp = z.__array_namespace__()
        return self._value(z, xp.log(xp.exp(z).sum(axis=-2, keepdims=True)), y)

    def differential(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss, of shape (...), and d loss / d z, of the shape of z."""
        z = lowered(z)
        xp = z.__array_namespace__()
        e = xp.exp(z)
        sums = e.sum(axis=-2, keepdims=True)
        return self._value(z, xp.log(sums), y), (e / sums - y) / z.shape[-1]

    def predict(self, z: Array) -> Array:
        """The probabilities of the classes, of the shape of z; they sum to 1 over axis -2."""
        return softmax(z)

    def value_of_units(self, z: list[Array], y: Array) -> Array:
        """The loss, of shape (...), as `value` computes it, without an axis over the units."""
        xp = z[0].__array_namespace__()
        top = reduce(xp.maximum, z)
        log_sum = xp.log(reduce(add, [xp.exp(z_k - top) for z_k in z])) + top
        true = reduce(add, [y[..., k] * z_k for k, z_k in enumerate(z)])
        return (log_sum - true).sum(axis=-1) / y.shape[-2]

    @staticmethod
    def _value(z: Array, log_sums: Array, y: Array) -> Array:
        return (log_sums.sum(axis=_OUTPUT_AXES) - (y * z).sum(axis=_OUTPUT_AXES)) / z.shape[-1]


LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    {
        "mse": MeanSquaredError,
        "binary_cross_entropy": BinaryCrossEntropy,
        "categorical_cross_entropy": CategoricalCrossEntropy,
    },
)
DEFAULT_LOSS = {
    "regression": ("mse", "identity"),
    "binary": ("binary_cross_entropy", "sigmoid"),
    "multiclass": ("categorical_cross_entropy", "softmax"),
}


def choose(task: str, loss: str | None, output: str | None) -> Loss:
    """The loss of that name with its output function.

    loss None: the loss of the task. output None: the output function of the task, or else of the loss.
    Raises ConfigError where loss, output and task do not fit together.
    """
    default_loss, default_output = DEFAULT_LOSS[task]
    name = loss or (default_loss if output in (None, default_output) else "mse")
    kind = LOSSES[name]
    output = output or (default_output if default_output in kind.outputs else kind.outputs[0])
    if output not in kind.outputs:
        raise ConfigError(f"model.output={output}: {name} goes with {' or '.join(kind.outputs)}")
    if task not in kind.tasks:
        fitting = [other for other, loss in LOSSES.items() if task in loss.tasks]
        raise ConfigError(f"model.loss={name}: a {task} data set goes with {' or '.join(fitting)}")
    return kind(output)
