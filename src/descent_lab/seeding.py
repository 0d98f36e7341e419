"""Random streams: one seed gives five independent generators, so that changing one part of a run changes no other."""

from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
from annotated_types import Ge

from descent_lab.components import neutral
from descent_lab.errors import ConfigError

Stream = np.random.Generator | np.random.RandomState
Seed = Annotated[int, Ge(0)]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Seeds of single streams, so that sources of variance can be told apart. None: from the seed of the run.

    data: samples. split: validation and test rows. init: initial theta. order: orders of samples. search: steps of
    random search. `split=3` gives the split that a run with seed=3 has.
    """

    data: Seed | None = neutral(None)
    split: Seed | None = neutral(None)
    init: Seed | None = neutral(None)
    order: Seed | None = neutral(None)
    search: Seed | None = neutral(None)

    @property
    def given(self) -> dict[str, int]:
        """The streams with a seed of their own."""
        return {name: seed for name in STREAMS if (seed := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Streams:
    """The generators of a run, one for each purpose (see `Seeds`). They draw on the host, whatever the backend."""

    data: Stream
    split: Stream
    init: Stream
    order: Stream
    search: Stream


STREAMS = tuple(stream.name for stream in fields(Streams))  # their order fixes what each draws


def streams(seed: int, kind: str = "independent", seeds: Seeds = Seeds()) -> Streams:
    """The generators for a seed.

    kind: `independent` generators, or `legacy`: one numpy.random.RandomState, from which all five draw in turn, as in
    scripts that use np.random.seed. seeds: of single streams. Raises ConfigError for those of a legacy stream.
    """
    if kind == "legacy":
        for name, of_stream in seeds.given.items():
            raise ConfigError(f"seeds.{name}={of_stream}: must be left out with stream=legacy, which is one stream")
        shared = np.random.RandomState(seed)
        return Streams(*(shared for _ in STREAMS))
    return Streams(*(_generator(seeds.given.get(name, seed), k) for k, name in enumerate(STREAMS)))


def _generator(seed: int, k: int) -> np.random.Generator:
    """The generator of stream k: the one that np.random.SeedSequence(seed).spawn gives as its child k."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
