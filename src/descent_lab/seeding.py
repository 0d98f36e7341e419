"""Random streams: one seed gives five independent generators, so that changing one part of a run changes no other."""

from dataclasses import dataclass

import numpy as np

Stream = np.random.Generator | np.random.RandomState


@dataclass(frozen=True)
class Streams:
    """The generators of a run, one for each purpose. They draw on the host, whatever the backend.

    data: samples. split: test rows. init: initial theta. order: orders of samples. search: steps of random search.
    """

    data: Stream
    split: Stream
    init: Stream
    order: Stream
    search: Stream


def streams(seed: int, kind: str = "independent") -> Streams:
    """The generators for a seed.

    kind: `independent` generators, or `legacy`: one numpy.random.RandomState, from which all five draw in turn, as in
    scripts that use np.random.seed.
    """
    if kind == "legacy":
        shared = np.random.RandomState(seed)
        return Streams(shared, shared, shared, shared, shared)
    return Streams(*(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)))
