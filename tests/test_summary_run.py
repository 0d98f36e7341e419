"""The summary of a sweep: its numbers are those of the report, it is no run of the sweep, and each sweep has one."""

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from mlflow import MlflowClient
from stores import create_store, stored

import descent_lab as dl
from descent_lab.cli import run
from descent_lab.report import build, summary_run, verdict_figure
from descent_lab.report.reading import read
from descent_lab.report.report import Report
from descent_lab.tracking.reader import Wanted

pytestmark = [
    pytest.mark.summaries,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own, of SQLAlchemy
]
SWEEP = ("-m", "dataset=gaussian,iris", "optimizer=sgd,adam", "seed=range(5)", "epochs=10", "tracking.sweep=pairs")
QUICK = ("-m", "dataset=line", "model=linear", "epochs=2")


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A store with a sweep of two entrants on two problems, five seeds, and its summary."""
    folder = tmp_path_factory.mktemp("summarised")
    address = create_store(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.setenv("DESCENT_OUTBOX", str(folder / "outbox"))
        assert run.main(SWEEP) == 0
    return address


@pytest.fixture
def address(store):
    """A store without runs."""
    return create_store(store)


def summaries(uri):
    """The summaries of a store by experiment and sweep; none has two."""
    client = MlflowClient(uri)
    names = {experiment.experiment_id: experiment.name for experiment in client.search_experiments()}
    runs = [run for run in client.search_runs([*names]) if "summary" in run.data.tags]
    found = {(names[run.info.experiment_id], run.data.tags["summary"]): run for run in runs}
    assert len(found) == len(runs)
    return found


def numbers_of(summary):
    """The numbers of runs: finished, diverged, failed, skipped."""
    return [int(summary.data.tags[f"runs.{what}"]) for what in summary_run.COUNTED]


def summary_of(uri):
    (summary,) = summaries(uri).values()
    return summary


def files_of(summary):
    return Path(summary.info.artifact_uri.removeprefix("file://"))


def test_its_tables_are_those_of_the_report_and_of_the_results(uri, tmp_path):
    files = files_of(summary_of(uri))
    assert build.main(["--uri", uri, "--sweep", "pairs", "--output", str(tmp_path), "--attach", "false"]) == 0
    assert (files / "verdicts.csv").read_bytes() == (tmp_path / "pairs.csv").read_bytes()
    assert (files / "results.csv").read_bytes() == (tmp_path / "results.csv").read_bytes()
    verdicts = dl.load(uri, sweep="pairs").verdicts()
    assert list(pd.read_csv(files / "verdicts.csv")["effect"]) == pytest.approx(list(verdicts["effect"]), rel=1e-12)
    curves = pd.read_csv(files / "curves.csv")
    shown = curves[curves["metric"] != "test/loss"].reset_index(drop=True)  # which reports leave out
    pd.testing.assert_frame_equal(shown, pd.read_csv(tmp_path / "curves.csv"))


def test_its_metrics_are_the_curves_over_seeds(uri):
    client, summary = MlflowClient(uri), summary_of(uri)
    curves = pd.read_csv(files_of(summary) / "curves.csv", float_precision="round_trip")
    sections = Counter(name.rpartition("/")[0] for name in summary.data.metrics)
    assert sections == {
        "train/loss on gaussian": 6, "train/loss on iris": 6, "test/loss on gaussian": 6, "test/loss on iris": 6,
        "test/rmse on gaussian": 6, "test/accuracy on iris": 6,
    }  # fmt: skip
    for end, column in (("", "estimate"), (": low", "low"), (": high", "high")):
        history = client.get_metric_history(summary.info.run_id, f"train/loss on iris/median adam{end}")
        rows = curves[(curves["metric"] == "train/loss") & (curves["dataset"] == "iris")]
        rows = rows[rows["entrant"] == "adam"].set_index("step")[column]
        assert {point.step: point.value for point in history} == rows.to_dict()


def test_it_is_no_run_of_the_sweep(uri):
    summary = summary_of(uri)
    assert (summary.info.run_name, summary.info.status) == ("summary: pairs", "FINISHED")
    assert summary.data.tags.keys().isdisjoint({"sweep", "identity", "status", "mlflow.parentRunId"})
    found = read(uri, Wanted())
    assert (len(found.runs), found.unfinished) == (20, 0)


def test_it_is_shown_in_words_and_pictures(uri):
    summary = summary_of(uri)
    note, files = summary.data.tags["mlflow.note.content"], files_of(summary)
    assert "- iris: At the settings given; nothing was tuned: " in note
    assert re.search(r"\n\| iris \| adam \| sgd \| 5 seeds \| \S+ \[", note)
    assert re.search(r"\n\| adam \| 10 \| 0 \| 0 \| 0 \|\n", note)
    assert "sweep=pairs" in note and len(note) < 8000
    assert "### iris\n" in (files / "results.md").read_text()
    pictures = {path.name for path in (files / "figures").iterdir()}
    assert {"verdicts.png", "final_losses.png", "curves_step.png", "curves_test_accuracy.png"} <= pictures


@pytest.mark.parametrize("metric", ["train/loss", "test/accuracy"])
def test_the_figure_of_verdicts_shows_every_pair_as_tested(uri, metric):
    report = Report.of(read(uri, Wanted()), metric=metric)
    (drawing,) = verdict_figure.drawings(report)
    figure, pairs = drawing.draw(*drawing.arguments), report.table("pairs")
    drawn = []
    for ax in figure.axes:
        lines = [line.get_segments()[0] for line in ax.collections if isinstance(line, LineCollection)]
        assert len(lines) == len(ax.get_yticks())
        drawn += [(*ax.get_xlim(), line[0, 0], line[1, 0]) for line in lines]
    left, right, low, high = np.array(drawn).T
    np.testing.assert_allclose(low, np.maximum(pairs["effect_low"], left))
    np.testing.assert_allclose(high, np.minimum(pairs["effect_high"], right))


def test_it_is_made_anew_when_runs_come_or_when_it_is_gone(address, capfd):
    command = (*QUICK, "tracking.sweep=again")
    assert run.main([*command, "seed=0,1"]) == 0
    first = summary_of(address)
    page = f"http://127.0.0.1:5000/#/experiments/{first.info.experiment_id}/runs/{first.info.run_id}"
    assert f"summary: {page}" in capfd.readouterr().err.splitlines()
    assert run.main([*command, "seed=0,1"]) == 0
    assert summary_of(address).info.run_id == first.info.run_id
    assert run.main([*command, "seed=0,1,2"]) == 0
    longer = summary_of(address)
    assert longer.info.run_id != first.info.run_id
    assert numbers_of(longer) == [3, 0, 0, 2]
    MlflowClient(address).delete_run(longer.info.run_id)
    assert run.main([*command, "seed=0,1,2"]) == 0
    assert numbers_of(summary_of(address)) == [3, 0, 0, 3]


def test_a_sweep_in_two_experiments_has_two_and_runs_that_diverge_or_fail_are_counted(address):
    words = ("seed=0,1", "lr=0.1,1e9", "tracking.experiment=one,two", "+stop.target=null", "batching.size=null")
    assert run.main([*QUICK, *words, "tracking.sweep=both"]) == 0
    found = summaries(address)
    assert set(found) == {("one", "both"), ("two", "both")}
    for summary in found.values():
        assert numbers_of(summary)[:2] == [2, 2]
        assert {name for name in summary.data.metrics if name.startswith("train/loss")} == {
            f"train/loss/median sgd{end}" for end in ("", ": low", ": high")
        }
        assert all(math.isfinite(value) for value in summary.data.metrics.values())


@pytest.mark.parametrize("launcher", ["stacked", "basic"])
def test_a_tuned_sweep_has_one_whoever_launches_its_runs(address, launcher):
    seeds = ("hydra.sweeper.tuning_seeds=0", "hydra.sweeper.held_out_seeds=[1,2]")
    assert run.main([*QUICK, "lr=0.1,0.01", "hydra.sweeper.tuned=lr", *seeds, f"hydra/launcher={launcher}"]) == 0
    summary = summary_of(address)
    assert numbers_of(summary) == [4, 0, 0, 0]
    assert "setting chosen on seeds 0, reported on seeds 1-2" in summary.data.tags["mlflow.note.content"].lower()


@pytest.mark.parametrize("words", [["seed=0"], ["dry_run=true", "seed=0,1"], ["tracking.summary=false", "seed=0,1"]])
def test_there_is_none_of_a_single_run_of_a_dry_run_or_where_it_is_not_wanted(address, words):
    assert run.main([*QUICK, *words, "tracking.sweep=none"]) == 0
    assert summaries(address) == {}


def test_a_summary_that_cannot_be_made_fails_no_sweep(address, store, capfd, monkeypatch):
    def add_summary(*_):
        raise OSError("no space left\nat all")

    monkeypatch.setattr(summary_run, "add_summary", add_summary)
    assert run.main([*QUICK, "seed=0,1", "tracking.sweep=sad"]) == 0
    assert capfd.readouterr().err.splitlines()[0] == "no summary of sweep sad: no space left"
    assert len(stored(store)) == 2


def test_names_of_metrics_have_letters_that_mlflow_allows_and_differ():
    labels = ["adam beta1=0.9", "adam beta1=0,9", "a/b", "a\\b", "é", "x" * 300, "x" * 301, "$_{", "  "]
    names = summary_run._names(labels)
    assert list(names) == labels and len(set(names.values())) == len(labels)
    assert all(re.fullmatch(r"[\w.\- :]{0,220}", name) for name in names.values())


def test_many_curves_have_fewer_points_and_keep_both_ends():
    indices = summary_run._spread(100, 7)
    assert (indices[0], indices[-1], len(indices)) == (0, 99, 7)
    assert len(summary_run._spread(5, 100)) == 5
    assert np.array_equal(summary_run._spread(1, 100), [0])
