"""`python -m reports.build`: every figure and table of a store, and a page that shows them.

Reads MLflow only. Writes index.html, results.md, a csv (parquet where it is large) for every number, and figures/.
The page, results and figures are also attached to a run of the experiment, so that the MLflow UI shows them.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from descent_lab.errors import DescentError, without_password
from descent_lab.paths import ROOT
from descent_lab.report.apart import Apart
from descent_lab.report.folder import made_anew, refuse_foreign

if TYPE_CHECKING:
    import pandas as pd

    from descent_lab.report.numbers import Numbers
    from descent_lab.tracking.reader import Results

PAGE = "index.html"
LARGE = 100_000  # rows of a table from which on it is written as parquet
DRAWN = ("train/loss", "test/accuracy", "test/rmse")  # the curves that are read
GROUPS = ("backend", "optimizer", "schedule", "init", "batching", "model")


def build(found: "Results", output: Path, arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Write the report of these runs; the files to be looked at, and the others.

    Raises ValueError, in one line, where nothing can be said.
    """
    # Imported here, as everywhere below, so that --help and a bad value answer at once.
    from descent_lab.analysis.selection import select
    from descent_lab.analysis.study import study
    from descent_lab.report import drawing
    from descent_lab.report.numbers import LOSS, Numbers, add_comparison, add_curves
    from descent_lab.report.outputs import add_outputs
    from descent_lab.report.page import page
    from descent_lab.report.tables import every_run, results

    _refuse_empty(found)
    runs = study(found, arguments.compared)
    told = Numbers.of(runs, select(runs.runs, LOSS, arguments.tuning_seeds), arguments.reference)
    drawers = drawing.Drawers(output / "figures")
    add_curves(told)
    drawers.start(drawing.of_curves(told))  # the most of them, drawn while the rest is computed
    add_comparison(told)
    add_outputs(told, found)
    drawers.start(drawing.of_comparison(told))
    told.tables = {"runs": every_run(told), **told.tables}
    written = _write_tables(told.tables, output)
    figures = drawers.finish()
    (output / "results.md").write_text(_markdown(results(told.table("results"))))
    html = page(told, written, output / "figures", _about(found, told), _notes(found, told), arguments.mlflow)
    (output / PAGE).write_text(html)
    shown = [PAGE, "results.md", *(f"figures/{name}.png" for name in figures)]
    return shown, [*written.values(), *(f"figures/{name}.svg" for name in figures)]


def _ready_to_attach() -> None:
    """What takes time there while the report is made here."""
    import descent_lab.tracking.server  # noqa: F401


def _attach(uri: str, experiments: Sequence[str], given: argparse.Namespace, names: Sequence[str]) -> None:
    """Show the report in MLflow: in the experiment of the runs, or in one named `reports` if they are of several."""
    from descent_lab.tracking.server import Store

    selected = {"sweep": given.sweep, "filter": given.filter}
    about = ", ".join(f"{name} {value}" for name, value in selected.items() if value) or "all runs"
    try:
        store = Store(uri, experiments[0] if len(experiments) == 1 else "reports")
        store.attach(about, given.output, names, (given.output / "results.md").read_text())
    except Exception as error:  # a store that can only be read: the report is there all the same
        said = f"not attached to {uri}: {(str(error).splitlines() or [''])[0]}"
        print(without_password(said), file=sys.stderr)


def _refuse_empty(found: "Results") -> None:
    if found.runs.empty:
        left = f" ({found.unfinished} not finished)" if found.unfinished else ""
        uri = without_password(found.uri)
        raise ValueError(f"{uri}: no finished run fits{left}; start some with python -m src.run")


def _write_tables(tables: "dict[str, pd.DataFrame]", output: Path) -> dict[str, str]:
    """Each table to a file; its name by the table's."""
    written = {}
    for name, table in tables.items():
        file = f"{name}.parquet" if len(table) > LARGE else f"{name}.csv"
        if file.endswith("csv"):
            table.to_csv(output / file, index=False, lineterminator="\n")
        else:
            table.to_parquet(output / file, index=False)
        written[name] = file
    return written


