"""Backpropagation in NumPy for one network: as in a tutorial, and tuned until little but NumPy's calls remains."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.problems import PlainRun

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def _batches(plain: PlainRun) -> Iterator[slice]:
    """The rows of the batch of every step, in data order."""
    for _ in range(plain.epochs):
        for first in range(0, len(plain.x), plain.size):
            yield slice(first, first + plain.size)


def tutorial(plain: PlainRun) -> Callable[[], Any]:
    """The tutorial's form: a list of layers, samples as the first axis, and a new array for every result."""
    weights = [(W.copy(), None if b is None else np.asarray(b).copy()) for W, b in plain.weights]
    sigmoid = plain.activation == "sigmoid"
    adam = type(plain.run.optimizer).__name__ == "Adam"
    moments = [[(np.zeros_like(part), np.zeros_like(part)) for part in layer if part is not None] for layer in weights]

    def gradients(x: np.ndarray, y: np.ndarray) -> list[list[np.ndarray]]:
        inputs, z = [], x
        for k, (W, b) in enumerate(weights):
            if k:
                z = 1 / (1 + np.exp(-z)) if sigmoid else np.maximum(0, z)
            inputs.append(z)
            z = z @ W if b is None else z @ W + b
        if plain.multiclass:
            e = np.exp(z - z.max(axis=1, keepdims=True))
            delta = (e / e.sum(axis=1, keepdims=True) - y) / len(x)
        else:
            delta = 2 * (z - y) / y.size
        slopes = []
        for k in reversed(range(len(weights))):
            (W, b), h = weights[k], inputs[k]
            slopes.append([h.T @ delta] if b is None else [h.T @ delta, delta.sum(axis=0)])
            if k:
                delta = delta @ W.T * (h * (1 - h) if sigmoid else h > 0)
        return slopes[::-1]

    def step(t: int, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
        if not adam:
            return -plain.lr * g
        m[:] = BETA1 * m + (1 - BETA1) * g
        v[:] = BETA2 * v + (1 - BETA2) * g * g
        return -plain.lr * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)

    def train() -> Any:
        for t, rows in enumerate(_batches(plain), 1):
            for k, slopes in enumerate(gradients(plain.x[rows], plain.y[rows])):
                parts = [part for part in weights[k] if part is not None]
                for part, g, (m, v) in zip(parts, slopes, moments[k], strict=True):
                    part += step(t, g, m, v)
        return weights

    return train


def tuned(plain: PlainRun) -> Callable[[], Any]:
    """The tuned form: samples are the last axis, results overwrite those of the step before, parameters are one vector.

    No loss is computed. It trains one run, with biases, and with the activation and the loss that the run has.
    """
    shapes = [part.shape for layer in plain.weights for part in layer if part is not None]
    theta = np.concatenate([np.ravel(part) for layer in plain.weights for part in layer if part is not None])
    g, update, m, v = (np.zeros_like(theta) for _ in range(4))
    layers, slopes = _views(theta, shapes), _views(g, shapes)
    sigmoid = plain.activation == "sigmoid"
    adam = type(plain.run.optimizer).__name__ == "Adam"
    x, y = np.ascontiguousarray(plain.x.T), np.ascontiguousarray(plain.y.T)
    last = len(layers) - 1
    buffers: dict[int, Any] = {}

    def buffers_for(n: int) -> Any:
        if n not in buffers:
            widths = [W.shape[1] for W, _ in layers]
            buffers[n] = [[np.empty((width, n)) for width in widths] for _ in range(3)]
        return buffers[n]

    def differentiate(x: np.ndarray, y: np.ndarray) -> None:
        outputs, deltas, spare = buffers_for(x.shape[1])
        h = x
        for k, (W, b) in enumerate(layers):
            z = np.matmul(W.T, h, out=outputs[k])
            z += b
            if k < last and sigmoid:
                z *= 0.5
                np.tanh(z, out=z)
                z *= 0.5
                z += 0.5
            elif k < last:
                np.maximum(z, 0, out=z)
            h = z
        delta = deltas[last]
        if plain.multiclass:
            np.subtract(h, h.max(axis=0), out=delta)
            np.exp(delta, out=delta)
            delta /= delta.sum(axis=0)
            delta -= y
            delta /= x.shape[1]
        else:
            np.subtract(h, y, out=delta)
            delta *= 2 / y.size
        for k in reversed(range(last + 1)):
            W, _ = layers[k]
            before = outputs[k - 1] if k else x
            np.matmul(before, delta.T, out=slopes[k][0])
            np.sum(delta, axis=1, keepdims=True, out=slopes[k][1])
            if k:
                delta = np.matmul(W, delta, out=deltas[k - 1])
                if sigmoid:
                    rest = np.subtract(1, before, out=spare[k - 1])
                    rest *= before
                    delta *= rest
                else:
                    delta *= before > 0

    def descend(t: int) -> None:
        if not adam:
            np.multiply(g, -plain.lr, out=update)
        else:
            np.multiply(m, BETA1, out=m)
            np.add(m, np.multiply(g, 1 - BETA1, out=update), out=m)
            np.multiply(v, BETA2, out=v)
            np.multiply(g, g, out=g)
            np.multiply(g, 1 - BETA2, out=g)
            np.add(v, g, out=v)
            c = (1 - BETA2**t) ** 0.5
            np.sqrt(v, out=g)
            np.add(g, EPS * c, out=g)
            np.divide(m, g, out=update)
            np.multiply(update, -plain.lr * c / (1 - BETA1**t), out=update)
        np.add(theta, update, out=theta)

    def train() -> Any:
        for t, rows in enumerate(_batches(plain), 1):
            differentiate(x[:, rows], y[:, rows])
            descend(t)
        return layers

    return train


def _views(vector: np.ndarray, shapes: list[tuple[int, ...]]) -> list[list[np.ndarray]]:
    """W (fan_in, fan_out) and b (fan_out, 1) of each layer, as views of one vector."""
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    parts = [vector[end - np.prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]
    return [[W, b[:, None]] for W, b in zip(parts[::2], parts[1::2], strict=True)]
