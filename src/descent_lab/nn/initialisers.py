"""Initialisers of theta: one frozen dataclass for each scheme. They draw on the host, in the order of theta."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from descent_lab.components import Component
from descent_lab.nn.activations import ACTIVATIONS, Activation
from descent_lab.nn.network import Network
from descent_lab.seeding import Stream


@dataclass(frozen=True, kw_only=True)
class Initialiser(Component, ABC):
    """Base class of initialisers, which says how weights are drawn.

    Every bias is `bias` + `bias_std` N(0, 1). In batch normalisation scales are 1 and shifts 0.
    """

    group = "init"

    bias: float = 0.0
    bias_std: Annotated[float, Ge(0)] = 0.0

    @abstractmethod
    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        """The weights of one layer, (fan_in, fan_out). following: the activation after it; None for the last layer."""

    def theta(self, network: Network, stream: Stream) -> np.ndarray:
        """The initial theta of the network, (n_params,) float64."""
        following = [ACTIVATIONS[network.activation]] * (len(network.sizes) - 2) + [None]
        pieces = [self._piece(kind, shape, stream, following[layer]) for kind, layer, shape in network.parts()]
        return np.concatenate([piece.ravel() for piece in pieces])

    def _piece(self, kind: str, shape: tuple[int, ...], stream: Stream, following: Activation | None) -> np.ndarray:
        if kind == "W":
            fan_in, fan_out = shape
            return np.asarray(self.weights(stream, fan_in, fan_out, following), dtype=np.float64)
        if kind == "b" and self.bias_std > 0:
            return self.bias + self.bias_std * stream.standard_normal(shape)
        return np.full(shape, {"b": self.bias, "gamma": 1.0, "beta": 0.0}[kind])


@dataclass(frozen=True, kw_only=True)
class Normal(Initialiser):
    """W = std N(0, 1), whatever the size of the layer."""

    kind = "normal"

    std: Annotated[float, Gt(0)] = 1.0

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        return self.std * stream.standard_normal((fan_in, fan_out))


@dataclass(frozen=True, kw_only=True)
class Uniform(Initialiser):
    """W is uniform on [-limit, limit]. limit None: 1 / sqrt(fan_in), as in torch.nn.Linear."""

    kind = "uniform"

    limit: Annotated[float, Gt(0)] | None = None

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        limit = self.limit or 1 / math.sqrt(fan_in)
        return stream.uniform(-limit, limit, (fan_in, fan_out))


@dataclass(frozen=True, kw_only=True)
class Scaled(Initialiser):
    """W is normal or uniform with the standard deviation gain / sqrt(fan).

    fan: `in` stands for fan_in (LeCun et al. 1998, He et al. 2015), `mean` for the mean of fan_in and fan_out (Glorot &
    Bengio 2010). gain: of the hidden layers; None: the gain of their activation. The output layer has gain 1.
    """

    kind = "scaled"

    fan: Literal["in", "mean"] = "in"
    gain: Annotated[float, Gt(0)] | None = None
    distribution: Literal["normal", "uniform"] = "normal"

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        gain = 1.0 if following is None else self.gain or following.gain
        std = gain / math.sqrt(fan_in if self.fan == "in" else (fan_in + fan_out) / 2)
        if self.distribution == "normal":
            return std * stream.standard_normal((fan_in, fan_out))
        limit = math.sqrt(3) * std
        return stream.uniform(-limit, limit, (fan_in, fan_out))


@dataclass(frozen=True, kw_only=True)
class Zeros(Initialiser):
    """W = 0, which leaves all units of a layer alike."""

    kind = "zeros"

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        return np.zeros((fan_in, fan_out))
