"""A network of layers that a configuration lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from descent_lab.nn.layers.base import Layer, Shape
from descent_lab.nn.layers.written import WrittenLayers
from descent_lab.nn.models.base import Model


@dataclass(frozen=True, kw_only=True)
class Layers(Model):
    """The layers that are listed, such as [{dense: 10}, relu, {dense: 3}].

    The last one must give as many numbers for a sample as the data set has targets.
    """

    kind = "layers"

    layers: WrittenLayers

    def chain(self, shape: Shape, n_outputs: int) -> Sequence[Layer]:
        return self.layers
