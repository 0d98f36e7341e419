"""A multilayer perceptron as a function of one flat vector theta, written once for any array namespace.

theta is laid out layer by layer: weights (fan_in, fan_out) in C order, then that layer's bias, or, for the hidden
layers of a batch-normalised network, its scale gamma and shift beta.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import NamedTuple

from descent_lab.nn.activations import ACTIVATIONS, Activation, Array
from descent_lab.portable.formulas import normalised

BN_MOMENTUM = 0.1  # as in torch.nn.BatchNorm1d


class Layer(NamedTuple):
    """The parameters of one layer: views of theta with the leading axes of theta."""

    W: Array  # (..., fan_in, fan_out)
    b: Array | None  # (..., fan_out, 1)
    gamma: Array | None  # (..., fan_out, 1)
    beta: Array | None  # (..., fan_out, 1)


class Trace(NamedTuple):
    """The values of the forward pass of one layer that backprop needs again, each of shape (..., width, n)."""

    h: Array  # the layer's input
    s: Array  # W^T h + b
    u: Array | None  # s normalised over the batch; None in a layer that does not normalise
    sigma: Array | None  # the standard deviation of s over the batch, (..., width, 1); None as for u
    z: Array  # what the activation is applied to: gamma u + beta, or s
    a: Array  # the layer's output; in the last layer these are the logits


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron. A hidden layer is dense, then normalised over the batch (optional), then activated.

    sizes: (n_features, *hidden, n_outputs). activation: the name of the activation of the hidden layers.
    """

    sizes: tuple[int, ...]
    activation: str
    bias: bool
    batch_norm: bool = False

    def parts(self) -> Iterator[tuple[str, int, tuple[int, int]]]:
        """Gives (kind, layer, shape) of each piece of theta, in order; kind is W, b, gamma or beta."""
        last = len(self.sizes) - 2
        for layer, (fan_in, fan_out) in enumerate(pairwise(self.sizes)):
            normalised = self.batch_norm and layer < last
            yield "W", layer, (fan_in, fan_out)
            if self.bias and not normalised:  # normalising would cancel b, and its gradient would be rounding noise
                yield "b", layer, (fan_out, 1)
            if normalised:
                yield "gamma", layer, (fan_out, 1)
                yield "beta", layer, (fan_out, 1)

    @cached_property
    def n_params(self) -> int:
        """The length of theta."""
        return sum(prod(shape) for _, _, shape in self.parts())

    # Costs are counted in multiplications of matrix products for one sample. Layer k has m_k weights W_k.

    @property
    def forward_products(self) -> int:
        """The number of multiplications of a forward pass, in which W_k^T h takes m_k."""
        return sum(rows * columns for rows, columns in pairwise(self.sizes))

    @property
    def gradient_products(self) -> int:
        """The number of multiplications of a gradient.

        A gradient takes a forward pass, h delta^T in every layer, and W delta in every layer but the first.
        """
        first, *others = (rows * columns for rows, columns in pairwise(self.sizes))
        return 2 * first + 3 * sum(others)

    @property
    def gradient_tangent_products(self) -> int:
        """The number of multiplications that carry one tangent through a gradient.

        d(AB) = dA B + A dB takes two products for each product of the gradient, but one where A or B is the input.
        """
        first, *others = (rows * columns for rows, columns in pairwise(self.sizes))
        return 2 * first + 6 * sum(others)

    @property
    def n_batch_stats(self) -> int:
        """The number of batch statistics: a mean and a variance for every normalised unit."""
        return 2 * sum(self.sizes[1:-1]) if self.batch_norm else 0

    def layers(self, theta: Array) -> list[Layer]:
        """The layers of theta, which has the shape (..., n_params)."""
        lead = theta.shape[:-1]
        return [
            Layer(*(None if piece is None else theta[..., piece[0]].reshape(lead + piece[1]) for piece in pieces))
            for pieces in self._pieces
        ]

    @cached_property
    def _pieces(self) -> list[tuple[tuple[slice, tuple[int, int]] | None, ...]]:
        """The place in theta and the shape of W, b, gamma and beta of each layer, computed once for all steps."""
        pieces: list[dict[str, tuple[slice, tuple[int, int]]]] = [{} for _ in self.sizes[1:]]
        start = 0
        for kind, layer, shape in self.parts():
            pieces[layer][kind] = slice(start, start + prod(shape)), shape
            start += prod(shape)
        return [tuple(of_layer.get(kind) for kind in Layer._fields) for of_layer in pieces]

    def affine(self, theta: Array) -> list[Array]:
        """[W; b] of each layer as one matrix (..., fan_in + 1, fan_out), a view of theta; without a bias it is W."""
        lead = theta.shape[:-1]
        return [theta[..., place].reshape(lead + shape) for place, shape in self.affine_pieces]

    @cached_property
    def affine_pieces(self) -> list[tuple[slice, tuple[int, int]]]:
        """The place in theta and the shape of [W; b] of each layer."""
        pieces = []
        for W, b, *_ in self._pieces:
            assert W is not None
            place, (fan_in, fan_out) = W
            rows = fan_in + (b is not None)
            pieces.append((slice(place.start, place.start + rows * fan_out), (rows, fan_out)))
        return pieces

    def names(self) -> list[str]:
        """The name of each parameter: w_{(layer,unit,previous unit)} or b_{(layer,unit)}. Layers are counted from 1."""
        names = []
        for kind, layer, (rows, columns) in self.parts():
            if kind == "W":
                names += [f"w_{{({layer + 1},{j},{i})}}" for i in range(rows) for j in range(columns)]
            else:
                names += [f"{kind}_{{({layer + 1},{j})}}" for j in range(rows)]
        return names

    def forward(self, theta: Array, x: Array, batch_stats: Array | None = None) -> list[Trace]:
        """The traces of all layers for theta (..., n_params) and x (..., n, n_features). The last `a` holds the logits.

        batch_stats: the running means and variances (..., n_batch_stats) with which a trained network normalises. If it
        is None, layers normalise with the mean and the variance of this batch.
        """
        return self.through(self.layers(theta), x, batch_stats)

    def through(self, layers: list[Layer], x: Array, batch_stats: Array | None = None) -> list[Trace]:
        """The traces that `forward` gives, for the layers of theta."""
        h, traces, start = x.mT, [], 0
        for k, layer in enumerate(layers):
            s = layer.W.mT @ h
            if layer.b is not None:
                s = s + layer.b
            moments = None
            if batch_stats is not None and layer.gamma is not None:
                start, first = start + 2 * self.sizes[k + 1], start
                moments = batch_stats[..., first:start]
            traces.append(self.trace(k, h, s, layer, moments))
            h = traces[-1].a
        return traces

    def trace(self, k: int, h: Array, s: Array, layer: Layer, moments: Array | None = None) -> Trace:
        """The trace of layer k from s = W^T h + b.

        moments: [mean, variance] (..., 2 width) to normalise with. If it is None, those of the batch are used.
        """
        u = sigma = None
        z = s
        if layer.gamma is not None:
            u, sigma = _normalise(s, moments)
            z = layer.gamma * u + layer.beta
        a = z if k == len(self.sizes) - 2 else self._activation.f(z)
        return Trace(h, s, u, sigma, z, a)

    def batch_stats(self, traces: list[Trace]) -> Array | None:
        """The mean and the unbiased variance of every normalised unit over the batch, (..., n_batch_stats).

        It is None for a network that does not normalise.
        """
        if not self.batch_norm or len(traces) == 1:
            return None
        xp = traces[0].s.__array_namespace__()
        n = traces[0].s.shape[-1]
        moments = []
        for trace in traces[:-1]:
            moments += [xp.mean(trace.s, axis=-1), xp.var(trace.s, axis=-1) * (n / (n - 1))]
        return xp.concat(moments, axis=-1)

    @property
    def _activation(self) -> Activation:
        return ACTIVATIONS[self.activation]


def _normalise(s: Array, moments: Array | None) -> tuple[Array, Array]:
    """s normalised, and its standard deviation. moments: [mean, variance]; None: those of the batch."""
    xp = s.__array_namespace__()
    if moments is None:
        return normalised(s, xp.mean(s, axis=-1, keepdims=True), xp.var(s, axis=-1, keepdims=True))
    width = moments.shape[-1] // 2
    return normalised(s, moments[..., :width, None], moments[..., width:, None])
