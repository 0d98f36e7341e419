"""The report: from a real store, the same bytes every time, and a plain word where there is nothing to report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient

from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Files, Picture, Plots, Words
from descent_lab.report.build import main
from descent_lab.report.drawing import theme
from descent_lab.report.plots import Plot
from descent_lab.report.pool import Figures
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Drawing, Section, Table
from descent_lab.tracking.reader import load
from tests.harness import make_config
from tests.stores import store_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A store with two data sets, two optimizers, two lr, six seeds, one of the runs diverged."""
    folder = tmp_path_factory.mktemp("reported")
    grid = [
        (f"dataset={dataset}", f"optimizer={optimizer}", f"lr={lr}", f"seed={seed}", "epochs=20")
        for dataset in ("gaussian", "iris")
        for optimizer in ("sgd", "adam")
        for lr in ("0.1", "0.01")
        for seed in range(6)
    ]
    bad = ("dataset=gaussian", "optimizer=sgd", "lr=1e9", "seed=0", "epochs=20")
    return store_of(folder, [make_config(*overrides) for overrides in (*grid, bad)])


@pytest.fixture(scope="module")
def report(uri, tmp_path_factory):
    """A report of that store."""
    output = tmp_path_factory.mktemp("report")
    assert _build(uri, output) == 0
    return output


def _build(uri, output, *more):
    """The exit code of a report."""
    return main(["--uri", uri, "--output", str(output), *more])


def test_everything_is_there(report):
    names = {path.name for path in report.iterdir()}
    assert {"index.html", "results.csv", "results.md", "runs.csv", "curves.csv", "fairness.csv"} <= names
    figures = {path.name for path in (report / "figures").iterdir()}
    assert {"curves_epoch.svg", "curves_epoch.png", "loss_against_lr.png", "confusion.png"} <= figures


def test_the_page_needs_no_network(report):
    page = (report / "index.html").read_text()
    assert "<script src=" not in page
    assert 'rel="stylesheet"' not in page
    assert '<link rel="stylesheet' not in page


def test_the_same_store_gives_the_same_bytes(uri, report, tmp_path):
    assert _build(uri, tmp_path, "--attach", "false") == 0
    for path in [*report.glob("*.csv"), *report.glob("figures/*")]:
        again = tmp_path / path.relative_to(report)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_curves_are_the_medians_over_seeds(uri, report):
    """Recomputed from the runs' own curves, for every lr."""
    curves = pd.read_csv(report / "curves_by_lr.csv").query("lr < 1")  # of a larger one there is one run
    results = load(uri)
    long = results.curves.merge(results.runs[["run_id", "dataset", "optimizer", "lr", "status"]], on="run_id")
    long = long[(long["metric"] == "train/loss") & (long["status"] == "finished")]
    median = long.groupby(["dataset", "optimizer", "lr", "step"])["value"].median().rename("median").reset_index()
    both = curves[curves["lr"] < 1].merge(median, left_on=["dataset", "entrant", "lr", "step"],
                                          right_on=["dataset", "optimizer", "lr", "step"])  # fmt: skip
    assert len(both) > 50
    np.testing.assert_allclose(both["estimate"], both["median"], rtol=1e-12)


def test_curves_and_clocks_are_over_the_seeds_of_the_results(report):
    """Nothing is drawn of seeds that a setting was chosen on, where others were run; each lr has the same seeds."""
    results = pd.read_csv(report / "results.csv").set_index(["dataset", "entrant"])["seeds"]
    for name in ("curves", "clock_curves"):
        n = pd.read_csv(report / f"{name}.csv").groupby(["dataset", "entrant"])["n"].agg(["min", "max"])
        assert (n.join(results).nunique(axis=1) == 1).all(), name
    by_lr = pd.read_csv(report / "curves_by_lr.csv").query("lr < 1")  # of a larger one there is one run
    assert (by_lr.groupby(["dataset", "entrant"])["n"].nunique() == 1).all()


