"""The layers that networks are composed of, by name."""

from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.attention import Attention
from descent_lab.nn.layers.base import Layer, Parameter
from descent_lab.nn.layers.batch_norm import BatchNorm
from descent_lab.nn.layers.conv1d import Conv1d
from descent_lab.nn.layers.conv2d import Conv2d
from descent_lab.nn.layers.dense import Dense
from descent_lab.nn.layers.embedding import Embedding
from descent_lab.nn.layers.flatten import Flatten
from descent_lab.nn.layers.layer_norm import LayerNorm
from descent_lab.nn.layers.pooling import MaxPool, MeanPool
from descent_lab.nn.layers.residual import Residual
from descent_lab.nn.layers.rms_norm import RmsNorm
from descent_lab.nn.layers.written import LAYERS

__all__ = [
    "LAYERS",
    "Activate",
    "Attention",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dense",
    "Embedding",
    "Flatten",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "MeanPool",
    "Parameter",
    "Residual",
    "RmsNorm",
]
