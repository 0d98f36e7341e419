"""Tuning with equal budgets, in blocks: settings are chosen on tuning seeds, and the best is run on other seeds.

An entrant is one combination of all that is compared (optimizer, data set, ...), with the space of its hyperparameters.
The seeds are cut into disjoint blocks. In each block every entrant tries as many settings on the block's tuning seeds,
and its best one is run on the block's held-out seeds. So the choice itself is repeated, and its variance can be seen.

A setting is judged by the median over the tuning seeds of what is minimised (objective.py); a diverged run counts as
infinite. A grid and quasi-random settings are the same in all blocks; Optuna proposes settings for each block anew.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, median
from typing import Any, Literal, Protocol

import numpy as np

from descent_lab.errors import ConfigError
from descent_lab.sweeps.objective import WORST, Score
from descent_lab.sweeps.space import Interval, Setting, Space, Values, grid_of, setting_at, size_of
from descent_lab.tracking.study_record import StudyRecord, place_of

Search = Literal["grid", "quasi_random", "optuna"]
SEARCHES = ("grid", "quasi_random", "optuna")
Words = list[str]  # overrides of one run
Launch = Callable[[list[Words]], Sequence[Score]]  # from jobs to the score of each
TRIALS = 16  # settings that are tried where the space is not a grid and no number is given
BLOCKS, TUNING_SEEDS, HELD_OUT_SEEDS = 5, 3, 4  # where no seeds are given: blocks, and seeds of each block
ONE_BLOCK = (5, 10)  # the seeds of a single block: a test needs more pairs than one block of several has
FIRST_HELD_OUT = 1000
MAX_LETTERS = 6000  # the longest param that MLflow takes


@dataclass(frozen=True)
class Block:
    """Seeds to choose settings on, and seeds to judge the best one on."""

    tuning_seeds: tuple[int, ...]
    held_out_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Entrant:
    """What is tuned: the overrides that tell it from other entrants, and its search space.

    by, at: what chooses, as StudyRecord has it.
    """

    words: tuple[str, ...]
    space: Space
    by: str = "train/loss"
    at: str | Mapping[str, float | str] = "final"


@dataclass(frozen=True)
class Design:
    """What every entrant gets.

    trials: settings of each entrant in each block. batch: how many Optuna proposes at a time.
    """

    blocks: tuple[Block, ...]
    search: Search
    trials: int
    batch: int = 8

    def record(self, entrant: Entrant) -> str:
        """The param `tracking.tuning` of the runs of an entrant."""
        text = StudyRecord(
            space={name: axis.described for name, axis in entrant.space.items()},
            search=self.search,
            trials=self.trials,
            by=entrant.by,
            at=entrant.at,
            blocks=len(self.blocks),
            tuning_seeds=[block.tuning_seeds for block in self.blocks],
            held_out_seeds=[block.held_out_seeds for block in self.blocks],
        ).text
        if len(text) > MAX_LETTERS:
            raise ConfigError(
                f"hydra.sweeper: space and seeds take {len(text)} letters, and the store holds {MAX_LETTERS}; "
                "give shorter lists, such as an interval"
            )
        return text


@dataclass(frozen=True)
class Chosen:
    """The setting of an entrant in one block; an empty one where every setting diverged or failed.

    score: by which it was chosen, lower being better. place: decides among equal scores.
    """

    setting: Setting
    score: Score
    place: Sequence[tuple[float, str]] = ()


class Proposer(Protocol):
    """Proposes settings for one entrant in one block, and is told their scores."""

    def ask(self) -> list[Setting]:
        """The next settings; an empty list when the budget is spent."""

    def tell(self, scores: Sequence[float]) -> None:
        """Take note of the score of each setting that was proposed last."""


class Fixed:
    """Proposes the same settings whatever their scores."""

    def __init__(self, settings: Sequence[Setting]):
        self.left = list(settings)

    def ask(self) -> list[Setting]:
        asked, self.left = self.left, []
        return asked

    def tell(self, scores: Sequence[float]) -> None:
        """Do nothing: the settings are fixed."""


class OptunaProposer:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded by the block, in batches."""

    def __init__(self, space: Space, design: Design, block: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=block, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler)
        self.space, self.left, self.batch = space, design.trials, design.batch
        self.asked: list[Any] = []

    def ask(self) -> list[Setting]:
        n = min(self.batch, self.left)
        self.left -= n
        self.asked = [self.study.ask() for _ in range(n)]
        return [{name: self._suggest(trial, name) for name in self.space} for trial in self.asked]

    def tell(self, scores: Sequence[float]) -> None:
        for trial, score in zip(self.asked, scores, strict=True):
            self.study.tell(trial, min(score, 1e300))  # Optuna takes no infinities

    def _suggest(self, trial: Any, name: str) -> Any:
        axis = self.space[name]
        if isinstance(axis, Values):
            return axis.values[trial.suggest_categorical(name, list(range(len(axis.values))))]
        log = axis.scale == "log"
        if axis.integer:
            return trial.suggest_int(name, int(axis.low), int(axis.high), log=log)
        return axis.rounded(trial.suggest_float(name, axis.low, axis.high, log=log))


