"""JAX and optax in a lax.scan that is written by hand: the whole training is one compiled call."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.problems import PlainRun

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh}


def descent(plain: PlainRun) -> Callable[[], Any]:
    """Gradient descent over batches of one size, and a smaller last batch where the size does not divide n."""
    kind = "adam" if type(plain.run.optimizer).__name__ == "Adam" else "sgd"
    activation = plain.activation
    windows = tuple((of.shape_in[0], of.width, of.stride, of.padding) for of in plain.convolutions)
    train = _compiled(activation, plain.multiclass, kind, plain.lr, plain.size, plain.epochs, windows)
    weights = jax.device_put(plain.weights)
    x, y = jnp.asarray(plain.x), jnp.asarray(plain.y)
    return lambda: jax.block_until_ready(train(weights, x, y))


@cache
def _compiled(
    activation: str, multiclass: bool, kind: str, lr: float, size: int, epochs: int, windows: Any
) -> Callable[..., Any]:
    optimizer = getattr(optax, kind)(lr)
    f = ACTIVATIONS[activation]

    def loss(weights: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        h = x[:, None, :] if windows else x
        for (W, b), (channels, width, stride, zeros) in zip(weights, windows, strict=False):
            kernel = W.T.reshape(-1, channels, width)
            h = f(jax.lax.conv_general_dilated(h, kernel, (stride,), [(zeros, zeros)]) + b[:, None])
        h = h.reshape(len(x), -1)
        for k, (W, b) in enumerate(weights[len(windows) :], len(windows)):
            z = h @ W if b is None else h @ W + b
            h = f(z) if k < len(weights) - 1 else z
        if multiclass:
            return optax.softmax_cross_entropy(h, y).mean()
        return jnp.mean((h - y) ** 2)

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        weights, state = carry
        value, g = jax.value_and_grad(loss)(weights, *batch)
        updates, state = optimizer.update(g, state, weights)
        return (optax.apply_updates(weights, updates), state), value

    def epoch(carry: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
        if size == len(x):
            return step(carry, (x, y))
        whole = len(x) // size * size
        batches = (x[:whole].reshape(-1, size, x.shape[1]), y[:whole].reshape(-1, size, y.shape[1]))
        carry, losses = jax.lax.scan(step, carry, batches)
        return step(carry, (x[whole:], y[whole:])) if whole < len(x) else (carry, losses[-1])

    @jax.jit
    def train(weights: Any, x: jax.Array, y: jax.Array) -> Any:
        carry = (weights, optimizer.init(weights))
        (weights, _), _ = jax.lax.scan(lambda carry, _: epoch(carry, x, y), carry, length=epochs)
        return weights

    return train
