"""A saved model, applied: `python -m src.predict run=<id> x=[-0.55,-1.47]`; see --help."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import numpy as np

from descent_lab.cli.entry import reported
from descent_lab.errors import DescentError
from descent_lab.paths import command, module_of

if TYPE_CHECKING:
    from descent_lab.exports.winners import Winner
    from descent_lab.portable.model import PortableModel

HELP = """Apply a model that a run saved.

  python -m src.predict run=ID x=[-0.55,-1.47]           one point, or several: x=[[..],[..]]
  python -m src.predict run=ID file=points.csv           points of a file, one a line, with or without column names
  python -m src.predict run=best dataset=polynomials x=[-0.55,-1.47]
  python -m src.predict best dataset=polynomials         only say which run is the best so far, and how good

  run      a run's id, as MLflow shows it; or best: of all runs with the given parameters (dataset=..., and any other:
           backend=jax, dataset.n_samples=100, model.hidden=[12]) the one with the lowest best/validation_loss, or
           best/train_loss where there is no validation set
  x, file  the points: written out, or a csv file with a column for each feature
  which    best (default), init or final: the theta of the lowest validation loss (without a validation set, of the
           lowest training loss), of the start, of the last step
  output   a file for the predictions of a file; the screen where it is left out
  uri, experiment   of the store; by default MLFLOW_TRACKING_URI or the one at the repository root, all experiments
"""
OWN = ("run", "x", "file", "output", "which", "uri", "experiment")
THETAS = ("best", "init", "final")


class UsageError(DescentError):
    """A command that cannot be understood, in one line."""


@reported
def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 for anything refused, with one line that says why."""
    if not arguments or set(arguments) & {"-h", "--help"}:
        print(HELP.replace(module_of("predict"), command("predict")), end="")
        return 0
    _answer(arguments)
    return 0


def _answer(arguments: Sequence[str]) -> None:
    only_name = arguments[0] == "best"
    given, wanted = _options(arguments[1:] if only_name else arguments)
    if only_name:
        best = _best(given, wanted)
        print(f"{best.run_id} best/{best.metric.replace('/', '_')}={best.value!r}")
        return
    _check(given, wanted)
    from descent_lab.sweeps.restore import restore  # takes a second: not for a slip in the command

    run_id = _best(given, wanted).run_id if given["run"] == "best" else given["run"]
    model = restore(run_id, given.get("which", "best"), given.get("uri")).portable
    if "x" in given:
        _show(model, given["x"])
    else:
        _predict_file(model, given["file"], given.get("output"))


def _best(given: dict[str, str], wanted: dict[str, str]) -> "Winner":
    if "dataset" not in wanted:
        raise UsageError("best: of which data set? give dataset=NAME")
    from descent_lab.exports.winners import best_of, selected

    return best_of(selected(given.get("uri"), given.get("experiment"), wanted).runs)


def _options(arguments: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The options of this command, and all others as parameters that runs must have."""
    pairs = [argument.partition("=") for argument in arguments]
    for argument, (name, equals, value) in zip(arguments, pairs, strict=True):
        if not (name and equals and value):
            raise UsageError(f"{argument}: must be name=value; --help lists the names")
    given = {name: value for name, _, value in pairs if name in OWN}
    return given, {name: value for name, _, value in pairs if name not in OWN}


def _check(given: dict[str, str], wanted: dict[str, str]) -> None:
    if "run" not in given:
        raise UsageError("run: missing; give run=ID, or run=best dataset=NAME")
    if wanted and given["run"] != "best":
        raise UsageError(f"{next(iter(wanted))}: only chooses among runs with run=best; there are {', '.join(OWN)}")
    if ("x" in given) == ("file" in given):
        raise UsageError("give either x=[...] or file=points.csv")
    if "output" in given and "file" not in given:
        raise UsageError("output: goes with file=points.csv")
    if given.get("which", "best") not in THETAS:
        raise UsageError(f"which={given['which']}: must be {', '.join(THETAS)}")


def _show(model: "PortableModel", text: str) -> None:
    """One paragraph a point."""
    from descent_lab.data.files.points import read_text

    outputs = model.outputs(read_text(text, model.about.features))
    for row in outputs:
        print("\n".join(_paragraph(model, row)))


def _paragraph(model: "PortableModel", row: np.ndarray) -> list[str]:
    """The value; or the classes by probability, the likeliest first."""
    if model.about.task == "regression":
        return [" ".join(f"{value:.10g}" for value in row)]
    width = max(len(name) for name in model.about.classes)
    order = np.argsort(-row, kind="stable")
    note = [] if model.about.probabilities else ["scores, which need not add up to 1:"]
    return note + [f"{model.about.classes[k]:<{width}}  {row[k]:.6f}" for k in order]


def _predict_file(model: "PortableModel", path: str, output: str | None) -> None:
    from descent_lab.data.files.points import read_file

    x = read_file(path, model.about.features)
    outputs = model.outputs(x)
    with _target(output) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*model.about.features, *model.headings(outputs.shape[1])])
        classes = [[]] * len(x) if model.about.task == "regression" else [[name] for name in model.classes_of(outputs)]
        for point, name, row in zip(x, classes, outputs, strict=True):
            table.writerow([*_numbers(point), *name, *_numbers(row)])


def _numbers(values: np.ndarray) -> list[str]:
    return [repr(float(value)) for value in values]


@contextmanager
def _target(output: str | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        file = open(output, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"output={output}: cannot be written ({error.strerror})") from None
    with file:
        yield file
