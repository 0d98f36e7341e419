"""The index of several reports: one for each study of a store, or for each metric."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from descent_lab.report.page import TEMPLATES
from descent_lab.report.sections import summary

if TYPE_CHECKING:
    from descent_lab.report.build import Built
    from descent_lab.report.report import Report

MOST = 12  # verdicts of single problems that are listed of a report


def index(reports: "Mapping[str, Built]") -> str:
    """The index as HTML. reports: what was written, by what it is about."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    entries = [
        {
            "about": about,
            "link": f"{built.folder}/index.html",
            "words": built.about,
            "lines": list(_lines(built.report)),
        }
        for about, built in reports.items()
    ]
    css = Markup((Path(TEMPLATES) / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("index.html").render(entries=entries, css=css)


def _lines(report: "Report") -> Iterator[str]:
    """The headline over all problems, and those of the problems."""
    if (card := summary.overall(report)) is not None:
        yield f"{card.title}: {card.headline}"
    cards = list(summary.verdicts(report))
    for card in cards[:MOST]:
        yield f"{card.title}: {card.headline}"
    if len(cards) > MOST:
        yield f"... and {len(cards) - MOST} further problems."
