"""Layers that hold other layers, one after the other."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from descent_lab.nn.activations import Activation, Array
from descent_lab.nn.layers.base import MOMENTS, Layer, Parameter, Params, Shape


@dataclass(frozen=True, kw_only=True)
class Chain(Layer, ABC):
    """Base class of layers that are a chain of others. The pieces of each carry its name: `0.W` is W of layer 0."""

    @abstractmethod
    def held(self) -> Mapping[str, Layer]:
        """The layers by name in their order, before they know the shapes of their inputs. They are at least one."""

    def at(self, shape: Shape) -> Self:
        layer = super().at(shape)
        _ = layer.inner  # refuses what does not fit
        return layer

    @cached_property
    def inner(self) -> dict[str, Layer]:
        """The layers by name, each with the shape of its input."""
        held = self.held()
        return dict(zip(held, placed(held.values(), self.shape_in), strict=True))

    @property
    def shape_out(self) -> Shape:
        return list(self.inner.values())[-1].shape_out

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {f"{at}.{name}": piece for at, layer in self.inner.items() for name, piece in layer.parameters.items()}

    @property
    def joins(self) -> Mapping[str, tuple[str, ...]]:
        return {
            f"{at}.{joined}": tuple(f"{at}.{part}" for part in parts)
            for at, layer in self.inner.items()
            for joined, parts in layer.joins.items()
        }

    def following(self, name: str, after: Activation | None) -> Activation | None:
        at, _, piece = name.partition(".")
        k = list(self.inner).index(at)
        layers = list(self.inner.values())
        return layers[k].following(piece, following(layers[k + 1 :]))

    def forward(self, params: Params, h: Array) -> tuple[Array, Any]:
        caches = []
        for layer, pieces in self._with(params):
            h, cache = layer.forward(pieces, h)
            caches.append(cache)
        return h, caches

    def backward(self, params: Params, cache: Any, d_out: Array, into: Params, wanted: bool) -> Array | None:
        pieces, d_pieces = ([own for _, own in self._with(of)] for of in (params, into))
        return back(list(self.inner.values()), pieces, cache, d_out, d_pieces, wanted)

    @property
    def n_stats(self) -> int:
        return sum(layer.n_stats for layer in self.inner.values())

    def stats(self, cache: Any) -> Array:
        return batch_stats(self.inner.values(), cache)

    @property
    def first_stats(self) -> list[float]:
        return [value for layer in self.inner.values() for value in layer.first_stats]

    @property
    def products(self) -> int:
        return sum(layer.products for layer in self.inner.values())

    @property
    def units(self) -> int:
        return sum(layer.units for layer in self.inner.values())

    def _with(self, params: Params) -> Iterator[tuple[Layer, Params]]:
        """Each layer with its own pieces, and its own running statistics where params has any."""
        start = 0
        for at, layer in self.inner.items():
            prefix = f"{at}."
            pieces = {name.removeprefix(prefix): piece for name, piece in params.items() if name.startswith(prefix)}
            if MOMENTS in params and layer.n_stats:
                pieces[MOMENTS] = params[MOMENTS][..., start : start + layer.n_stats]
                start += layer.n_stats
            yield layer, pieces


def placed(layers: Iterable[Layer], shape: Shape) -> list[Layer]:
    """These layers in a chain, for samples of that shape. Raises ConfigError where one cannot take its input."""
    chained: list[Layer] = []
    for layer in layers:
        chained.append(layer.at(chained[-1].shape_out if chained else shape))
    return chained


def back(
    layers: Sequence[Layer],
    params: Sequence[Params],
    caches: Sequence[Any],
    delta: Array,
    into: Sequence[Params],
    wanted: bool,
) -> Array | None:
    """The backward pass of a chain, as `Layer.backward`: each layer writes into its own part of `into`."""
    first = next((k for k, layer in enumerate(layers) if layer.parameters), len(layers))
    d_h: Array | None = delta
    for k in range(len(layers) - 1, (-1 if wanted else first - 1), -1):
        d_h = layers[k].backward(params[k], caches[k], d_h, into[k], wanted or k > first)
    return d_h if wanted else None


def batch_stats(layers: Iterable[Layer], caches: Iterable[Any]) -> Array | None:
    """The statistics of a batch of all these layers, (..., n), from their forward passes; None where none has any."""
    found = [layer.stats(cache) for layer, cache in zip(layers, caches, strict=True) if layer.n_stats]
    if len(found) < 2:
        return found[0] if found else None
    return found[-1].__array_namespace__().concat(found, axis=-1)  # the first ones may not depend on theta


def following(layers: Sequence[Layer]) -> Activation | None:
    """The activation among these layers, with no weights before it; None if there is none."""
    for layer in layers:
        if layer.activation is not None:
            return layer.activation
        if any(parameter.start == "weights" for parameter in layer.parameters.values()):
            return None
    return None
