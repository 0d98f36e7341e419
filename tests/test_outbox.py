"""Finished runs are on disk, complete, before they are delivered. Whatever happens, each arrives exactly once."""

import errno
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from time import sleep

import numpy as np
import pytest
import yaml
from harness import make_config
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from stores import assert_whole, create_store, in_outbox, stored

from descent_lab.cli import deliver
from descent_lab.errors import ConfigError
from descent_lab.paths import ROOT
from descent_lab.sweeps import live
from descent_lab.sweeps.execute import run_all
from descent_lab.sweeps.summary import Summary
from descent_lab.tracking import database, npz, outbox, schema, server
from descent_lab.tracking.database import DatabaseStore
from descent_lab.tracking.server import ServerStore
from descent_lab.tracking.stores import Delivery, Stores
from descent_lab.tracking.uploader import deliver_abandoned

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

SMALL = ("epochs=2", "record.points=3")


def sweep(*overrides: str, seeds: int = 3) -> Summary:
    """Train and track some small runs in this process."""
    return run_all([make_config(*SMALL, f"seed={seed}", *overrides) for seed in range(seeds)], progress=False)


@pytest.fixture(autouse=True)
def _empty_store(store):
    create_store(store)


def test_the_same_sweep_again_does_nothing(store):
    assert str(sweep()) == str(Summary(finished=3))
    assert str(sweep()) == str(Summary(skipped=3))
    assert_whole(store, 3)


def test_one_worker_is_not_this_process(store):
    assert sweep("engine=processes", "engine.workers=1").finished == 3
    assert_whole(store, 3)


def test_force_runs_again_each_time(store):
    for _ in range(3):
        assert sweep("force=true").finished == 3
    assert len(stored(store)) == 9
    assert all(run.whole for run in stored(store))


def test_a_lost_store_keeps_runs_and_the_next_start_delivers_them(store, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseStore, "deliver", _no_answer)
        summary = sweep()
    assert (summary.code, summary.undelivered, len(in_outbox())) == (3, 3, 3)
    assert "wait in the outbox: python -m src.deliver" in str(summary)
    assert "stays in the outbox (no answer)" in capsys.readouterr().err
    summary = sweep(seeds=5)
    assert (summary.code, summary.delivered, summary.skipped, summary.finished) == (0, 3, 3, 2)
    assert_whole(store, 5)


def _no_answer(*_, **__):
    raise ConnectionError("no answer")


def test_one_refused_run_does_not_hold_up_the_others(store, monkeypatch, capsys):
    prepared = DatabaseStore._prepared

    def picky(self, delivery):
        if delivery.finished.params["seed"] == "1":
            raise ValueError("refused")
        return prepared(self, delivery)

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseStore, "_prepared", picky)
        assert sweep(seeds=5).undelivered == 1
    assert "stays in the outbox (refused)" in capsys.readouterr().err
    assert len(stored(store)) == 4
    assert deliver.main() == 0
    assert_whole(store, 5)


@pytest.fixture
def by_client(monkeypatch):
    """The store is written through MLflow's client, as where its tables are not known."""
    monkeypatch.setattr(schema, "TESTED", frozenset())


CALLS = [
    *((DatabaseStore, call) for call in ("_same", "_insert", "_insert_inputs", "_write")),
    (database, "_keep_files"),
    (outbox, "discard"),
]
CALLS_OF_CLIENT = [
    *((MlflowClient, call) for call in ("create_run", "log_batch", "set_terminated")),
    (LocalArtifactRepository, "log_artifacts"),
    (outbox, "discard"),
]


def breaks_off(store, monkeypatch, owner, call, done):
    """In the first sweep this call fails, before or after its effect. The second sweep repairs everything."""
    Stores().at(f"sqlite:///{store}", "optimizers")  # creates the experiment
    make = getattr(owner, call)

    def breaks(*arguments, **named):
        if done:
            make(*arguments, **named)
        raise ConnectionError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, breaks)
        assert sweep().code == 3
    assert sweep().code == 0
    assert_whole(store, 3)


