"""Blocks of the page as Markdown, for results.md and for the notes that MLflow shows."""

import re
from collections.abc import Iterable, Sequence

from descent_lab.report.blocks import Block, Card, Heading, Lines, Rows, Words


def markdown(blocks: Iterable[Block]) -> str:
    """The headings, words, lists, cards and tables among these blocks; other kinds are left out."""
    return "\n\n".join(filter(None, map(_written, blocks))) + "\n"


def _written(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_literal(text)}"
        case Words(text):
            return _literal(text)
        case Lines(items):
            return _list(items)
        case Card(title, headline, details):
            return "\n\n".join(filter(None, (f"### {_literal(title)}", f"**{_literal(headline)}**", _list(details))))
        case Rows(head, body):
            return "\n".join(map(_row, (head, ["---"] * len(head), *body)))
    return ""


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {_literal(item)}" for item in items)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_literal(cell).replace("|", "\\|") for cell in cells) + " |"


def _literal(text: str) -> str:
    """The text with a backslash before each sign that Markdown would take for one of its own."""
    return re.sub(r"[\\`*<]|(?<!\w)_|_(?!\w)|(?<=\])\(|&(?=#?\w+;)", r"\\\g<0>", text)
