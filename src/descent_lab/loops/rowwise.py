"""The value of a small network as XLA computes it quickest, where nothing is differentiated."""

from functools import reduce
from itertools import pairwise
from operator import add

import jax
import jax.numpy as jnp

from descent_lab.data.batching import Batches
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.losses import CategoricalCrossEntropy
from descent_lab.nn.network import Layer
from descent_lab.problems.objective import Objective

# Measured on a CPU, for full batches: two thirds of the time within these bounds. Beyond them it is no quicker and
# takes seconds to compile (more weights), or a loop is over before it is worth while (fewer samples).
WEIGHTS = 256
SAMPLES = 64


def rowwise(objective: Objective, batches: Batches) -> Objective:
    """The same objective, of a small network on full batches computed unit by unit."""
    network = objective.network
    weights = sum(a * b for a, b in pairwise(network.sizes))
    small = weights <= WEIGHTS and not network.batch_norm
    if small and batches.size == batches.n >= SAMPLES and jax.default_backend() == "cpu":
        return RowwiseObjective(network, objective.loss, objective.task)
    return objective


class RowwiseObjective(Objective):
    """All layers and the loss become one loop over samples, which keeps what is between them in registers.

    For values only: a gradient would be put together from as many slices.
    """

    def value_of(self, layers: list[Layer], x: jax.Array, y: jax.Array) -> tuple[jax.Array, None]:
        """Training loss of a batch (...); there are no batch statistics."""
        f = ACTIVATIONS[self.network.activation].f
        units = [x[..., i] for i in range(x.shape[-1])]  # each (..., n)
        for k, layer in enumerate(layers):
            sums = [_weighted(units, layer.W[..., j]) for j in range(layer.W.shape[-1])]
            if layer.b is not None:
                sums = [s + layer.b[..., j, :] for j, s in enumerate(sums)]
            units = sums if k == len(layers) - 1 else [f(s) for s in sums]
        if isinstance(self.loss, CategoricalCrossEntropy):
            return _cross_entropy(units, y), None
        return self.loss.value(jnp.stack(units, axis=-2), y.mT), None


def _weighted(units: list[jax.Array], w: jax.Array) -> jax.Array:
    """sum_i w_i h_i for h_i (..., n) and w (..., fan_in)."""
    return reduce(add, [w[..., i, None] * h for i, h in enumerate(units)])


def _cross_entropy(z: list[jax.Array], y: jax.Array) -> jax.Array:
    """As CategoricalCrossEntropy.value, for logits z_k (..., n) and y (..., n, n_outputs)."""
    top = reduce(jnp.maximum, z)
    log_sum = jnp.log(reduce(add, [jnp.exp(z_k - top) for z_k in z])) + top
    true = reduce(add, [y[..., k] * z_k for k, z_k in enumerate(z)])
    return (log_sum - true).sum(axis=-1) / y.shape[-2]