@pytest.mark.parametrize(("owner", "call"), CALLS, ids=[call for _, call in CALLS])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_delivery_that_breaks_off_anywhere_is_made_whole(store, monkeypatch, owner, call, done):
    breaks_off(store, monkeypatch, owner, call, done)
    assert len(list((store.parent / "mlartifacts").iterdir())) == 3


@pytest.mark.usefixtures("by_client")
@pytest.mark.parametrize(("owner", "call"), CALLS_OF_CLIENT, ids=[call for _, call in CALLS_OF_CLIENT])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_delivery_by_the_client_that_breaks_off_anywhere_is_made_whole(store, monkeypatch, owner, call, done):
    breaks_off(store, monkeypatch, owner, call, done)


def test_offline_fills_the_outbox_once(store, capsys):
    assert (sweep("tracking.offline=true").code, len(in_outbox())) == (3, 3)
    assert stored(store) == []
    again = sweep("tracking.offline=true")
    assert (again.skipped, again.finished, len(in_outbox())) == (3, 0, 3)
    assert deliver.main() == 0
    assert "3 runs delivered, 0 left" in capsys.readouterr().out
    assert_whole(store, 3)


def test_two_stores_in_one_sweep(store, tmp_path):
    places = [f"tracking.uri=sqlite:///{store}", f"tracking.uri={create_store(tmp_path / 'other' / 'mlflow.db')}"]
    configs = [make_config(*SMALL, f"seed={seed}", place) for place in places for seed in range(2)]
    assert run_all(configs, progress=False).finished == 4
    assert run_all(configs, progress=False).skipped == 4
    assert_whole(store, 2)
    assert_whole(tmp_path / "other" / "mlflow.db", 2)


def test_a_relative_store_is_found_again_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert sweep("tracking.uri=sqlite:///here/mlflow.db", "tracking.offline=true").undelivered == 3
    monkeypatch.chdir(ROOT)
    assert deliver.main() == 0
    assert_whole(tmp_path / "here" / "mlflow.db", 3)


@pytest.mark.parametrize("damage", ["", "{", '{"name": "of another version"}', "no curves"])
def test_a_damaged_run_is_named_and_stays_and_the_others_are_delivered(store, capsys, damage):
    sweep("tracking.offline=true")
    run_file = sorted(outbox.root().glob(f"*/*/{outbox.RUN_FILE}"))[1]
    if damage == "no curves":
        (run_file.parent / "artifacts" / "curves.npz").unlink()
    else:
        run_file.write_text(damage)
    deliver.main()
    assert len(stored(store)) - len([run for run in stored(store) if not run.whole]) == 2
    assert run_file.parent.name in capsys.readouterr().err
    assert run_file.exists()


def test_a_run_that_an_earlier_version_left_in_the_outbox_is_delivered(store):
    """All names in its folder are written out here as version 0.1 wrote them; only the arrays are of this version."""
    sweep("tracking.offline=true", seeds=1)
    (((folder, _),),) = outbox.abandoned_runs()
    earlier = outbox.root() / "0a1b2c.session" / "3d4e5f"
    earlier.mkdir(parents=True)
    (folder / "artifacts").rename(earlier / "artifacts")
    shutil.rmtree(folder.parent)
    config = make_config(*SMALL, "seed=0")
    values = {
        "name": config.name,
        "params": config.params,
        "tags": {"identity": config.identity, "status": "finished", "timing": "shared", "sweep": "of before"},
        "summary": {"final/train_loss": 1.5, "best/train_loss": 1.25},
        "ledger": {"setup": 0.1, "compile": 0.0, "step": 0.2, "eval": 0.1, "log": 0.1, "wall": 0.5},
        "started": 1.7e9,
        "uri": f"sqlite:///{store}",
        "experiment": "optimizers",
        "force": False,
    }
    (earlier / "parcel.json").write_text(json.dumps(values))
    assert deliver.main() == 0
    assert_whole(store, 1)
    (run,) = stored(store)
    assert (run.identity, run.tags["sweep"], run.tags["parcel"]) == (config.identity, "of before", "3d4e5f")


