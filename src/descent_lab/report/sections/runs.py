"""Runs: every run that is compared, in a table that the reader filters and sorts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from descent_lab.metrics import METRICS
from descent_lab.report.blocks import Block, Files, Html
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section, Table
from descent_lab.tracking.address import FOLDER, is_folder

COLUMNS = {
    "name": "run", "dataset": "problem", "entrant": "entrant", "lr": "lr", "seed": "seed", "status": "status",
    "final_train_loss": "training loss", "test": "test", "steps": "steps", "step_seconds": "step seconds",
    "timing": "timing", "sweep": "sweep",
}  # fmt: skip
TABLE = Markup("""\
<p class="filters"><label>Filter <input id="filter" type="search" placeholder="adam gaussian" autocomplete="off"></label>
<label>Status <select id="status"><option value="">any</option><option>finished</option><option>diverged</option></select></label>
<label>Order by <select id="order"></select></label>
<span id="count"></span></p>
<p class="how">Words must all match; a click on a heading sorts. Links open {}.</p>
<table class="cards" id="run-table"><thead></thead><tbody></tbody></table>
<p class="pages"><button type="button" id="back">Back</button> <span id="page"></span> <button type="button" id="on">On</button></p>
<script type="application/json" id="run-data">{}</script>
""")  # noqa: E501
SCRIPT = (Path(__file__).parents[1] / "templates" / "runs.js").read_text(encoding="utf-8")


def runs(report: Report) -> pd.DataFrame:
    """All runs that are compared, with the first test metric that each has in the column `test`."""
    table = report.study.runs
    test = pd.Series(np.nan, index=table.index)
    for name in (f"final_test_{metric}" for metric in METRICS if metric != "loss"):
        test = test.fillna(table[name]) if name in table else test
    return table.assign(test=test)


def _data(report: Report) -> Markup:
    """The runs as JSON, for templates/runs.js."""
    table = report.table("runs")
    kept = [name for name in COLUMNS if name in table]
    rows = [[_plain(value) for value in row] for row in table[kept].itertuples(index=False)]
    data = {"head": [COLUMNS[name] for name in kept], "rows": rows, "link": _link(report)}
    data |= {"ids": list(table["run_id"]), "experiments": list(table["experiment_id"])}
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def _link(report: Report) -> str:
    """The address of a run, with {experiment} and {run} in place of ids."""
    if is_folder(report.results.uri):
        return f"{Path(report.results.uri.removeprefix(FOLDER)).as_uri()}/{{run}}/"
    return f"{report.mlflow.rstrip('/')}/#/experiments/{{experiment}}/runs/{{run}}"


def _plain(value: Any) -> Any:
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return None if value is None else str(value)


def content(report: Report) -> Iterator[Block]:
    """The table, which the script fills."""
    opened = "the folder of a run" if is_folder(report.results.uri) else f"the run in MLflow at {report.mlflow}"
    yield Html(TABLE.format(opened, _data(report)))
    yield Files(["runs"])


SECTIONS.add(
    "runs",
    Section(
        "Runs",
        100,
        tables={"runs": Table(runs, "every run compared: its configuration, summary metrics and costs")},
        content=content,
        script=SCRIPT,
    ),
)
