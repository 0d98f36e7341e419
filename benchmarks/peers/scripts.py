"""Plain scripts in the form that the published systems have."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems import Given
from descent_lab.loops.compiled import WIDE


def hill_climbing(given: Given) -> Callable[[], Any]:
    """S3: layer by layer in NumPy, samples first; every proposal is drawn, tried, and kept or taken back."""
    (W1, b1), (W2, b2) = ((W.copy(), np.asarray(b).copy()) for W, b in given.weights)
    x, labels = given.x, given.y.argmax(1)
    samples, dtype, lr, draw = (
        np.arange(len(x)),
        given.x.dtype,
        given.x.dtype.type(given.lr),
        given.search.standard_normal,
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
        for _ in range(given.epochs):
            W1, b1, W2, b2 = (part + lr * draw(part.shape).astype(dtype) for part in best)
            now = loss()
            if now < lowest:
                lowest, best = now, (W1, b1, W2, b2)
        W1, b1, W2, b2 = best
        return [(W1, b1), (W2, b2)]

    return train


def per_sample(given: Given) -> Callable[[], Any]:
    """S1: a loss that loops over samples in Python, differentiated by jax.grad, nothing compiled."""
    x, y = jnp.asarray(given.x), jnp.asarray(given.y)

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
        weights = [jnp.asarray(W) for W, _ in given.weights]
        for _ in range(given.epochs):
            weights = [W - given.lr * g for W, g in zip(weights, gradient(weights), strict=True)]
        return [(W, None) for W in weights]

    return train


def bare_loop(given: Given) -> Callable[[], Any]:
    """Full-batch descent of a sigmoid network without biases in the least that JAX can be told: samples last, the
    compiler's options of the `jax` backend, no optimizer, weight decay, loss or look at whether it is finite."""
    x, y = jnp.asarray(given.x.T.copy()), jnp.asarray(given.y.T.copy())
    weights = [jnp.asarray(W) for W, _ in given.weights]

    def loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        h = x
        for W in weights[:-1]:
            h = 0.5 * jnp.tanh(0.5 * (W.T @ h)) + 0.5
        error = weights[-1].T @ h - y
        return (error * error).sum() / error.size

    def step(_: Any, weights: list[jax.Array]) -> list[jax.Array]:
        return [W - given.lr * g for W, g in zip(weights, jax.grad(loss)(weights, x, y), strict=True)]

    train = jax.jit(lambda weights: jax.lax.fori_loop(0, given.epochs, step, weights)).lower(weights)
    compiled = train.compile(WIDE | {"xla_cpu_multi_thread_eigen": False})
    return lambda: [(W, None) for W in jax.block_until_ready(compiled(weights))]
