"""What a run is: typed, validated configuration, and the identity that names everything able to change its curves."""

import marshal
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Predicate

from descent_lab import plugins
from descent_lab.components import COMPONENTS, UNNAMED, resolve, target_of
from descent_lab.data.base import Dataset
from descent_lab.data.batching import Batching
from descent_lab.derivatives.base import Backend
from descent_lab.errors import ConfigError, DataError, without_password
from descent_lab.nn.initialisers import Initialiser
from descent_lab.nn.models.base import Model
from descent_lab.optim.base import Optimizer
from descent_lab.optim.schedules import Schedule
from descent_lab.problems.supervised import Problem, build
from descent_lab.seeding import Seed, Seeds
from descent_lab.sweeps.engines.base import Engine
from descent_lab.sweeps.identity import described, digest, flat
from descent_lab.sweeps.objective import FINAL_LOSS, Objective
from descent_lab.tracking.record import Origin, RunKey, TrackedRun, Tracking
from descent_lab.training.run import Dtype, Record, Run, Stop
from descent_lab.validation import refuse_unknown, typed

Finite = Predicate(math.isfinite)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One resolved run. Groups are instances of the classes that their YAML names.

    lr: the base learning rate; by default, what the optimizer (or a backend without one) suggests.
    seed: of data, split, init, batch order and search, each drawn from a stream of its own.
    seeds: of single streams, in place of `seed`: seeds.split=3 splits the data as seed=3 does.
    stream: independent streams, or legacy: NumPy's old global stream, shared, to replay scripts that used it.
    tuning: what a tuned sweep chooses settings by.
    timing: isolated: runs of a sweep are not stacked, so that their clocks can be compared.
    engine: where the stacks of a sweep are trained.
    force: run again what has been run before. dry_run: show what would be run, and run nothing.
    debug: show the traceback of an error in somebody's own code.
    values: every leaf as validated, nested; passwords are hidden. choices: the choice made in each group.
    name: what the run is called, here as if it were alone; `naming.named` names the runs of a sweep.
    """

    backend: Backend
    dataset: Dataset
    model: Model
    init: Initialiser
    batching: Batching
    schedule: Schedule
    optimizer: Optimizer | None
    lr: Annotated[float, Gt(0), Finite]
    seed: Seed = 0
    seeds: Seeds = Seeds()
    epochs: Annotated[int, Ge(0)] = Run.epochs
    dtype: Dtype = Run.dtype
    stream: Literal["independent", "legacy"] = "independent"
    record: Record = Run.record
    stop: Stop = Run.stop
    tuning: Objective = FINAL_LOSS
    timing: Literal["shared", "isolated"] = "shared"
    tracking: Tracking
    engine: Engine
    force: bool = False
    dry_run: bool = False
    debug: bool = False
    values: Mapping[str, Any]
    choices: Mapping[str, str]
    name: str

    @property
    def params(self) -> dict[str, str]:
        """Every leaf by its dotted name, and each group's choice by the group's name."""
        return {name: str(value) for name, value in flat(self.values).items()} | dict(self.choices)

    @property
    def key(self) -> RunKey:
        """Where the run belongs, and which one it is."""
        return self.tracking.key(self.identity)

    @property
    def tracked(self) -> TrackedRun:
        """What is to be tracked of the run, and where. It is made anew each time: many runs would fill the memory."""
        return TrackedRun(
            name=self.name,
            identity=self.identity,
            params=self.params,
            settings={**self.values, "choices": dict(self.choices)},
            fingerprint=self.fingerprint,
            origin=self._origin(),
            tracking=self.tracking,
            force=self.force,
        )

    def _origin(self) -> Origin:
        path = self.dataset.source()
        content = digest({"dataset": self.dataset, "data": self.fingerprint})
        name = self.choices["dataset"] if path is None else Path(path).name
        return Origin(name, content, target_of(self.dataset), path)

    @cached_property
    def identity(self) -> str:
        """Hash of everything that can change the run's curves (identity.py)."""
        inside = {name: getattr(self, name) for name in INSIDE_IDENTITY}
        return digest(inside | {"data": self.fingerprint})

    @cached_property
    def fingerprint(self) -> str | None:
        """Hash of the content of data that come from files or arrays; None for other data."""
        return self.dataset.fingerprint()

    @cached_property
    def problem_key(self) -> str:
        """Hash of what decides the shapes of the problem: all of it but the seeds."""
        return digest({name: getattr(self, name) for name in ("dataset", "model", "init", "batching", "stream")})

    def problem(self) -> Problem:
        """Load the data and draw the start. Raises ConfigError where the parts do not fit together."""
        try:
            return build(self.dataset, self.model, self.init, self.batching, self.seed, self.stream, self.seeds)
        except DataError as error:
            raise ConfigError(f"dataset={self.choices['dataset']}: {error}") from error

    def run(self, problem: Problem) -> Run:
        """The run, ready to train."""
        return Run(
            problem,
            self.backend,
            self.optimizer,
            self.schedule,
            self.lr,
            self.epochs,
            self.dtype,
            self.record,
            self.stop,
        )


GROUPS = (*COMPONENTS, "batching", "tracking")
INSIDE_IDENTITY = (
    "backend",
    "dataset",
    "model",
    "init",
    "batching",
    "schedule",
    "optimizer",
    "lr",
    "seed",
    "seeds",
    "epochs",
    "dtype",
    "stream",
    "record",
    "stop",
    "timing",
)
WITHOUT_OPTIMIZER = "none"

