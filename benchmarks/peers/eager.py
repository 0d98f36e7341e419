"""PyTorch in eager mode: the training loop of its tutorials."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.problems import PlainRun

ACTIVATIONS = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


def network(plain: PlainRun) -> torch.nn.Sequential:
    """Convolutions over sequences, if the run has some, and linear layers that start at the weights of the run."""
    layers: list[torch.nn.Module] = []
    if plain.convolutions:
        layers.append(torch.nn.Unflatten(1, plain.convolutions[0].shape_in))
    for of, (W, b) in zip(plain.convolutions, plain.weights, strict=False):
        conv = torch.nn.Conv1d(of.shape_in[0], of.channels, of.width, of.stride, of.padding)
        conv.weight.data = torch.from_numpy(W.T.reshape(conv.weight.shape).copy())
        conv.bias.data = torch.from_numpy(b.copy())
        layers += [conv, ACTIVATIONS[plain.activation]()]
    if plain.convolutions:
        layers.append(torch.nn.Flatten())
    for W, b in plain.weights[len(plain.convolutions) :]:
        linear = torch.nn.Linear(*W.shape, bias=b is not None, dtype=torch.from_numpy(W).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            if b is not None:
                linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, ACTIVATIONS[plain.activation]()]
    return torch.nn.Sequential(*layers[:-1])


def trained(model: torch.nn.Sequential) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """The weights in the form of the other contestants."""
    linears = [layer for layer in model if isinstance(layer, torch.nn.Linear | torch.nn.Conv1d)]
    return [
        (layer.weight.detach().flatten(1).numpy().T, None if layer.bias is None else layer.bias.detach().numpy())
        for layer in linears
    ]


def descent(plain: PlainRun, compiled: bool = False, fused: bool = False) -> Callable[[], Any]:
    """Gradient descent. compiled: the network is compiled by torch.compile. fused: the optimizer's step is one call."""
    model = network(plain)
    x, y = torch.from_numpy(plain.x), torch.from_numpy(plain.y)
    labels = y.argmax(1) if plain.multiclass else y
    loss_of = torch.nn.CrossEntropyLoss() if plain.multiclass else torch.nn.MSELoss()
    kind = torch.optim.Adam if type(plain.run.optimizer).__name__ == "Adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=plain.lr, fused=fused)
    forward = torch.compile(model) if compiled else model

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss_of(forward(x), y).backward()
        optimizer.step()

    def train() -> Any:
        n, size = len(x), plain.size
        for _ in range(plain.epochs):
            if size == n:
                step(x, labels)
                continue
            for first in range(0, n, size):
                step(x[first : first + size], labels[first : first + size])
        return trained(model)

    if plain.order is not None:
        raise ValueError("batches must be in data order")
    if compiled:
        loss_of(forward(x[: plain.size]), labels[: plain.size]).backward()  # this compiles, and is not timed
    return train


def hill_climbing(plain: PlainRun) -> Callable[[], Any]:
    """Random search with the same proposals."""
    model = network(plain)
    x, labels = torch.from_numpy(plain.x), torch.from_numpy(plain.y).argmax(1)
    parameters = list(model.parameters())
    shapes = [p.shape if p.ndim == 1 else p.shape[::-1] for p in parameters]
    sizes = [p.numel() for p in parameters]

    @torch.no_grad()
    def train() -> Any:
        lowest = torch.nn.functional.cross_entropy(model(x), labels)
        best = [p.clone() for p in parameters]
        for _ in range(plain.epochs):
            noise = torch.from_numpy(plain.search.standard_normal(sum(sizes)).astype(plain.x.dtype))
            for p, b, piece, shape in zip(parameters, best, noise.split(sizes), shapes, strict=True):
                direction = piece.view(shape)
                torch.add(b, direction if p.ndim == 1 else direction.T, alpha=plain.lr, out=p)
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            if loss < lowest:
                lowest = loss
                for p, b in zip(parameters, best, strict=True):
                    b.copy_(p)
        for p, b in zip(parameters, best, strict=True):
            p.copy_(b)
        return trained(model)

    return train
