"""The models that a configuration can choose, by name."""

from descent_lab.nn.models.base import Model
from descent_lab.nn.models.layers import Layers
from descent_lab.nn.models.mlp import MLP

__all__ = ["MLP", "Layers", "Model"]
