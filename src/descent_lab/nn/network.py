"""A network as a function of one flat vector theta: a chain of layers, written once for any array namespace.

theta is laid out layer by layer, each layer's pieces in their order and in C order: of a dense layer its weights
(fan_in, fan_out), then its bias.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import prod
from typing import Any, NamedTuple, Self

from descent_lab.nn.activations import Activation, Array
from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.base import MOMENTS, Layer, Parameter, Params, Shape
from descent_lab.nn.layers.batch_norm import BatchNorm
from descent_lab.nn.layers.chain import back, batch_stats, following, placed
from descent_lab.nn.layers.dense import Dense

Place = tuple[slice, tuple[int, int]]  # where a matrix lies in theta, and its shape


class Piece(NamedTuple):
    """A piece of theta. block: the number of its block, from 0; following: the activation for which it is scaled."""

    name: str
    block: int
    parameter: Parameter
    following: Activation | None


@dataclass(frozen=True)
class Network:
    """A chain of layers. shape: that of the samples that it takes; layers: each knows the shape of its input."""

    shape: Shape
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, shape: Shape, layers: Sequence[Layer]) -> Self:
        """The network of these layers for such samples. Raises ConfigError where a layer cannot take its input."""
        return cls(shape, tuple(placed(layers, shape)))

    # --- theta ------------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[Piece]:
        """The pieces of theta in order.

        A block begins with each layer that has a piece of a name that the block has already: a dense layer with its
        normalisation is one block.
        """
        block, taken = 0, set[str]()
        for k, layer in enumerate(self.layers):
            if taken & set(layer.parameters):
                block, taken = block + 1, set()
            taken |= set(layer.parameters)
            for name, parameter in layer.parameters.items():
                yield Piece(name, block, parameter, layer.following(name, following(self.layers[k + 1 :])))

    @cached_property
    def n_params(self) -> int:
        """The length of theta."""
        return sum(prod(piece.parameter.shape) for piece in self.pieces())

    def params(self, theta: Array) -> list[Params]:
        """The pieces of each layer, by name, as views of theta (..., n_params) with its leading axes."""
        return _views(theta, self._places)

    def blocks(self, theta: Array) -> list[dict[str, Array]]:
        """The pieces of each block by name, such as W and b of a dense layer, as `params` has them."""
        views = iter(view for of_layer in self.params(theta) for view in of_layer.values())
        found: list[dict[str, Array]] = []
        for piece, view in zip(self.pieces(), views, strict=True):
            if piece.block == len(found):
                found.append({})
            found[piece.block][piece.name] = view
        return found

    def joined(self, theta: Array) -> list[Params]:
        """As `params`, with the pieces that a layer joins as one matrix, as its backward pass takes them."""
        return _views(theta, self.joined_places)

    def in_order(self, params: Sequence[Params]) -> Iterator[list[Array]]:
        """The pieces of each layer in the order in which they lie in theta."""
        for layer, pieces in zip(self.layers, params, strict=True):
            yield [pieces[name] for name in layer.parameters]

    @cached_property
    def _places(self) -> list[dict[str, Place]]:
        shapes = [{name: parameter.shape for name, parameter in layer.parameters.items()} for layer in self.layers]
        sizes = [prod(shape) for of_layer in shapes for shape in of_layer.values()]
        starts = iter(accumulate(sizes, initial=0))
        return [
            {name: (slice(start := next(starts), start + prod(shape)), shape) for name, shape in of_layer.items()}
            for of_layer in shapes
        ]

    @cached_property
    def joined_places(self) -> list[dict[str, Place]]:
        """Where the joined pieces of each layer lie in theta."""
        return [_joined(layer, places) for layer, places in zip(self.layers, self._places, strict=True)]

    def names(self) -> list[str]:
        """The name of each parameter: w_{(block,unit,previous unit)} or b_{(block,unit)}. Blocks are counted from 1."""
        names = []
        for name, block, (shape, start, _), _ in self.pieces():
            rows, columns = shape
            if start == "weights":
                names += [f"{name.lower()}_{{({block + 1},{j},{i})}}" for i in range(rows) for j in range(columns)]
            else:
                names += [f"{name}_{{({block + 1},{j})}}" for j in range(rows)]
        return names

    # --- the forward pass -------------------------------------------------------------------------------------

    def outputs(self, theta: Array, x: Array, batch_stats: Array | None = None) -> Array:
        """The logits (..., n_outputs, n) for theta (..., n_params) and x (..., n, n_features).

        batch_stats: the running statistics (..., n_batch_stats) of a trained network. If it is None, layers use those
        of this batch.
        """
        return self.through(self.params(theta), x, batch_stats)[0]

    def through(self, params: Sequence[Params], x: Array, batch_stats: Array | None = None) -> tuple[Array, list[Any]]:
        """The logits (..., n_outputs, n), and what each layer keeps for its backward pass.

        params: the pieces of each layer, or its joined pieces. x: (..., n, n_features); with a column of ones where the
        first layer is joined and has a bias, if that is wanted.
        """
        h = self._entering(x.mT)
        caches = []
        for layer, pieces, place in zip(self.layers, params, self._stats_places, strict=True):
            given = (
                {**pieces, MOMENTS: batch_stats[..., place]} if batch_stats is not None and layer.n_stats else pieces
            )
            h, cache = layer.forward(given, h)
            caches.append(cache)
        return self._leaving(h), caches

    def backward(self, params: Sequence[Params], caches: Sequence[Any], delta: Array, into: Sequence[Params]) -> None:
        """Write the gradient into the views `into` of it, from delta = dL/d(logits) (..., n_outputs, n).

        params, into: `joined` pieces. caches: from `through` with these params.
        """
        n = delta.shape[-1]
        delta = _reshaped(delta, self.layers[-1].shape_out[0], n)
        back(self.layers, params, caches, delta, into, wanted=False)

    def _entering(self, h: Array) -> Array:
        """x^T (..., n_features, n) as (..., channels, places n)."""
        return h if len(self.shape) == 1 else _reshaped(h, self.shape[0], h.shape[-1])

    def _leaving(self, h: Array) -> Array:
        """The output (..., channels, places n) of the last layer as (..., n_outputs, n)."""
        channels, *places = self.layers[-1].shape_out
        if not places:
            return h
        *lead, _, columns = h.shape
        return h.reshape(*lead, channels * prod(places), columns // prod(places))

    # --- statistics of batches --------------------------------------------------------------------------------

    def batch_stats(self, caches: Sequence[Any]) -> Array | None:
        """The statistics of a batch (..., n_batch_stats), from the forward pass; None for a network without any."""
        return batch_stats(self.layers, caches)

    @cached_property
    def n_batch_stats(self) -> int:
        """The number of batch statistics: with batch normalisation a mean and a variance for every normalised unit."""
        return sum(layer.n_stats for layer in self.layers)

    @property
    def first_batch_stats(self) -> list[float]:
        """The running statistics before the first step, n_batch_stats numbers."""
        return [value for layer in self.layers for value in layer.first_stats]

    @cached_property
    def _stats_places(self) -> list[slice]:
        ends = list(accumulate((layer.n_stats for layer in self.layers), initial=0))
        return [slice(first, end) for first, end in pairwise(ends)]

    # --- sizes and costs, the latter in multiplications of matrix products for one sample --------------------------

    @property
    def n_features(self) -> int:
        """The numbers of a sample that the network takes."""
        return prod(self.shape)

    @property
    def n_outputs(self) -> int:
        """The numbers that the network gives for a sample."""
        return prod(self.layers[-1].shape_out)

    @cached_property
    def units(self) -> int:
        """The numbers of a sample and of all layers' outputs for it, as far as they count for memory."""
        return self.n_features + sum(layer.units for layer in self.layers)

    @property
    def widest(self) -> int:
        """The most numbers that a layer gives for a sample."""
        return max(layer.units for layer in self.layers)

    @property
    def depth(self) -> int:
        """The number of layers that keep numbers of their own."""
        return sum(layer.units > 0 for layer in self.layers)

    @property
    def largest_product(self) -> int:
        """The multiplications of the largest matrix product."""
        return max(layer.products for layer in self.layers)

    @cached_property
    def forward_products(self) -> int:
        """The number of multiplications of a forward pass."""
        return sum(self._products)

    @cached_property
    def gradient_products(self) -> int:
        """The number of multiplications of a gradient.

        A product C = A B takes two more, dA = dC B^T and dB = A^T dC, but one where A or B is the input of the network.
        """
        first, *others = self._products
        return 2 * first + 3 * sum(others)

    @property
    def gradient_tangent_products(self) -> int:
        """The number of multiplications that carry one tangent through a gradient.

        d(AB) = dA B + A dB takes two products for each product of the gradient, but one where A or B is the input.
        """
        first, *others = self._products
        return 2 * first + 6 * sum(others)

    @property
    def _products(self) -> list[int]:
        return [layer.products for layer in self.layers if layer.products]


