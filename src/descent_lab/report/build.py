"""`python -m reports.build`: every figure and table of a store, and a page that shows them.

Reads MLflow only. Writes index.html, results.md, a csv (parquet where it is large) for every number, and figures/.
A store that holds several studies, and a report about several metrics, gives such a folder for each, and an index of
them. The page, results and figures are also attached to a run of the experiment, so that the MLflow UI shows them.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from descent_lab.cli.entry import Parser, reported
from descent_lab.errors import NotGiven, without_password
from descent_lab.paths import ROOT, command
from descent_lab.report.folder import made_anew, refuse_foreign
from descent_lab.report.pool import Figures
from descent_lab.tracking.address import is_folder
from descent_lab.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from descent_lab.report.report import Report
    from descent_lab.tracking.reader import Results


@dataclass(frozen=True)
class Built:
    """A report that was written: what it is about in words, its folder, the files to be looked at, and the others."""

    report: "Report"
    about: str
    folder: str
    shown: list[str]
    others: list[str]


PAGE = "index.html"
LARGE = 100_000  # rows of a table from which on it is written as parquet
ASKED = ("margin", "judged", "baselines", "beforehand", "anytime")  # options about pairs (statistics.Asked)
GROUPS = ("backend", "optimizer", "schedule", "init", "batching", "model")


def build(
    results: "Results", figures: Figures, output: Path, options: argparse.Namespace, metric: str | None = None
) -> Built:
    """Write the report of the runs of one study into `output`. metric: what it asks about; None: see `measure_of`.

    Raises ConfigError for an option that does not fit the runs.
    """
    # Imported here, as everywhere below, so that --help and a bad value answer at once.
    from descent_lab.analysis.statistics import given_targets
    from descent_lab.report.markdown import markdown
    from descent_lab.report.page import page
    from descent_lab.report.report import Report
    from descent_lab.report.sections.results import rows_of
    from descent_lab.report.sections.summary import about_runs

    output.mkdir(exist_ok=True)
    figures.into(output / "figures")
    report = Report.of(
        results,
        compared=options.compared,
        tuned=options.tuned,
        tuning_seeds=options.tuning_seeds,
        metric=metric,
        at=options.at,
        asked={name: value for name in ASKED if (value := getattr(options, name)) is not None},
        named_reference=options.reference,
        mlflow=options.mlflow,
    )
    if options.targets is not None:
        report.fixed_targets = given_targets(options.targets, report.measure.better)
    for section in report.sections.values():
        figures.start(section.figures(report))
    report.files = _write_tables(report, output)
    table = rows_of(report.table("results"), report.measure.label)
    (output / "results.md").write_text(markdown([table]), encoding="utf-8")
    figures.finish()
    about = about_runs(report)
    (output / PAGE).write_text(page(report, figures.folder, about), encoding="utf-8")
    shown = [PAGE, "results.md", *(f"figures/{name}.png" for name in figures.names)]
    others = [*report.files.values(), *(f"figures/{name}.svg" for name in figures.names)]
    return Built(report, about, output.name, shown, others)


def _build_all(results: "Results", figures: Figures, folder: Path, options: argparse.Namespace) -> "dict[str, Built]":
    """The report of each study about each metric, by what it is about. Several are in folders, with an index."""
    from descent_lab.analysis.studies import studies
    from descent_lab.report.index import index

    _refuse_empty(results)
    parts = studies(results) if options.studies == "apart" else {"": results}
    wanted = [(name, metric) for name in parts for metric in options.metric or [None]]
    if len(wanted) == 1:
        return {"": build(results, figures, folder, options, wanted[0][1])}
    built: dict[str, Built] = {}
    for name, metric in wanted:
        about = ", ".join(word for word in (name, metric) if word)
        built[about] = build(parts[name], figures, folder / _folder(about, built), options, metric)
    (folder / PAGE).write_text(index(built), encoding="utf-8")
    return built


def _folder(about: str, taken: "dict[str, Built]") -> str:
    """A name for the folder of a report, which no other has."""
    from descent_lab.wording import slug

    name = slug(about) or "study"
    others = {built.folder for built in taken.values()}
    return name if name not in others else f"{name}_{len(others)}"


def _attach(uri: str, about: str, built: Built, options: argparse.Namespace) -> None:
    """Show the report in MLflow: in the experiment of the runs, or in one named `reports` if they are of several."""
    from descent_lab.tracking.entry import report_entry
    from descent_lab.tracking.stores import Stores

    selected = {"sweep": options.sweep, "filter": options.filter}
    words = [about, *(f"{name} {value}" for name, value in selected.items() if value)]
    folder = options.output / built.folder if about else options.output
    experiments = built.report.results.experiments
    try:
        store = Stores().at(uri, experiments[0] if len(experiments) == 1 else "reports")
        about = ", ".join(filter(None, words)) or "all runs"
        store.add(report_entry(about, folder, built.shown, (folder / "results.md").read_text(encoding="utf-8")))
    except Exception as error:  # a store that can only be read: the report is there all the same
        line = f"not attached to {uri}: {(str(error).splitlines() or [''])[0]}"
        print(without_password(line), file=sys.stderr)


def _refuse_empty(results: "Results") -> None:
    if results.runs.empty:
        left = f" ({results.unfinished} not finished)" if results.unfinished else ""
        raise NotGiven(f"{results.uri}: no finished run fits{left}; start some with {command('run')}")


def _write_tables(report: "Report", output: Path) -> dict[str, str]:
    """Each table to a file; its name by the table's."""
    written = {}
    for name, table in report.tables():
        written[name] = f"{name}.parquet" if len(table) > LARGE else f"{name}.csv"
        if written[name].endswith("csv"):
            table.to_csv(output / written[name], index=False, lineterminator="\n")
        else:
            table.to_parquet(output / written[name], index=False)
    return written


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


