"""Predictions of a trained network: from raw points to values in the target's own units."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

import numpy as np

from descent_lab.data.base import Data
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.layers import Activate, BatchNorm, Dense
from descent_lab.nn.losses import LOSSES
from descent_lab.nn.network import Network
from descent_lab.portable.formulas import FUNCTIONS
from descent_lab.portable.model import About, PortableModel, dense_network
from descent_lab.portable.model import Layer as PortableLayer
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
        loss, data = self.objective.loss, self.data
        found = _dense(self.objective.network, self.theta, self.batch_stats)
        layers, names = found or (None, [])
        functions = [ACTIVATIONS[name].f for name in names]
        own = [f for name, f in zip(names, functions, strict=True) if FUNCTIONS.get(name) is not f]
        own_loss = [type(loss)] if _package(type(loss)) != OURS else []
        about = About(
            task=data.task,
            features=tuple(data.features),
            classes=tuple(data.classes),
            targets=loss.class_targets,
            probabilities=data.task == "binary" or loss.output == "softmax",
            activations=tuple(names),
            output=f"{_name(loss)}:{loss.output}" if own_loss else loss.output,
            loss=_name(loss),
            modules=tuple(sorted({part.__module__ for part in (*own, *own_loss)})),
            needs=_pinned([*own, *own_loss]),
        )
        network = self._predictions if layers is None else dense_network(layers, functions, loss.predict)
        return PortableModel(about, network, layers, data.x_scaling, data.y_scaling)

    def _predictions(self, x: np.ndarray) -> np.ndarray:
        """The predictions (n, n_outputs) of the network for scaled points x (n, n_features)."""
        predicted: np.ndarray = self.objective.predict(self.theta, x.astype(self.theta.dtype), self.batch_stats)
        return predicted.T


def _dense(
    network: Network, theta: np.ndarray, batch_stats: np.ndarray | None
) -> tuple[list[PortableLayer], list[str]] | None:
    """The numbers of dense layers, with their normalisation, and the name of the activation after each.

    None for a network that has layers of other kinds, or in another order.
    """
    found: list[tuple[PortableLayer, str]] = []
    start = 0
    for layer, pieces in zip(network.layers, network.params(theta), strict=True):
        before, activation = found[-1] if found else (None, "")
        if isinstance(layer, Dense):
            found.append((PortableLayer(**pieces), "identity"))
        elif isinstance(layer, Activate) and before is not None and activation == "identity":
            found[-1] = before, layer.f
        elif isinstance(layer, BatchNorm) and before is not None and before.gamma is None and activation == "identity":
            moments: dict[str, np.ndarray] = {}
            if batch_stats is not None:
                mean, variance = batch_stats[start : start + layer.n_stats].reshape(2, -1, 1)
                moments = {"mean": mean, "variance": variance}
            start += layer.n_stats
            found[-1] = before._replace(**pieces, **moments), activation
        else:
            return None
    return [layer for layer, _ in found], [activation for _, activation in found]


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