def blocks_of(
    n_blocks: int | None, tuning_seeds: Sequence[int] | None, held_out_seeds: Sequence[int] | None
) -> tuple[Block, ...]:
    """The blocks of a study, by cutting the seeds in their order; None: the defaults. Raises ConfigError in one line.

    Without seeds there are 5 blocks, of 3 tuning and 4 held-out seeds; with seeds alone there is one block.
    """
    if n_blocks is None:
        n_blocks = BLOCKS if tuning_seeds is None and held_out_seeds is None else 1
    if n_blocks < 1:
        raise ConfigError(f"hydra.sweeper.blocks={n_blocks}: must be at least 1")
    n_tuning, n_held_out = ONE_BLOCK if n_blocks == 1 else (TUNING_SEEDS * n_blocks, HELD_OUT_SEEDS * n_blocks)
    tuning = list(range(n_tuning) if tuning_seeds is None else tuning_seeds)
    held_out = list(range(FIRST_HELD_OUT, FIRST_HELD_OUT + n_held_out) if held_out_seeds is None else held_out_seeds)
    _refuse_shared(tuning, held_out)
    parts = (_cut("tuning_seeds", tuning, n_blocks), _cut("held_out_seeds", held_out, n_blocks))
    return tuple(Block(*pair) for pair in zip(*parts, strict=True))


def design_of(
    entrants: Sequence[Entrant], blocks: tuple[Block, ...], search: str | None, trials: int | None, **more: Any
) -> Design:
    """The design of a study of these entrants. Raises ConfigError in one line for what does not fit.

    search None: a grid where every space is a list of as many settings and no number of trials is given; else
    quasi-random settings.
    """
    if search not in (None, *SEARCHES):
        raise ConfigError(f"hydra.sweeper.search={search}: must be one of {', '.join(SEARCHES)}")
    if trials is not None and trials < 1:
        raise ConfigError(f"hydra.sweeper.trials={trials}: must be at least 1")
    sizes = {size_of(entrant.space): entrant for entrant in entrants}
    if search is None:
        search = "grid" if trials is None and len(sizes) == 1 and inf not in sizes else "quasi_random"
    if search == "grid":
        _refuse_uneven(sizes, trials)
        trials = int(min(sizes))
    return Design(blocks, search, trials or TRIALS, **more)  # type: ignore[arg-type]


def tune(entrants: Sequence[Entrant], design: Design, launch: Launch) -> dict[tuple[str, ...], list[Chosen]]:
    """Tune every entrant on the tuning seeds of each block, then run its best setting on the held-out seeds.

    Returns the choice of each entrant in each block, by the entrant's words. Where every setting diverged or failed,
    nothing is run on the held-out seeds of that block.
    """
    shared = {entrant.words: _study_words(entrant, design) for entrant in entrants}
    pairs = [(entrant, r) for entrant in entrants for r in range(len(design.blocks))]
    proposers = {(entrant.words, r): _proposer(entrant.space, design, r) for entrant, r in pairs}
    best = {key: Chosen({}, WORST) for key in proposers}

    def jobs_of(key: tuple[tuple[str, ...], int], setting: Setting, seeds: Sequence[int], phase: str) -> list[Words]:
        words, r = key
        place = [f"tracking.phase={phase}", f"tracking.block={r}"]
        chosen = [override(name, value) for name, value in setting.items()]
        return [[*words, *chosen, f"seed={seed}", *place, shared[words]] for seed in seeds]

    for asked in _rounds(proposers):
        jobs = [
            job
            for key, settings in asked.items()
            for setting in settings
            for job in jobs_of(key, setting, design.blocks[key[1]].tuning_seeds, "tuning")
        ]
        scores = iter(launch(jobs))
        for key, settings in asked.items():
            n_seeds = len(design.blocks[key[1]].tuning_seeds)
            judged = [_judged(setting, [next(scores) for _ in range(n_seeds)]) for setting in settings]
            proposers[key].tell([chosen.score[0] for chosen in judged])
            possible = [chosen for chosen in (best[key], *judged) if chosen.setting]
            best[key] = min(possible, key=lambda chosen: (chosen.score, chosen.place), default=best[key])
    jobs = [
        job
        for key, chosen in best.items()
        if chosen.setting
        for job in jobs_of(key, chosen.setting, design.blocks[key[1]].held_out_seeds, "evaluation")
    ]
    if jobs:
        launch(jobs)
    return {entrant.words: [best[entrant.words, r] for r in range(len(design.blocks))] for entrant in entrants}


