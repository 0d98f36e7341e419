"""Composes the configurations of a sweep quickly: by Hydra once for each combination of choices, then value by value.

Hydra takes 100 ms for a configuration. The runs of a sweep mostly differ in single numbers or words that no other value
refers to; to put one in place of another takes 10 microseconds, and OmegaConf, which knows of references, 1 ms.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import AnyNode, DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Composed = tuple[Mapping[str, Any], Mapping[str, str]]  # values by name, choice by group
REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")  # to a value by its dotted name
NUMBER = re.compile(
    r"((?!hydra\b)[a-z_]\w*(?:\.[a-z_]\w*)*)=(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?)", re.ASCII | re.I
)
MISSING = "???"  # stands for a value that must be given
KEPT = 64  # configurations that a base remembers


def plain(composed: DictConfig) -> Composed:
    """The resolved values of a composed configuration, and the choices that Hydra made; it has its hydra node."""
    return _resolved(_without_hydra(composed)), dict(composed.hydra.runtime.choices)


def _without_hydra(composed: DictConfig) -> DictConfig:
    kept = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    OmegaConf.set_struct(kept, True)  # as Hydra does: keys that do not exist are refused
    return kept


def _resolved(composed: DictConfig) -> Mapping[str, Any]:
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


class Base:
    """A configuration composed from one combination of choices, in which plain values can be replaced many times."""

    def __init__(self, composed: DictConfig):
        self.composed, self.choices = _without_hydra(composed), dict(composed.hydra.runtime.choices)
        self.written: dict[str, Any] = OmegaConf.to_container(self.composed, resolve=False)  # type: ignore[assignment]
        marks = ("${", MISSING)  # of values that depend on others, or that must be given
        alone = [key for key in self.written if not any(mark in repr(self.written[key]) for mark in marks)]
        self.settled = _resolved(OmegaConf.masked_copy(self.composed, alone))
        self.known: dict[str, Mapping[str, Any]] = {}  # values, by what was given for others than the leaves

    def given(self, values: Mapping[str, Any]) -> Composed:
        """Values and choices, with these values in place of the composed ones. Do not change them: parts are shared."""
        single = self._single(values)
        others = {key: value for key, value in values.items() if key not in single}
        name = repr(others)
        if name not in self.known:
            if len(self.known) == KEPT:
                del self.known[next(iter(self.known))]
            self.known[name] = self._updated(others)
        composed = self.known[name]
        for key, value in single.items():
            composed = _replaced(composed, key.split("."), value)
        return composed, self.choices

    def _single(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of the values that are single values in place of others, and independent of the rest of them."""
        single = {key: value for key, value in values.items() if key in self.leaves and _is_single(value)}
        others = {_top(key): value for key, value in values.items() if key not in single}
        if "${" in repr(others):
            return {}
        return {key: value for key, value in single.items() if _top(key) not in others}

    @cached_property
    def leaves(self) -> frozenset[str]:
        """The dotted names of single values of any type that no other value refers to, as far as that can be seen."""
        leaves = dict(_leaves(self.composed))
        referring = [text for node in leaves.values() if "${" in (text := str(node._value()))]
        if any("${" in REFERENCE.sub("", text) for text in referring):  # references of other kinds
            return frozenset()
        meant = tuple(f"{name}." for text in referring for name in REFERENCE.findall(text))
        single = (key for key, node in leaves.items() if isinstance(node, AnyNode) and _is_single(node._value()))
        return frozenset(key for key in single if not f"{key}.".startswith(meant))

    def _updated(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The composed values with these in place of some, by OmegaConf."""
        tops = {_top(key) for key in values}
        try:
            for key, value in values.items():
                OmegaConf.update(self.composed, key, value, force_add=False)
            anew = tops | (self.written.keys() - self.settled.keys())
            return {key: self._value(key) if key in anew else self.settled[key] for key in self.written}
        finally:
            for top in tops & self.written.keys():
                OmegaConf.update(self.composed, top, self.written[top])

    def _value(self, key: str) -> Any:
        value = self.composed[key]
        return _resolved(value) if OmegaConf.is_config(value) else value


def _top(key: str) -> str:
    """The first part of a dotted name."""
    return re.split(r"[.[]", key)[0]


def _leaves(composed: DictConfig, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every node that holds no mapping, by its dotted name."""
    for key in composed:
        node: Any = composed._get_node(key)
        if isinstance(node, DictConfig) and isinstance(node._value(), dict):
            yield from _leaves(node, f"{prefix}{key!s}.")
        else:
            yield f"{prefix}{key!s}", node


def _is_single(value: Any) -> bool:
    """Whether a value is a number, a truth value, nothing, or a word that refers to no other value."""
    if isinstance(value, str):
        return "${" not in value and value != MISSING
    return value is None or isinstance(value, bool | int | float)


def _replaced(values: Mapping[str, Any], path: Sequence[str], value: Any) -> Mapping[str, Any]:
    """The values with this one at the end of the path of keys; what is not on the path is shared."""
    key, *rest = path
    return {**values, key: _replaced(values[key], rest, value) if rest else value}


class Word(NamedTuple):
    """An override: the key and the value that it gives in place of another; no key if it does anything else."""

    text: str
    key: str | None
    value: Any


class Composer:
    """Composes as `load` does for every list of overrides, but calls it only once for each combination of choices."""

    def __init__(self, load: Callable[[list[str]], DictConfig], is_group: Callable[[str], bool]):
        self.load, self.is_group = load, is_group
        self.parser = OverridesParser.create()
        self.words: dict[str, Word] = {}
        self.bases: dict[tuple[str, ...], Base] = {}

    def __call__(self, overrides: Sequence[str]) -> Composed:
        """Values and choices. Raises what Hydra raises for overrides that do not fit."""
        words = [self._word(text) for text in overrides]
        shaping = tuple(word.text for word in words if word.key is None)
        if shaping not in self.bases:
            self.bases[shaping] = Base(self.load(list(shaping)))
        try:
            return self.bases[shaping].given({word.key: word.value for word in words if word.key is not None})
        except OmegaConfBaseException:
            return plain(self.load(list(overrides)))  # raises Hydra's own message

    def _word(self, text: str) -> Word:
        if text in self.words:
            return self.words[text]
        number = NUMBER.fullmatch(text)  # which Hydra's parser takes 0.3 ms for
        if number and not self.is_group(number[1]):
            return Word(text, number[1], int(number[2]) if number[2].lstrip("-").isdigit() else float(number[2]))
        (override,) = self.parser.parse_overrides([text])
        is_plain = self._is_plain(override)
        self.words[text] = Word(text, override.key_or_group, override.value()) if is_plain else Word(text, None, None)
        return self.words[text]

    def _is_plain(self, override: Override) -> bool:
        """Whether it gives a new value to an existing key, and makes no choice, adds no key and deletes none."""
        changes = not (override.is_add() or override.is_force_add() or override.is_delete())
        return changes and not override.is_hydra_override() and not self.is_group(override.key_or_group)
