"""Plain scripts in the form of the published systems."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems import PlainRun
from descent_lab.loops.compiled import WIDE


def hill_climbing(plain: PlainRun) -> Callable[[], Any]:
    """S3 layer by layer in NumPy, with samples as the first axis. Proposals are drawn, tried, then accepted or not."""
    (W1, b1), (W2, b2) = ((W.copy(), np.asarray(b).copy()) for W, b in plain.weights)
    x, labels = plain.x, plain.y.argmax(1)
    samples, dtype, lr, draw = (
        np.arange(len(x)),
        plain.x.dtype,
        plain.x.dtype.type(plain.lr),
        plain.search.standard_normal,
    )

    def loss() -> Any:
        h = np.maximum(0, x @ W1 + b1)
        z = h @ W2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = np.clip(e / e.sum(axis=1, keepdims=True), 1e-7, 1 - 1e-7)
        return np.mean(-np.log(p[samples, labels]))

    def train() -> Any:
        nonlocal W1, b1, W2, b2
        lowest, best = loss(), (W1, b1, W2, b2)
        for _ in range(plain.epochs):
            W1, b1, W2, b2 = (part + lr * draw(part.shape).astype(dtype) for part in best)
            now = loss()
            if now < lowest:
                lowest, best = now, (W1, b1, W2, b2)
        W1, b1, W2, b2 = best
        return [(W1, b1), (W2, b2)]

    return train


def per_sample(plain: PlainRun) -> Callable[[], Any]:
    """S1 with a loss that loops over samples in Python, differentiated by jax.grad, and not compiled."""
    x, y = jnp.asarray(plain.x), jnp.asarray(plain.y)

    def predict(weights: Any, x: Any) -> Any:
        h = x
        for W in weights[:-1]:
            h = jax.nn.sigmoid(h @ W)
        return h @ weights[-1]

    def loss(weights: Any) -> Any:
        total = 0.0
        for i in range(len(x)):
            total += jnp.sum((predict(weights, x[i]) - y[i]) ** 2)
        return total / len(x)

    gradient = jax.grad(loss)

    def train() -> Any:
        weights = [jnp.asarray(W) for W, _ in plain.weights]
        for _ in range(plain.epochs):
            weights = [W - plain.lr * g for W, g in zip(weights, gradient(weights), strict=True)]
        return [(W, None) for W in weights]

    return train


def bare_loop(plain: PlainRun) -> Callable[[], Any]:
    """The shortest JAX program for full-batch descent of a sigmoid network without biases: a bound on what is possible.

    Samples are the last axis, and the compiler has the options of the `jax` backend. There is no optimizer, no weight
    decay, no recorded loss and no check whether values are finite.
    """
    x, y = jnp.asarray(plain.x.T.copy()), jnp.asarray(plain.y.T.copy())
    weights = [jnp.asarray(W) for W, _ in plain.weights]

    def loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        h = x
        for W in weights[:-1]:
            h = 0.5 * jnp.tanh(0.5 * (W.T @ h)) + 0.5
        error = weights[-1].T @ h - y
        return (error * error).sum() / error.size

    def step(_: Any, weights: list[jax.Array]) -> list[jax.Array]:
        return [W - plain.lr * g for W, g in zip(weights, jax.grad(loss)(weights, x, y), strict=True)]

    train = jax.jit(lambda weights: jax.lax.fori_loop(0, plain.epochs, step, weights)).lower(weights)
    compiled = train.compile(WIDE | {"xla_cpu_multi_thread_eigen": False})
    return lambda: [(W, None) for W in jax.block_until_ready(compiled(weights))]
