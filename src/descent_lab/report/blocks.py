"""Blocks, of which a section makes its part of the page. The page's template knows how to write each kind of block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from markupsafe import Markup

from descent_lab.report.plots import Plot
from descent_lab.report.words import number


@dataclass(frozen=True)
class Block:
    """Base of all blocks. kind: the macro of templates/page.html that writes it."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Heading(Block):
    """A heading within the section."""

    kind = "heading"
    text: str


@dataclass(frozen=True)
class Words(Block):
    """A paragraph."""

    kind = "words"
    text: str


@dataclass(frozen=True)
class Lines(Block):
    """A list. look: a class of templates/page.css."""

    kind = "lines"
    items: Sequence[str]
    look: str = ""


@dataclass(frozen=True)
class Card(Block):
    """A result, set apart from the text."""

    kind = "card"
    title: str
    headline: str
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Rows(Block):
    """A table of text. folded: the words to click on to see it; empty: it is open."""

    kind = "rows"
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    folded: str = ""


@dataclass(frozen=True)
class Plots(Block):
    """Interactive figures, side by side where there is room."""

    kind = "plots"
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Picture(Block):
    """A static figure, by its name. text: what is said of it to those who cannot see it."""

    kind = "picture"
    name: str
    text: str


@dataclass(frozen=True)
class Files(Block):
    """Links to the files of tables, as far as these are given."""

    kind = "files"
    names: Sequence[str]


@dataclass(frozen=True)
class Html(Block):
    """HTML of the section's own. Text from outside is put into it by `Markup.format`, which escapes it."""

    kind = "html"
    markup: Markup = field(default_factory=Markup)


def plain(table: pd.DataFrame, columns: Mapping[str, str], folded: str = "") -> Rows:
    """The chosen columns under other names; numbers with three digits."""
    kept = [name for name in columns if name in table]
    body = [[said(value) for value in row] for row in table[kept].itertuples(index=False)] if kept else []
    return Rows([columns[name] for name in kept], body, folded)


def said(value: Any) -> str:
    """A cell: numbers with three digits."""
    if isinstance(value, float | np.floating):
        x = float(value)
        return f"{x:g}" if x.is_integer() and abs(x) < 1e6 else number(x, "∞")
    return str(value)


def grouped(table: pd.DataFrame, by: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The groups of a table in order; none of an empty one, whose columns may be missing."""
    if len(table):
        yield from table.groupby(by, sort=True)
