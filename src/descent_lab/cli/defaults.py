"""Gives Hydra the values that a choice's YAML leaves to its class, so that each value is written in one place.

A YAML file names a class (`_target_`) and what differs from the defaults of its dataclass. When Hydra reads the file,
the other fields are filled in: `--help` and `--cfg job` show them, and the command line changes them, as if they were
written there. A field without a default becomes `???`, which must be given. The learning rate that an optimizer
suggests becomes `lr`, its search space becomes `space`, and the network that a data set suggests becomes `suggested`.
"""

from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import file_config_source, importlib_resources_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from descent_lab.components import COMPONENTS, UNNAMED, Component, resolve
from descent_lab.errors import ConfigError
from descent_lab.sweeps.space import complete

ROOT = "config"  # the file that every configuration begins with
AROUND = 100  # the factor on both sides of a suggested lr within which it is searched, where a class gives no space
Values = dict[str, Any]


class RefusedChoice(ConfigError, HydraException):
    """A choice names a class that may not be named or that cannot be imported; Hydra shows it as it does its own."""


def fill_sources(wanted: bool = True) -> None:
    """Let every source of YAML that Hydra opens from now on, those of --config-dir too, give filled choices; or not."""
    sources: list[type[ConfigSource]] = [FileConfigSource, ImportlibResourcesConfigSource]
    if not wanted:
        sources = [
            file_config_source.FileConfigSource,
            importlib_resources_config_source.ImportlibResourcesConfigSource,
        ]
    SourcesRegistry.instance().types |= {source.scheme(): source for source in sources}


class FileConfigSource(file_config_source.FileConfigSource):  # Hydra knows sources by the names of their classes
    """The YAML files of a folder, filled."""

    def load_config(self, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        state = file.stat() if file.is_file() else None
        stamp = state and (state.st_ino, state.st_mtime_ns, state.st_size)
        return filled(config_path, _read_once((self.provider, file, stamp), partial(super().load_config, config_path)))


class ImportlibResourcesConfigSource(importlib_resources_config_source.ImportlibResourcesConfigSource):
    """The YAML files of an importable package, filled."""

    def load_config(self, config_path: str) -> ConfigResult:
        return filled(config_path, super().load_config(config_path))


_read: dict[Hashable, ConfigResult] = {}  # the content of files, by who provides them, their paths and their states


def _read_once(key: Hashable, read: Callable[[], ConfigResult]) -> ConfigResult:
    """The content of a file, read again only when it has changed: Hydra reads each one for every composition."""
    if key not in _read:
        _read[key] = read()
    return deepcopy(_read[key])


def filled(config_path: str, result: ConfigResult) -> ConfigResult:
    """The content of `config_path`, such as "optimizer/adam", with the values that it leaves to its class."""
    group, slash, _ = config_path.partition("/")
    if group == "hydra" or not isinstance(result.config, DictConfig):
        return result
    values: Values = OmegaConf.to_container(result.config, resolve=False)  # type: ignore[assignment]
    if group in UNNAMED and not {"_target_", "defaults"} & values.keys():
        values["_target_"] = UNNAMED[group]
    if not slash:
        values = _merged(_root(), values) if group == ROOT else values
    elif result.header["package"] == "_global_":
        values = _globally(values)
    elif group in COMPONENTS and {"_target_", "space"} & values.keys():
        defaults = {name: values.pop(name) for name in ("defaults",) if name in values}
        values, result.header["package"] = defaults | _globally({group: values}), "_global_"
    else:
        values = _merged(_groups().get(group, {}), values)
    result.config = OmegaConf.create(values)
    return result


def _globally(values: Values) -> Values:
    """Values from the root on, every component among them filled, with what its class suggests beside it."""
    suggestions: Values = {}
    values = values | ({"space": complete(values["space"])} if "space" in values else {})
    for group in COMPONENTS:
        component = _class(group, values.get(group))
        values, space = _without_space(group, values, component)
        if component is not None:
            values = values | {group: {"_target_": None} | _defaults(component) | values[group]}
            suggestions = _merged(suggestions, _suggestions(component))
        suggestions = _merged(suggestions, {"space": complete(space)} if space else {})
    return _merged(suggestions, values)


def _without_space(group: str, values: Values, component: type[Component] | None) -> tuple[Values, Values | None]:
    """The values without the search space that a choice's YAML gives beside the options of its class; the space."""
    options = values.get(group)
    if not isinstance(options, dict) or (component and "space" in {field.name for field in fields(component)}):  # type: ignore[arg-type]
        return values, None
    return values | {group: {name: value for name, value in options.items() if name != "space"}}, options.get("space")


def _class(group: str, values: Any) -> type[Component] | None:
    """The class that a component's values name; None where they name none. Raises RefusedChoice."""
    if not isinstance(values, Mapping) or "_target_" not in values:
        return None
    try:
        return resolve(group, values["_target_"])
    except ConfigError as error:
        raise RefusedChoice(str(error)) from error


def _suggestions(component: type[Any]) -> Values:
    """The values outside its group that a choice suggests: `lr`, `space`, `suggested`."""
    lr, model = getattr(component, "suggested_lr", None), getattr(component, "suggested", None)
    around = {} if lr is None else {"lr": {"low": lr / AROUND, "high": lr * AROUND, "scale": "log"}}
    space = complete(around | dict(getattr(component, "space", {})))
    suggestions: Values = ({"lr": lr} if lr is not None else {}) | ({"space": space} if space else {})
    return suggestions | ({} if model is None else {"suggested": _plain(model)})


def _defaults(kind: Any) -> Values:
    """The default of every field of a dataclass, as YAML has it; `???` for a field without one."""
    return {field.name: _default(field) for field in fields(kind)}


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return _plain(field.default)
    return "???" if field.default_factory is MISSING else _plain(field.default_factory())


@cache
def _root() -> Values:
    """The values of every run that are in no group of choices, such as `epochs` and `record`."""
    from descent_lab.sweeps.config import Config

    return {field.name: _default(field) for field in fields(Config) if field.default is not MISSING}


@cache
def _groups() -> Values:
    """The defaults of the groups whose choices name no class, such as `model`."""
    from descent_lab.sweeps.config import Config

    kinds: dict[str, Any] = {field.name: field.type for field in fields(Config) if is_dataclass(field.type)}
    return {name: _defaults(kind) for name, kind in kinds.items() if not issubclass(kind, Component)}


def _plain(value: Any) -> Any:
    """A default as plain YAML: a tuple as a list, a dataclass as a mapping."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _merged(defaults: Values, values: Values) -> Values:
    """The values, with defaults for what they lack, at every depth."""
    pairs = {name: (default, values[name]) for name, default in defaults.items() if name in values}
    nested = {name: _merged(*pair) for name, pair in pairs.items() if all(isinstance(part, dict) for part in pair)}
    return defaults | values | nested
