"""What MLflow shows as the description of a run: what it is, how it ended, and the commands to go on with it.

Parcels that earlier versions left in the outbox may lack what later ones hold, so a note says what there is.
"""

import shlex
from collections.abc import Mapping

from descent_lab.errors import without_password
from descent_lab.metrics import METRICS, better
from descent_lab.paths import command
from descent_lab.tracking.address import default
from descent_lab.tracking.outbox import FinishedRun

NOTE = "mlflow.note.content"  # the tag that MLflow shows as the description
REASONS = {
    "epochs": "all its epochs",
    "target": "when it reached `stop.target`",
    "min_delta": "when its loss changed by less than `stop.min_delta`",
    "patience": "when its loss had not improved for `stop.patience` records",
    "max_seconds": "when it had used `stop.max_seconds`",
}
WRITTEN_OUT = 8  # a point with more features comes from a file


def note(finished: FinishedRun, run_id: str, n_steps: int) -> str:
    """A text in Markdown. run_id: in the store. n_steps: up to the last record."""
    paragraphs = [_what(finished), _end(finished, n_steps), _commands(finished, run_id), _values(finished.summary)]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _what(finished: FinishedRun) -> str:
    value = finished.params.get
    data = finished.inputs[0]["name"] if finished.inputs else value("dataset", "")
    hidden = value("model.hidden", "").strip("[]")
    ways = {
        "optimizer": f"optimizer {_code(value('optimizer', ''))}",
        "lr": f"lr {value('lr')}",
        "schedule": f"schedule {_code(value('schedule', ''))}",
        "batching.size": f"batches of {value('batching.size')}",
        "seed": f"seed {value('seed')}",
    }
    said = [words for key, words in ways.items() if value(key, "None") not in ("None", "none", "constant")]
    model = f"the model {_code(value('model', ''))}" + (f" with hidden layers of {hidden}" if hidden else "")
    sweep = f" It belongs to the sweep {_code(finished.tags['sweep'])}." if "sweep" in finished.tags else ""
    return f"{_code(value('backend', ''))} trains {model} on {_code(data)}: {', '.join(said)}.{sweep}"


def _end(finished: FinishedRun, n_steps: int) -> str:
    tags, seconds = finished.tags, finished.ledger
    if tags["status"] == "diverged":
        ended = f"It **diverged** at step {tags.get('diverged_at', n_steps)}"
    else:
        ended = f"It finished {REASONS.get(tags.get('ended', ''), '')} at step {n_steps}".replace("  ", " ")
    return f"{ended}, after {seconds.get('step', 0.0):.3g} s of steps and {seconds['wall']:.3g} s in all."


def _values(summary: Mapping[str, float]) -> str:
    """A table of the metrics of the samples at the last step and at their best."""
    measured = (f"{part}_{name}" for part in ("train", "validation", "test") for name in METRICS)
    names = [name for name in measured if f"final/{name}" in summary]
    rows = [
        f"| {name.replace('_', '/', 1)} | {summary[f'final/{name}']:.5g} | {_best(name, summary)} |" for name in names
    ]
    return "\n".join(["| | final | best |", "| --- | --- | --- |", *rows]) if rows else ""


def _best(name: str, summary: Mapping[str, float]) -> str:
    direction = "highest" if better(name.partition("_")[2]) == "higher" else "lowest"
    return f"{summary[f'best/{name}']:.5g} ({direction})"


def _commands(finished: FinishedRun, run_id: str) -> str:
    """The lines that replay the run and, if its theta was kept, predict with it."""
    uri = without_password(finished.uri) if finished.uri != default() else None
    lines = [[command("replay"), f"run={run_id}", *(["--uri", shlex.quote(uri)] if uri else [])]]
    if finished.params.get("tracking.save_theta") != "False":
        point = (
            f"'x=[{','.join('0' * finished.n_features)}]'"
            if 0 < finished.n_features <= WRITTEN_OUT
            else "file=points.csv"
        )
        lines.append([command("predict"), f"run={run_id}", point, *([shlex.quote(f"uri={uri}")] if uri else [])])
    return "\n".join(["```sh", *map(" ".join, lines), "```"])


def _code(text: str) -> str:
    """Text from outside, which stays as it is."""
    return f"`{text.replace('`', chr(39))}`"
