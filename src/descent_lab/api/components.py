"""Components that Python code gives as objects, or by the names of choices."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from descent_lab.components import UNNAMED, Component, resolve
from descent_lab.errors import ConfigError
from descent_lab.sweeps.config import Config
from descent_lab.validation import checked, typed


def component(group: str, given: Any, base: type, default: type, options: Mapping[str, Any] | None = None) -> Any:
    """The validated component: an object of the class `base`, or of a choice with options, or the default.

    given: an object, or the name of a choice; None stands for the class `default` with its own defaults.
    Raises ConfigError in one line for other objects, unknown choices and bad values.
    """
    if isinstance(given, str):
        from descent_lab.cli.composition import choice  # Hydra is imported for names only

        return from_values(group, base, choice(group, given, options or {})[group])
    chosen = default() if given is None else given
    if not isinstance(chosen, base):
        raise ConfigError(f"{group}={given!r}: must be an object of the class {base.__name__}, or the name of a choice")
    if options:
        raise ConfigError(f"{next(iter(options))}: no such argument; give it to {type(chosen).__name__}(...)")
    return checked(group, chosen)


def from_values(group: str, base: type, values: Mapping[str, Any]) -> Any:
    """A group's validated object from its composed values."""
    kind = resolve(group, values.get("_target_", UNNAMED.get(group))) if issubclass(base, Component) else base
    return typed(group, kind, {name: value for name, value in values.items() if name != "_target_"})


def number(name: str, value: Any) -> Any:
    """A single value, validated as the command line's is."""
    kinds = {field.name: field.type for field in fields(Config)}
    return typed(name, kinds[name], value)
