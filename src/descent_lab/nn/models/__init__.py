"""The models that a configuration can choose, by name."""

from descent_lab.nn.models.base import Model
from descent_lab.nn.models.cnn import CNN
from descent_lab.nn.models.conv1d import ConvNet1d
from descent_lab.nn.models.layers import Layers
from descent_lab.nn.models.mlp import MLP

__all__ = ["CNN", "MLP", "ConvNet1d", "Layers", "Model"]
