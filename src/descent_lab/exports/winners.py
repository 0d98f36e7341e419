"""Which runs deserve to be exported: the best by a stated metric, or what a tuned study chose for each entrant."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from descent_lab.errors import ConfigError, ModelError
from descent_lab.metrics import better
from descent_lab.tracking.reader import Results, Wanted, find, read_curves
from descent_lab.tracking.record import RunKey
from descent_lab.wording import counted

PLAN = "tracking.tuning"  # the param of runs of a tuned study
LOSSES = ("validation/loss", "train/loss")  # what chooses by default: the first that the runs have
ALIKE = ("dataset",)  # what the names of params begin with in which runs must agree to be compared


@dataclass(frozen=True)
class Winner:
    """A run, what it won among others as (words of) a label, empty if there is one winner, and why.

    metric, value: what it was chosen by; the metric is empty for the run of a setting that was chosen on other runs.
    """

    run_id: str
    label: str
    why: str
    metric: str = ""
    value: float = math.nan


def selected(
    uri: str | None, experiment: str | None, params: Mapping[str, str], query: str = "", sweep: str | None = None
) -> Results:
    """The runs to which all of this applies, without curves. Raises ModelError where there are none."""
    results = find(uri, Wanted(experiment, query, sweep, params=params))
    if results.runs.empty:
        named = {"experiment": experiment, "sweep": sweep, "filter": query, **params}
        asked = ", ".join(f"{name}={value}" for name, value in named.items() if value)
        raise ModelError(f"no finished run{f' with {asked}' if asked else ''} in {results.uri}")
    return results


def winners(results: Results, metric: str | None, each: Sequence[str], which: str) -> list[Winner]:
    """The winners among runs: one for each combination of the params `each`, or for each entrant of a tuned study.

    metric: as `best_of` has it; None: what a tuned study chose, else as `best_of` chooses.
    Raises ModelError where no run can win, or where values do not compare.
    """
    runs = results.runs
    planned = runs[PLAN].notna() & (runs[PLAN] != "None") if PLAN in runs else pd.Series(False, index=runs.index)
    if metric is None and not each and planned.any():
        if not planned.all():
            raise ModelError("best: only some of these runs are of a tuned study; give sweep=..., or metric=...")
        return list(_chosen(results))
    if unknown := [name for name in each if name not in runs]:
        raise ConfigError(f"each={unknown[0]}: the runs have no such parameter")
    finished = runs[runs["status"] == "finished"]
    if not each or finished.empty:
        return [best_of(runs, metric, which)]
    return [
        best_of(rows, metric, which, " ".join(f"{name}={value}" for name, value in zip(each, key, strict=True)))
        for key, rows in finished.groupby(list(each), sort=False, dropna=False)
    ]


def best_of(runs: pd.DataFrame, metric: str | None = None, which: str = "best", label: str = "") -> Winner:
    """The best of these runs; diverged ones never win.

    metric: such as validation/loss, at the theta `which` (best or final) of a run; None: the validation loss, or the
    training loss where there is no validation set. Raises ModelError where no run can win or values do not compare.
    """
    if metric is not None:
        _refuse_odd(metric)
    n, runs = len(runs), runs[runs["status"] == "finished"]
    if runs.empty:
        raise ModelError(f"best: no run of {n} finished without diverging")
    _refuse_incomparable(runs, metric or LOSSES[0])
    metric = metric or _default(runs)
    values = runs[_column(runs, metric, which)].astype(float)
    high = better(metric.partition("/")[2]) == "higher"
    best = values.idxmax() if high else values.idxmin()  # of equals the oldest
    among = f"the {'highest' if high else 'lowest'} of {counted(len(runs), 'run')}"
    why = f"{metric} {values[best]:.6g}, {among}"
    return Winner(str(runs.loc[best, "run_id"]), label, why, metric, float(values[best]))


def _default(runs: pd.DataFrame) -> str:
    """The validation loss, or the training loss of runs without a validation set."""
    validated = _validated(runs)
    if validated.any() and not validated.all():
        raise ModelError("best: runs with and without a validation set do not compare; give metric=train/loss")
    return LOSSES[0 if validated.all() else 1]


def _validated(runs: pd.DataFrame) -> pd.Series:
    return runs.get("best_validation_loss", pd.Series(index=runs.index, dtype=float)).notna()


def _column(runs: pd.DataFrame, metric: str, which: str) -> str:
    """The column that holds a metric at a theta. `best` is that of the lowest validation loss, else training loss."""
    part, _, name = metric.partition("/")
    validated = bool(_validated(runs).all())
    at_best = f"best_{part}_{name}" if metric == LOSSES[0 if validated else 1] else f"chosen_{part}_{name}"
    column = at_best if which == "best" else f"final_{part}_{name}"
    if column not in runs or runs[column].isna().any():
        other = "; theta=final may know it" if which == "best" and f"final_{part}_{name}" in runs else ""
        raise ModelError(f"metric={metric}: some of {counted(len(runs), 'run')} do not know it at theta={which}{other}")
    return column


def _refuse_odd(metric: str) -> None:
    part, _, name = metric.partition("/")
    if part not in ("train", "validation", "test") or not name:
        raise ConfigError(f"metric={metric}: must be such as validation/loss, train/loss or test/accuracy")


def _refuse_incomparable(runs: pd.DataFrame, metric: str) -> None:
    losses = metric.endswith("/loss")
    alike = (*ALIKE, "model.loss", "model.output") if losses else ALIKE
    for name in sorted(str(name) for name in runs if str(name).startswith(alike)):
        values = sorted(set(runs[name].dropna().astype(str)))  # earlier versions lack some, at a default
        if len(values) > 1 and not name.endswith("_target_"):
            what = "losses" if losses else "values"
            raise ModelError(f"best: {what} of different {name} ({', '.join(values)}) do not compare; give {name}=...")


def _chosen(results: Results) -> Iterator[Winner]:
    """For each problem and entrant of a tuned study, the chosen setting's run on the first held-out seed."""
    from descent_lab.analysis.comparison import Comparison  # takes a second: not for a single best run

    complete = results.with_curves(read_curves(results.artifacts, results.runs))
    selection = Comparison.of(complete).selection
    judged = selection.runs[selection.runs["status"] == "finished"].sort_values(["block", "seed"])
    several = selection.chosen["dataset"].nunique() > 1
    for row in selection.chosen.itertuples():
        rows = judged[(judged["dataset"] == row.dataset) & (judged["entrant"] == row.entrant)]
        rows = rows[rows["setting"] == row.setting]
        if rows.empty:
            continue
        yield _of_setting(rows.iloc[0], f"{row.dataset} {row.entrant}" if several else row.entrant)


def finished_run(keys: Sequence[RunKey], label: str) -> Winner | None:
    """The first of these runs of a chosen setting that its store holds finished and not diverged, if there is one."""
    for uri, experiment in dict.fromkeys((key.uri, key.experiment) for key in keys):
        runs = find(uri, Wanted(experiment)).runs
        finished = runs[runs["status"] == "finished"].drop_duplicates("identity", keep="last").set_index("identity")
        for key in keys:
            if key.identity in finished.index:
                return _of_setting(finished.loc[key.identity], label)
    return None


def _of_setting(run: pd.Series, label: str) -> Winner:
    return Winner(
        str(run["run_id"]), label, f"its chosen setting, on seed {run['seed']}, the first held-out one that finished"
    )
