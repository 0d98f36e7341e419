"""What the runs of a sweep are called: by what differs within the sweep, and only by that.

Names are for people; they are no part of an identity. A run that a store holds already keeps the name it has.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from descent_lab.sweeps.config import GROUPS, INSIDE_IDENTITY, Config
from descent_lab.sweeps.identity import flat
from descent_lab.tracking.study_record import StudyRecord

Refusal = TypeVar("Refusal")  # why a job has no configuration
Row = Mapping[str, Any]  # the values of a run by their dotted names, and its choices by their groups

BARE = ("backend", "optimizer", "dataset")  # groups whose choices say by themselves what they are
LONGEST = 200  # letters of a name; databases keep 250


def named(jobs: Sequence[Config | Refusal]) -> list[Config | Refusal]:
    """The jobs of one sweep, each configuration among them with a name that tells it apart from the others.

    A single run, and runs that are all the same, keep the names that they have alone.
    """
    rows = {id(job): row_of(job) for job in jobs if isinstance(job, Config)}
    if len(rows) < 2:
        return list(jobs)
    keys, ordered = set(differing(list(rows.values()))), _ordered(rows.values())
    heads = _heads(ordered)
    words = {key: _words(heads[key], {row[key] for row in rows.values() if key in row}) for key in ordered}

    def called(config: Config) -> Config:
        row, wanted = rows[id(config)], keys | tuned_keys(config.tracking.tuning)
        name = " ".join(words[key][row[key]] for key in ordered if key in wanted and key in row)
        return replace(config, name=_short(" ".join(name.split()))) if name else config

    return [called(job) if isinstance(job, Config) else job for job in jobs]


def differing(rows: Sequence[Row]) -> list[str]:
    """The keys that tell rows apart, in the order of names.

    A key that says nothing new is not among them: with optimizer=sgd,adam, the learning rate that each suggests
    differs too, but the optimizers tell it already.
    """
    group_of_row, n_groups = [0] * len(rows), 1  # rows of one group are not told apart by the keys so far
    keys = []
    for key in _ordered(rows):
        groups: dict[tuple[int, Any], int] = {}
        parts = zip(group_of_row, (row.get(key) for row in rows), strict=True)
        split = [groups.setdefault(part, len(groups)) for part in parts]
        if len(groups) > n_groups:
            keys.append(key)
            group_of_row, n_groups = split, len(groups)
    return keys


def row_of(config: Config) -> Row:
    """What can differ between runs, by the names of their params."""
    values = flat({name: config.values[name] for name in INSIDE_IDENTITY})
    choices = {group: choice for group, choice in config.choices.items() if group in INSIDE_IDENTITY}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in (values | choices).items()}


def _ordered(rows: Iterable[Row]) -> list[str]:
    """Every key of the rows in the order of names: choices, the learning rate, other values, seeds."""

    def rank(key: str) -> int:
        if key in BARE:
            return BARE.index(key)
        order = (key in GROUPS, key == "lr", key.split(".")[0] not in ("seed", "seeds"))
        return len(BARE) + (order.index(True) if True in order else len(order))

    return sorted(dict.fromkeys(key for row in rows for key in row), key=rank)


@lru_cache(maxsize=64)
def tuned_keys(record: str | None) -> frozenset[str]:
    """The keys that differ within a tuned sweep: one launch may hold only some of its runs."""
    try:
        study = StudyRecord.read(record or "")
    except (TypeError, ValueError):  # not of a study that the harness planned
        return frozenset()
    n_seeds = sum(map(len, (*study.tuning_seeds, *study.held_out_seeds)))
    return frozenset({name.lstrip("+") for name in study.space} | ({"seed"} if n_seeds > 1 else set()))


def _heads(keys: Sequence[str]) -> dict[str, str]:
    """How names call each key: `lr`, `model.hidden`; an option of what stands bare, or a stream, by its last part."""
    last = {key: key.rpartition(".")[2] for key in keys if key.split(".")[0] in (*BARE, "seeds") and "." in key}
    count = Counter([*last.values(), *(key for key in keys if "." not in key)])
    return {key: last[key] if key in last and count[last[key]] == 1 else key for key in keys}


def _words(head: str, values: Iterable[Any]) -> dict[Any, str]:
    """What a name says of each value. Numbers are shortened, unless two of them would then look the same."""
    exact = {value: _text(value) for value in values}
    short = {value: f"{value:g}" if isinstance(value, float) else text for value, text in exact.items()}
    texts = short if len(set(short.values())) == len(short) else exact
    return {value: _word(head, text) for value, text in texts.items()}


def _word(head: str, text: str) -> str:
    if head in BARE:
        return "" if (head, text) == ("optimizer", "none") else text
    return f"s{text}" if head == "seed" else f"{head}={text}"


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _short(name: str) -> str:
    """A name that is too long, cut, with 8 digits that keep it apart from others."""
    if len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}... {hashlib.sha256(name.encode()).hexdigest()[:8]}"
