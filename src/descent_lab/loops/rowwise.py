"""The value of a small network in the form that XLA computes quickest, for random search, which needs no derivative."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax

from descent_lab.data.batching import Batches
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.base import Params
from descent_lab.nn.layers.dense import Dense
from descent_lab.problems.objective import Objective

# Measured on a CPU, for full batches: this form takes two thirds of the time within these bounds. With more weights it
# is no quicker and takes seconds to compile. With fewer samples, compiling it takes longer than it saves in training.
WEIGHTS = 256  # at most so many weights
SAMPLES = 64  # at least so many samples


def rowwise(objective: Objective, batches: Batches) -> Objective:
    """The same objective, to be computed unit by unit if the network is small and the batches are full.

    Every compiled update that needs no derivative may use it.
    """
    network = objective.network
    known = all(isinstance(layer, Dense | Activate) for layer in network.layers)
    small = network.forward_products <= WEIGHTS and len(network.shape) == 1
    if known and small and batches.size == batches.n >= SAMPLES and jax.default_backend() == "cpu":
        return RowwiseObjective(network, objective.loss, objective.task)
    return objective


class RowwiseObjective(Objective):
    """An objective that XLA compiles to one loop over samples, with the values between layers in registers.

    Use it for values only: a gradient would be put together from as many slices as there are weights.
    """

    def value_of(self, params: Sequence[Params], x: jax.Array, y: jax.Array) -> tuple[jax.Array, None]:
        """The training loss of a batch (...), and None in place of batch statistics."""
        units = [x[..., i] for i in range(x.shape[-1])]  # each (..., n)
        for layer, pieces in zip(self.network.layers, params, strict=True):
            if isinstance(layer, Activate):
                units = [ACTIVATIONS[layer.f].f(s) for s in units]
                continue
            W = pieces["W"]
            units = [_weighted(units, W[..., j]) for j in range(W.shape[-1])]
            if "b" in pieces:
                units = [s + pieces["b"][..., j, :] for j, s in enumerate(units)]
        return self.loss.value_of_units(units, y), None


def _weighted(units: list[jax.Array], w: jax.Array) -> jax.Array:
    """sum_i w_i h_i for h_i (..., n) and w (..., fan_in)."""
    return reduce(add, [w[..., i, None] * h for i, h in enumerate(units)])
