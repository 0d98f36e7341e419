"""What every run of a tuned study tells of the study: the param `tracking.tuning`, a JSON text.

Whoever reads the store learns from it which seeds settings were chosen on, which were held out, and what was planned.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal

Phase = Literal["tuning", "evaluation"]


def place_of(value: Any) -> tuple[float, str]:
    """The key by which settings that are equally good are ordered: numbers by size, then words by the alphabet.

    value: of a hyperparameter, as it is or as a store holds it, which is as text.
    """
    text = str(value)
    try:
        return float(text), ""
    except ValueError:
        return inf, text


@dataclass(frozen=True)
class StudyRecord:
    """How the entrant of a run was tuned.

    space: the axes by the dotted names of hyperparameters, as sweeps/space.py describes them.
    search: grid, quasi_random or optuna. trials: settings that were tried, in each block.
    by: the metric that chose. at: final, best, or {"time_to": target}; {"time_to": target, "then": "best"} where, of
        equal numbers of steps, the best value decides instead of the last.
    blocks: the number of blocks. tuning_seeds, held_out_seeds: those planned, by block.
    """

    space: Mapping[str, Mapping[str, Any]]
    search: str
    trials: int
    by: str
    at: str | Mapping[str, float | str]
    blocks: int
    tuning_seeds: Sequence[Sequence[int]]
    held_out_seeds: Sequence[Sequence[int]]

    @classmethod
    def read(cls, text: str) -> "StudyRecord":
        """The record of a param `tracking.tuning`."""
        return cls(**json.loads(text))

    @property
    def text(self) -> str:
        """The record as JSON, without the two signs that Hydra and OmegaConf would read: a quote and a dollar sign."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        return text.replace("'", "\\u0027").replace("$", "\\u0024")

    def place(self, seed: int) -> tuple[Phase, int] | None:
        """The phase and the block of the runs of a seed; None for a seed that was not planned."""
        for phase, blocks in (("tuning", self.tuning_seeds), ("evaluation", self.held_out_seeds)):
            for block, seeds in enumerate(blocks):
                if seed in seeds:
                    return phase, block  # type: ignore[return-value]
        return None
