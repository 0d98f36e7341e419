"""Defines a section of the report: a topic with its tables, its static figures, and its part of the page.

A section is registered by the file that makes it:

    SECTIONS.add("luck", Section("Luck", 75, tables={"luck": Table(luck, "how it is computed")}, content=content))

Built-in sections are the files of descent_lab/report/sections; a plug-in's are added when it is imported.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, NamedTuple

from descent_lab.components import Registry

if TYPE_CHECKING:
    import pandas as pd

    from descent_lab.report.blocks import Block
    from descent_lab.report.report import Report


class Table(NamedTuple):
    """A table that is written to a file. make raises NotGiven where the runs do not give it."""

    make: "Callable[[Report], pd.DataFrame]"
    recipe: str  # what recomputes it, in words


class Drawing(NamedTuple):
    """A static figure, written to figures/<name>.svg and .png. It is drawn by `draw(*arguments)`.

    Another process may draw it: then `draw` must be a function of a module, and gives a matplotlib Figure.
    """

    name: str
    draw: Callable[..., Any]
    arguments: tuple[Any, ...]


def nothing(report: "Report") -> Iterator[Any]:
    """No figures, or no content."""
    return iter(())


@dataclass(frozen=True)
class Section:
    """A topic of the report. order: its place on the page; those that come with the harness have 10, 20, ...

    content: the blocks of the page. A section without any is neither on the page nor in its menu.
    script: JavaScript that the page runs when all blocks are there.
    """

    title: str
    order: float
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: "Callable[[Report], Iterable[Drawing]]" = nothing
    content: "Callable[[Report], Iterable[Block]]" = nothing
    script: str = ""


SECTIONS: Registry[Section] = Registry("section of the report")


def ordered() -> list[tuple[str, Section]]:
    """The name and section of all there are, in the order of the page."""
    from descent_lab.report import sections

    for module in iter_modules(sections.__path__):
        import_module(f"{sections.__name__}.{module.name}")
    return sorted(SECTIONS.items(), key=lambda item: (item[1].order, item[0]))