def _targets(text: str) -> "pd.DataFrame":
    """The table of a csv file, as it is."""
    import pandas as pd

    try:
        return pd.read_csv(text, dtype={"dataset": str})
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {str(error).splitlines()[0]}") from None


def _groups(text: str) -> tuple[str, ...]:
    """backend,optimizer -> the two"""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: must be one of {', '.join(GROUPS)}")
    return names


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = Parser(
        "report",
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
    options.add_argument(
        "--metric",
        type=lambda text: text.split(","),
        help="what is asked about, e.g. test/accuracy; several, joined by commas, give a report each; default: the "
        "training loss, or, where validation chose settings, the same metric of the test set",
    )
    options.add_argument(
        "--at", choices=("final", "best", "chosen"), help="where on the curve: the last step, the best record, or the "
        "step that validation chose; default: chosen for test metrics where there is a validation set, else final",
    )  # fmt: skip
    options.add_argument(
        "--margin", type=float, help="the least difference that matters: a ratio of losses above 1, or a difference of "
        "scores; default: 1.1 and 0.01",
    )  # fmt: skip
    options.add_argument("--judged", help="the one entrant that is judged, against the baselines or all others")
    options.add_argument(
        "--baselines", type=lambda text: text.split(","), help="entrants that --judged is held against"
    )
    options.add_argument(
        "--beforehand", type=lambda text: text.split(";"), help="problems, joined by semicolons, whose verdicts do not "
        "wait for that over all problems, because they were asked for before the runs",
    )  # fmt: skip
    options.add_argument(
        "--anytime", type=lambda text: text == "true", help="true: verdicts stay right if seeds are "
        "added until there is one",
    )  # fmt: skip
    options.add_argument(
        "--studies", choices=("apart", "together"), default="apart", help="a report for each study of the store, or one"
    )
    options.add_argument(
        "--tuned", type=lambda text: text.split(","), default=["lr"],
        help="params that were tuned, e.g. lr,optimizer.beta1, in runs that do not say so; default: lr",
    )  # fmt: skip
    options.add_argument(
        "--tuning-seeds", type=_seeds, help="seeds to choose settings on, e.g. 0-4; default: found out"
    )
    options.add_argument("--reference", help="entrant that the shared targets come from; default: sgd")
    options.add_argument(
        "--targets", type=_targets, help="a csv with the columns dataset, level, target, of targets that were fixed "
        "before the runs, in place of those on the way of the reference",
    )  # fmt: skip
    options.add_argument("--attach", choices=("true", "false"), default="true", help="show the report in MLflow too")
    options.add_argument("--mlflow", default="http://127.0.0.1:5000", help="where `mlflow ui` answers, for links")
    return options


def _dashed(word: str) -> str:
    """uri=... as --uri=..."""
    name, equals, _ = word.partition("=")
    return f"--{word.replace('_', '-', name.count('_'))}" if equals and name.isidentifier() else word


@reported
def main(words: Sequence[str]) -> int:
    """Build the report; the exit code.

    0: it is written. 1: no run fits, or something is broken, which names the file of its traceback. 2: a bad option, an
    unknown experiment, a store or filter that cannot be read, or an output that is refused. Each in one line.
    """
    try:
        options = parser().parse_args([_dashed(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)
    refuse_foreign(options.output)
    gc.set_threshold(500_000)  # MLflow and pandas make many objects and little garbage
    with Figures() as figures:  # which import matplotlib while the store is read here
        results = _read(options)
        with made_anew(options.output) as folder:
            reports = _build_all(results, figures, folder, options)
    if options.attach == "true" and not is_folder(results.uri):
        for about, built in reports.items():
            _attach(results.uri, about, built, options)
    n_files = sum(len(built.shown) + len(built.others) for built in reports.values()) + (len(reports) > 1)
    print(f"{counted(len(results.runs), 'run')}; {n_files} files in {options.output}; open {options.output / PAGE}")
    return 0


def _read(options: argparse.Namespace) -> "Results":
    """The runs that were asked for."""
    from descent_lab.report.reading import read
    from descent_lab.tracking.reader import Wanted

    return read(options.uri, Wanted(options.experiment, options.filter, options.sweep), options.metric or ())
