"""Random streams: one seed, five independent uses, so that changing one part of a run leaves the rest paired."""

from dataclasses import dataclass

import numpy as np

Stream = np.random.Generator | np.random.RandomState


@dataclass(frozen=True)
class Streams:
    """Where data, split, initial theta, batch order and random search draw from, on the host."""

    data: Stream
    split: Stream
    init: Stream
    order: Stream
    search: Stream


def streams(seed: int, kind: str = "independent") -> Streams:
    """Independent children of the seed, or (kind `legacy`) NumPy's old global stream shared by all five in turn."""
    if kind == "legacy":
        shared = np.random.RandomState(seed)
        return Streams(shared, shared, shared, shared, shared)
    return Streams(*(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)))
