"""The writer process writes what the launching process would. When it is killed, no run is lost or stored twice."""

import os
import signal
from threading import Timer

import psutil
import pytest
from harness import make_config
from stores import assert_whole, create_store, stored

from descent_lab.sweeps import execute
from descent_lab.sweeps.summary import Summary
from descent_lab.tracking.uploader import Uploader
from descent_lab.tracking.writer_process import WriterProcess

N = 12

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy


@pytest.fixture(autouse=True)
def _it_alone_writes(store, monkeypatch):
    create_store(store)
    monkeypatch.setattr(execute, "WRITER_PROCESS_FROM", 1)
    monkeypatch.setattr(Uploader, "_deliver_next", lambda uploader: None)


def run_all(*overrides: str) -> str:
    configs = [make_config("epochs=2", "record.points=3", f"seed={seed}", *overrides) for seed in range(N)]
    return str(execute.run_all(configs, progress=False))


def writers(store) -> set[int]:
    return {int(run.tags["writer"].rpartition(":")[2]) for run in stored(store)}


def test_it_writes_whole_runs_and_ends(store):
    assert run_all() == str(Summary(finished=N))
    assert_whole(store, N)
    assert len(writers(store)) == 1 and os.getpid() not in writers(store)
    assert not any(map(psutil.pid_exists, writers(store)))
    assert run_all() == str(Summary(skipped=N))


def test_clocks_that_are_compared_are_not_disturbed_by_it(store):
    assert run_all("timing=isolated") == str(Summary(finished=N))
    assert writers(store) == {os.getpid()}


@pytest.mark.parametrize("after", [None, 0.0, 0.02, 0.05])
def test_it_is_killed_while_it_writes(store, monkeypatch, capsys, after):
    """after: seconds from its third run; None: before its first run."""
    deliver, ready, n_given = WriterProcess.deliver, WriterProcess.ready, 0

    def kill() -> None:
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.send_signal(signal.SIGKILL)

    def killed_at_the_third(writer, *arguments):
        nonlocal n_given
        n_given += 1
        if n_given == 3:
            Timer(after, kill).start()
        deliver(writer, *arguments)

    def killed_at_once(writer):
        kill()
        return ready(writer)

    if after is None:
        monkeypatch.setattr(WriterProcess, "ready", killed_at_once)
    else:
        monkeypatch.setattr(WriterProcess, "deliver", killed_at_the_third)
    assert run_all() == str(Summary(finished=N))
    assert_whole(store, N)
    assert os.getpid() in writers(store)
    assert capsys.readouterr().err == ""


def test_a_run_that_it_cannot_write_is_kept(store, monkeypatch, capsys):
    monkeypatch.setattr(WriterProcess, "deliver", lambda writer, store, folder, spent: deliver(store, folder))

    def deliver(store, folder):
        raise ConnectionError("no answer")

    monkeypatch.setattr("descent_lab.tracking.uploader._write", lambda store, folder, *rest: deliver(store, folder))
    summary = run_all()
    assert f"{N} runs wait in the outbox" in summary
    assert "stays in the outbox (no answer)" in capsys.readouterr().err
