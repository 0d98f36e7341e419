"""Layers: the protocol of what a network is composed of. One file holds one kind of layer.

A layer gets h of shape (..., width, n): the leading axes are runs, `width` its units, and samples come last. Where
samples are sequences or pictures, h has the shape (..., channels, places n): the places of a sample (the steps of a
sequence, the pixels of a picture, in C order) come before the samples, so that h is (..., channels, *places, n) in
memory. A layer that treats all places alike, as most do, need not know of them: to it each place is a sample.

The forward pass is written once, for any array namespace (`h.__array_namespace__()`): NumPy, JAX and the Taylor
algebra. The backward pass is written by hand from the chain rule, for NumPy.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from descent_lab.components import Component
from descent_lab.nn.activations import Activation, Array

Shape = tuple[int, ...]  # of one sample: (width,), (channels, length), (channels, rows, columns)
Params = Mapping[str, Array]  # pieces of theta by name, each (..., rows, columns)
MOMENTS = "moments"  # the name of the running statistics among the params


class Parameter(NamedTuple):
    """A piece of theta: a matrix (rows, columns).

    start: "weights" and "bias" are drawn by the initialiser; a number is the value that all of the piece begin with.
    fans: the fan-in and fan-out of weights; None: (rows, columns).
    """

    shape: tuple[int, int]
    start: Literal["weights", "bias"] | float = "weights"
    fans: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Layer(Component, ABC):
    """Base class of layers: frozen dataclasses of their options.

    shape_in: the shape of one sample of the input, known once the layer is in a network; no option.
    tried: the shape of a sample, and the options, with which the contract tests try a layer of this kind.
    main: the option that a configuration may give alone: {dense: 10} is {dense: {width: 10}}.
    """

    group = "layer"
    tried: ClassVar[tuple[Shape, Mapping[str, Any]]] = ((3,), {})
    main: ClassVar[str] = ""
    shape_in: ClassVar[Shape] = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # refuse unknown options

    def at(self, shape: Shape) -> Self:
        """This layer for samples of that shape. Raises ConfigError where it cannot take them."""
        layer = replace(self)
        object.__setattr__(layer, "shape_in", shape)
        return layer

    def check(self, x: np.ndarray) -> None:
        """Raise ConfigError where the layer, the first of a network, cannot take samples x (n, n_features)."""

    @property
    def shape_out(self) -> Shape:
        """The shape of one sample of the output."""
        return self.shape_in

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The layer's pieces of theta by name, in their order."""
        return {}

    @property
    def joins(self) -> Mapping[str, tuple[str, ...]]:
        """Pieces that the backward pass takes as one matrix.

        They lie one below the other in theta and have equal columns: {"A": ("W", "b")} makes params["A"] of both, in
        place of them.
        """
        return {}

    @abstractmethod
    def forward(self, params: Params, h: Array) -> tuple[Array, Any]:
        """The output for h (..., width, n), and what `backward` needs again."""

    @abstractmethod
    def backward(self, params: Params, cache: Any, d_out: Array, into: Params, wanted: bool) -> Array | None:
        """Write dL/dparams into the arrays of `into`, and return dL/dh from d_out = dL/d(output).

        wanted: whether dL/dh is used; the first layer of a network need not compute it, and may return None.
        """

    @property
    def activation(self) -> Activation | None:
        """The activation, if that is what the layer is: weights before it are scaled for it."""
        return None

    def following(self, name: str, after: Activation | None) -> Activation | None:
        """The activation for which the piece of that name is scaled. after: the one that follows the layer."""
        return after

    @property
    def n_stats(self) -> int:
        """The number of running statistics, which are then params[MOMENTS] (..., n_stats) where a network is used."""
        return 0

    def stats(self, cache: Any) -> Array:
        """The statistics of the batch, (..., n_stats), from the forward pass. Asked only where n_stats > 0."""
        raise NotImplementedError

    @property
    def first_stats(self) -> list[float]:
        """The running statistics before the first step, n_stats numbers."""
        return []

    @property
    def products(self) -> int:
        """The multiplications of matrix products in a forward pass of one sample."""
        return 0

    @property
    def units(self) -> int:
        """The numbers that the forward pass computes for one sample and keeps, as far as they count for memory."""
        return prod(self.shape_out)

    @property
    def n_places(self) -> int:
        """The places of a sample: 1 where a sample is one vector."""
        return prod(self.shape_in[1:])
