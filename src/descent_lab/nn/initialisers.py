"""Initialisers of theta: one frozen dataclass for each scheme. They draw on the host, in the order of theta."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from descent_lab.components import Component
from descent_lab.nn.activations import Activation
from descent_lab.nn.network import Network, Piece
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
        return np.concatenate([self._piece(piece, stream).ravel() for piece in network.pieces()])

    def matrix(
        self, stream: Stream, shape: tuple[int, int], fans: tuple[int, int], following: Activation | None
    ) -> np.ndarray:
        """Weights of a layer whose fans are not the shape of its matrix, such as a convolution. Shape: `shape`.

        By default they are those of a dense layer of that shape.
        """
        return self.weights(stream, *shape, following)

    def _piece(self, piece: Piece, stream: Stream) -> np.ndarray:
        shape, start, fans = piece.parameter
        if start == "weights":
            drawn = (
                self.matrix(stream, shape, fans, piece.following)
                if fans
                else self.weights(stream, *shape, piece.following)
            )
            return np.asarray(drawn, dtype=np.float64)
        if start == "bias":
            return self.bias + (self.bias_std * stream.standard_normal(shape) if self.bias_std > 0 else np.zeros(shape))
        return np.full(shape, start)


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
        return self.matrix(stream, (fan_in, fan_out), (fan_in, fan_out), following)

    def matrix(
        self, stream: Stream, shape: tuple[int, int], fans: tuple[int, int], following: Activation | None
    ) -> np.ndarray:
        gain = 1.0 if following is None else self.gain or following.gain
        std = gain / math.sqrt(fans[0] if self.fan == "in" else sum(fans) / 2)
        if self.distribution == "normal":
            return std * stream.standard_normal(shape)
        limit = math.sqrt(3) * std
        return stream.uniform(-limit, limit, shape)


@dataclass(frozen=True, kw_only=True)
class Zeros(Initialiser):
    """W = 0, which leaves all units of a layer alike."""

    kind = "zeros"

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        return np.zeros((fan_in, fan_out))