DEFAULTS: dict[str, Any] = {
    "debug": Config.debug,
    "seeds": {},
    "tuning": {},
    "stop": {"explode": None},
}  # of what runs stored by earlier versions do not have, as these were trained
MADE = ("values", "choices", "name")  # fields of Config that are made of the others
KNOWN: dict[str, Any] = {f.name: f.type for f in fields(Config) if f.name not in MADE}  # the types of values, by name
NOT_OF_A_RUN = ("hydra", "suggested", "space", "plugins")  # values that are composed for others


def parse(values: Mapping[str, Any], choices: Mapping[str, str]) -> Config:
    """Validate a resolved configuration. Raises ConfigError with one line for each bad field."""
    _refuse_allowing(values.get("plugins", {}))
    values = _with_defaults({name: value for name, value in values.items() if name not in NOT_OF_A_RUN})
    refuse_unknown("", values, KNOWN)
    _refuse_gaps(values)
    choices = {name: choice for name, choice in choices.items() if name in GROUPS}
    parts = {"backend": _part("backend", values["backend"])}
    if parts["backend"].validated.order == 0:
        values, choices = values | {"optimizer": None}, choices | {"optimizer": WITHOUT_OPTIMIZER}
    parts |= {name: _part(name, values[name]) for name in KNOWN}
    validated = {name: part.validated for name, part in parts.items()}
    described = {name: part.described for name, part in parts.items()}
    config = Config(**validated, values=described, choices=choices, name=_name_alone(validated, choices))
    _refuse_order(config)
    return config


def _with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with DEFAULTS for what they and their groups lack."""
    pairs = {name: (default, values[name]) for name, default in DEFAULTS.items() if name in values}
    groups = {name: one | other for name, (one, other) in pairs.items() if isinstance(other, dict)}
    return {**DEFAULTS, **values, **groups}


class Part(NamedTuple):
    """A value or a group of a configuration, validated, and as plain values, in which 0 of a real number is 0.0."""

    validated: Any
    described: Any


def _part(name: str, value: Any) -> Part:
    """A part of a configuration. Raises ConfigError with one line for each bad field.

    The runs of a sweep share the parts that are written alike.
    """
    kind = KNOWN[name]
    if name in COMPONENTS and value is not None:
        kind = resolve(name, value.get("_target_", UNNAMED.get(name)))
        value = {key: value[key] for key in value if key != "_target_"}
    try:
        return _kept(name, kind, marshal.dumps(value, 2))
    except ValueError:  # it holds other objects than text, numbers, lists and mappings
        return _new(name, kind, value)


@lru_cache(maxsize=4096)
def _kept(name: str, kind: Any, written: bytes) -> Part:
    return _new(name, kind, marshal.loads(written))


def _new(name: str, kind: Any, value: Any) -> Part:
    for leaf, number in flat({name: value}).items():
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"{leaf}={number}: must be a finite number")
    validated = None if value is None and name in COMPONENTS else typed(name, kind, value)
    values = described(validated)
    if name == "tracking" and values["uri"]:
        values |= {"uri": without_password(values["uri"])}
    return Part(validated, values)


def _name_alone(parts: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """The name of a run that is not compared with others."""
    words = [
        choices["backend"],
        *([] if parts["optimizer"] is None else [choices["optimizer"]]),
        choices["dataset"],
        f"lr={parts['lr']:g}",
        f"s{parts['seed']}",
        *(f"{stream}={seed}" for stream, seed in parts["seeds"].given.items()),
    ]
    return " ".join(words)


def refuse_optimizer(config: Config, overrides: Iterable[str]) -> None:
    """Raise ConfigError if an optimizer was asked for by name for a backend that has none."""
    asked = [o for o in overrides if o.lstrip("+").partition("=")[0].split(".")[0] == "optimizer"]
    if asked and config.optimizer is None:
        backend = config.choices["backend"]
        raise ConfigError(f"{asked[0]}: backend {backend} takes no optimizer; leave it out, or choose another backend")


def _refuse_order(config: Config) -> None:
    needed, given = config.optimizer.order if config.optimizer else 0, config.backend.order
    if given and config.optimizer is None:
        raise ConfigError(f"optimizer=None: backend {config.choices['backend']} needs one")
    if needed > given:
        raise ConfigError(
            f"optimizer={config.choices['optimizer']}: needs derivatives of order {needed}, and backend "
            f"{config.choices['backend']} gives order {given}; choose backend=jax, or backend=taylor backend.order=2"
        )


def _refuse_allowing(values: Mapping[str, Any]) -> None:
    """Refuse packages that a configuration file or a stored run would allow itself: that is for the command line."""
    asked = set(values.get("allow") or ())
    if asked - set(plugins.allowed_here()):
        raise ConfigError(f"plugins.allow={sorted(asked)}: may be given on the command line only")


def _refuse_gaps(values: Mapping[str, Any]) -> None:
    """Refuse fields that are missing, and groups that are none."""
    for name, kind in KNOWN.items():
        if name not in values:
            raise ConfigError(f"{name}: missing; it cannot be left out")
        is_group = name in COMPONENTS or is_dataclass(kind)
        if is_group and not isinstance(values[name], Mapping) and (name, values[name]) != ("optimizer", None):
            raise ConfigError(f"{name}={values[name]}: must be a group of fields; give them as {name}.<field>=<value>")
