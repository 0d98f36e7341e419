"""Tuning with equal budgets: hyperparameters chosen on tuning seeds, the winner run on seeds held out.

An entrant is one combination of everything that is compared (optimizer, data set, ...). Each gets the same trials:
every point of a grid, or as many as asked for by Optuna. A trial is judged by the median final training loss over the
tuning seeds; a diverged run counts as infinite.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, median
from typing import Any, Protocol

Overrides = list[str]
Assignment = Mapping[str, Any]  # value by key
Score = tuple[float, ...]  # of a trial, by which it is compared with others; lower is better
Launch = Callable[[list[Overrides]], Sequence[float]]  # jobs in, the final training loss of each out


@dataclass(frozen=True)
class Interval:
    """A range to search, on a log scale or not."""

    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class Budget:
    """What every entrant is given."""

    tuning_seeds: Sequence[int]
    held_out_seeds: Sequence[int]
    trials: int | None  # None: every point of the grid
    batch: int  # trials chosen at a time, where they are not a grid

    def __post_init__(self) -> None:
        both = sorted(set(self.tuning_seeds) & set(self.held_out_seeds))
        if both:
            raise ValueError(f"held_out_seeds={both[0]}: is a tuning seed too; a seed may be one or the other")
        if not self.tuning_seeds:
            raise ValueError("tuning_seeds=[]: must name at least one seed")


class Asker(Protocol):
    """Proposes trials for one entrant and learns how they went."""

    def ask(self) -> list[Assignment]:
        """The next trials; none when the budget is spent."""

    def tell(self, losses: Sequence[float]) -> None:
        """The loss of each trial that was asked last."""


class Grid:
    """Every combination, once."""

    def __init__(self, axes: Mapping[str, Sequence[Any]]):
        self.left = [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]

    def ask(self) -> list[Assignment]:
        asked, self.left = self.left, []
        return asked  # type: ignore[return-value]

    def tell(self, losses: Sequence[float]) -> None:
        """A grid does not learn."""


class Searched:
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
    """Tune every entrant on the tuning seeds, run the winners on the held-out seeds.

    Returns each entrant's winner; empty where every setting diverged or failed, and nothing is run on held-out seeds.
    """
    entrants = [
        tuple(f"{k}={v}" for k, v in zip(compared, point, strict=True)) for point in product(*compared.values())
    ]
    askers = {entrant: _asker(tuned, budget) for entrant in entrants}
    best: dict[tuple[str, ...], tuple[Score, Assignment]] = {entrant: ((math.inf,), {}) for entrant in entrants}
    for trials in _rounds(askers):
        jobs = [
            _job(entrant, trial, seed, "tuning")
            for entrant, asked in trials.items()
            for trial in asked
            for seed in budget.tuning_seeds
        ]
        losses = iter(launch(jobs))
        for entrant, asked in trials.items():
            found = [_score([next(losses) for _ in budget.tuning_seeds], trial) for trial in asked]
            askers[entrant].tell([score[0] for score in found])
            best[entrant] = min([best[entrant], *zip(found, asked, strict=True)], key=lambda pair: pair[0])
    winners = {entrant: trial for entrant, (_, trial) in best.items()}
    jobs = [
        _job(e, trial, seed, "evaluation") for e, trial in winners.items() if trial for seed in budget.held_out_seeds
    ]
    if jobs:
        launch(jobs)
    return winners


def _score(losses: Sequence[float], trial: Assignment) -> Score:
    """The median counts; of equals the lower mean, and then the smallest setting, as in statistics/tuning.py.

    Where every setting of a run ends at a loss of 0 in most seeds, the median does not tell them apart.
    """
    try:
        size = [float(value) for value in trial.values()]
    except ValueError:  # words
        size = []
    return (median(losses), fmean(losses), *size)


def _asker(tuned: Mapping[str, Sequence[Any] | Interval], budget: Budget) -> Asker:
    if budget.trials is not None:
        return Searched(tuned, budget)
    ranges = [key for key, axis in tuned.items() if isinstance(axis, Interval)]
    if ranges:
        raise ValueError(f"{ranges[0]}: an interval needs hydra.sweeper.trials, the number of trials of each entrant")
    return Grid({key: axis for key, axis in tuned.items() if not isinstance(axis, Interval)})


def _rounds(askers: Mapping[tuple[str, ...], Asker]) -> Iterator[dict[tuple[str, ...], list[Assignment]]]:
    """The trials of all entrants together, until none asks for more: one round is one sweep of stacks."""
    while trials := {entrant: asked for entrant, asker in askers.items() if (asked := asker.ask())}:
        yield trials


def _job(entrant: tuple[str, ...], trial: Assignment, seed: int, phase: str) -> Overrides:
    chosen = [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.items()]
    return [*entrant, *chosen, f"seed={seed}", f"tracking.phase={phase}"]