@pytest.mark.parametrize("way", [DatabaseStore, ServerStore])
def test_two_sweeps_of_the_same_runs_that_take_turns_double_none(store, way):
    sweep("tracking.offline=true")
    folders = [run_file.parent for run_file in sorted(outbox.root().glob(f"*/*/{outbox.RUN_FILE}"))]
    configs = [make_config(*SMALL, f"seed={seed}") for seed in range(3)]
    one, other = (way(f"sqlite:///{store}", "optimizers") for _ in range(2))
    for writer in (one, other):
        assert writer.finished(configs) == {}
    for writer in (other, one):
        for folder in folders:
            writer.deliver([Delivery(folder, outbox.read(folder))])
    assert len(stored(store)) == 3


def test_a_run_that_another_is_writing_is_waited_for_and_not_doubled(store, monkeypatch):
    """The run has no params yet, so that a search for finished runs does not find it."""
    sweep("tracking.offline=true", seeds=1)
    (folder,) = (run_file.parent for run_file in outbox.root().glob(f"*/*/{outbox.RUN_FILE}"))
    config, finished = make_config(*SMALL, "seed=0"), outbox.read(folder)
    one, other = (ServerStore(f"sqlite:///{store}", "optimizers") for _ in range(2))
    monkeypatch.setattr("descent_lab.tracking.server.is_gone", lambda writer: False)  # as if of two processes
    one.finished([config])
    fill = server.copy_files

    def other_looks_meanwhile(*arguments):
        monkeypatch.setattr(server, "copy_files", fill)
        assert other.finished([config]) == {}
        threads.append(Thread(target=other.deliver, args=([Delivery(folder, finished)],)))
        threads[0].start()
        sleep(0.5)
        fill(*arguments)

    threads: list[Thread] = []
    monkeypatch.setattr(server, "copy_files", other_looks_meanwhile)
    one.deliver([Delivery(folder, finished)])
    threads[0].join()
    assert [run.whole for run in stored(store)] == [True]


def test_a_writer_that_does_not_go_on_is_overtaken_and_notices(store, monkeypatch):
    sweep("tracking.offline=true", seeds=1)
    (folder,) = (run_file.parent for run_file in outbox.root().glob(f"*/*/{outbox.RUN_FILE}"))
    finished = outbox.read(folder)
    one, other = (ServerStore(f"sqlite:///{store}", "optimizers") for _ in range(2))
    monkeypatch.setattr("descent_lab.tracking.server.is_gone", lambda writer: False)
    monkeypatch.setattr("descent_lab.tracking.server.OTHER_WRITER_SECONDS", 0.3)
    fill = server.copy_files

    def stopped(*arguments):
        monkeypatch.setattr(server, "copy_files", fill)
        other.deliver([Delivery(folder, finished)])
        fill(*arguments)

    monkeypatch.setattr(server, "copy_files", stopped)
    with pytest.raises(Exception, match="active"):
        one.deliver([Delivery(folder, finished)])
    one.deliver([Delivery(folder, finished, again=True)])
    assert [run.whole for run in stored(store)] == [True]


