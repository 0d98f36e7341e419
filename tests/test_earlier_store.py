"""Runs that were stored before the code moved into a package are read, replayed and predicted with."""

import sqlite3

import numpy as np
import pytest
from stores import earlier_store

from descent_lab.cli import predict, replay
from descent_lab.errors import ModelError
from descent_lab.report.build import main as build
from descent_lab.sweeps.restore import restore
from descent_lab.tracking.reader import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return earlier_store(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def stored(uri):
    return load(uri)


def test_all_runs_are_read_with_their_curves(stored):
    assert len(stored.runs) == 15
    assert set(stored.runs["backend"]) == {"numpy", "jax", "taylor", "random_search"}
    assert stored.unfinished == 0
    assert set(stored.curves["run_id"]) == set(stored.runs["run_id"])


def test_every_run_is_replayed_to_the_same_curve(stored, uri):
    for run in stored.runs.itertuples():
        verdict, _ = replay.replay(run.run_id, uri)
        assert verdict.word in ("bit-identical", "equal within tolerance"), (run.name, verdict)


def test_every_run_predicts(stored, uri):
    for run in stored.runs.itertuples():
        model = restore(run.run_id, uri=uri)
        outputs = model.outputs(np.zeros((3, len(model.data.features))))
        assert outputs.shape[0] == 3 and np.isfinite(outputs).all(), run.name


def test_the_command_predicts_with_the_model_of_a_file(stored, uri, capsys):
    (run_id,) = stored.runs.loc[stored.runs["dataset"] == "csv", "run_id"]
    assert predict.main([f"run={run_id}", "x=[2.0,0.5]", f"uri={uri}"]) == 0
    assert "box" in capsys.readouterr().out


def test_a_store_cannot_have_classes_of_other_packages_imported(stored, uri, tmp_path):
    """What a store names is somebody else's word: it may have been written to run commands here."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    theirs = earlier_store(folder)
    run_id = stored.runs["run_id"].iloc[0]
    config = next(path for path in folder.rglob("config.yaml") if run_id in str(path))
    text = config.read_text()
    for attack in ("subprocess.getoutput", "antigravity.Adam", "tests.fragile.Fragile"):
        config.write_text(text.replace("src.optimizers.SGD", attack))
        with pytest.raises(ModelError, match=rf"optimizer\._target_={attack}: package \w+ is neither"):
            restore(run_id, uri=theirs)
        assert replay.main([f"run={run_id}", f"--uri={theirs}"]) == 2


def test_a_report_is_made_of_it(uri, tmp_path):
    assert build([f"uri={uri}", f"output={tmp_path / 'report'}", "attach=false"]) == 0
    assert (tmp_path / "report" / "index.html").exists()


def test_a_report_neither_deletes_nor_writes_where_a_store_says_that_an_earlier_one_lies(tmp_path):
    (tmp_path / "store").mkdir()
    uri = earlier_store(tmp_path / "store")
    precious = tmp_path / "precious" / "index.html"
    precious.parent.mkdir()
    precious.write_text("mine")
    with sqlite3.connect(tmp_path / "store" / "mlflow.db") as database:
        (run_id,) = database.execute("select run_uuid from tags where key = 'report'").fetchone()
        database.execute("update runs set artifact_uri = ? where run_uuid = ?", [precious.parent.as_uri(), run_id])
    database.close()
    assert build([f"uri={uri}", f"output={tmp_path / 'report'}"]) == 0
    assert precious.read_text() == "mine" and len(list(precious.parent.iterdir())) == 1
    with sqlite3.connect(tmp_path / "store" / "mlflow.db") as database:
        stages = "select lifecycle_stage from runs join tags using (run_uuid) where key = 'report' order by 1"
        assert [stage for (stage,) in database.execute(stages)] == ["active", "deleted"]
    database.close()
