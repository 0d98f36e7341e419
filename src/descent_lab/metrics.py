"""The one list of metrics: what is measured of a network's outputs, on which tasks, and whether low or high is better.

A plug-in adds one of its own by

    METRICS.add("mae", Metric("mean absolute error", "lower", ("regression",), lambda outputs: ...))

and every run then records train/mae and test/mae, and their final and best values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from descent_lab.components import Registry

Array = Any  # of any array namespace
Better = Literal["lower", "higher"]
TASKS = ("regression", "binary", "multiclass")
CLASSIFICATION = ("binary", "multiclass")


class OutputLoss(Protocol):
    """The loss that a network is trained with, as metrics need it."""

    def value(self, z: Array, y: Array, /) -> Array:
        """The loss (...) of logits and targets, both of shape (..., n_outputs, n)."""

    def predict(self, z: Array, /) -> Array:
        """Predictions, of the shape of the logits."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network for all n samples of a set. The leading axes of arrays are runs.

    z: the logits (..., n_outputs, n). y: the targets, of the same shape. threshold: a binary prediction above it
    stands for class 1.
    """

    z: Array
    y: Array
    loss: OutputLoss
    task: str
    threshold: float = 0.5

    @property
    def predictions(self) -> Array:
        """The outputs after the output function, (..., n_outputs, n)."""
        return self.loss.predict(self.z)


@dataclass(frozen=True)
class Metric:
    """A number that tells how good the outputs of a network are.

    label: its name in plots and tables. tasks: those of TASKS that it applies to. value: from the outputs to an array
    of shape (...), one number a run; it is written with the functions of `outputs.z.__array_namespace__()`.
    """

    label: str
    better: Better
    tasks: tuple[str, ...]
    value: Callable[[Outputs], Array]


def _loss(outputs: Outputs) -> Array:
    return outputs.loss.value(outputs.z, outputs.y)


def _rmse(outputs: Outputs) -> Array:
    """sqrt(mean (a - y)^2) over samples and outputs, a being the predictions."""
    xp = outputs.z.__array_namespace__()
    error = outputs.predictions - outputs.y
    return xp.sqrt(xp.mean(error * error, axis=(-2, -1)))


def _accuracy(outputs: Outputs) -> Array:
    """The share of samples whose most probable class is the true one."""
    z, y = outputs.z, outputs.y
    xp = z.__array_namespace__()
    if outputs.task == "multiclass":
        return xp.mean(1.0 * (xp.argmax(z, axis=-2) == xp.argmax(y, axis=-2)), axis=-1)
    hit = (outputs.predictions > outputs.threshold) == (y > outputs.threshold)
    return xp.mean(1.0 * hit, axis=(-2, -1))


METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "loss": Metric("loss", "lower", TASKS, _loss),
        "rmse": Metric("RMSE", "lower", ("regression",), _rmse),
        "accuracy": Metric("accuracy", "higher", CLASSIFICATION, _accuracy),
    },
)


def metrics_of(task: str) -> dict[str, Metric]:
    """The metrics that apply to a task, by name, the loss first."""
    return {name: metric for name, metric in METRICS.items() if task in metric.tasks}


def better(name: str) -> Better:
    """Whether low or high values of a recorded metric are better: of those that are not in the list, low ones."""
    return METRICS[name].better if name in METRICS else "lower"
