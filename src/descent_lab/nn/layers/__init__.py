"""The layers that networks are composed of, by name."""

from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.base import Layer, Parameter
from descent_lab.nn.layers.batch_norm import BatchNorm
from descent_lab.nn.layers.dense import Dense

__all__ = ["Activate", "BatchNorm", "Dense", "Layer", "Parameter"]
