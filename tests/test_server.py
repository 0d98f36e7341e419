"""The tracking server for a team, MLflow on PostgreSQL: a sweep is written to it, and read from it after a restart."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from harness import run_cli
from stores import answers, free_port, in_outbox, wait_until

from descent_lab.paths import ROOT
from descent_lab.tracking.reader import load

SERVER = ROOT / "scripts" / "server.sh"
SWEEP = ("-m", "epochs=20", "backend=numpy,random_search", "lr=0.1,0.01", "seed=range(3)")
N_RUNS = 12


@contextmanager
def team_server(folder, port):
    environment = {**os.environ, "SERVER_DATA": str(folder), "SERVER_PORT": str(port), "SERVER_WORKERS": "1"}
    with (folder.parent / "log").open("w+") as log:
        process = subprocess.Popen([SERVER], env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health"))
            assert process.poll() is None, (folder.parent / "log").read_text()
            yield environment
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@pytest.fixture
def folder():
    """A folder that the user of PostgreSQL can open, as well as this user."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made) / "server"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_sweep_and_its_reading_on_postgresql(folder):
    pytest.importorskip("psycopg")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with team_server(folder, port) as environment:
        first = run_cli(*SWEEP, "engine=processes", MLFLOW_TRACKING_URI=address)
        assert (first.code, in_outbox()) == (0, set()), first.err
        second = subprocess.run([SERVER], env=environment, capture_output=True, text=True)
        assert (second.returncode, "in use by another server" in second.stderr) == (2, True)
    with team_server(folder, port):  # after a restart it holds the same runs
        again = run_cli(*SWEEP, MLFLOW_TRACKING_URI=address)
        assert f"{N_RUNS} skipped" in again.out, again.out + again.err
        results = load(uri=address, experiment="optimizers")
        assert len(results.runs) == N_RUNS
        assert set(results.runs["backend"]) == {"numpy", "random_search"}
        assert results.runs["identity"].is_unique
        assert results.curves.groupby("run_id")["step"].max().eq(20).all()
        assert results.theta(results.runs["run_id"].iloc[0]).keys() >= {"init", "best", "final"}
    assert not answers(f"{address}/health")


def test_a_machine_without_postgresql_is_told_what_to_install(tmp_path):
    for tool in ("bash", "dirname", "realpath", "sort", "tail"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    script = tmp_path / "scripts" / "server.sh"
    script.parent.mkdir()
    script.write_text(SERVER.read_text().replace("/usr/lib/postgresql", str(tmp_path)))
    done = subprocess.run(["bash", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "server: initdb not found; apt-get install postgresql\n")
