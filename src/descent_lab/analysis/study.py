"""Sorts runs into problems and entrants. Runs that differ in anything but the seed are kept apart.

- problem: the data set with its content, and all else that varies and is no part of an entrant (model, batching, ...)
- entrant: what competes on a problem: by default backend, optimizer and schedule with the options that were not tuned
- setting: the values of the hyperparameters that were tuned, or the lr where a run does not say what was tuned

A cell is one problem, one entrant and one setting. The runs of a cell differ only in their seed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from descent_lab.analysis.plans import plan_of
from descent_lab.analysis.statistics.cost import BACKENDS, gradient_equivalents
from descent_lab.tracking.study_record import place_of

if TYPE_CHECKING:
    from descent_lab.tracking.reader import Results

COMPARED = ("backend", "optimizer", "schedule")
OTHERS = ("init", "batching", "model")
STREAMS = "seeds."  # params of streams that have a seed of their own
IRRELEVANT = ("debug", "engine", "force", "timing", "tracking", "tuning", "record", "seeds")  # tell no entrants apart
GROUPS = ("backend", "dataset", "model", "init", "batching", "schedule", "optimizer")
NO_OPTIMIZER = "none"
LR = ("lr",)  # what was tuned where runs do not say so
CELL = ["dataset", "entrant", "setting", "lr"]
COST = "cost_gradient_equivalents"


@dataclass(frozen=True)
class Study:
    """Runs that can be compared.

    runs: one row per cell and seed. `dataset` is the label of the problem, `entrant` that of the entrant, and
    `without_backend` is the label of the entrant with its backend left out. `setting` is the label of the setting, and
    `place` its place among the settings of the same hyperparameters, in the order of their values. `tuned` names
    these, joined by commas.
    results: the runs as stored. compared: the groups that make an entrant.
    sources: all runs with the same labels, those too in which single streams have seeds of their own.
    """

    runs: pd.DataFrame
    results: "Results"
    compared: tuple[str, ...]
    repeats: int  # runs left out, because another run has the same settings and seed
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The curves of these runs."""
        curves = self.results.curves
        if len(self.runs) == len(self.results.runs):
            return curves
        return curves[curves["run_id"].isin(self.runs["run_id"])]

    @cached_property
    def _by_metric(self) -> dict[str, pd.DataFrame]:
        return {str(metric): rows for metric, rows in self.curves.groupby("metric", sort=False)}

    def curves_of(self, metric: str) -> pd.DataFrame:
        """The rows of `curves` of one metric; none where nothing has recorded it."""
        return self._by_metric.get(metric, self.curves.head(0))

    def of(self, run_ids: Collection[str]) -> pd.DataFrame:
        """The rows of these runs."""
        return self.runs[self.runs["run_id"].isin(run_ids)]


def study(results: "Results", compared: Sequence[str] | None = None, tuned: Sequence[str] = LR) -> Study:
    """Label every run with its problem, entrant and setting, and keep one run per cell and seed.

    compared: the groups that make an entrant; None: COMPARED or, if none of these varies, the others that vary.
    tuned: the params that were tuned in runs that do not say so themselves (`tracking.tuning`).
    Of runs with the same settings and seed (forced or timed again), one with an isolated clock is preferred, and then
    the latest.
    """
    settings, runs = _settings(results.runs, tuned)
    varied = varying(runs, results.params)
    compared = compared or _compared(varied)
    own = [name for name in varied if name.partition(".")[0] in compared or name in LR]
    labelled = results.runs.assign(
        data=runs["dataset"],
        content=_content(runs),
        setting=settings["setting"],
        place=settings["place"],
        tuned=settings["tuned"],
        dataset=_problems(runs, [name for name in varied if name not in own]),
        entrant=_entrants(runs, own, compared),
        without_backend=_entrants(runs, _without_backend(own), _without_backend(compared)),
        gradients=_gradients(results),
    )
    compared_runs = _with_one_seed(labelled)
    distinct = _once(compared_runs)
    return Study(distinct, results, tuple(compared), len(compared_runs) - len(distinct), labelled)


