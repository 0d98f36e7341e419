"""Choices by name, as the command line takes them: composed by Hydra, without its application or its global state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from descent_lab.cli.complaints import explained
from descent_lab.cli.compose import Base, Composer
from descent_lab.cli.sweeper_words import as_text
from descent_lab.components import suggestion
from descent_lab.errors import ConfigError
from descent_lab.paths import CONF
from descent_lab.sweeps.config import Config, parse
from descent_lab.validation import refuse_unknown


def compose(overrides: Sequence[str]) -> Config:
    """The configuration of one run, from words of the command line. Raises ConfigError in one line."""
    (config,) = configurations([overrides])
    if isinstance(config, ConfigError):
        raise config
    return config


def choice(group: str, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """All values that `group=name` gives, with these options of the group. Raises ConfigError in one line."""
    there = _loader().get_group_options(group)
    if name not in there:
        raise ConfigError(f"{group}={name}: must be one of {', '.join(there)}{suggestion(name, there)}")
    with _one_line():
        base = _base((f"{group}={name}",))
    refuse_unknown(f"{group}.", options, base.written[group].keys() - {"_target_"})
    absent = [key for key, value in base.written[group].items() if value == "???" and key not in options]
    if absent:
        raise ConfigError(f"{group}.{absent[0]}: missing; it cannot be left out")
    with _one_line():
        values, _ = base.given({f"{group}.{key}": _plain(value) for key, value in options.items()})
        return values


def _plain(value: Any) -> Any:
    """Arrays, numbers of NumPy and tuples as YAML has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Sweep:
    """The words of a sweep, those of a study's `params` first, and the options of `hydra.sweeper`."""

    words: Sequence[Override]
    options: Mapping[str, Any]

    def given(self, **options: Any) -> "Sweep":
        """The sweep with these options in place of its own; None leaves one as it is."""
        return replace(self, options={**self.options, **{name: v for name, v in options.items() if v is not None}})

    def jobs(self) -> list[list[str]]:
        """The overrides of every run, in the command line's order."""
        with _one_line():
            (together,) = BasicSweeper.split_arguments(list(self.words), max_batch_size=None)
            return [list(job) for job in together]


def sweep_of(overrides: Sequence[str]) -> Sweep:
    """The sweep that these words of the command line ask for. Raises ConfigError in one line."""
    with _one_line():
        parser = OverridesParser.create(config_loader=_loader())
        parsed = parser.parse_overrides([as_text(word) for word in overrides])
        sweeper = _load([str(o.input_line) for o in parsed if not o.is_sweep_override()]).hydra.sweeper
        options: Any = OmegaConf.to_container(sweeper)
        given = {override.key_or_group for override in parsed}
        params = [f"{key}={value}" for key, value in (options["params"] or {}).items() if key not in given]
        words = [*parser.parse_overrides(params), *(o for o in parsed if not o.is_hydra_override())]
        return Sweep(words, options)


def configurations(overrides: Sequence[Sequence[str]]) -> Iterator[Config | ConfigError]:
    """The configuration of each job, or why it is refused."""
    compose_job = composer()
    for job in overrides:
        try:
            with _one_line():
                yield parse(*compose_job(job))
        except ConfigError as error:
            yield error


def composer() -> Composer:
    """Composes the values of a run from words of the command line."""
    return Composer(_load, _is_group)


def written_values(overrides: Sequence[str]) -> Mapping[str, Any]:
    """The values of a run, nested; references between them are not resolved. Raises ConfigError in one line."""
    with _one_line():
        return _base(tuple(overrides)).written


def group_choices(group: str) -> list[str]:
    """The names of a group's choices, those of plug-ins among them."""
    return list(_loader().get_group_options(group))


@cache
def _loader() -> ConfigLoaderImpl:
    return ConfigLoaderImpl(create_config_search_path(f"file://{CONF}"))


def _load(overrides: Sequence[str]) -> DictConfig:
    return _loader().load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)


@cache
def _base(overrides: tuple[str, ...]) -> Base:
    return Base(_load(overrides))


@cache
def _is_group(name: str) -> bool:
    return bool(_loader().get_group_options(name))


@contextmanager
def _one_line() -> Iterator[None]:
    """Errors of Hydra and OmegaConf, which may take many lines, as a ConfigError of one."""
    try:
        yield
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explained(error)[0]) from None
