"""Models: the networks that a configuration can choose, each a frozen dataclass of its options.

A model says which layers lie between the samples of a data set and its targets. A model of one's own is a class derived
from `Model` and a YAML file in conf/model (or in a plug-in) that names it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from descent_lab.components import Component
from descent_lab.errors import ConfigError
from descent_lab.nn.layers.base import Layer, Shape
from descent_lab.nn.losses import LOSSES
from descent_lab.nn.network import Network


@dataclass(frozen=True, kw_only=True)
class Model(Component, ABC):
    """Base class of models.

    loss and output (the function after the last layer): None stands for those of the task: mse and identity for a
    regression, cross-entropy with sigmoid or softmax otherwise.
    """

    group = "model"
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # refuse unknown options

    loss: Annotated[str, LOSSES] | None = None
    output: Literal["identity", "sigmoid", "tanh", "softmax"] | None = None

    @abstractmethod
    def chain(self, shape: Shape, n_outputs: int) -> Sequence[Layer]:
        """The layers for samples of that shape, the last of which gives n_outputs numbers for a sample."""

    def network(self, shape: Shape, n_outputs: int) -> Network:
        """The network for samples of that shape. Raises ConfigError where the layers do not fit."""
        network = Network.of(shape, self.chain(shape, n_outputs))
        if not network.n_params:
            raise ConfigError("model: has no parameters; it must have a layer that can be trained, such as dense")
        if network.n_outputs != n_outputs:
            raise ConfigError(
                f"model: gives {network.n_outputs} numbers for a sample; the data set has {n_outputs} targets"
            )
        return network
