"""The charts of a sweep: what makes a line, what MLflow keeps of them, and the link that a sweep ends with."""

import json
import zlib
from base64 import b64decode
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from descent_lab.cli import run
from descent_lab.sweeps.charts import view_of
from descent_lab.tracking import view
from descent_lab.tracking.database import DatabaseStore
from descent_lab.tracking.server import ServerStore
from descent_lab.tracking.study_record import StudyRecord
from descent_lab.tracking.view import KEPT, OURS, View
from tests.harness import make_config
from tests.stores import create_store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

GRID = [
    make_config(f"optimizer={o}", f"lr={lr}", f"seed={s}") for o in ("sgd", "adam") for lr in (1, 2) for s in (0, 1)
]
STUDY = StudyRecord({"lr": {}}, "grid", 2, "train/loss", "final", 1, [[0]], [[1, 2]]).text


def state_of(value):
    """The state of the page that MLflow would restore."""
    packed = json.loads(value)["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(b64decode(packed)))


def test_runs_that_differ_in_seeds_alone_make_a_line():
    charts = view_of("s", GRID)
    assert charts.group_by == ["optimizer", "lr"] and charts.query == "tags.sweep = 's'"
    assert charts.groups == [("sgd", "1.0"), ("sgd", "2.0"), ("adam", "1.0"), ("adam", "2.0")]  # as the params say
    assert view_of("s", GRID[:2]).group_by == ["optimizer"]  # one line over seeds
    assert view_of("s", GRID[::2]).group_by == []  # no seed is repeated: every run is a line
    assert view_of("s", GRID[:1]) is None


def test_a_tuned_sweep_shows_the_runs_that_judge_a_line_an_entrant():
    phases = ["tuning", "evaluation"] * 4
    told = [
        replace(config, tracking=replace(config.tracking, tuning=STUDY, phase=phase))
        for config, phase in zip(GRID, phases, strict=True)
    ]
    charts = view_of("s", told)
    assert charts.group_by == ["optimizer"] and len(charts.groups) == 2
    assert charts.query == "tags.sweep = 's' and params.`tracking.phase` = 'evaluation'"


def test_what_mlflow_keeps():
    charts = view_of("s", GRID)
    kept, state = json.loads(charts.value), state_of(charts.value)
    assert kept["name"] == "sweep s" and isinstance(kept["createdAt"], int)
    names = [chart["metricKey"] for chart in state["compareRunCharts"]]
    assert names[:3] == ["train/loss", "validation/loss", "test/loss"] and names[-2:] == ["train/grad_norm", "lr"]
    assert {"test/accuracy", "test/rmse"} < set(names)
    scales = {chart["metricKey"]: chart["scaleType"] for chart in state["compareRunCharts"]}
    assert scales["test/loss"] == "log" and scales["test/accuracy"] == "linear"
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {state["compareRunSections"][0]["uuid"]}
    assert state["groupBy"]["groupByKeys"][0] == {"mode": "param", "groupByData": "optimizer"}
    assert state["groupsExpanded"]["param.optimizer.adam,param.lr.2.0"] is False


def test_a_view_is_short_whatever_the_number_of_groups():
    groups = [(f"some_long_optimizer_{k}", str(k / 7), "dataset") for k in range(1000)]
    assert len(View("s" * 500, "q", ["optimizer", "lr", "dataset"], groups).value) < 5000


@pytest.mark.parametrize("way", [DatabaseStore, ServerStore])
def test_only_the_latest_views_are_kept_and_those_of_users(way, tmp_path, monkeypatch):
    uri = create_store(tmp_path / "mlflow.db")
    store, client = way(uri, "optimizers"), MlflowClient(uri)
    client.set_experiment_tag("1", f"{view.TAG}somebodys", "theirs")
    for k in range(KEPT + 3):
        monkeypatch.setattr(view, "time", lambda k=k: float(k))
        view.save(View(f"sweep {k}", "q", [], []), store)
    monkeypatch.setattr(view, "time", lambda: 100.0)
    view.save(View("sweep 5", "q", [], []), store)  # again, which replaces it
    tags = client.get_experiment("1").tags
    names = {json.loads(value)["name"] for key, value in tags.items() if key.startswith(OURS)}
    assert names == {f"sweep sweep {k}" for k in range(3, KEPT + 3)} and tags[f"{view.TAG}somebodys"] == "theirs"
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_links(monkeypatch, tmp_path):
    charts = View("s", "q", [], [])
    page = (
        f"/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey={charts.key[23:]}"
    )
    assert view.link(charts, "https://me:secret@host/lab/", 7) == f"https://me:***@host/lab{page}"
    local = f"http://127.0.0.1:5000{page}"
    command = "mlflow ui --backend-store-uri"
    assert view.link(charts, "sqlite:////a b/x.db", 7) == f"{command} 'sqlite:////a b/x.db', then {local}"
    assert view.link(charts, "postgresql://me:secret@h/db", 7) == f"{command} 'postgresql://me:***@h/db', then {local}"
    monkeypatch.chdir(tmp_path)
    assert view.link(charts, f"sqlite:///{tmp_path}/mlflow.db", 7) == f"mlflow ui, then {local}"
    assert view.link(charts, "databricks", 7) is None


@pytest.mark.summaries
def test_a_sweep_ends_with_a_link_on_stderr_and_its_counts_on_stdout(store, capfd):
    uri = create_store(store)
    words = ["-m", "optimizer=sgd,adam", "seed=0,1", "epochs=2", 'tracking.sweep="it\'s"', "tracking.summary=false"]
    for skipped in (0, 4):
        assert run.main(words) == 0
        said = capfd.readouterr()
        assert said.out.splitlines()[-1].startswith(f"{4 - skipped} finished, 0 diverged, 0 failed, {skipped} skipped")
        start, _, key = said.err.strip().rpartition("viewStateShareKey=")
        assert start.startswith("charts: mlflow ui") and "\n" not in start
        client = MlflowClient(uri)
        state = state_of(client.get_experiment("1").tags[f"{view.TAG}{key}"])
        assert len(client.search_runs(["1"], state["searchFilter"])) == 4
    for alone in (["-m", "seed=7"], ["seed=8"], ["-m", "seed=0,1", "lr=0.3", "tracking.offline=true"]):
        assert run.main([*alone, "epochs=2"]) in (0, 3) and "charts" not in capfd.readouterr().err
