"""Stores that fail in the middle of a sweep: training goes on, one line says so, and all runs are delivered later."""

import re
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from threading import Timer

import pytest
from faulty_server import faulty_server
from harness import make_config, run_cli
from mlflow import MlflowClient
from stores import assert_whole, create_store, free_port, in_outbox, mlflow_server, start_cli, stored, wait_until

from descent_lab.cli import deliver
from descent_lab.errors import ConfigError
from descent_lab.sweeps.execute import run_all
from descent_lab.tracking import schema
from descent_lab.tracking.uploader import Uploader

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

SWEEP, N = ("-m", "epochs=300", "timing=isolated", "lr=0.1,0.01", "seed=range(8)"), 16
SHORT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}  # seconds; a request is tried three times


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The address of a real tracking server, and its SQLite file."""
    database, port = tmp_path_factory.mktemp("server") / "server.db", free_port()
    with mlflow_server(database, port):
        yield f"http://127.0.0.1:{port}", database


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hangs", "hangs but for health", "answers 500"])
def test_a_server_that_fails_in_the_middle(real, fault):
    """From some request on, in the middle of writing a run, it is of no use."""
    address, database = real
    command = (*SWEEP, f"tracking.experiment={fault.replace(' ', '_')}")
    n_before = len(stored(database))
    with faulty_server(address) as server:
        told = {"MLFLOW_TRACKING_URI": server.uri, **SHORT}
        server.fault_after = (60, fault)
        process = start_cli(*command, **told)
        wait_until(lambda: server.fault == fault or process.poll() is not None)
        begin = time.monotonic()
        out, err = process.communicate(timeout=300)
        assert time.monotonic() - begin < 40  # one request that is tried three times, and training
        assert process.returncode == 3, out + err
        assert f"{N} finished, 0 diverged, 0 failed" in out
        (line,) = err.splitlines()
        assert "stays in the outbox (" in line and len(line) < 300
        assert 5 < len(in_outbox()) < N
        begin = time.monotonic()
        refused = run_cli(*command, **told)
        assert time.monotonic() - begin < 40
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        server.fault = "well"
        again = run_cli(*command, **told)
    assert again.code == 0 and f"0 finished, 0 diverged, 0 failed, {N} skipped" in again.out, again
    runs = stored(database)[n_before:]
    assert [run.status for run in runs] == ["FINISHED"] * N
    assert len({run.identity for run in runs}) == N
    assert in_outbox() == set()


def sweep(*overrides: str, seeds: int = 3) -> str:
    """Train and track some small runs in this process; the exit code, and what is said at the end."""
    configs = [make_config("epochs=2", "record.points=3", f"seed={seed}", *overrides) for seed in range(seeds)]
    summary = run_all(configs, progress=False)
    return f"{summary.code}: {summary}"


@contextmanager
def locked(store, seconds: float):
    """Another program writes to the store for so many seconds, and not beyond the block."""
    with closing(sqlite3.connect(store, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = Timer(seconds, other.rollback)
        timer.start()
        yield
        timer.cancel()


def test_a_store_that_is_locked_for_a_while_is_waited_for(store, capfd):
    create_store(store)
    sweep(seeds=1)
    with locked(store, 1):
        assert sweep().startswith("0: 2 finished")
    assert capfd.readouterr().err == ""
    assert_whole(store, 3)


def test_a_store_that_is_locked_for_too_long_gets_its_runs_later(store, capfd, monkeypatch):
    create_store(store)
    sweep(seeds=1)
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.2)
    with locked(store, 60):
        assert sweep().startswith("3: 2 runs wait in the outbox")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("in the outbox (database is locked)")
    assert deliver.main() == 0
    assert_whole(store, 3)


@pytest.mark.parametrize("known", [True, False], ids=["by SQL", "through the client"])
def test_an_experiment_that_is_deleted_in_the_middle(store, capfd, monkeypatch, known):
    client = MlflowClient(create_store(store))
    if not known:
        monkeypatch.setattr(schema, "TESTED", frozenset())
    take = Uploader.take

    def deleted_after_the_first(self, *arguments):
        take(self, *arguments)
        if len(stored(store)) == 1:
            client.delete_experiment("1")

    monkeypatch.setattr(Uploader, "take", deleted_after_the_first)
    assert sweep("timing=isolated", seeds=5).startswith("3: 4 runs wait in the outbox")
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "of a revision" not in line)
    assert "stays in the outbox (" in line and "deleted" in line
    with pytest.raises(ConfigError, match=r"experiment optimizers is deleted: .* restore"):
        sweep(seeds=5)
    assert len(in_outbox()) == 4
    client.restore_experiment("1")
    assert sweep("timing=isolated", seeds=5).startswith("0: 4 runs that an earlier start")
    assert_whole(store, 5)


@pytest.fixture
def disk(store):
    """The folder of the store as a small disk of its own; gives a function that mounts it again with other options."""

    def mount(options: str, kind: str = "-t tmpfs tmpfs") -> None:
        subprocess.run(["mount", "-o", options, *kind.split(), store.parent], check=True, stderr=subprocess.DEVNULL)

    try:
        mount("size=3m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    try:
        yield lambda options: mount(f"remount,{options}", "")
    finally:
        subprocess.run(["umount", "--lazy", store.parent], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("breaks", "mends", "reason"),
    [("size=3m", "size=50m", "full|No space"), ("ro", "rw,size=50m", "unable to open database file")],
    ids=["full", "read-only"],
)
def test_a_disk_of_the_store_that_is_full_or_read_only(store, disk, breaks, mends, reason):
    command = ("-m", "epochs=20", "record.points=3", "tracking.summary=false")
    assert run_cli(*command, "seed=range(2)").code == 0
    disk(breaks)
    failed = run_cli(*command, "seed=range(200)")
    disk(mends)
    assert failed.code == 3 and failed.err.count("\n") <= 3, failed  # one for the files of runs, and one for the store
    assert "198 finished" in failed.out and re.search(reason, failed.err)
    assert run_cli(command=("-m", "src.deliver")).code == 0
    assert_whole(store, 200)
