"""The identity of a run: a hash of everything that can change its curves, and of nothing else.

Components count by their `kind` and their validated options, so that a class may move or be renamed. The content of
data that come from files counts by its fingerprint, so that a file may move. Options that came later than stored runs
are left out where they hold a default that changes nothing (`components.neutral`), and so is a group of nothing else.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

from descent_lab.components import NEUTRAL, Component, target_of


def digest(parts: Mapping[str, Any]) -> str:
    """20 hexadecimal digits of the SHA-256 of these parts, whatever their order."""
    identified = {name: _identified(part) for name, part in parts.items()}
    text = json.dumps({name: values for name, values in identified.items() if values != {}}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def described(part: Any) -> Any:
    """A validated part of a configuration as plain values, for YAML and for parameters: a component with its class."""
    if not is_dataclass(part):
        return _plain(part, described)
    options = {f.name: described(getattr(part, f.name)) for f in fields(part)}
    return {"_target_": target_of(part)} | options if isinstance(part, Component) else options


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf by its dotted name."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return leaves


def _identified(part: Any) -> Any:
    """As `described`, but with the class's kind in place of its path, and without options outside the identity."""
    if not is_dataclass(part):
        return _plain(part, _identified)
    outside: frozenset[str] = part.outside_identity if isinstance(part, Component) else frozenset()
    inside = [f for f in fields(part) if f.name not in outside and not _holds_neutral(part, f)]
    options = {f.name: _identified(getattr(part, f.name)) for f in inside}
    return {"kind": part.kind} | options if isinstance(part, Component) and part.kind else options


def _holds_neutral(part: Any, option: Field[Any]) -> bool:
    """Whether an option holds a default that trains as before there was the option."""
    return NEUTRAL in option.metadata and bool(getattr(part, option.name) == option.default)


def _plain(value: Any, of: Callable[[Any], Any]) -> Any:
    """Tuples as lists, as YAML and JSON have them, with what `of` makes of each of their parts."""
    if isinstance(value, Mapping):
        return {name: of(part) for name, part in value.items()}
    return [of(part) for part in value] if isinstance(value, list | tuple) else value