@pytest.mark.parametrize("losses", [(0.0, 1e-300, 0.3, 1e76, 1e300, np.inf), (np.inf,), (0.0,)], ids=str)
@pytest.mark.filterwarnings("ignore:divide by zero")  # of a run that starts at 0 exactly
def test_no_losses_end_a_report(uri, losses):
    """Curves and final losses drawn from these few: every table, figure and block is made, or says why it is not."""
    rng, stored_runs = np.random.default_rng(0), load(uri)
    runs, curves = stored_runs.runs.copy(), stored_runs.curves.assign(value=rng.choice(losses, len(stored_runs.curves)))
    final = rng.choice(losses, len(runs))
    for name in [name for name in runs if name.startswith(("final_", "best_"))]:
        runs[name] = np.where(runs[name].isna(), np.nan, final)
    runs["status"] = np.where(np.isfinite(final), "finished", "diverged")
    report = Report.of(replace(stored_runs, runs=runs, made=lambda: curves))
    for name, section in report.sections.items():
        for drawing in section.figures(report):
            figure = drawing.draw(*drawing.arguments)
            with theme():
                figure.draw_without_rendering()
        assert list(section.content(report)) or name not in ("summary", "results", "runs")
    assert dict(report.tables())


def test_the_report_is_shown_in_mlflow_and_is_no_run_of_the_store(uri, report, tmp_path):
    client = MlflowClient(uri)
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "optimizers"]

    def reports():
        return [run for run in client.search_runs([experiment]) if "report" in run.data.tags]

    (run,) = reports()
    shown = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    assert run.info.status == "FINISHED" and run.info.run_name == "report: all runs"
    assert {"figures/curves_epoch.png", "figures/loss_against_lr.png"} <= shown
    assert run.data.tags["mlflow.note.content"] in (report / "results.md").read_text()
    assert _build(uri, tmp_path, "--filter", "params.seed = '0'") == 0
    assert _build(uri, tmp_path) == 0
    assert {run.info.run_name for run in reports()} == {"report: all runs", "report: filter params.seed = '0'"}
    assert len(reports()) == 2
    results = load(uri)
    assert results.unfinished == 0 and set(results.runs["status"]) == {"finished", "diverged"}


def test_several_metrics_give_a_report_each_and_an_index(uri, tmp_path):
    """Where high values are better, the order is reversed; MLflow shows each report."""
    options = ("--filter", "params.dataset = 'iris'", "--metric", "train/loss,test/accuracy")
    assert _build(uri, tmp_path, *options) == 0
    index = (tmp_path / "index.html").read_text()
    assert 'href="optimizers_test_accuracy/index.html"' in index and "optimizers, train/loss" in index
    parts = {
        name: pd.read_csv(tmp_path / f"optimizers_{name}" / "results.csv") for name in ("train_loss", "test_accuracy")
    }
    assert parts["train_loss"]["value"].is_monotonic_increasing
    assert parts["test_accuracy"]["value"].is_monotonic_decreasing
    assert set(parts["test_accuracy"]["metric"]) == {"test/accuracy"}
    assert (tmp_path / "optimizers_test_accuracy" / "figures" / "final_losses.png").exists()
    names = {run.info.run_name for run in MlflowClient(uri).search_runs(["1"], "tags.report LIKE 'optimizers%'")}
    about = "filter params.dataset = 'iris'"
    assert names == {f"report: optimizers, {metric}, {about}" for metric in ("train/loss", "test/accuracy")}


def test_batch_sizes_are_compared_where_nothing_else_varies(tmp_path):
    """Each with its own colour and in the order of size, and steps to target against size."""
    sizes = ("8", "16", "100", "120")
    common = ("dataset=iris", "batching=minibatch", "lr=0.1", "epochs=20")
    configs = [make_config(*common, f"batching.size={size}", f"seed={seed}") for size in sizes for seed in range(5)]
    uri = store_of(tmp_path / "store", configs)
    assert _build(uri, tmp_path / "report") == 0
    results = pd.read_csv(tmp_path / "report" / "results.csv")
    assert set(results["dataset"]) == {"iris"}
    assert set(results["entrant"]) == {f"size={size}" for size in sizes}
    table = pd.read_csv(tmp_path / "report" / "batch_size.csv")
    steps = table[(table["clock"] == "step") & (table["level"] == 0.5)].set_index("size")["median"]
    assert list(steps.index) == [int(size) for size in sizes]
    assert (steps.diff().dropna() <= 0).all()
    assert (tmp_path / "report" / "figures" / "batch_size.png").exists()
    page = (tmp_path / "report" / "index.html").read_text()
    places = [page.index(f'data-entrant="size={size}"') for size in sizes]
    assert places == sorted(places)


