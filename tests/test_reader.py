"""A database read by SQL gives what MLflow's client gives, at one moment, and nothing of the store is changed."""

import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

from descent_lab.errors import StoreError
from descent_lab.tracking import schema
from descent_lab.tracking.reader import Wanted, find, load, read_curves
from descent_lab.tracking.reader.arrays import PARTS, Artifacts
from descent_lab.tracking.reader.client import Client
from descent_lab.tracking.reader.database import Database
from descent_lab.tracking.reader.frames import runs_frame
from descent_lab.tracking.reader.store import connect
from tests.stores import create_store, earlier_store, postgresql

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

OURS = {"identity": "x", "status": "finished", "sweep": "it's", "versions": "new"}
PARAMS = {"seed": "3", "epochs": "2", "lr": "0.1", "dataset": "iris", "label": "Δ'\"%_"}
ASKED = {
    "all": Wanted(),
    "experiment": Wanted("other"),
    "query": Wanted(query="params.lr = '0.1' and attributes.status = 'FINISHED'"),
    "query of one experiment": Wanted("earlier", query="params.dataset LIKE 'i%'"),
    "sweep": Wanted(sweep="demo"),
    "sweep with a quote": Wanted(sweep="it's"),
    "params": Wanted(params={"dataset": "iris", "lr": "0.1"}),
    "nothing": Wanted(params={"dataset": "no such data"}),
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """15 runs of version 0.1 and a report; and runs of every other kind."""
    uri = earlier_store(tmp_path_factory.mktemp("kinds"))
    write_every_kind(uri)
    return uri


def write_every_kind(uri):
    """Runs of every kind as MLflow's client writes them, in the experiments `other` and `gone`."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri)
    other, gone = client.create_experiment("other"), client.create_experiment("gone")

    def run(tags, experiment=other, finished=True, metrics=(), params=PARAMS, name=None):
        run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        client.log_batch(run_id, list(metrics), [Param(*pair) for pair in params.items()])
        if finished:
            client.set_terminated(run_id)
        return run_id

    run(OURS, metrics=[Metric("train/loss", 0.5, 1, 0), Metric("train/loss", 0.25, 2, 3), Metric("mine", -1.0, 1, 0)])
    gaps = [Metric("train/loss", value, at, at) for at, value in enumerate((1.0, np.nan, np.inf))]
    run(OURS | {"status": "diverged", "diverged_at": "2", "sweep": "demo"}, metrics=[*gaps, Metric("lr", np.nan, 1, 0)])
    run({"identity": "x"} | OURS, finished=False)
    run({"identity": "y", "writer": "elsewhere:1"}, finished=False, params={})
    run(OURS | {"data": "from a tag"}, params=PARAMS | {"data": "a param of a tag's name", "tuned.only": "1"})
    run({}, params={"lr": "0.1"}, metrics=[Metric("accuracy", 1.0, 1, 0)], name="somebody else's")
    run({"summary": "demo", "sweep.of": "demo"}, params={}, metrics=[Metric("train/loss", 1.0, 1, 0)])
    run({"report": "another"}, params={})
    client.delete_run(run(OURS))
    run(OURS, gone)
    client.delete_experiment(gone)


@pytest.mark.parametrize("wanted", ASKED.values(), ids=ASKED)
def test_both_ways_find_the_same(uri, wanted):
    assert_the_same(uri, wanted)


@pytest.mark.slow
def test_both_ways_find_the_same_in_postgresql(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MLflow puts files
    with postgresql() as new:
        uri = new("kinds")
        write_every_kind(uri)
        for wanted in ASKED.values():
            if wanted.experiment != "earlier":
                assert_the_same(uri, wanted)
        with pytest.raises(StoreError, match="is not an MLflow store"):
            load(new("nothing"))


def assert_the_same(uri, wanted):
    """MLflow's client and SQL find the same runs, and the same points of their curves."""
    by_client, by_sql = Client(uri).find(wanted), Database(uri).find(wanted)
    assert by_sql == by_client
    pd.testing.assert_frame_equal(runs_frame(by_sql), runs_frame(by_client))
    ids = [run.run_id for run in by_sql.runs]
    np.testing.assert_equal(Database(uri).histories(ids, PARTS), Client(uri).histories(ids, PARTS))


def test_what_is_found_of_all_kinds(uri):
    found = find(uri, Wanted())
    assert (len(found.runs), found.unfinished) == (18, 3)  # two that are running, and one of somebody else
    other = found.runs[found.runs["experiment"] == "other"].set_index("sweep")
    assert other["status"].tolist() == ["finished", "diverged", "finished"]
    assert other["data"].tolist() == [None, None, "from a tag"] and set(other["label"]) == {PARAMS["label"]}
    assert other["seed"].dtype == np.int64 and other["lr"].dtype == float and other["started"].dtype == np.int64
    assert np.isnan(other.loc["demo", "final_lr"]) and other.loc["demo", "train_loss"] > 1e308
    assert other["tuned.only"].isna().tolist() == [True, True, False]
    assert len(find(uri, Wanted(run=found.runs["run_id"][0])).runs) == 1


def test_runs_without_files_have_the_points_of_their_metrics(uri):
    found = find(uri, Wanted())
    bare = Artifacts(uri, dict.fromkeys(found.runs["run_id"], "file:///nowhere"))
    lost = read_curves(bare, found.runs, ["train/loss"])
    assert set().union(*lost) == {"step", "epoch", "time/step_seconds", "train/loss"}
    whole = read_curves(found.artifacts, found.runs)
    for one, other in list(zip(lost, whole, strict=True))[:15]:  # those with files
        np.testing.assert_array_equal(one["train/loss"], other["train/loss"])


def test_databases_are_read_without_mlflow(uri):
    run_id = find(uri, Wanted("earlier")).runs["run_id"][0]
    script = (
        "import sys; from descent_lab.api.stored import load; from descent_lab.cli import predict, replay;"
        f"uri, run = {uri!r}, {run_id!r};"
        "assert predict.main([f'run={run}', 'x=0.5', f'uri={uri}']) == 0;"
        "assert replay.main([f'run={run}', f'--uri={uri}']) == 0;"
        "load(uri, run=run).predict([0.5]);"
        "assert not {'mlflow', 'pandas'} & set(sys.modules);"
        "load(uri, sweep='demo').curves;"
        "assert predict.main(['best', 'dataset=gaussian', 'lr=0.1', f'uri={uri}']) == 0;"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_store_is_seen_as_it_was_at_one_moment(tmp_path):
    uri = create_store(tmp_path / "mlflow.db")
    count = select(func.count()).select_from(schema.experiments)
    with schema.engine(uri).begin() as writing:  # from here on, the file has a write-ahead log
        assert schema.revision(writing) in schema.TESTED
    new = schema.experiments.insert().values(name="new", lifecycle_stage="active", workspace="default")
    with schema.engine(uri, read_only=True).begin() as reading:
        before = reading.scalar(count)
        with schema.engine(uri).begin() as writing:
            writing.execute(new)
        assert reading.scalar(count) == before
    with schema.engine(uri, read_only=True).begin() as reading:
        assert reading.scalar(count) == before + 1


@contextmanager
def anybody():
    """The rights of a user who may not write where the files of tests are."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_reading_needs_no_right_to_write_and_leaves_nothing_behind():
    with TemporaryDirectory() as folder:
        uri = create_store(Path(folder) / "mlflow.db")
        with schema.engine(uri).begin() as writing:  # from here on, the file has a write-ahead log
            assert schema.revision(writing)
        before = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
        os.chmod(folder, 0o555)
        try:
            with anybody():
                assert load(uri).runs.empty
        finally:
            os.chmod(folder, 0o755)
        assert load(uri).runs.empty
        assert {file.name: file.read_bytes() for file in Path(folder).iterdir()} == before


def test_a_revision_that_was_not_tested_is_left_to_mlflow(tmp_path):
    uri = create_store(tmp_path / "mlflow.db")
    assert isinstance(connect(uri), Database)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'of the future'")
    database.close()
    with pytest.raises(StoreError, match=r"cannot be read \(") as refused:
        load(uri)
    assert "\n" not in str(refused.value)
