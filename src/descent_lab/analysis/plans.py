"""What a tuned study set out to do, as each of its runs says in `tracking.tuning`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Block:
    """Seeds on which settings are chosen, and other seeds on which the chosen setting is judged."""

    tuning: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The plan of a tuned study, for one entrant.

    space: the values or the interval of each param that is tuned, by its dotted name. search: grid, quasi_random or
    optuna. trials: the number of settings that are tried. by: the metric that settings are chosen by. at: where on its
    curve: "final", "best", or {"time_to": target}. blocks: the seeds of each.
    """

    space: Mapping[str, Any] = field(hash=False)
    search: str = "grid"
    trials: int | None = None
    by: str = "train/loss"
    at: Any = field(default="final", hash=False)
    blocks: tuple[Block, ...] = ()


@lru_cache(maxsize=4096)
def plan_of(text: str | None) -> Plan | None:
    """The plan that a run's `tracking.tuning` holds; None where it holds none, as in runs of earlier versions."""
    if not isinstance(text, str) or not text.startswith("{"):
        return None
    try:
        told = json.loads(text)
        pairs = zip(told.get("tuning_seeds", []), told.get("held_out_seeds", []), strict=True)
        blocks = tuple(Block(tuple(map(int, tuning)), tuple(map(int, held_out))) for tuning, held_out in pairs)
        known = {name: told[name] for name in ("search", "trials", "by", "at") if name in told}
        return Plan(dict(told["space"]), **known, blocks=blocks)
    except (ValueError, KeyError, TypeError, AttributeError):  # a text that this harness did not write
        return None


def latest_plan(runs: pd.DataFrame) -> Plan | None:
    """The plan of the run that was started last, of those that have one; None where no run has one."""
    if "tracking.tuning" not in runs:
        return None
    told = runs[[plan_of(text) is not None for text in runs["tracking.tuning"]]]
    return plan_of(told.loc[told["started"].idxmax(), "tracking.tuning"]) if len(told) else None
