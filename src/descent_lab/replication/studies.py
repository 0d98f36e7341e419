"""Reads the published figures, and obtains the runs that are compared with them: from the store, or by training."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from descent_lab.cli.compose import Composer
from descent_lab.errors import DescentError, RunError
from descent_lab.paths import CONF, PUBLISHED
from descent_lab.sweeps.config import Config, parse
from descent_lab.sweeps.execute import run_all
from descent_lab.tracking.reader import Results, load


def study(name: str) -> dict[str, Any]:
    """The content of experiments/<name>.yaml: title, source, question, runs, seeds and the published figures."""
    published: dict[str, Any] = yaml.safe_load((PUBLISHED / f"{name}.yaml").read_text())
    return published


@dataclass(frozen=True)
class Obtained:
    """Finished runs of one setting, one for each seed, in the order of their seeds.

    results: the stored runs among which these are.
    """

    results: Results
    runs: pd.DataFrame

    def curves(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps (n_records,) and values (n_runs, n_records). After the end of a run its last value is repeated."""
        curves = self.results.curves
        table = curves[curves["metric"] == metric].pivot_table(index="run_id", columns="step", values="value")
        table = table.loc[self.runs["run_id"]].ffill(axis=1)
        return table.columns.to_numpy(), table.to_numpy()

    def at(self, metric: str, step: int) -> np.ndarray:
        """The values of a metric at a recorded step, (n_runs,)."""
        steps, values = self.curves(metric)
        return values[:, np.searchsorted(steps, step)]

    def predictions(self) -> np.ndarray:
        """The test predictions of the final theta of each run, (n_runs, n_test, n_outputs)."""
        return np.stack([self.results.predictions(run)["prediction"] for run in self.runs["run_id"]])

    def truth(self, i: int = 0) -> np.ndarray:
        """The test targets of the i-th run, (n_test, n_outputs)."""
        return self.results.predictions(self.runs["run_id"].iloc[i])["truth"]


def configs(overrides: Iterable[str], seeds: Iterable[int]) -> list[Config]:
    """The configurations of `python -m src.run <overrides> seed=...`, one for each seed."""
    shared = list(overrides)
    return [parse(*_composer()([*shared, f"seed={seed}"])) for seed in seeds]


def obtain(overrides: Iterable[str], seeds: Iterable[int]) -> Obtained:
    """Train the runs that are not finished yet, and read all of them. Raises RunError if a run fails."""
    wanted = configs(overrides, seeds)
    summary = run_all(wanted, progress=True)
    if summary.interrupted:
        raise KeyboardInterrupt
    if summary.failed:
        raise RunError(f"{summary.failed[0].name}: {summary.failed[0].reason}")
    return _read(wanted)


def stored(overrides: Iterable[str], seeds: Iterable[int]) -> Obtained | None:
    """The runs that the store has already; None if it has none of them."""
    try:
        obtained = _read(configs(overrides, seeds))
    except DescentError:  # there is no such store, or no such experiment in it
        return None
    return obtained if len(obtained.runs) else None


def _read(wanted: list[Config]) -> Obtained:
    one, identities = wanted[0], [config.identity for config in wanted]
    narrowing = [f"params.{name} = '{one.params[name]}'" for name in ("dataset", "epochs", "lr")]
    results = load(one.tracking.uri, one.tracking.experiment, " and ".join(narrowing))
    runs = results.runs[results.runs["identity"].isin(identities)].drop_duplicates("identity")
    return Obtained(results, runs.sort_values("seed", ignore_index=True))


@cache
def _composer() -> Composer:
    return Composer(_composed, lambda name: (CONF / name).is_dir())


def _composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides, return_hydra_config=True)