def _markdown(table: dict) -> str:
    rows = [table["head"], ["---"] * len(table["head"]), *table["body"]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def _about(found: "Results", told: "Numbers") -> str:
    runs = told.study.runs
    problems, entrants = runs["dataset"].nunique(), runs["entrant"].nunique()
    experiments = ", ".join(found.experiments)
    commits = ", ".join(sorted({commit[:10] for commit in found.runs["git.commit"].dropna()})) or "unknown"
    counts = [_count(len(runs), "run"), _count(entrants, "entrant"), _count(problems, "problem")]
    return f"{counts[0]}: {counts[1]} on {counts[2]}, from the MLflow experiment {experiments}; commit {commits}."


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _notes(found: "Results", told: "Numbers") -> list[str]:
    notes = []
    if found.unfinished:
        notes.append(f"{_count(found.unfinished, 'run')} of the store not finished, and left out.")
    if told.study.repeats:
        again = _count(told.study.repeats, "run")
        notes.append(f"{again} left out that repeat another's settings and seed; the isolated, then the latest, stay.")
    if (commits := found.runs["git.commit"].nunique()) > 1:
        notes.append(f"The runs were made by {commits} commits of the code.")
    return notes


def _seeds(text: str) -> list[int]:
    """0-4,7 -> 0, 1, 2, 3, 4, 7"""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            seeds += range(int(first), int(last or first) + 1)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: must be seeds such as 0-4,7") from None
    return seeds


def _groups(text: str) -> tuple[str, ...]:
    """backend,optimizer -> the two"""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: must be one of {', '.join(GROUPS)}")
    return names


class _Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; --help lists what there is\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = _Parser(
        "python -m reports.build",
        description=f"{__doc__}\nOptions may also be written uri=..., as for src.run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("--uri", help="tracking store; default: where src.run writes")
    options.add_argument("--experiment", help="only this MLflow experiment; default: all")
    options.add_argument("--sweep", help="only the runs of this sweep")
    options.add_argument("--filter", default="", help="MLflow's search syntax, e.g. \"params.dataset = 'digits'\"")
    options.add_argument(
        "--output", type=Path, default=ROOT / "reports" / "output", help="folder; an earlier report there is replaced"
    )
    options.add_argument(
        "--compared",
        type=_groups,
        help="groups that make an entrant; default: backend,optimizer,schedule; if none varies, init,batching,model",
    )
    options.add_argument("--tuning-seeds", type=_seeds, help="seeds to choose lr on, e.g. 0-4; default: found out")
    options.add_argument("--reference", help="entrant that the shared targets come from; default: sgd")
    options.add_argument("--attach", choices=("true", "false"), default="true", help="show the report in MLflow too")
    options.add_argument("--mlflow", default="http://127.0.0.1:5000", help="where `mlflow ui` answers, for links")
    return options


def _dashed(word: str) -> str:
    """uri=... as --uri=..."""
    name, equals, _ = word.partition("=")
    return f"--{word.replace('_', '-', name.count('_'))}" if equals and name.isidentifier() else word


def main(words: Sequence[str]) -> int:
    """Build the report; 0, or 1 with one line where there is nothing to report. Exits with 2 for a bad option."""
    given = parser().parse_args([_dashed(word) for word in words])
    attached = given.attach == "true"
    gc.set_threshold(500_000)  # MLflow and matplotlib make many objects and little garbage
    import pandas  # noqa: F401 - once for both processes

    try:
        refuse_foreign(given.output)
    except DescentError as error:
        print(error, file=sys.stderr)
        return 2
    store = Apart()  # MLflow is read there while what is to be done with it is imported here
    store.ask(_find, given)
    try:
        import descent_lab.report.page  # noqa: F401

        found = _with_curves(store.answer(), store)
        if attached:
            store.ask(_ready_to_attach)
        with made_anew(given.output) as folder:
            shown, others = build(found, folder, given)
    except DescentError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if attached:
        store.answer()
        store.ask(_attach, found.uri, found.experiments, given, shown)
        store.answer()
    n_files = len(shown) + len(others)
    print(f"{len(found.runs)} runs; {n_files} files in {given.output}; open {given.output / PAGE}")
    gc.freeze()  # or the interpreter looks through everything once more before it ends
    return 0


def _find(given: argparse.Namespace) -> "Results":
    from descent_lab.tracking.reader import find

    return find(given.uri, given.experiment, given.filter, given.sweep)


def _with_curves(found: "Results", store: Apart) -> "Results":
    """Half of them is read there, half here; all there if MLflow has to be asked."""
    from descent_lab.tracking.reader import read_curves

    here = len(found.runs) // 2 if found.artifacts.local else 0
    store.ask(read_curves, found.artifacts, found.runs[here:], DRAWN)
    first = read_curves(found.artifacts, found.runs[:here], DRAWN)
    return found.with_curves([*first, *store.answer()])
