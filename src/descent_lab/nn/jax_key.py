"""Weights from JAX's random numbers, drawn as in scripts that use one key for every layer."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from descent_lab.nn.activations import Activation
from descent_lab.nn.initialisers import Initialiser
from descent_lab.seeding import Stream


@dataclass(frozen=True, kw_only=True)
class JaxKey(Initialiser):
    """W = std jax.random.normal(PRNGKey(key)) in float32, from the same key for every layer.

    The seed of the run does not count. Layers of equal size get equal weights.
    partitionable: false selects the threefry stream that was JAX's default before 0.5, true the present one.
    """

    kind = "jax_key"

    key: Annotated[int, Ge(0)] = 0
    partitionable: bool = False
    std: Annotated[float, Gt(0)] = 1.0

    def weights(self, stream: Stream, fan_in: int, fan_out: int, following: Activation | None) -> np.ndarray:
        import jax  # only here, because importing it takes a second

        with jax.threefry_partitionable(self.partitionable):
            drawn = jax.random.normal(jax.random.PRNGKey(self.key), (fan_in, fan_out), dtype=np.float32)
        return np.float32(self.std) * np.asarray(drawn)
