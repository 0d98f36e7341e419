"""Layers as a configuration writes them: relu, {dense: 10}, {dense: {width: 10, bias: false}}, or by `_target_`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf

from descent_lab.components import Registry, resolve
from descent_lab.errors import ConfigError
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.attention import Attention
from descent_lab.nn.layers.base import Layer
from descent_lab.nn.layers.batch_norm import BatchNorm
from descent_lab.nn.layers.conv1d import Conv1d
from descent_lab.nn.layers.conv2d import Conv2d
from descent_lab.nn.layers.dense import Dense
from descent_lab.nn.layers.embedding import Embedding
from descent_lab.nn.layers.flatten import Flatten
from descent_lab.nn.layers.layer_norm import LayerNorm
from descent_lab.nn.layers.pooling import MaxPool, MeanPool
from descent_lab.nn.layers.rms_norm import RmsNorm
from descent_lab.validation import typed

KINDS: tuple[type[Layer], ...] = (
    Activate,
    Attention,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dense,
    Embedding,
    Flatten,
    LayerNorm,
    MaxPool,
    MeanPool,
    RmsNorm,
)
LAYERS: Registry[type[Layer]] = Registry("layer", {kind.kind: kind for kind in KINDS})


def layer_of(written: Any, where: str = "layer") -> Layer:
    """The layer that a configuration writes. where: the name of the place, for errors. Raises ConfigError."""
    if isinstance(written, Layer):
        return written
    options: Any = {}
    if isinstance(written, str):
        name = written
    elif isinstance(written, Mapping) and "_target_" in written:
        kind = resolve("layer", written["_target_"])
        return typed(where, kind, {key: value for key, value in written.items() if key != "_target_"})  # type: ignore[no-any-return]
    elif isinstance(written, Mapping) and len(written) == 1:
        ((name, options),) = written.items()
    else:
        raise ConfigError(f"{where}={written}: must be a name, or one name with its options, such as {{dense: 10}}")
    if name in ACTIVATIONS and not options:
        return Activate(f=name)
    if name not in LAYERS:
        raise ConfigError(f"{where}={name}: must be one of {', '.join(sorted([*LAYERS, *ACTIVATIONS]))}")
    kind = LAYERS[name]
    if not isinstance(options, Mapping):
        if not kind.main:
            raise ConfigError(f"{where}.{name}={options}: must be options by name")
        options = {kind.main: options}
    return typed(f"{where}.{name}", kind, dict(options))  # type: ignore[no-any-return]


def _layers_of(written: Any) -> Any:
    if not isinstance(written, Sequence) or isinstance(written, str):
        return written
    return tuple(layer_of(item, f"layers[{i}]") for i, item in enumerate(written))


WrittenLayers = Annotated[tuple[InstanceOf[Layer], ...], BeforeValidator(_layers_of)]
