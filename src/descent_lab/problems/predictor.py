"""Predictions of a trained network: from raw points to values in the target's own units."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

import numpy as np

from descent_lab.data.base import Data
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.losses import LOSSES
from descent_lab.nn.network import Network
from descent_lab.portable.formulas import FUNCTIONS
from descent_lab.portable.model import About, Layer, PortableModel
from descent_lab.problems.objective import Objective

OURS = "descent_lab"


@dataclass(frozen=True)
class Predictor:
    """A trained network, with the data set that it was trained on.

    theta: (n_params,). batch_stats: the running means and variances of batch normalisation, (n_batch_stats,); None for
    a network that does not normalise.
    """

    data: Data
    objective: Objective
    theta: np.ndarray
    batch_stats: np.ndarray | None

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, n_outputs) for raw points x (n, n_features), as `PortableModel.outputs` gives them."""
        return self.portable.outputs(x)

    @cached_property
    def portable(self) -> PortableModel:
        """The same network without its data set, as plain arrays and names."""
        network, loss, data = self.objective.network, self.objective.loss, self.data
        activation = ACTIVATIONS[network.activation]
        own_activation = [activation.f] if FUNCTIONS.get(network.activation) is not activation.f else []
        own_loss = [type(loss)] if _package(type(loss)) != OURS else []
        about = About(
            task=data.task,
            features=tuple(data.features),
            classes=tuple(data.classes),
            targets=loss.class_targets,
            probabilities=data.task == "binary" or loss.output == "softmax",
            activation=network.activation,
            output=f"{_name(loss)}:{loss.output}" if own_loss else loss.output,
            loss=_name(loss),
            needs=_pinned([*own_activation, *own_loss]),
        )
        layers = _layers(network, self.theta, self.batch_stats)
        return PortableModel(about, layers, activation.f, loss.predict, data.x_scaling, data.y_scaling)


def _layers(network: Network, theta: np.ndarray, batch_stats: np.ndarray | None) -> list[Layer]:
    layers, start = [], 0
    for piece in network.layers(theta):
        layer = Layer(*piece)
        if layer.gamma is not None and batch_stats is not None:
            width = len(layer.gamma)
            mean, variance = batch_stats[start : start + 2 * width].reshape(2, width, 1)
            layer, start = layer._replace(mean=mean, variance=variance), start + 2 * width
        layers.append(layer)
    return layers


def _name(loss: Any) -> str:
    """The name that a loss has in a configuration."""
    return next(name for name, kind in LOSSES.items() if kind is type(loss))


def _package(part: Any) -> str:
    """The top-level package that a function or a class is defined in."""
    package: str = part.__module__.partition(".")[0]
    return package


def _pinned(parts: list[Any]) -> tuple[str, ...]:
    """What must be installed for parts of plug-ins: name==version; of a package that is not installed only its name."""
    if not parts:
        return ()
    homes = packages_distributions()
    names = sorted({homes.get(_package(part), [_package(part)])[0] for part in parts})
    return tuple(_with_version(name) for name in ("descent-lab", *names))


def _with_version(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name