def _with_one_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs to compare, where some have streams with seeds of their own (`seeds.split=3`).

    These runs show where variance comes from, and are left out where others have one seed for all streams. Where all
    have own seeds that differ, each combination of seeds counts as a seed.
    """
    streams = [name for name in runs if str(name).startswith(STREAMS)]
    seeds = runs[streams].fillna("None").astype(str)
    if len(seeds.drop_duplicates()) < 2:
        return runs
    plain = (seeds == "None").all(axis=1)
    if plain.any():
        return runs[plain]
    combined = seeds.assign(seed=runs["seed"]).groupby([*streams, "seed"]).ngroup()
    return runs.assign(seed=combined)


def _settings(runs: pd.DataFrame, tuned: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The `setting`, `place` and `tuned` of each run; and the runs without the values of what was tuned in each."""
    labels = pd.DataFrame({"setting": "", "place": 0, "tuned": ""}, index=runs.index)
    rest = runs.copy()
    texts = runs.get("tracking.tuning", pd.Series(None, index=runs.index, dtype=object))
    plans = {text: plan_of(text) for text in texts.unique()}
    keys = texts.map(lambda text: tuned if (plan := plans[text]) is None else plan.space)
    for names, index in keys.groupby(keys.map(tuple)).groups.items():
        present = [name for name in names if name in runs]
        values = runs.loc[index, present]
        labels.loc[index, "tuned"] = ",".join(present)
        labels.loc[index, "setting"] = [_setting(present, row) for row in values.itertuples(index=False)]
        order = sorted(set(values.itertuples(index=False, name=None)), key=lambda row: [place_of(v) for v in row])
        places = {row: place for place, row in enumerate(order)}
        labels.loc[index, "place"] = [places[row] for row in values.itertuples(index=False, name=None)]
        rest[present] = rest[present].astype(object)
        rest.loc[index, present] = None
    return labels, rest


def _setting(names: Sequence[str], values: Sequence[Any]) -> str:
    """The label of a setting, such as `lr=0.1, beta1=0.9`."""
    words = zip(names, values, strict=True)
    return ", ".join(f"{name.rpartition('.')[2]}={_shown(value)}" for name, value in words if not pd.isna(value))