def test_targets_may_be_given_in_a_file(uri, tmp_path):
    fixed = tmp_path / "targets.csv"
    fixed.write_text("dataset,level,target\niris,1,0.3\niris,0.5,0.8\n")
    assert _build(uri, tmp_path / "report", "--targets", str(fixed), "--attach", "false") == 0
    assert pd.read_csv(tmp_path / "report" / "targets.csv")["target"].tolist() == [0.8, 0.3]
    warnings = pd.read_csv(tmp_path / "report" / "warnings.csv").query("warning == 'no target'")
    assert warnings[["dataset", "detail"]].to_numpy().tolist() == [["gaussian", "no target is given"]]


def test_a_diverged_run_is_counted(report):
    runs = pd.read_csv(report / "runs.csv")
    assert (runs["status"] == "diverged").sum() == 1
    assert pd.read_csv(report / "cells.csv")["diverged"].sum() == 1


def _csv(folder):
    file = folder / "bad.csv"
    file.write_text("level,target\n1,0.3\n")
    return file


def test_bad_input_is_refused_in_one_line_with_exit_code_2(uri, tmp_path, capsys):
    missing = tmp_path / "nothing.db"
    words = {
        "nothing.db": ["--uri", f"sqlite:///{missing}"],
        "no_such_experiment": ["--uri", uri, "--experiment", "no_such_experiment"],
        "filter": ["--uri", uri, "--filter", "params.seed === 0"],
        "reference=nobody": ["--uri", uri, "--reference", "nobody"],
        "tuning-seeds": ["--uri", uri, "--tuning-seeds", "77"],
        "sizes": ["--uri", uri, "--compared", "sizes"],
        "metric=test/nothing": ["--uri", uri, "--metric", "test/nothing"],
        "margin": ["--uri", uri, "--margin", "0.5"],
        "judged": ["--uri", uri, "--judged", "nobody"],
        "targets: column 'dataset' is missing": ["--uri", uri, "--targets", str(_csv(tmp_path))],
        "--no-such-option": ["--no-such-option"],
    }
    for named, options in words.items():
        assert main([*options, "--output", str(tmp_path / "report")]) == 2, named
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert named in line
    assert not missing.exists() and not (tmp_path / "report").exists()


def test_a_partial_store_gives_a_partial_report(uri, tmp_path):
    assert _build(uri, tmp_path, "--attach", "false", "--filter", "params.seed = '0'") == 0
    assert (tmp_path / "index.html").exists()


def test_no_run_fits(uri, tmp_path, capsys):
    assert main(["--uri", uri, "--filter", "params.dataset = 'none'", "--output", str(tmp_path)]) == 1
    assert "no finished run" in capsys.readouterr().err


# Sections.


def luck(report):
    """A table of a section that is added below."""
    return report.selection.runs.groupby("entrant", as_index=False)["seed"].sum()


def wheel(table):
    """Its static figure."""
    figure = Figure((1, 1))
    figure.text(0, 0, f"{len(table)} entrants")
    return figure


def luck_content(report):
    """Its part of the page."""
    plot = Plot("Wheel", "seed", "seed", "seed", "seed", [], (False, False))
    plot.add("line", report.table("luck")[["seed"]], "", report.looks["adam"])
    yield Words("Luck has <no> section.")
    yield Plots([plot])
    yield Picture("wheel", "a wheel")
    yield Files(["luck", "bad_luck"])