def mlp(sizes: tuple[int, ...], activation: str, bias: bool = True, batch_norm: bool = False) -> Network:
    """A multilayer perceptron. A hidden layer is dense, then normalised over the batch (optional), then activated.

    sizes: (n_features, *hidden, n_outputs). activation: the name of that of the hidden layers. A normalised layer has
    no bias: normalising would cancel it, and its gradient would be rounding noise.
    """
    return Network.of(sizes[:1], mlp_layers(sizes[1:], activation, bias, batch_norm))


def mlp_layers(widths: Sequence[int], activation: str, bias: bool = True, batch_norm: bool = False) -> list[Layer]:
    """The layers of a multilayer perceptron of these widths, the last of which is that of the output."""
    layers: list[Layer] = []
    for width in widths[:-1]:
        layers += [Dense(width=width, bias=bias and not batch_norm), *([BatchNorm()] if batch_norm else [])]
        layers.append(Activate(f=activation))
    return [*layers, Dense(width=widths[-1], bias=bias)]


def _views(theta: Array, places: list[dict[str, Place]]) -> list[Params]:
    lead = theta.shape[:-1]
    return [
        {name: theta[..., place].reshape(lead + shape) for name, (place, shape) in of_layer.items()}
        for of_layer in places
    ]


def _joined(layer: Layer, places: dict[str, Place]) -> dict[str, Place]:
    """The places with those that the layer joins as one."""
    names = {name: joined for joined, parts in layer.joins.items() for name in parts}
    found: dict[str, Place] = {}
    for name, (place, (rows, columns)) in places.items():
        joined = names.get(name, name)
        if joined in found:  # b lies below W as a row, whatever its shape alone
            above, (height, width) = found[joined]
            found[joined] = slice(above.start, place.stop), (height + rows * columns // width, width)
        else:
            found[joined] = place, (rows, columns)
    return found


def _reshaped(h: Array, channels: int, n: int) -> Array:
    """h (..., channels * places, n) as (..., channels, places n)."""
    *lead, rows, _ = h.shape
    return h if rows == channels else h.reshape(*lead, channels, rows // channels * n)
