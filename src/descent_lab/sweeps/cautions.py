"""What weakens a tuned comparison, from the spaces that were searched and the settings that were chosen.

Pure functions, for the end of a tuning command and for reports. Sources: Choi et al. 2020 on spaces that must contain
those of optimizers which are special cases; Schmidt et al. 2021 and Dahl et al. 2023 on edges and unequal spaces.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, permutations
from typing import Any, NamedTuple

from descent_lab.sweeps.space import Axis, Interval, Setting, Space, Values

MOST = 2.0  # widths in decades that differ by a larger factor are cautioned
FEW = 4  # a list of fewer values is mostly edges


@dataclass(frozen=True)
class Tuned:
    """An entrant on a problem: what was searched, and what was chosen.

    chosen: the setting of each block; an empty one where every setting diverged or failed. trials: settings tried in
    each block. kind, options, includes: of its optimizer (optim/base.py), with the values of options that are not
    tuned; None and empty where there is no optimizer.
    """

    problem: str
    entrant: str
    space: Space
    chosen: Sequence[Setting]
    trials: int
    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    includes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Caution(NamedTuple):
    """A circumstance that weakens a comparison, in a sentence without its subject."""

    problem: str
    entrant: str
    warning: str
    detail: str


def cautions(tuned: Sequence[Tuned]) -> list[Caution]:
    """All cautions about the tuning of these entrants."""
    one = [caution for entrant in tuned for caution in (*at_edges(entrant), *diverged(entrant))]
    by_problem = groupby(sorted(tuned, key=lambda entrant: entrant.problem), key=lambda entrant: entrant.problem)
    return [*one, *(caution for _, group in by_problem for caution in _of_several(list(group)))]


def _of_several(tuned: Sequence[Tuned]) -> Iterator[Caution]:
    yield from unequal_widths(tuned)
    yield from not_included(tuned)


def at_edges(tuned: Tuned) -> Iterator[Caution]:
    """Hyperparameters whose best value lies at an edge of the space in at least half of the blocks.

    Of an interval, an edge is the outermost of as many equal parts as there were trials, and at most a tenth. 0 is no
    edge, because it is where momenta, decays and the like end.
    """
    settings = [setting for setting in tuned.chosen if setting]
    for name, axis in tuned.space.items():
        for side, end in zip(("lower", "upper"), axis.ends or (), strict=False):
            at_end = [_is_at(axis, setting[name], end, tuned.trials) for setting in settings]
            if end != 0 and settings and 2 * sum(at_end) >= len(settings):
                blocks = f" in {sum(at_end)} of {len(at_end)} blocks" if len(at_end) > 1 else ""
                detail = f"the best {name} lies at the {side} edge of its space ({end:g}){blocks}"
                yield Caution(tuned.problem, tuned.entrant, "edge", detail)


def diverged(tuned: Tuned) -> Iterator[Caution]:
    """Blocks in which every setting diverged or failed."""
    n = sum(not setting for setting in tuned.chosen)
    if n:
        blocks = f" in {n} of {len(tuned.chosen)} blocks" if len(tuned.chosen) > 1 else ""
        yield Caution(tuned.problem, tuned.entrant, "all diverged", f"every setting diverged or failed{blocks}")


def unequal_widths(tuned: Sequence[Tuned]) -> Iterator[Caution]:
    """Hyperparameters whose space is more than twice as wide for one entrant as for another, in decades."""
    for name in dict.fromkeys(name for entrant in tuned for name in entrant.space):
        widths = [(width, entrant) for entrant in tuned if (width := decades(name, entrant.space.get(name)))]
        if len(widths) < 2:
            continue
        narrow, wide = (pick(widths, key=lambda pair: pair[0]) for pick in (min, max))
        if wide[0] > MOST * narrow[0]:
            factors = f"a factor of {10 ** narrow[0]:.3g}, and over one of {10 ** wide[0]:.3g} for {wide[1].entrant}"
            detail = f"{name} was searched over {factors}"
            yield Caution(narrow[1].problem, narrow[1].entrant, "unequal spaces", detail)


def not_included(tuned: Sequence[Tuned]) -> Iterator[Caution]:
    """Entrants that could be another one, such as momentum with mu = 0, and whose space does not contain its space."""
    for general, special in permutations(tuned, 2):
        values = general.includes.get(special.kind or "")
        if values is None:
            continue
        lacking = [
            *(f"{name} = {value:g}" for name, value in values.items() if not _has(general, name, value)),
            *(f"its {name}" for name, axis in special.space.items() if not _contains(general.space.get(name), axis)),
        ]
        if lacking:
            detail = f"its space does not contain that of {special.entrant}: {', '.join(lacking)}"
            yield Caution(general.problem, general.entrant, "not included", detail)


def decades(name: str, axis: Axis | None) -> float | None:
    """The width of an axis in powers of ten; None for an axis that is not searched on a logarithmic scale.

    A list of values counts for lr alone: lists of momenta and the like are no ranges.
    """
    ends = axis.ends if axis is not None else None
    logarithmic = axis.scale == "log" if isinstance(axis, Interval) else name == "lr"
    return math.log10(ends[1] / ends[0]) if ends and logarithmic and ends[0] > 0 else None


def _is_at(axis: Axis, value: Any, end: float, trials: int) -> bool:
    if isinstance(axis, Values):
        return len(axis.values) >= FEW and bool(value == end)
    if axis.integer and axis.high - axis.low < trials:
        return bool(value == end)
    return abs(axis.place(value) - axis.place(end)) < 1 / max(trials, 10)


def _has(tuned: Tuned, option: str, value: Any) -> bool:
    """Whether an entrant's optimizer can have this value of an option."""
    axis = tuned.space.get(f"optimizer.{option}")
    if axis is None:
        return bool(tuned.options.get(option) == value)
    return value in axis.values if isinstance(axis, Values) else axis.low <= value <= axis.high


def _contains(outer: Axis | None, inner: Axis) -> bool:
    """Whether an axis covers another: the values of a list, or the range of numbers."""
    if outer is None:
        return False
    if isinstance(outer, Values) and isinstance(inner, Values):
        return set(map(repr, inner.values)) <= set(map(repr, outer.values))
    if outer.ends is None or inner.ends is None:
        return False
    return outer.ends[0] <= inner.ends[0] and inner.ends[1] <= outer.ends[1]