def no_luck(report):
    """A table that these runs do not give."""
    raise NotGiven("no luck")


LUCK = Section(
    "Luck",
    45,
    tables={"luck": Table(luck, "the sum of seeds"), "bad_luck": Table(no_luck, "nothing")},
    figures=lambda report: [Drawing("wheel", wheel, (report.table("luck"),))],
    content=luck_content,
)


@pytest.fixture
def added(monkeypatch):
    """Adds a section for one test."""

    def add(name, section):
        monkeypatch.setattr(SECTIONS, "_parts", {**SECTIONS._parts, name: section})

    return add


def test_a_section_is_in_the_page_the_files_and_the_menu_when_it_is_added(uri, added, tmp_path):
    added("luck", LUCK)
    assert _build(uri, tmp_path, "--attach", "false", "--filter", "params.dataset = 'iris'") == 0
    page = (tmp_path / "index.html").read_text()
    menu = page[page.index("<nav>") : page.index("</nav>")]
    assert menu.index(">Tuning<") < menu.index('<a href="#luck">Luck</a>') < menu.index("Targets")
    section = page[page.index('<section id="luck">') :].partition("</section>")[0]
    assert "Luck has &lt;no&gt; section." in section and '<div class="plot" id="plot-' in section
    assert "data:image/svg+xml" in section and 'href="luck.csv"' in section and "bad_luck" not in section
    assert "the sum of seeds" in page[page.index('<section id="files">') :]
    assert list(pd.read_csv(tmp_path / "luck.csv")["entrant"]) == ["adam", "sgd"]
    assert (tmp_path / "figures" / "wheel.svg").exists() and (tmp_path / "figures" / "wheel.png").exists()


def mistaken(report):
    """A table with a bug in it, which pandas finds."""
    return pd.DataFrame({"a": [1]}).merge(pd.DataFrame({"b": [1]}), how="cross", on="a")


@pytest.mark.parametrize("where", ["table", "content", "figure"])
def test_a_bug_in_a_section_is_no_missing_table(where, uri, added, tmp_path, capsys):
    """It ends the report with 1, one line that names the place, and a file with the traceback; nothing is written."""
    bug = {
        "table": Section("Bug", 5, tables={"bug": Table(mistaken, "")}),
        "content": Section("Bug", 5, content=mistaken),
        "figure": Section("Bug", 5, figures=lambda report: [Drawing("bug", mistaken, (None,))]),
    }
    added("bug", bug[where])
    assert _build(uri, tmp_path / "report", "--filter", "params.dataset = 'iris' and params.seed = '0'") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("MergeError: ") and f"({Path(__file__).name}:" in line
    assert "MergeError" in Path(line.partition("traceback: ")[2]).read_text()
    assert not (tmp_path / "report").exists() and list(tmp_path.iterdir()) == []


def test_two_sections_may_not_give_the_same_table(uri, added, tmp_path, capsys):
    added("double", Section("Double", 5, tables={"results": Table(luck, "")}))
    assert _build(uri, tmp_path / "report") == 2
    assert "another has a table named 'results' too" in capsys.readouterr().err


def broken():
    """A figure that cannot be drawn."""
    raise OSError("no ink")


def draw_broken(folder, processes):
    """Draw a figure that cannot be drawn."""
    with Figures(folder, processes) as figures:
        figures.start([Drawing("broken", broken, ())])
        figures.finish()


@pytest.mark.parametrize("processes", [1, 2])
def test_figures_are_drawn_by_a_pool_or_here_and_what_a_pool_cannot_draw_is_drawn_here(processes, tmp_path):
    with Figures(tmp_path / "figures", processes) as figures:
        figures.start([Drawing("early", Figure, ()), Drawing("of this process", lambda: Figure(), ())])
        figures.start([Drawing("late", Figure, ())])
        figures.finish()
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {"early", "of this process", "late"}
    assert figures.names == ["early", "of this process", "late"]
    with pytest.raises(OSError, match="no ink"):
        draw_broken(tmp_path / "figures", processes)
