"""From the words of a tuned sweep to its entrants and its design, and from there to the best settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from descent_lab.cli.compose import Composed
from descent_lab.components import suggestion
from descent_lab.errors import ConfigError
from descent_lab.paths import installing
from descent_lab.problems.supervised import Problem
from descent_lab.sweeps.cautions import Tuned, cautions
from descent_lab.sweeps.config import Config, parse
from descent_lab.sweeps.identity import flat
from descent_lab.sweeps.space import Axis, Interval, Values, axis_of, by_name, space_of
from descent_lab.sweeps.tuning import (
    Chosen,
    Design,
    Entrant,
    Launch,
    Words,
    blocks_of,
    design_of,
    override,
    tally,
    tune,
)
from descent_lab.wording import counted

SPACE = "space"  # hydra.sweeper.tuned=space: all that the spaces of the entrants name
FEW = 3  # names in a line
ALL = "all"  # hydra.sweeper.space.all: for every entrant
NAMED = "hydra.sweeper.space"


@dataclass(frozen=True, kw_only=True)
class SweeperOptions:
    """The options of hydra.sweeper that concern tuning (conf/hydra/sweeper/stacked.yaml says what they mean)."""

    tuned: Any = None
    space: Any = None
    search: str | None = None
    trials: int | None = None
    blocks: int | None = None
    tuning_seeds: Any = None
    held_out_seeds: Any = None
    batch: int = 8

    @property
    def names(self) -> list[str]:
        """What `tuned` names, without the word `space`."""
        given = [self.tuned] if isinstance(self.tuned, str) else list(self.tuned or ())
        return [str(name) for name in given if name != SPACE]

    @property
    def everything(self) -> bool:
        """Whether `tuned` is, or has, the word `space`."""
        return self.tuned == SPACE or (not isinstance(self.tuned, str) and SPACE in (self.tuned or ()))


@dataclass
class TunedSweep:
    """A tuned sweep that is planned: its entrants, what each gets, and the words that cannot be composed.

    configs: a configuration of each entrant, by its words. shared: words that tell no entrant from another.
    """

    entrants: list[Entrant]
    design: Design
    configs: Mapping[tuple[str, ...], Config]
    shared: tuple[str, ...]
    refused: list[Words] = field(default_factory=list)

    def run(self, launch: Launch) -> dict[tuple[str, ...], list[Chosen]]:
        """Tune and judge; the choice in each block by the words that tell an entrant from others.

        Words that cannot be composed are launched along, once, so that the launcher says why.
        """
        refused = [list(words) for words in self.refused]

        def together(jobs: list[Words]) -> Sequence[Any]:
            scores = launch([*jobs, *refused])[: len(jobs)]
            refused.clear()
            return scores

        chosen = tune(self.entrants, self.design, together)
        return {self.name(words): choices for words, choices in chosen.items()}

    def name(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words of an entrant that tell it from others."""
        return tuple(word for word in words if word not in self.shared)

    def judged(self, best: Mapping[tuple[str, ...], Sequence[Chosen]]) -> Iterator[tuple[tuple[str, ...], list[Words]]]:
        """By entrant, the jobs that judge the setting that was chosen in most blocks, those of the first block first.

        There are none where every setting diverged or failed.
        """
        for entrant in self.entrants:
            name = self.name(entrant.words)
            setting, _ = tally(best[name])[0]
            words = [*entrant.words, *(override(key, value) for key, value in setting.items())]
            blocks = [
                block for block, chosen in zip(self.design.blocks, best[name], strict=True) if chosen.setting == setting
            ]
            seeds = [seed for block in blocks for seed in block.held_out_seeds if setting]
            yield name, [[*words, f"seed={seed}"] for seed in seeds]

    def plan(self) -> str:
        """What is to be run, in one line."""
        design, first = self.design, self.entrants[0]
        block, n_blocks, n = design.blocks[0], len(design.blocks), len(self.entrants)
        at = f"steps to {first.at['time_to']:g}" if isinstance(first.at, Mapping) else first.at
        by = " or ".join(dict.fromkeys(entrant.by for entrant in self.entrants))
        search = {"grid": "settings of a grid", "quasi_random": "quasi-random settings", "optuna": "settings by Optuna"}
        n_tuning, n_held_out = len(block.tuning_seeds), len(block.held_out_seeds)
        return (
            f"{counted(n, 'entrant')}, {design.trials} {search[design.search]} each, chosen by {by} ({at}); "
            f"{counted(n_blocks, 'block')} of {n_tuning} tuning and {n_held_out} held-out seeds: "
            f"{n * design.trials * n_blocks * n_tuning} runs to tune and {n * n_blocks * n_held_out} to judge, at most"
        )

    def spaces(self) -> list[str]:
        """The search spaces, a line each: who has it, and its axes."""
        names: dict[str, list[str]] = {}
        for entrant in self.entrants:
            axes = ", ".join(f"{name} {axis}" for name, axis in entrant.space.items())
            names.setdefault(axes, []).append(" ".join(self.name(entrant.words)) or "all")
        return [f"  {_few(who)}: {axes}" for axes, who in names.items()]

    def cautions(self, best: Mapping[tuple[str, ...], Sequence[Chosen]]) -> list[str]:
        """What weakens the comparison, a line each, with all entrants that it is true of."""
        tuned = [self._tuned(entrant, best[self.name(entrant.words)]) for entrant in self.entrants]
        who: dict[str, list[str]] = {}
        for caution in cautions(tuned):
            who.setdefault(caution.detail, []).append(
                " ".join(filter(None, (caution.entrant, caution.problem))) or "all"
            )
        return [f"{_few(names)}: {detail}" for detail, names in who.items()]

    def _tuned(self, entrant: Entrant, chosen: Sequence[Chosen]) -> Tuned:
        words, optimizer = self.name(entrant.words), self.configs[entrant.words].optimizer
        own = [word for word in words if word.split("=")[0].split(".")[0].lstrip("+") in ("optimizer", "backend")]
        options = {} if optimizer is None else {f.name: getattr(optimizer, f.name) for f in fields(optimizer)}
        return Tuned(
            problem=" ".join(word for word in words if word not in own),
            entrant=" ".join(own),
            space=entrant.space,
            chosen=[choice.setting for choice in chosen],
            trials=self.design.trials,
            kind=None if optimizer is None else optimizer.kind,
            options=options,
            includes={} if optimizer is None else optimizer.includes,
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def planned(
    overrides: Sequence[Override], options: SweeperOptions, compose: Callable[[Sequence[str]], Composed]
) -> TunedSweep:
    """The tuned sweep that these words and options ask for. Raises ConfigError in one line for what does not fit."""
    axes = {override.get_key_element(): axis(override) for override in overrides}
    if "seed" in axes:
        raise ConfigError("seed: is given by hydra.sweeper.tuning_seeds and held_out_seeds; leave it out")
    seeds = (
        None if given is None else seeds_of(f"hydra.sweeper.{name}", given)
        for name, given in (("tuning_seeds", options.tuning_seeds), ("held_out_seeds", options.held_out_seeds))
    )
    blocks = blocks_of(options.blocks, *seeds)
    searched = Searched(axes, options)
    entrants, configs, refused, reasons = [], {}, [], []
    problems: dict[str, Problem] = {}
    for words in searched.combinations():
        try:
            config, written, problem = _composed(words, compose, problems)
        except _Refused as refusal:
            refused.append([*words, f"seed={blocks[0].tuning_seeds[0]}"])
            reasons.append(refusal.reason)
            continue
        config.tuning.refuse_unrecorded(problem, config.optimizer)
        space, configs[words] = searched.space(words, config, written), config
        entrants.append(Entrant(words, space, config.tuning.metric(problem), config.tuning.described))
    if not entrants:
        raise reasons[0]
    searched.refuse_unused()
    design = design_of(entrants, blocks, options.search, options.trials, batch=options.batch)
    if design.search == "optuna" and find_spec("optuna") is None:
        raise ConfigError(f"hydra.sweeper.search=optuna: optuna is not installed; {installing('tune')}")
    shared = tuple(f"{key}={values[0]}" for key, values in searched.compared.items() if len(values) == 1)
    return TunedSweep(entrants, design, configs, shared, refused)


class _Refused(Exception):
    """A combination that cannot be composed, and why."""

    def __init__(self, reason: Exception):
        super().__init__(reason)
        self.reason = reason


def _composed(
    words: Sequence[str], compose: Callable[[Sequence[str]], Composed], problems: dict[str, Problem]
) -> tuple[Config, Any, Problem]:
    """The configuration of an entrant, its space as YAML has it, and its problem. Raises _Refused.

    problems: those that are built already, by their keys.
    """
    try:
        values, choices = compose(words)
        config = parse(values, choices)
        if config.problem_key not in problems:
            problems[config.problem_key] = config.problem()
        return config, values.get("space", {}), problems[config.problem_key]
    except Exception as error:  # in somebody's own code, too, such as a data set
        raise _Refused(error) from error


class Searched:
    """Which hyperparameters are tuned, of what is swept and of what spaces name; the rest is compared."""

    def __init__(self, axes: Mapping[str, Any], options: SweeperOptions):
        self.axes, self.options = axes, options
        self.used: set[str] = set()  # names that an entrant has
        self.known: set[str] = set()  # names that could have been meant
        self.own_spaces: set[str] = set()  # keys of hydra.sweeper.space that are of an entrant

    @cached_property
    def named(self) -> dict[str, dict[str, Any]]:
        """hydra.sweeper.space: what is written of an axis by hyperparameter, by the choice that it is for."""
        given = self.options.space or {}
        if not isinstance(given, Mapping) or not all(isinstance(space, Mapping) for space in given.values()):
            raise ConfigError(f"{NAMED}={given}: must give spaces by entrant, such as adam: {{lr: ...}}, or by {ALL}")
        return {str(choice): {name: _read(name, part) for name, part in by_name(given[choice])} for choice in given}

    @cached_property
    def swept(self) -> dict[str, Axis]:
        """What the command gives of each hyperparameter that is tuned."""
        return {
            key: Values(tuple(_typed(key, value) for value in values)) if isinstance(values, list) else values
            for key, values in self.axes.items()
            if self._is_tuned(key, values)
        }

    @property
    def compared(self) -> dict[str, list[str]]:
        """The values, as words, of each key that makes entrants, or that is the same for all."""
        return {key: values for key, values in self.axes.items() if isinstance(values, list) and key not in self.swept}

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """The words of every entrant."""
        for point in product(*self.compared.values()):
            yield tuple(f"{key}={value}" for key, value in zip(self.compared, point, strict=True))

    def space(self, words: Sequence[str], config: Config, written: Any) -> dict[str, Axis]:
        """The space of an entrant: of its choice, then as the command sweeps, then as hydra.sweeper.space says."""
        fields = {*flat(config.values), *config.choices}
        own = space_of("space", written)
        chosen = own | self.swept
        mine = [name for name in (ALL, config.choices["backend"], config.choices["optimizer"]) if name in self.named]
        for choice in mine:
            for name, part in self.named[choice].items():
                chosen[name] = _narrowed(f"{NAMED}.{choice}.{name}", part, chosen.get(name))
        wanted = {*self.options.names, *self.swept, *(name for choice in mine for name in self.named[choice])}
        wanted |= own.keys() if self.options.everything else set()
        space = {}
        for name, axis in chosen.items():
            if name not in wanted or axis is None or name in self.compared:
                continue
            if name.lstrip("+") in fields:
                space[name] = axis
            elif name not in self.swept and config.optimizer is not None:
                raise ConfigError(f"space.{name}: no such field{suggestion(name, sorted(fields))}")
        self.used |= space.keys()
        self.known |= own.keys() | self.axes.keys() | fields
        self.own_spaces |= {*mine}
        if not space:
            raise ConfigError(
                f"hydra.sweeper.tuned={_plain(self.options.tuned)}: {' '.join(words) or 'the command'} has nothing to "
                "tune; give values, such as lr=0.1,0.01"
            )
        return space

    def refuse_unused(self) -> None:
        """Raise ConfigError for a name that is to be tuned, or has a space, and that no entrant has."""
        for name in [*self.options.names, *self.swept]:
            if name not in self.used:
                near = sorted(other for other in self.known - {name} if ("." in other) == ("." in name))
                raise ConfigError(
                    f"hydra.sweeper.tuned={_plain(self.options.tuned)}: there are no values of {name}"
                    f"{suggestion(name, near)}; give them, such as {name}=0.1,0.01"
                )
        for name in self.named:
            if name != ALL and name not in self.own_spaces:
                raise ConfigError(
                    f"{NAMED}.{name}: no entrant has this backend or optimizer; {ALL} stands for every entrant"
                )

    def _is_tuned(self, key: str, values: Any) -> bool:
        if key in self.options.names or not isinstance(values, list):
            return True
        hyperparameter = (
            key == "lr" or key.startswith("optimizer.") or any(key in space for space in self.named.values())
        )
        return self.options.everything and hyperparameter and len(values) > 1


def axis(override: Override) -> list[str] | Interval:
    """The values that an override sweeps over, as text; or the interval that it names."""
    if override.is_sweep_override() and not override.is_discrete_sweep():
        swept: Any = override.value()
        scale: Any = "log" if "log" in swept.tags else "linear"
        low, high = swept.start, swept.end
        written = {"low": low, "high": high, "scale": scale, "integer": isinstance(low, int)}  # int(interval(1, 8))
        return axis_of(override.key_or_group, written)  # type: ignore[return-value]
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def seeds_of(key: str, given: Any) -> list[int]:
    """Seeds from what a sweeper's option holds: an integer, a list, or text such as 0,1,2 or range(5)."""
    try:
        if isinstance(given, int):
            return [given]
        if isinstance(given, Sequence) and not isinstance(given, str):
            return [int(seed) for seed in given]
        values = _swept("seed", given)
        return [int(str(seed)) for seed in values] if isinstance(values, list) else []
    except (ValueError, TypeError, HydraException):
        raise ConfigError(f"{key}={given}: must be seeds, such as range(5), 7 or [0,1,2]") from None


def _swept(key: str, text: Any) -> list[str] | Interval:
    """The values, or the interval, of text such as 0.1,0.01 or interval(0.1, 1)."""
    return axis(OverridesParser.create().parse_override(f"{key}={text}"))


def _typed(key: str, text: str) -> Any:
    """A value of a sweep as a number, a truth value, a list or a word."""
    return OverridesParser.create().parse_override(f"{key}={text}").value()


def _read(name: str, part: Any) -> Any:
    """An axis as it is written, with text such as 0.1,0.01 read as the command line reads it."""
    if not isinstance(part, str | int | float) or isinstance(part, bool):
        return part
    values = _swept(name, part)
    return [_typed(name, value) for value in values] if isinstance(values, list) else values


def _narrowed(where: str, part: Any, axis: Axis | None) -> Axis | None:
    """An axis of hydra.sweeper.space; where only some fields of an interval are given, the others are as they were."""
    if part is None:
        return None
    partial = isinstance(part, Mapping) and "values" not in part and isinstance(axis, Interval)
    return axis_of(where, {**axis.described, **part} if partial and axis else part)


def _plain(tuned: Any) -> Any:
    return tuned if isinstance(tuned, str) else list(tuned or ())
