"""The report: from a real store, the same bytes every time, and a plain word where there is nothing to report."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from descent_lab.report.build import main
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
    assert _build(uri, output).returncode == 0
    return output


def _build(uri, output, *more):
    words = [sys.executable, "-m", "reports.build", "--uri", uri, "--output", str(output), *more]
    return subprocess.run(words, capture_output=True, text=True, check=False)


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
    assert _build(uri, tmp_path).returncode == 0
    for path in [*report.glob("*.csv"), *report.glob("figures/*")]:
        again = tmp_path / path.relative_to(report)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_curves_are_the_medians_over_seeds(uri, report):
    """Recomputed from the runs' own curves, for every lr but those that were chosen."""
    curves = pd.read_csv(report / "curves.csv").query("metric == 'train/loss' and not chosen")
    found = load(uri)
    long = found.curves.merge(found.runs[["run_id", "dataset", "optimizer", "lr", "status"]], on="run_id")
    long = long[(long["metric"] == "train/loss") & (long["status"] == "finished")]
    median = long.groupby(["dataset", "optimizer", "lr", "step"])["value"].median().rename("median").reset_index()
    both = curves[curves["lr"] < 1].merge(median, left_on=["dataset", "entrant", "lr", "step"],
                                          right_on=["dataset", "optimizer", "lr", "step"])  # fmt: skip
    assert len(both) > 50
    np.testing.assert_allclose(both["estimate"], both["median"], rtol=1e-12)


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
    assert _build(uri, tmp_path, "--filter", "params.seed = '0'").returncode == 0
    assert _build(uri, tmp_path).returncode == 0
    assert {run.info.run_name for run in reports()} == {"report: all runs", "report: filter params.seed = '0'"}
    assert len(reports()) == 2
    found = load(uri)
    assert found.unfinished == 0 and set(found.runs["status"]) == {"finished", "diverged"}


def test_batch_sizes_are_compared_where_nothing_else_varies(tmp_path):
    """Each with its own colour and in the order of size, and steps to target against size."""
    sizes = ("8", "16", "100", "120")
    common = ("dataset=iris", "batching=minibatch", "lr=0.1", "epochs=20")
    configs = [make_config(*common, f"batching.size={size}", f"seed={seed}") for size in sizes for seed in range(5)]
    uri = store_of(tmp_path / "store", configs)
    assert _build(uri, tmp_path / "report").returncode == 0
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


def test_a_diverged_run_is_counted(report):
    runs = pd.read_csv(report / "runs.csv")
    assert (runs["status"] == "diverged").sum() == 1
    assert pd.read_csv(report / "cells.csv")["diverged"].sum() == 1


def test_a_store_that_is_not_there_is_not_made(tmp_path, capsys):
    missing = tmp_path / "nothing.db"
    assert main(["--uri", f"sqlite:///{missing}", "--output", str(tmp_path)]) != 0
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not missing.exists()


def test_a_partial_store_gives_a_partial_report(uri, tmp_path):
    done = _build(uri, tmp_path, "--filter", "params.seed = '0'")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0
    assert (tmp_path / "index.html").exists()


def test_no_run_fits(uri, tmp_path, capsys):
    assert main(["--uri", uri, "--filter", "params.dataset = 'none'", "--output", str(tmp_path)]) != 0
    assert "no finished run" in capsys.readouterr().err


DRAWING = """
import os, sys
from pathlib import Path
from descent_lab.report.drawing import Drawers
from matplotlib.figure import Figure

def broken():
    raise OSError("no ink")

os.cpu_count = lambda: 3
drawers = Drawers(Path(sys.argv[1]))
drawers.start([(f"early{i}", Figure) for i in range(5)])
drawers.start([("late", Figure), *([("broken", broken)] * int(sys.argv[2]))])
print(drawers.helpers, *drawers.finish())
"""


@pytest.mark.parametrize("n_broken", [0, 1])
def test_figures_are_drawn_by_several_processes_and_a_broken_one_is_said(n_broken, tmp_path):
    words = [sys.executable, "-c", DRAWING, str(tmp_path / "figures"), str(n_broken)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {*(f"early{i}" for i in range(5)), "late"}
    if n_broken:
        assert done.returncode == 1 and done.stderr.splitlines()[-1] == "OSError: no ink"
    else:
        assert done.stdout.split() == ["2", *(f"early{i}" for i in range(5)), "late"]
