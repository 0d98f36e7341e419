"""Layers that hold other layers, one after the other."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
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
        placed: dict[str, Layer] = {}
        shape = self.shape_in
        for name, layer in self.held().items():
            placed[name] = layer.at(shape)
            shape = placed[name].shape_out
        return placed

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
        layers = list(zip(self._with(params), self._with(into), cache, strict=True))
        first = next((k for k, layer in enumerate(self.inner.values()) if layer.parameters), len(layers))
        d_h: Array | None = d_out
        for k in range(len(layers) - 1, (-1 if wanted else first - 1), -1):
            (layer, pieces), (_, d_pieces), kept = layers[k]
            d_h = layer.backward(pieces, kept, d_h, d_pieces, wanted or k > first)
        return d_h if wanted else None

    @property
    def n_stats(self) -> int:
        return sum(layer.n_stats for layer in self.inner.values())

    def stats(self, cache: Any) -> Array:
        found = [layer.stats(kept) for layer, kept in zip(self.inner.values(), cache, strict=True) if layer.n_stats]
        return found[-1].__array_namespace__().concat(found, axis=-1)  # the first ones may not depend on theta

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


def following(layers: Sequence[Layer]) -> Activation | None:
    """The activation among these layers, with no weights before it; None if there is none."""
    for layer in layers:
        if layer.activation is not None:
            return layer.activation
        if any(parameter.start == "weights" for parameter in layer.parameters.values()):
            return None
    return None
