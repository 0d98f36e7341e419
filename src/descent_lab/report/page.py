"""The page: one HTML file that needs no network."""

import base64
from collections import defaultdict
from pathlib import Path
from typing import Any

import bokeh
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from descent_lab.analysis.statistics.agreement import TOLERANCE
from descent_lab.report import interactive, sentences, tables
from descent_lab.report.drawing import styles_of
from descent_lab.report.numbers import Numbers
from descent_lab.report.recipes import RECIPES

TEMPLATES = Path(__file__).parent / "templates"
BOKEH = Path(bokeh.__file__).parent / "server" / "static" / "js"
SECTIONS = [
    ("summary", "Summary"), ("results", "Results"), ("curves", "Curves"), ("tuning", "Learning rates"),
    ("targets", "Targets"), ("profiles", "Profiles"), ("ranks", "Ranks"), ("ledger", "Ledger"), ("runs", "Runs"),
    ("files", "Files"),
]  # fmt: skip
SVG_DASHES = ("", "8 4", "2 4", "8 3 2 3", "2 3 8 3 8 3")


def page(found: Numbers, written: dict[str, str], figures: Path, about: str, notes: list[str], mlflow: str) -> str:
    """The report as HTML. `written`: file by table; `notes`: what else the reader is to be warned of."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    return environment.get_template("page.html").render(
        about=about,
        css=Markup((TEMPLATES / "page.css").read_text()),
        js=Markup((TEMPLATES / "plots.js").read_text() + (TEMPLATES / "page.js").read_text()),
        sections=SECTIONS,
        looks=_looks(found),
        written=written,
        mlflow=mlflow,
        missing=lambda name: f"Not shown: {found.missing.get(name, 'these runs do not give it')}.",
        **_plots(found),
        **_words(found, notes),
        **_tables(found, written, mlflow),
        tolerance=TOLERANCE,
        ranks_image=_embedded(figures / "ranks.svg"),
        size_image=_embedded(figures / "batch_size.svg"),
    )


def _looks(found: Numbers) -> list[dict[str, str]]:
    looks = styles_of(found)
    return [{"name": n, "colour": looks[n].colour, "dashes": SVG_DASHES[looks[n].dash]} for n in looks]


def _plots(found: Numbers) -> dict[str, Any]:
    """The plots' numbers, their places by section, and bokeh itself, without the parts that are not used."""
    made = interactive.plots(found)
    panels: dict[str, list[int]] = defaultdict(list)
    for number, plot in enumerate(made):
        panels[plot.section].append(number)
    library = "".join((BOKEH / name).read_text() for name in ("bokeh.min.js", "bokeh-api.min.js"))
    return {"panels": panels, "plot_data": Markup(interactive.as_json(made)), "bokeh": Markup(library)}


def _words(found: Numbers, notes: list[str]) -> dict[str, Any]:
    friedman = found.table("friedman")
    said = ""
    if len(friedman):
        row = friedman.iloc[0]
        said = (
            f"Friedman test over {row['n_datasets']:.0f} problems: p = {row['p']:.2g} that all entrants are alike. "
            "Bars join entrants that the data cannot tell apart (Wilcoxon, Holm)."
        )
    return {
        "findings": sentences.findings(found),
        "overall": sentences.overall(found),
        "cautions": [*notes, *_cautions(found.table("warnings"))],
        "how": _how(found.selection.chosen),
        "friedman": said,
        "target_words": _target_words(found),
    }


def _target_words(found: Numbers) -> str:
    words = (
        f"Targets are shared by all: training losses on the way from the start of {found.reference} to the median that "
        "it ends at, at 50, 75, 90 and 100 % of that way on a logarithmic scale. A run that never gets there is "
        "censored: a curve that ends below 1 never reached the rest."
    )
    hits, pooled = found.table("hits"), found.table("runtime_ecdf")
    absent = sorted(set(hits["entrant"]) - set(pooled["entrant"])) if len(hits) and len(pooled) else []
    if absent:
        words += f" Not drawn, as they did not run on the same problems: {sentences.listed(absent)}; see the table."
    return words


def _how(chosen: pd.DataFrame) -> list[str]:
    """How the lr were chosen; the problems are named where it was not the same for all."""
    ways = chosen.groupby("how", sort=True)["dataset"].agg(lambda names: "; ".join(sorted(set(names))))
    return [f"{how[:1].upper()}{how[1:]}" + ("." if len(ways) == 1 else f": {names}.") for how, names in ways.items()]


def _cautions(warned: pd.DataFrame) -> list[str]:
    """One line for all entrants of a problem of which the same is to be said."""
    if warned.empty:
        return []
    joined = warned.groupby(["dataset", "warning", "detail"], sort=True)["entrant"].agg(", ".join).reset_index()
    everyone = joined["entrant"] == "all"
    who = joined["dataset"] + (": " + joined["entrant"]).mask(everyone, "")
    return list(who + ": " + joined["detail"] + ".")


def _tables(found: Numbers, written: dict[str, str], mlflow: str) -> dict[str, Any]:
    give = found.table
    ranked = {"a": "a", "b": "b", "rank_a": "rank of a", "rank_b": "rank of b", "p_holm": "p (Holm)"}
    scored = {"entrant": "entrant", "score": "score", "solved": "solved", "n_problems": "problems"}
    sensitive = {
        "dataset": "problem", "entrant": "entrant", "n_grid": "lr tried", "best": "best lr", "share": "share within 2x",
        "lowest": "from", "highest": "to", "decades": "decades",
    }  # fmt: skip
    return {
        "results": tables.results(give("results"), short=True),
        "pairs": tables.pairs(give("pairs")),
        "times": tables.times(give("time_to_target")),
        "step_cost": tables.step_cost(give("step_cost")),
        "agreement": tables.agreement(give("agreement")),
        "sensitivity": tables.plain(give("sensitivity"), sensitive),
        "scores": tables.plain(give("profile_score"), scored),
        "rank_pairs": tables.plain(give("rank_pairs"), ranked | {"nemenyi": "Nemenyi", "wilcoxon": "Wilcoxon"}),
        "confusions": tables.confusions(give("confusion")),
        "ledger": tables.ledger(give("fairness")),
        "recipes": tables.shown(
            ["file", "how it is made"], [[written[n], RECIPES[n]] for n in RECIPES if n in written]
        ),
        "run_data": Markup(tables.run_data(found, mlflow)),
    }


def _embedded(image: Path) -> str:
    if not image.exists():
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(image.read_bytes()).decode()
