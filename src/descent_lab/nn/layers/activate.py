"""An activation as a layer."""

from dataclasses import dataclass
from typing import Annotated

from descent_lab.nn.activations import ACTIVATIONS, Activation, Array
from descent_lab.nn.layers.base import Layer, Params


@dataclass(frozen=True, kw_only=True)
class Activate(Layer):
    """a = f(z), elementwise; f is the name of an activation."""

    kind = "activate"
    tried = (3,), {"f": "tanh"}
    main = "f"

    f: Annotated[str, ACTIVATIONS]

    def forward(self, params: Params, h: Array) -> tuple[Array, tuple[Array, Array]]:
        a = ACTIVATIONS[self.f].f(h)
        return a, (h, a)

    def backward(self, params: Params, cache: tuple[Array, Array], d_out: Array, into: Params, wanted: bool) -> Array:
        z, a = cache
        return d_out * ACTIVATIONS[self.f].df(z, a)

    @property
    def activation(self) -> Activation:
        return ACTIVATIONS[self.f]

    @property
    def units(self) -> int:
        return 0  # those of the layer before count for these too
