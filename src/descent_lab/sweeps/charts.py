"""Which runs of a sweep make a line of its charts in MLflow: those that differ in nothing but their seeds."""

from collections import Counter
from collections.abc import Sequence

from descent_lab.sweeps.config import Config
from descent_lab.sweeps.naming import differing, row_of, tuned_keys
from descent_lab.tracking.view import View


def view_of(sweep: str, configs: Sequence[Config]) -> View | None:
    """The charts of a sweep; None for a single run.

    Of a tuned sweep they show the runs that judge: one line an entrant, over the held-out seeds. Runs of different
    settings or problems never share a line. Where no seed is repeated, each run is a line.
    """
    judged = [config for config in configs if config.tracking.phase == "evaluation"]
    shown = judged or configs
    if len(shown) < 2:
        return None
    tuned = {key for config in judged for key in tuned_keys(config.tracking.tuning)}
    keys = [key for key in differing([row_of(config) for config in shown]) if key not in tuned]
    keys = [key for key in keys if key.split(".")[0] not in ("seed", "seeds")] or ["optimizer"]
    groups = Counter(tuple(config.params.get(key, "null") for key in keys) for config in shown)
    repeated = max(groups.values()) > 1
    phase = " and params.`tracking.phase` = 'evaluation'" if judged else ""
    return View(sweep, f"{_search(sweep)}{phase}", keys if repeated else [], list(groups) if repeated else [])


def _search(sweep: str) -> str:
    """MLflow's search for the runs of a sweep. It knows no way to write a quote in a value: `_` stands for any sign."""
    if "'" not in sweep:
        return f"tags.sweep = '{sweep}'"
    return f"tags.sweep LIKE '{sweep.replace(chr(39), '_')}'"
