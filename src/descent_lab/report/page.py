"""The page: one HTML file that needs no network. It shows whatever sections there are."""

import base64
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from descent_lab.report.blocks import Plots
from descent_lab.report.looks import DASHES
from descent_lab.report.plots import Plot, as_json
from descent_lab.report.report import Report

TEMPLATES = Path(__file__).parent / "templates"
BOKEH = Path(str(find_spec("bokeh").origin)).parent / "server" / "static" / "js"  # type: ignore[union-attr]
LIBRARY = ("bokeh.min.js", "bokeh-api.min.js")  # without the parts that are not used


def page(report: Report, figures: Path, about: str) -> str:
    """The report as HTML. figures: the folder of the static figures. about: what the report is about, in words."""
    blocks = {name: list(section.content(report)) for name, section in report.sections.items()}
    shown = {name: section for name, section in report.sections.items() if blocks[name]}
    plots = [plot for name in shown for block in blocks[name] if isinstance(block, Plots) for plot in block.plots]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    return environment.get_template("page.html").render(
        about=about,
        css=Markup(_read("page.css")),
        scripts=Markup("\n".join([_read("plots.js"), _read("page.js"), *(part.script for part in shown.values())])),
        library=Markup("".join((BOKEH / name).read_text(encoding="utf-8") for name in LIBRARY)),
        looks=_looks(report),
        sections=[(name, section.title, blocks[name]) for name, section in shown.items()],
        files=report.files,
        image=lambda name: _embedded(figures / f"{name}.svg"),
        place=_places(plots),
        plot_data=Markup(as_json(plots)),
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _looks(report: Report) -> list[dict[str, str]]:
    return [
        {"name": name, "colour": style.colour, "dashes": " ".join(f"{2 * length:g}" for length in DASHES[style.dash])}
        for name, style in report.looks.items()
    ]


def _places(plots: list[Plot]) -> Callable[[Plot], int]:
    """The number of a plot on the page."""
    numbers = {id(plot): number for number, plot in enumerate(plots)}
    return lambda plot: numbers[id(plot)]


def _embedded(image: Path) -> str:
    """A picture as an address that holds it; empty where it was not drawn."""
    if not image.exists():
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(image.read_bytes()).decode()
