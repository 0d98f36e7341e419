"""Stacks the components of many runs into one. The runs share what shapes the computation; numbers differ by run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shape(component: Any) -> tuple[Any, ...]:
    """The class of a component and every field that is not a number: components that share these can be stacked."""
    values = [(f.name, getattr(component, f.name)) for f in fields(component)]
    return (type(component), *((name, "number" if _is_number(value) else value) for name, value in values))


@dataclass(frozen=True)
class Stacked:
    """Components of one shape. numbers: by the name of a field, its value in every run, (n_runs,) float64."""

    kind: Any  # the class of the components
    fixed: dict[str, Any]
    numbers: dict[str, np.ndarray]

    def build(self, convert: Callable[[np.ndarray], Any]) -> Any:
        """The component with each field of numbers replaced by convert(field)."""
        return self.bind({name: convert(values) for name, values in self.numbers.items()})

    def bind(self, numbers: dict[str, Any]) -> Any:
        """The component with these values as its numbers."""
        return self.kind(**self.fixed, **numbers)


def stack(components: Sequence[Any]) -> Stacked:
    """Stack components of equal shape."""
    first = components[0]
    values = {f.name: [getattr(c, f.name) for c in components] for f in fields(first)}
    fixed = {name: row[0] for name, row in values.items() if not _is_number(row[0])}
    numbers = {name: np.array(row, dtype=np.float64) for name, row in values.items() if name not in fixed}
    return Stacked(type(first), fixed, numbers)