def tally(chosen: Sequence[Chosen]) -> list[tuple[Setting, int]]:
    """The settings that were chosen, each with the number of its blocks, the most frequent first."""
    counts: list[tuple[Setting, int]] = []
    for setting in (choice.setting for choice in chosen):
        if all(setting != other for other, _ in counts):
            counts.append((setting, sum(choice.setting == setting for choice in chosen)))
    return sorted(counts, key=lambda pair: -pair[1])


def quasi_random(space: Space, n: int) -> list[Setting]:
    """The settings at the first n points of a scrambled Sobol sequence: the same points for all spaces of equal size.

    A space that has no more settings than n is tried completely, each setting once.
    """
    if size_of(space) <= n:
        return grid_of(space)
    from scipy.stats import qmc

    # Owen 1998; 2^m points are drawn at once, as Sobol' points are balanced in such numbers only
    sequence = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(0))
    points = sequence.random_base2(math.ceil(math.log2(n)))[:n]
    return [setting_at(space, [float(u) for u in point]) for point in points]


def override(name: str, value: Any) -> str:
    """A value of a hyperparameter in Hydra's grammar."""
    return f"{name}={_spelled(value)}"


def _spelled(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_spelled, value))}]"
    text = str(value)
    if text.replace("_", "").replace(".", "").isalnum() and not text[0].isdigit():
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (r"\'" if found[2] else ""), text)
    return f"'{escaped}'"  # in Hydra's grammar a backslash counts before a quote alone


def _study_words(entrant: Entrant, design: Design) -> str:
    return f"tracking.tuning='{design.record(entrant)}'"


def _judged(setting: Setting, scores: Sequence[Score]) -> Chosen:
    """A setting by the median over the seeds; among equal medians the mean decides, then the smaller setting.

    analysis/selection.py uses the same order. The mean is needed where most seeds end at a loss of 0. Where
    runs have two scores, such as steps to a target and the loss, the second decides after the first in the same way.
    The setting is left out where most of its seeds diverged or failed: where the median of the last score is infinite.
    """
    n_scores = max(map(len, scores))
    columns = [[score[i] if i < len(score) else inf for score in scores] for i in range(n_scores)]
    medians = [median(column) for column in columns]
    by_seeds = [number for pair in zip(medians, map(fmean, columns), strict=True) for number in pair]
    return Chosen(
        {} if medians[-1] == inf else setting, tuple(by_seeds), [place_of(value) for value in setting.values()]
    )


def _proposer(space: Space, design: Design, block: int) -> Proposer:
    if design.search == "optuna":
        return OptunaProposer(space, design, block)
    return Fixed(grid_of(space) if design.search == "grid" else quasi_random(space, design.trials))


Key = tuple[tuple[str, ...], int]


def _rounds(proposers: Mapping[Key, Proposer]) -> Iterator[dict[Key, list[Setting]]]:
    """The settings of all entrants and blocks, round by round until no budget is left; a round is one sweep."""
    while asked := {key: settings for key, proposer in proposers.items() if (settings := proposer.ask())}:
        yield asked


def _cut(name: str, seeds: Sequence[int], n: int) -> list[tuple[int, ...]]:
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"hydra.sweeper.{name}={list(seeds)}: names a seed twice")
    if len(seeds) % n or (not seeds and name == "tuning_seeds"):
        number = f"{len(seeds)} seed{'s' * (len(seeds) != 1)}"
        raise ConfigError(f"hydra.sweeper.{name}: {number} cannot be cut into {n} equal blocks; give a multiple of {n}")
    size = len(seeds) // n
    return [tuple(seeds[i * size : (i + 1) * size]) for i in range(n)]


def _refuse_shared(tuning: Sequence[int], held_out: Sequence[int]) -> None:
    if both := sorted(set(tuning) & set(held_out)):
        raise ConfigError(f"hydra.sweeper.held_out_seeds={both[0]}: is a tuning seed too")


def _refuse_uneven(sizes: Mapping[float, Entrant], trials: int | None) -> None:
    """Raise ConfigError where a full grid is impossible, or would give entrants unequal numbers of trials."""
    if inf in sizes:
        name = next(name for name, axis in sizes[inf].space.items() if isinstance(axis, Interval) and not axis.integer)
        raise ConfigError(f"hydra.sweeper.search=grid: {name} is an interval; give values, or search=quasi_random")
    if len(sizes) > 1:
        fewest, most = min(sizes), max(sizes)
        raise ConfigError(
            f"hydra.sweeper.search=grid: {' '.join(sizes[fewest].words)} has {fewest:g} settings and "
            f"{' '.join(sizes[most].words)} {most:g}; give equal numbers, or search=quasi_random"
        )
    if trials is not None and trials != min(sizes):
        raise ConfigError(f"hydra.sweeper.trials={trials}: the grid has {min(sizes):g} settings; leave trials out")
