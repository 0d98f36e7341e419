"""Tuning with equal budgets: hyperparameters are chosen on tuning seeds, and the best setting is run on other seeds.

An entrant is one combination of all that is compared (optimizer, data set, ...). Every entrant gets the same number of
trials: every point of a grid, or settings that Optuna proposes. A trial is judged by the median of the final training
loss over the tuning seeds; a diverged run counts as infinite.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, median
from typing import Any, Protocol

from descent_lab.errors import ConfigError

Overrides = list[str]
Assignment = Mapping[str, Any]  # value by key
Score = tuple[float, ...]  # of a trial, by which it is compared with others; lower is better
Launch = Callable[[list[Overrides]], Sequence[float]]  # of jobs to the final training loss of each


@dataclass(frozen=True)
class Interval:
    """A range of real numbers to search; log: on a logarithmic scale."""

    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class Budget:
    """What every entrant gets."""

    tuning_seeds: Sequence[int]
    held_out_seeds: Sequence[int]
    trials: int | None  # None: every point of the grid
    batch: int  # the number of trials that Optuna proposes at a time

    def __post_init__(self) -> None:
        both = sorted(set(self.tuning_seeds) & set(self.held_out_seeds))
        if both:
            raise ConfigError(f"hydra.sweeper.held_out_seeds={both[0]}: is a tuning seed too")
        if not self.tuning_seeds:
            raise ConfigError("hydra.sweeper.tuning_seeds=[]: must name at least one seed")


class Proposer(Protocol):
    """Proposes trials for one entrant, and is told their losses."""

    def ask(self) -> list[Assignment]:
        """The next trials; an empty list when the budget is spent."""

    def tell(self, losses: Sequence[float]) -> None:
        """Take note of the loss of each trial that was proposed last."""


class Grid:
    """Proposes every combination of values, once."""

    def __init__(self, axes: Mapping[str, Sequence[Any]]):
        self.left = [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]

    def ask(self) -> list[Assignment]:
        asked, self.left = self.left, []
        return asked  # type: ignore[return-value]

    def tell(self, losses: Sequence[float]) -> None:
        """Do nothing: a grid is fixed."""


class OptunaProposer:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded, in batches."""

    def __init__(self, axes: Mapping[str, Sequence[Any] | Interval], budget: Budget):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler)
        self.axes, self.left, self.batch = axes, budget.trials or 0, budget.batch
        self.asked: list[Any] = []

    def ask(self) -> list[Assignment]:
        n = min(self.batch, self.left)
        self.left -= n
        self.asked = [self.study.ask() for _ in range(n)]
        return [{key: self._suggest(trial, key) for key in self.axes} for trial in self.asked]

    def tell(self, losses: Sequence[float]) -> None:
        for trial, loss in zip(self.asked, losses, strict=True):
            self.study.tell(trial, min(loss, 1e300))  # Optuna takes no infinities

    def _suggest(self, trial: Any, key: str) -> Any:
        axis = self.axes[key]
        if isinstance(axis, Interval):
            return trial.suggest_float(key, axis.low, axis.high, log=axis.log)
        return trial.suggest_categorical(key, list(axis))


def tune(
    compared: Mapping[str, Sequence[Any]],
    tuned: Mapping[str, Sequence[Any] | Interval],
    budget: Budget,
    launch: Launch,
) -> dict[tuple[str, ...], Assignment]:
    """Tune every entrant on the tuning seeds, then run its best setting on the held-out seeds.

    compared: the values of each key that makes entrants. tuned: the values, or the interval, of each key to tune.
    Returns the best setting of each entrant; an empty one where every setting diverged or failed, in which case
    nothing is run on the held-out seeds.
    """
    entrants = [
        tuple(f"{k}={v}" for k, v in zip(compared, point, strict=True)) for point in product(*compared.values())
    ]
    proposers = {entrant: _proposer(tuned, budget) for entrant in entrants}
    best: dict[tuple[str, ...], tuple[Score, Assignment]] = {entrant: ((math.inf,), {}) for entrant in entrants}
    for trials in _rounds(proposers):
        jobs = [
            _job(entrant, trial, seed, "tuning")
            for entrant, asked in trials.items()
            for trial in asked
            for seed in budget.tuning_seeds
        ]
        losses = iter(launch(jobs))
        for entrant, asked in trials.items():
            scores = [_score([next(losses) for _ in budget.tuning_seeds], trial) for trial in asked]
            proposers[entrant].tell([score[0] for score in scores])
            best[entrant] = min([best[entrant], *zip(scores, asked, strict=True)], key=lambda pair: pair[0])
    winners = {entrant: trial for entrant, (_, trial) in best.items()}
    jobs = [
        _job(e, trial, seed, "evaluation") for e, trial in winners.items() if trial for seed in budget.held_out_seeds
    ]
    if jobs:
        launch(jobs)
    return winners


def _score(losses: Sequence[float], trial: Assignment) -> Score:
    """The median of the losses; among equal medians the mean decides, then the smaller setting.

    analysis/statistics/tuning.py uses the same order. The mean is needed where most seeds end at a loss of 0.
    """
    try:
        size = [float(value) for value in trial.values()]
    except ValueError:  # values that are words, such as names of schedules
        size = []
    return (median(losses), fmean(losses), *size)


def _proposer(tuned: Mapping[str, Sequence[Any] | Interval], budget: Budget) -> Proposer:
    if budget.trials is not None:
        return OptunaProposer(tuned, budget)
    ranges = [key for key, axis in tuned.items() if isinstance(axis, Interval)]
    if ranges:
        raise ConfigError(f"{ranges[0]}: an interval needs hydra.sweeper.trials, the number of trials of each entrant")
    return Grid({key: axis for key, axis in tuned.items() if not isinstance(axis, Interval)})


def _rounds(proposers: Mapping[tuple[str, ...], Proposer]) -> Iterator[dict[tuple[str, ...], list[Assignment]]]:
    """The trials of all entrants, round by round until no budget is left; a round is trained as one sweep."""
    while trials := {entrant: asked for entrant, proposer in proposers.items() if (asked := proposer.ask())}:
        yield trials


def _job(entrant: tuple[str, ...], trial: Assignment, seed: int, phase: str) -> Overrides:
    chosen = [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.items()]
    return [*entrant, *chosen, f"seed={seed}", f"tracking.phase={phase}"]