def as_number(value: Any) -> Any:
    """A value of a run, which a store holds as text, as a number where it is one; anything else as it is."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _shown(value: Any) -> str:
    """A number in six digits at most; anything else as it is."""
    number = as_number(value)
    return f"{number:g}" if isinstance(number, float) else str(number)


def _without_backend(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.partition(".")[0] != "backend"]


def _compared(varied: Sequence[str]) -> Sequence[str]:
    groups = {name.partition(".")[0] for name in varied}
    return COMPARED if groups & set(COMPARED) else [name for name in OTHERS if name in groups] or COMPARED


def varying(runs: pd.DataFrame, params: Collection[str]) -> list[str]:
    """The parameters that differ between runs of the same data set and, within a group, of the same choice.

    A parameter that follows from the data set or the choice (the suggested model, adam's beta1) does not count.
    """
    names = []
    for name in params:
        group = name.partition(".")[0]
        if name == "seed" or group in IRRELEVANT or name.endswith("_target_"):
            continue
        keys = [key for key in dict.fromkeys(["dataset", group]) if key != name and key in runs]
        if _differs(runs, name, keys):
            names.append(name)
    return sorted(names, key=lambda name: (name not in GROUPS, name))


def _differs(runs: pd.DataFrame, name: str, keys: list[str]) -> bool:
    values = runs[name].fillna("")
    if values.nunique() < 2:
        return False
    counts = values.groupby([runs[key] for key in keys]).nunique() if keys else values.nunique()
    return bool(np.max(counts) > 1)


def _problems(runs: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    label = runs["dataset"].astype(str)
    for name in names:
        label = label + (", " + name + "=" + runs[name].astype(str)).where(runs[name].notna() & _within(runs, name), "")
    return label + (", content " + _content(runs)).where(_changed(runs), "")


def _content(runs: pd.DataFrame) -> pd.Series:
    """The fingerprint of the data of each run, in 8 digits, where it comes from a file or from memory; else empty."""
    return runs["data"].fillna("").astype(str).str[:8]


def _changed(runs: pd.DataFrame) -> pd.Series:
    """For each run: whether others have the same data set by all its options, with another content."""
    options = ["dataset", *(name for name in runs if str(name).startswith("dataset."))]
    keys = [runs[name].fillna("").astype(str) for name in options]
    changed: pd.Series = _content(runs).groupby(keys).transform("nunique") > 1
    return changed


def _within(runs: pd.DataFrame, name: str) -> pd.Series:
    """For each run: whether the parameter differs among the runs of its data set. Otherwise labels leave it out."""
    if name == "dataset":
        return pd.Series(False, index=runs.index)
    return runs[name].fillna("").groupby(runs["dataset"]).transform("nunique") > 1


def _entrants(runs: pd.DataFrame, names: Sequence[str], compared: Sequence[str]) -> pd.Series:
    none = runs["optimizer"] == NO_OPTIMIZER
    by_gradient = runs.loc[~none, "backend"].nunique()
    words = []
    if "backend" in compared:
        words.append(runs["backend"].where(none | (by_gradient > 1), ""))
    if "optimizer" in compared:
        words.append(runs["optimizer"].mask(none, "" if "backend" in compared else NO_OPTIMIZER))
    for name in names:
        if name not in ("backend", "optimizer"):
            words.append(_word(runs, name))
    if not words:
        words = [runs[name].astype(str) for name in compared if name in runs]
    return pd.concat(words, axis=1).agg(lambda row: " ".join(word for word in row if word), axis=1)


def _word(runs: pd.DataFrame, name: str) -> pd.Series:
    """The word for a parameter in labels: a choice itself, or `name=value`; empty where a run lacks the parameter."""
    values = runs[name].astype(str)
    return (values if name in GROUPS else name.rpartition(".")[2] + "=" + values).where(runs[name].notna(), "")


def _gradients(results: "Results") -> pd.Series:
    """The gradient-equivalents that each run spent, as the run counted them from its own network.

    Runs that were stored before runs counted have none. Where there are such runs, all runs get the rule of thumb of
    `statistics.cost` in its place, so that they are compared in one unit, but for backends that it does not know.
    """
    runs = results.runs
    counted: pd.Series = runs.get(COST, pd.Series(np.nan, index=runs.index))
    if counted.notna().all():
        return counted
    known = runs["backend"].isin(BACKENDS)
    estimated = [
        gradient_equivalents(row.backend, row.optimizer, 1, _n_params(results, row)).gradient_equivalents * row.passes
        for row in runs[known].itertuples()
    ]
    return counted.mask(known, pd.Series(estimated, index=runs.index[known], dtype=float))


def _n_params(results: "Results", row: Any) -> int:
    """The number of parameters, where the rule of thumb depends on it; else 1."""
    if row.backend == "taylor" or row.optimizer == "newton":
        return max(1, results.theta(row.run_id).get("final", np.empty(1)).size)
    return 1


def _once(runs: pd.DataFrame) -> pd.DataFrame:
    preferred = runs.assign(shared=runs["timing"] != "isolated", age=-runs["started"])
    first = preferred.sort_values(["shared", "age", "run_id"]).drop_duplicates([*CELL, "seed"])
    order = ["dataset", "entrant", "place", "seed"]
    return first.drop(columns=["shared", "age"]).sort_values(order, ignore_index=True)
