"""Tables of what exists, made from the code when the documentation is built. mkdocs.yml loads this.

A line `<!-- table: choices of optimizer -->` of a page stands for the table that `TABLES` gives for these words, and
`<!-- file: tests/COVERAGE.md -->` for the text of that file, without its title and with headings one level lower.
`<!-- code: examples/plugin/pyproject.toml -->` stands for that file as a block of code, and
`<!-- svg: docs/architecture.svg -->` for a drawing. `<!-- figure: schedules -->` stands for a drawing of all schedules.
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from descent_lab.cli.main import COMMANDS
from descent_lab.components import Component, resolve
from descent_lab.metrics import METRICS
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.nn.losses import LOSSES
from descent_lab.optim.base import Optimizer

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
MARK = re.compile(r"<!-- (table|file|code|svg|figure): (.+?) -->")
LANGUAGES = {"py": "python"}
HEADING = re.compile(r"(?m)^(?=##+ )")
SOURCE = re.compile(r"(?m)^\s*# ([A-Z][\w&'. -]*? (?:et al\. |& [A-Z]\w+ )?\d{4})")  # "Kingma & Ba 2015"
CITED = re.compile(r"\(([A-Z][^()]* \d{4})\)")
SHARED = [field.name for field in fields(Optimizer)]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls this with the text of each page. KeyError for a table that does not exist."""
    makers: dict[str, Callable[[str], str]] = {
        "table": table,
        "file": text,
        "code": code,
        "svg": drawing,
        "figure": lambda name: FIGURES[name](),
    }
    return MARK.sub(lambda mark: makers[mark.group(1)](mark.group(2)), markdown)


def text(path: str) -> str:
    """A Markdown file of the repository, to be part of a page."""
    _, _, body = (ROOT / path).read_text(encoding="utf-8").partition("\n")
    return HEADING.sub("#", body).strip()


def code(path: str) -> str:
    """A file of the repository as a block of code."""
    suffix = Path(path).suffix.removeprefix(".")
    return f"```{LANGUAGES.get(suffix, suffix)}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def drawing(path: str) -> str:
    """An SVG file as a part of the page, whose colours it takes."""
    return (ROOT / path).read_text(encoding="utf-8").strip()


def table(words: str) -> str:
    """The table of these words, such as "metrics" or "choices of optimizer"."""
    name, _, group = words.partition(" of ")
    return _markdown(*(TABLES[name](group) if group else TABLES[name]()))


