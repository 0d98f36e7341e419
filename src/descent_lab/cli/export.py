"""Runs as MLflow models, curves as files: `python -m src.export run=<id>`; see --help."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from descent_lab.cli.entry import reported
from descent_lab.errors import ConfigError
from descent_lab.paths import command, module_of
from descent_lab.tracking.address import is_folder
from descent_lab.wording import counted, slug

if TYPE_CHECKING:
    from descent_lab.exports.model import Exported
    from descent_lab.exports.winners import Winner
    from descent_lab.tracking.reader import Results

HELP = """Write a trained run as an MLflow model, or the curves of runs as one file.

  python -m src.export run=ID                             log the model to its run, in the store
  python -m src.export run=ID output=FOLDER               write it into a folder, which is not there yet
  python -m src.export best dataset=digits register=NAME  the best run with these parameters, into the model registry
  python -m src.export best sweep=NAME output=FOLDER      of a tuned sweep: what was chosen for each entrant
  python -m src.export curves output=curves.parquet sweep=NAME    or .csv

  run        a run's id, as MLflow shows it
  theta      best (default), final or init: of the lowest validation loss (without a validation set, of the lowest
             training loss), of the last step, of the start
  output     a folder for the model, one folder in it for each of several; the file of the curves
  register   a name in the model registry; the model is logged to its run first
  best, curves: of which runs
    sweep, experiment, filter (MLflow's search syntax), and any parameter: backend=jax, model.hidden=[12]
  best
    metric   what chooses: a metric at that theta, such as validation/accuracy; by default what a tuned study chose by
             itself, else validation/loss, or train/loss where there is no validation set; diverged runs never win
    each     parameters: the best run for each combination of their values, such as each=dataset,optimizer
  curves
    metrics  the metrics that are written, such as metrics=train/loss,test/loss; all by default
  uri        of the store; by default MLFLOW_TRACKING_URI or the one at the repository root

The model loads anywhere by mlflow.pyfunc.load_model, without descent-lab and JAX, and serves by `mlflow models serve`.
"""
OPTIONS = ("run", "theta", "output", "register", "sweep", "experiment", "filter", "metric", "each", "metrics", "uri")
FOR = {  # what goes with what
    "run": {"run", "theta", "output", "register", "uri"},
    "best": {"theta", "output", "register", "sweep", "experiment", "filter", "metric", "each", "uri"},
    "curves": {"output", "sweep", "experiment", "filter", "metrics", "uri"},
}
THETAS = ("best", "final", "init")


@reported
def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 for anything refused, with one line that says why."""
    if not arguments or set(arguments) & {"-h", "--help"}:
        print(HELP.replace(module_of("export"), command("export")), end="")
        return 0
    what = arguments[0] if arguments[0] in ("best", "curves") else "run"
    given, wanted = _options(arguments if what == "run" else arguments[1:])
    _check(what, given, wanted)
    if what == "curves":
        _curves(given, wanted)
    else:
        _models(what, given, wanted)
    return 0


def _options(arguments: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The options of this command, and all others as parameters that runs must have."""
    pairs = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{argument}: must be name=value, after `best` or `curves` where it is one of these")
        pairs[name] = value
    given = {name: value for name, value in pairs.items() if name in OPTIONS}
    return given, {name: value for name, value in pairs.items() if name not in OPTIONS}


def _check(what: str, given: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    if what == "run" and "run" not in given:
        raise ConfigError("run: missing; give run=ID, or begin with `best` or `curves`")
    odd = [name for name in given if name not in FOR[what]] + (list(wanted) if what == "run" else [])
    if odd:
        raise ConfigError(f"{odd[0]}: does not go with {what}; there are {', '.join(sorted(FOR[what]))}")
    if given.get("theta", "best") not in THETAS[: 3 if what == "run" else 2]:
        raise ConfigError(f"theta={given['theta']}: must be {' or '.join(THETAS[: 3 if what == 'run' else 2])}")
    if what == "curves" and "output" not in given:
        raise ConfigError("output: missing; give output=curves.parquet or output=curves.csv")


def _selected(given: Mapping[str, str], wanted: Mapping[str, str]) -> "Results":
    from descent_lab.exports.winners import selected

    return selected(given.get("uri"), given.get("experiment"), wanted, given.get("filter", ""), given.get("sweep"))


def _curves(given: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    from descent_lab.exports.curves import write_curves

    metrics = given["metrics"].split(",") if "metrics" in given else None
    size = write_curves(_selected(given, wanted), Path(given["output"]), metrics)
    print(f"{given['output']}: {counted(size.rows, 'row')}, {counted(size.runs, 'run')}")


def _models(what: str, given: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    from descent_lab.exports.model import Exported
    from descent_lab.exports.winners import Winner

    which = given.get("theta", "best")
    chosen = [Winner(given["run"], "", "")] if what == "run" else _winners(given, wanted, which)
    models = [Exported.of(winner.run_id, which, given.get("uri")) for winner in chosen]
    for winner, model in zip(chosen, models, strict=True):
        write(model, winner, given, several=len(models) > 1)


def _winners(given: Mapping[str, str], wanted: Mapping[str, str], which: str) -> "list[Winner]":
    from descent_lab.exports.winners import winners

    each = given["each"].split(",") if "each" in given else []
    metric = given.get("metric")
    chosen = winners(_selected(given, wanted), metric, each, which)
    if metric and metric.startswith("test/"):
        print(f"caution: chosen by {metric}, whose value is then no measure of how good it is", file=sys.stderr)
    return chosen


def write(model: "Exported", winner: "Winner", given: Mapping[str, str], several: bool = False) -> None:
    """Write or log one model, as the options `output` and `register` say; one line that begins with its address.

    several: it is one of several, which go into folders of their own.
    """
    if model.row["status"] == "diverged":
        step = f"diverged at step {model.row['diverged_at']}; its theta `{model.which}` is from before"
        print(f"caution: {model.row['name']} (run {model.run_id}) {step}", file=sys.stderr)
    about = f"{model.row['name']} (run {model.run_id}), theta {model.which}"
    metrics = ", ".join(f"{name} {value:.6g}" for name, value in model.metrics.items() if name.endswith("/loss"))
    words = [f"{winner.label}: " if winner.label else "", about, f", {metrics}" if metrics else ""]
    why = f"; {winner.why}" if winner.why else ""
    if "output" in given:
        folder = Path(given["output"]) / slug(winner.label) if several else Path(given["output"])
        model.save(folder)
        print(f"{folder}: {''.join(words)}{why}")
    name = given.get("register")
    if name or "output" not in given:
        if name and is_folder(model.uri):
            raise ConfigError(f"register={name}: {model.uri} is a folder of runs, which has no model registry")
        address, before = model.log()
        registered = f"; {name} version {model.register(address, name)}" if name else ""
        print(f"{address}: {''.join(words)}{why}{registered}{' (logged before)' if before else ''}")
