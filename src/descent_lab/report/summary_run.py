"""One MLflow run that shows a whole sweep: curves over seeds, counts, verdicts, typical values and figures.

Its numbers and words are those of `reports.build` with the sweep's name: both are made from the same tables. It is no
trained run: its tag `summary` names the sweep, and it has none of the tags sweep, identity and status.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from time import time

import numpy as np
import pandas as pd

from descent_lab.errors import NotGiven, without_password
from descent_lab.metrics import METRICS
from descent_lab.paths import command
from descent_lab.report import verdict_figure
from descent_lab.report.blocks import Block, Heading, Lines, Rows, Words
from descent_lab.report.markdown import markdown
from descent_lab.report.pool import draw
from descent_lab.report.reading import read
from descent_lab.report.report import PAIR, Report
from descent_lab.report.section import Drawing
from descent_lab.report.sections import curves, results, summary
from descent_lab.sweeps.summary import Part
from descent_lab.tracking.address import default
from descent_lab.tracking.entry import Point, summary_entry
from descent_lab.tracking.reader import Wanted
from descent_lab.tracking.record import SweepKey
from descent_lab.tracking.stores import Stores
from descent_lab.wording import counted

BANDS = {"estimate": "", "low": ": low", "high": ": high"}  # how the name of a metric ends, by the column that it shows
LOSSES = ("train/loss", "validation/loss", "test/loss")
LONGEST = 90  # letters of an entrant or a problem in the name of a metric, which may have 250 in all
MOST_POINTS = 50_000  # of all metrics together, which takes about a second to write; curves.csv has all
MOST_FIGURES = 7
COUNTED = ["finished", "diverged", "failed", "skipped"]
HOW = (
    "The metrics over steps are the median over seeds, with low and high its 95 % interval (of 2 to 4 seeds: their "
    "range), of the runs that are reported. They end where too many runs have diverged for a finite number."
)


def add_summary(key: SweepKey, part: Part, stores: Stores) -> str | None:
    """Write the summary of a sweep in place of an earlier one. Return its run id; None: a single run has no summary.

    part: what the command did to the runs of the sweep. Raises whatever a store, or runs that do not fit, raise.
    """
    found = read(key.uri, Wanted(key.experiment, sweep=key.sweep))
    if len(found.runs) < 2:
        return None
    report = Report.of(found)
    bands, counts = _bands(report), counts_of(report, part)
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write(report, bands, counts, folder)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        text, numbers = (
            _text(report, key, part, counts),
            {str(name): int(n) for name, n in counts[COUNTED].sum().items()},
        )
        entry = summary_entry(key.sweep, folder, files, text, list(_points(bands)), numbers)
        return stores.at(key.uri, key.experiment).add(entry)


def _bands(report: Report) -> pd.DataFrame:
    """Bands of the losses of all sets, of the other metrics of the test set, and of what the report asks about."""
    if not report.given("curves"):
        raise NotGiven(report.missing["curves"])
    made, wanted = report.table("curves"), _metrics(report)
    more = [name for name in wanted if name not in set(made["metric"])]
    return pd.concat([made[made["metric"].isin(wanted)], *curves.bands(report, more)], ignore_index=True)


def _metrics(report: Report) -> list[str]:
    return list(dict.fromkeys([*LOSSES, *(f"test/{name}" for name in METRICS), report.measure.metric]))


def counts_of(report: Report, part: Part) -> pd.DataFrame:
    """One row per entrant: `entrant, finished, diverged, failed, skipped`.

    finished, diverged: of all runs of the sweep in the store. failed, skipped: by the command that wrote the summary.
    """
    runs = report.study.sources
    of_identity = dict(zip(runs["identity"], runs["entrant"], strict=True))
    failed = Counter(_entrant(runs, report.study.compared, choices) for choices in part.failed)
    skipped = Counter(of_identity[identity] for identity in part.skipped if identity in of_identity)
    stored = runs.groupby("entrant")["status"].value_counts().unstack(fill_value=0)
    entrants = sorted({*stored.index, *failed})
    table = stored.reindex(index=entrants, columns=["finished", "diverged"], fill_value=0)
    table = table.assign(failed=[failed[name] for name in entrants], skipped=[skipped[name] for name in entrants])
    return table.rename_axis(index="entrant", columns=None).reset_index()


def _entrant(runs: pd.DataFrame, compared: Sequence[str], choices: Mapping[str, str]) -> str:
    """The entrant that a run which failed belongs to: the one with its choices; else the choices that no other made."""
    chosen = {name: choices[name] for name in compared if name in choices and name in runs}
    same = runs[(runs[[*chosen]] == [*chosen.values()]).all(axis=1)]
    if same["entrant"].nunique() == 1:
        return str(same["entrant"].iloc[0])
    own = [choice for name, choice in chosen.items() if set(runs[name]) != {choice}]
    return " ".join(own or chosen.values())


def _points(bands: pd.DataFrame) -> Iterator[Point]:
    """The finite points of the bands as metrics: `train/loss/median adam` and, with `: low` and `: high`, its interval.

    Where problems vary, these are in `train/loss on iris/...`, so that MLflow has a section of charts for each.

    bands: `dataset, entrant, metric, step, estimate, low, high`.
    """
    now, entrants, problems = int(1000 * time()), _names(bands["entrant"]), _names(bands["dataset"])
    groups = bands.groupby(["metric", *PAIR], sort=True)
    most = MOST_POINTS // (len(BANDS) * groups.ngroups)
    for (metric, problem, entrant), rows in groups:
        section = f"{metric} on {problems[problem]}" if len(problems) > 1 else metric
        rows = rows.iloc[_spread(len(rows), most)]
        steps = rows["step"].astype(int).tolist()
        for column, end in BANDS.items():
            name = f"{section}/median {entrants[entrant]}{end}"
            values = zip(rows[column].astype(float).tolist(), steps, strict=True)
            yield from ((name, x, now, step) for x, step in values if np.isfinite(x))


def _spread(n: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0 to n - 1, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, n - 1, max(2, min(n, most))).round().astype(int))


def _names(labels: Iterable[str]) -> dict[str, str]:
    """By label: the same in the letters that MLflow allows in the name of a metric. No two are the same."""
    names: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        plain = re.sub(r"[^\w.\- :]", "_", label.replace("=", ":").replace(",", "")).strip()[:LONGEST]
        numbered = (f"{plain} {i}" if i > 1 else plain for i in count(1))
        names[label] = next(name for name in numbered if name not in names.values())
    return names


def _write(report: Report, bands: pd.DataFrame, counts: pd.DataFrame, folder: Path) -> None:
    """Write the files into the folder: results.md, tables and figures."""
    (folder / "figures").mkdir()
    for drawing in islice(_drawings(report), MOST_FIGURES):
        draw(drawing, folder / "figures" / drawing.name, kinds=("png",))
    tables = {"runs": counts, "curves": bands, "results": report.table("results"), "verdicts": report.table("pairs")}
    for name, table in tables.items():
        if len(table):
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    blocks = [*summary.content(report), *_tables(report, counts, short=False)]
    (folder / "results.md").write_text(markdown(blocks), encoding="utf-8")


def _drawings(report: Report) -> Iterator[Drawing]:
    """The figures: verdicts, the values of all seeds, and curves with bands of the metrics of the summary."""
    shown = {"curves_step", *(f"curves_{metric.replace('/', '_')}" for metric in _metrics(report))}
    yield from verdict_figure.drawings(report)
    yield from results.figures(report)
    for drawing in curves.figures(report):
        if drawing.name in shown or drawing.name.startswith("curves_by_lr"):
            yield drawing


def _text(report: Report, key: SweepKey, part: Part, counts: pd.DataFrame) -> str:
    """What MLflow shows beside the run, in Markdown: verdicts, cautions and tables. It may be cut at its end."""
    address = [] if key.uri == default() else [f"uri={without_password(key.uri)}"]
    words = (f"sweep={key.sweep}", f"experiment={key.experiment}", *address)
    again = " ".join([command("report"), *map(quote, words)])
    blocks = [
        Words(f"{summary.about_runs(report)} More is in results.md; the whole report: {again}"),
        Lines([f"{card.title}: {card.headline}" for card in summary.cards(report)]),
        Lines([*summary.cautions(report), *_elsewhere(report, part)]),
        *_tables(report, counts, short=True),
    ]
    return markdown(blocks)


def _elsewhere(report: Report, part: Part) -> Iterator[str]:
    """How many runs of the command are not in its sweep, as an earlier one had finished them."""
    n = len(set(part.skipped) - set(report.results.runs["identity"]))
    if n:
        were = "was" if n == 1 else "were"
        yield f"{counted(n, 'run')} of the command {were} finished before, by another sweep, and left out here."


def _tables(report: Report, counts: pd.DataFrame, short: bool) -> Iterator[Block]:
    """Typical values, counts, how to read the metrics, and verdicts, which may be many, last."""
    yield Heading("Typical values")
    yield results.rows_of(report.table("results"), report.measure.label, short=True)
    yield from (Words(line) for line in results.how_chosen(report.selection.by_block))
    yield Heading("Runs")
    yield Rows([*counts.columns], [[str(cell) for cell in row] for row in counts.itertuples(index=False)])
    yield Words(HOW)
    if report.given("pairs"):
        yield Heading("Pairs")
        yield Words(summary.method(report))
        yield results.pair_rows(report.table("pairs"), short)