def choices(group: str) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Every choice of a group: what it is, and the options of its class with their defaults."""
    rows = []
    for path in sorted((CONF / group).glob("*.yaml")):
        values = _values(path, group)
        kind = resolve(group, values["_target_"])
        options = {field.name: values.get(field.name, _default(field)) for field in fields(kind)}
        rows.append([f"`{path.stem}`", _sentence(kind), _options(options)])
    return ["choice", "what it is", "options and their defaults"], rows


def optimizers() -> tuple[Sequence[str], list[Sequence[str]]]:
    """Every optimizer with its suggested learning rate, its own options and its source."""
    rows = []
    for path in sorted((CONF / "optimizer").glob("*.yaml")):
        kind: Any = resolve("optimizer", _values(path, "optimizer")["_target_"])
        defaults = {field.name: field.default for field in fields(kind)}
        own = {name: value for name, value in defaults.items() if name not in SHARED or value}
        rows.append([f"`{path.stem}`", _sentence(kind), f"{kind.suggested_lr:g}", _options(own), _source(kind)])
    return ["choice", "what it does", "`lr`", "own options and their defaults", "source"], rows


def metrics() -> tuple[Sequence[str], list[Sequence[str]]]:
    """The one list of metrics."""
    rows = [
        [f"`train/{name}`, `test/{name}`", metric.label, metric.better, ", ".join(metric.tasks)]
        for name, metric in METRICS.items()
    ]
    return ["recorded as", "what it is", "better", "tasks"], rows


def parts() -> tuple[Sequence[str], list[Sequence[str]]]:
    """Activations and losses by name."""
    registries: Mapping[str, Iterable[str]] = {"model.activation": ACTIVATIONS, "model.loss": LOSSES}
    rows = [[f"`{key}`", ", ".join(f"`{name}`" for name in names)] for key, names in registries.items()]
    return ["key", "values"], rows


def commands() -> tuple[Sequence[str], list[Sequence[str]]]:
    """The commands of `descent-lab`, and the module of each for `python -m`."""
    rows = [[f"`descent-lab {name}`", what] for name, (_, what) in COMMANDS.items()]
    return ["command", "what it does"], rows


def studies() -> tuple[Sequence[str], list[Sequence[str]]]:
    """The studies in conf/experiment, each by its own comment."""
    rows = []
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        comment = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("# ")]
        rows.append([f"`+experiment={path.stem}`", " ".join(line for line in comment if "@package" not in line)])
    return ["words", "what it asks"], rows


def layers() -> tuple[Sequence[str], list[Sequence[str]]]:
    """The order of imports that a test holds, from the highest layer to the lowest."""
    (text_of_layers,) = re.findall(r"(?ms)^LAYERS = (\(.*?^\))", (ROOT / "tests" / "test_architecture.py").read_text())
    rows = [[", ".join(f"`{part}`" for part in parts)] for parts in reversed(ast.literal_eval(text_of_layers))]
    return ["parts of a layer"], rows


EPOCHS, WIDTH, HEIGHT, ACROSS = 40, 200, 90, 4  # of the run that is drawn; of a panel, in pixels; panels in a row


def schedules() -> str:
    """The factor of every schedule that follows from the place in the run, a panel each, as an SVG drawing."""
    panels = []
    for path in sorted((CONF / "schedule").glob("*.yaml")):
        values = dict(_values(path, "schedule"))
        schedule: Any = resolve("schedule", values.pop("_target_"))(**values)
        if not schedule.init(np.zeros(1)):
            panels.append(_panel(path.stem, schedule, WIDTH * (len(panels) % ACROSS), HEIGHT * (len(panels) // ACROSS)))
    size = f"0 0 {WIDTH * ACROSS} {HEIGHT * -(-len(panels) // ACROSS)}"
    return f'<svg viewBox="{size}" role="img" aria-label="the factors of all schedules">{"".join(panels)}</svg>'


def _panel(name: str, schedule: Any, left: int, top: int) -> str:
    """The factor from 0 (below) to 1 along a run, in the colours of the page."""
    epochs = np.linspace(0, EPOCHS, 8 * EPOCHS + 1)[:-1]
    factors = [float(schedule.factor(k if schedule.by == "step" else int(k), EPOCHS)) for k in epochs]
    x, y = left + 10 + (WIDTH - 20) * epochs / EPOCHS, top + HEIGHT - 10 - (HEIGHT - 35) * np.array(factors)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    axis = f"M{left + 10} {top + 25}v{HEIGHT - 35}h{WIDTH - 20}"
    return (
        f'<text x="{left + 10}" y="{top + 17}" font-size="13" fill="currentColor">{name}</text>'
        f'<path d="{axis}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/>'
    )


FIGURES: dict[str, Callable[[], str]] = {"schedules": schedules}
TABLES: dict[str, Callable[..., tuple[Sequence[str], list[Sequence[str]]]]] = {
    "choices": choices,
    "optimizers": optimizers,
    "metrics": metrics,
    "parts": parts,
    "commands": commands,
    "studies": studies,
    "layers": layers,
}


def _values(path: Path, group: str) -> Mapping[str, Any]:
    """What a choice's YAML says of its group."""
    text = path.read_text()
    values = yaml.safe_load(text)
    return values[group] if "@package _global_" in text else values


def _default(field: Field[Any]) -> Any:
    return "(must be given)" if field.default is MISSING and field.default_factory is MISSING else field.default


def _sentence(kind: type[Component]) -> str:
    """The first paragraph of a class's docstring."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={_value(value)}`" for name, value in values.items()) or "none"


def _value(value: Any) -> str:
    if value is MISSING:  # made by a factory: an empty mapping
        return "{}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (tuple, list)):
        return f"[{','.join(map(_value, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _source(kind: type[Component]) -> str:
    """The publication that an optimizer's docstring names, or else the comment above its formula."""
    if cited := CITED.search(_sentence(kind)):
        return cited.group(1)
    named = SOURCE.search(inspect.getsource(kind))
    return named.group(1) if named else ""


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in body)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