def test_two_machines_that_claim_a_run_at_once_write_it_once(store, monkeypatch):
    """The machines share no lock."""
    sweep("tracking.offline=true", seeds=1)
    (folder,) = (run_file.parent for run_file in outbox.root().glob(f"*/*/{outbox.RUN_FILE}"))
    finished = outbox.read(folder)
    monkeypatch.setattr("descent_lab.tracking.server.is_gone", lambda writer: False)
    monkeypatch.setattr(ServerStore, "_alone", lambda store: nullcontext())
    stores = [ServerStore(f"sqlite:///{store}", "optimizers") for _ in range(3)]
    together = Barrier(len(stores))

    def create(store, *arguments, make=ServerStore._create):
        with suppress(BrokenBarrierError):
            together.wait(timeout=1)
        return make(store, *arguments)

    monkeypatch.setattr(ServerStore, "_create", create)
    threads = [Thread(target=each.deliver, args=([Delivery(folder, finished)],)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.whole for run in stored(store)] == [True]


def test_folders_of_others_in_the_outbox_are_left_alone():
    strange = outbox.root() / "mine"
    strange.mkdir(parents=True)
    assert deliver_abandoned(Stores()) == (0, 0)
    assert strange.exists()


def test_what_a_living_process_writes_is_left_alone():
    session = outbox.Session()
    code = "from descent_lab.tracking.uploader import *; print(deliver_abandoned(Stores()))"
    for holder, stays in (("alive", True), ("gone", False)):
        if holder == "gone":
            session.lock.release()
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert (done.stdout, session.folder.exists()) == ("(0, 0)\n", stays)
    assert list(outbox.root().iterdir()) == []


def test_a_half_written_run_counts_as_not_run(store):
    session = outbox.Session()
    (session.folder / f"half{outbox.DRAFT}").mkdir()
    (session.folder / f"half{outbox.DRAFT}" / outbox.RUN_FILE).write_text("{")
    session.lock.release()
    assert sweep().finished == 3
    assert_whole(store, 3)


def test_an_outbox_that_cannot_be_written_is_refused_before_training(store, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(outbox.VARIABLE, str(tmp_path / "file" / "outbox"))
    with pytest.raises(ConfigError, match=r"outbox .*file/outbox: cannot be written \(Not a directory\)"):
        sweep()


def test_an_outbox_deleted_in_the_middle_is_reported(monkeypatch, capsys):
    def vanishes(self, batch):
        shutil.rmtree(outbox.root())

    monkeypatch.setattr(DatabaseStore, "deliver", vanishes)
    assert sweep("timing=isolated", seeds=1).code == 3
    assert "not readable" in capsys.readouterr().err


def test_a_full_disk_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(outbox, "disk_usage", lambda _: namedtuple("Usage", "free")(0))
    with pytest.raises(ConfigError, match="No space left on device"):
        sweep()


def test_a_disk_that_fills_up_keeps_what_was_finished(store, monkeypatch):
    put, n_put = npz.write, []

    def fills_up(path: Path, arrays) -> None:
        n_put.append(path)
        if len(n_put) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(npz, "write", fills_up)
        with pytest.raises(ConfigError, match="No space left on device"):
            sweep("timing=isolated", seeds=5)
    assert len(stored(store)) == 3
    assert sweep("timing=isolated", seeds=5).finished == 2
    assert_whole(store, 5)


@pytest.fixture
def watched(monkeypatch):
    """Every record is shown in MLflow during training."""
    monkeypatch.setattr(live, "LIVE_SECONDS", 0.0)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_long_run_is_seen_while_it_trains_and_is_one_run_when_done(store, monkeypatch, seeds):
    seen, extend = [], DatabaseStore.extend

    def look(self, *arguments):
        extend(self, *arguments)
        seen.append([(run.status, run.metrics["train/loss"]) for run in stored(store)])

    monkeypatch.setattr(DatabaseStore, "extend", look)
    assert sweep("epochs=4", "record.every=1", seeds=seeds).finished == seeds
    assert [("RUNNING", 2)] in [look[:1] for look in seen]
    assert {status for look in seen for status, _ in look} == {"RUNNING"}
    assert_whole(store, seeds)


@pytest.mark.usefixtures("watched")
def test_an_interrupted_run_is_shown_no_longer(store, monkeypatch):
    extend = DatabaseStore.extend

    def interrupted(self, *arguments):
        extend(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseStore, "extend", interrupted)
        assert sweep(seeds=1).code == 130
    assert stored(store) == []


@pytest.mark.usefixtures("watched")
def test_training_goes_on_when_it_cannot_be_shown(store, monkeypatch, capsys):
    monkeypatch.setattr(DatabaseStore, "begin", _no_answer)
    assert sweep(seeds=1).finished == 1
    assert "not shown live (no answer)" in capsys.readouterr().err
    assert_whole(store, 1)


def test_curves_survive_the_outbox_bit_by_bit(store):
    sweep("tracking.offline=true", seeds=1)
    (((folder, finished),),) = outbox.abandoned_runs()
    curves = outbox.curves(folder / "artifacts")
    assert deliver.main() == 0
    (run,) = stored(store)
    assert run.tags["status"] == "finished"
    assert yaml.safe_load((run.artifacts / "config.yaml").read_text())["seed"] == 0
    assert finished.key == (f"sqlite:///{store}", "optimizers", run.identity)
    for name, values in run.curves.items():
        np.testing.assert_array_equal(values, curves[name])
