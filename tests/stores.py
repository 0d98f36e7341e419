"""What tests of whole sweeps share: empty stores, what a store and an outbox hold, and commands in other processes."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import numpy as np
import psutil
import pytest

from descent_lab.paths import ROOT
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.execute import run_all
from descent_lab.tracking import outbox
from descent_lab.tracking.database import prepare
from descent_lab.tracking.entry import ADDED

FILES = {"config.yaml", "curves.npz", "predictions.npz", "theta.npz"}


@dataclass(frozen=True)
class Stored:
    """A run as it is in a SQLite store."""

    run_id: str
    status: str
    identity: str
    tags: dict[str, str]
    n_params: int
    metrics: dict[str, int]  # the number of points of each metric
    artifacts: Path

    @property
    def curves(self) -> dict[str, np.ndarray]:
        with np.load(self.artifacts / "curves.npz") as file:
            return dict(file)

    @property
    def whole(self) -> bool:
        """Whether the run is complete: status, artifacts, params, tags, and all points of all curves."""
        if self.status != "FINISHED" or {path.name for path in self.artifacts.iterdir()} != FILES:
            return False
        n_records = len(self.curves["step"])
        logged = {name: self.metrics.get(name) for name in self.curves if name not in ("step", "epoch")}
        expected = {"final/train_loss", "best/train_loss", "ledger/wall_seconds"} <= set(self.metrics)
        return expected and self.n_params > 40 and "status" in self.tags and set(logged.values()) == {n_records}


def stored(database: Path) -> list[Stored]:
    """The trained runs of a SQLite store that have not been deleted."""
    if not database.exists():
        return []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        alive = "select run_uuid, status, artifact_uri from runs where lifecycle_stage = 'active'"
        runs = [_stored(connection.execute, *row) for row in connection.execute(alive).fetchall()]
    connection.close()
    return [run for run in runs if run.tags.keys().isdisjoint(ADDED)]


def create_store(file: Path) -> str:
    """Create a SQLite store without runs, and return its address."""
    file.parent.mkdir(parents=True, exist_ok=True)
    prepare(f"sqlite:///{file}")
    return f"sqlite:///{file}"


def _stored(query: Callable, run_id: str, status: str, artifacts: str) -> Stored:
    tags = dict(query("select key, value from tags where run_uuid = ?", [run_id]))
    (n_params,) = query("select count(*) from params where run_uuid = ?", [run_id]).fetchone()
    metrics = dict(query("select key, count(*) from metrics where run_uuid = ? group by key", [run_id]))
    return Stored(run_id, status, tags.get("identity", ""), tags, n_params, metrics, _local(artifacts))


def _local(artifacts: str) -> Path:
    return Path(artifacts.removeprefix("file://"))


def finished(database: Path) -> set[str]:
    """The identities of the finished runs of a store; none while the store is being created."""
    try:
        return {run.identity for run in stored(database) if run.status == "FINISHED"}
    except sqlite3.OperationalError:
        return set()


def in_outbox() -> set[str]:
    """The identities of the finished runs in the outbox."""
    identities = set()
    for run_file in outbox.root().glob(f"*/*/{outbox.RUN_FILE}"):
        try:
            identities |= (
                {json.loads(run_file.read_text())["tags"]["identity"]}
                if run_file.parent.suffix != outbox.DRAFT
                else set()
            )
        except FileNotFoundError:
            continue  # the run has just been delivered
    return identities


def assert_whole(database: Path, n_runs: int) -> None:
    """The store holds n_runs different runs, each once and complete, and the outbox holds none."""
    runs = stored(database)
    assert len(runs) == n_runs
    assert len({run.identity for run in runs}) == n_runs
    assert [run.run_id for run in runs if not run.whole] == []
    assert sorted(path.name for path in outbox.root().glob("*") if path.suffix != ".lock") == []


def start_cli(*arguments: str, module: str = "src.run", **environment: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition holds. Raises TimeoutError if it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def busiest(process: subprocess.Popen[str]) -> tuple[float, psutil.Process]:
    """The process below this one that has used the processor for the most seconds, and these seconds."""
    used = [(0.0, psutil.Process(process.pid))]
    for child in children(process):
        with suppress(psutil.NoSuchProcess):
            used.append((child.cpu_times().user, child))
    return max(used, key=lambda pair: pair[0])


def assert_gone(processes: list[psutil.Process]) -> None:
    """All of these processes end by themselves within 20 seconds."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert [process.cmdline() for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def free_port() -> int:
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        return int(at.getsockname()[1])


@contextmanager
def mlflow_server(database: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A tracking server on a SQLite store, which is killed at the end."""
    command = ["server", f"--backend-store-uri=sqlite:///{database}", f"--port={port}", "--workers=1"]
    files = f"--artifacts-destination={database.parent / 'artifacts'}"
    with (database.parent / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, files],
            cwd=database.parent,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        yield process
    finally:
        kill_group(process)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def kill_group(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def store_of(folder: Path, configs: Sequence[Config]) -> str:
    """Train these runs into a new store in this folder, and return its address."""
    uri = create_store(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("DESCENT_OUTBOX", str(folder / "outbox"))
        run_all(configs, progress=False)
    return uri


def earlier_store(folder: Path) -> str:
    """Unpack into a folder the store that version 0.1.0 wrote, before the code became a package; return its address.

    15 runs of the experiment `earlier`: every backend, eight optimizers, a csv file, batch normalisation, float32.
    """
    with tarfile.open(Path(__file__).parent / "fixtures" / "earlier_store.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    for config in folder.rglob("config.yaml"):
        config.write_text(config.read_text().replace("{FOLDER}", str(folder)))
    dump = folder / "store.sql"
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.executescript(dump.read_text().replace("{FOLDER}", str(folder)))
    database.close()
    return f"sqlite:///{folder / 'mlflow.db'}"


@contextmanager
def postgresql() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server of its own; gives a function from a name to the address of a new, empty database.

    Skips the test where PostgreSQL is not installed. It does not run as root, and so not in a folder of pytest.
    """
    pytest.importorskip("psycopg")
    tools = [shutil.which("initdb"), shutil.which("pg_ctl")]
    tools = tools if all(tools) else sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/*")))
    found = {Path(tool).name: tool for tool in tools}
    if not {"initdb", "pg_ctl"} <= set(found):
        pytest.skip("PostgreSQL is not installed")
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def call(tool: str, *arguments: str) -> None:
        subprocess.run([*user, found[tool], *arguments], cwd="/", check=True, stdout=subprocess.DEVNULL)

    with TemporaryDirectory(dir="/tmp") as made:  # a short path, as that of a socket must not exceed 107 characters
        if user:
            shutil.chown(made, "postgres")
        data, socket_folder = f"{made}/data", f"-k {made} -c listen_addresses='' -c fsync=off"
        call("initdb", "--pgdata", data, "--username", "mlflow", "--auth", "trust", "--encoding", "UTF8")
        call("pg_ctl", "--pgdata", data, "--log", f"{made}/log", "--wait", "--options", socket_folder, "start")
        try:
            yield lambda name: _new_database(made, name)
        finally:
            call("pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop")


def _new_database(server: str, name: str) -> str:
    import psycopg

    with psycopg.connect(f"host={server} user=mlflow dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://mlflow@/{name}?host={server}"
