"""Real processes, killed at any moment: the same command again, and every run is in the store exactly once."""

import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress

import pytest
from harness import run_cli
from stores import (
    assert_gone,
    assert_whole,
    children,
    finished,
    free_port,
    in_outbox,
    kill_group,
    mlflow_server,
    start_cli,
    stored,
    wait_until,
)

from descent_lab.tracking import outbox

MANY = ("-m", "epochs=300", "optimizer=sgd,adam,momentum", "lr=0.1,0.01", "seed=range(8)", "timing=isolated")
N_MANY = 48
SOME, N_SOME = (*MANY[:2], "optimizer=sgd", *MANY[3:]), 16
STACKED = ("-m", "epochs=50", "lr=0.1,0.01", "seed=range(20)")  # trained at once, then delivered for a while
N_STACKED = 40
LARGE, N_LARGE = (*STACKED[:3], "seed=range(75)"), 150


def begun() -> bool:
    return any(outbox.root().glob(f"*{outbox.SESSION}"))


def statuses(store) -> list[str]:
    try:
        return [run.status for run in stored(store)]
    except sqlite3.OperationalError:  # it is being created
        return []


def killed_then_again(store, command, n_runs, moment) -> None:
    process = start_cli(*command)
    wait_until(lambda: begun() or process.poll() is not None)
    workers = children(process)
    moment()
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = finished(store) | in_outbox()
    again = run_cli(*command)
    counts = f"{n_runs - len(done)} finished, 0 diverged, 0 failed, {len(done)} skipped"
    assert again.code == 0, again
    assert counts in again.out
    assert_whole(store, n_runs)
    assert_gone(workers)


def test_killed_while_it_delivers(store):
    killed_then_again(store, STACKED, N_STACKED, lambda: wait_until(lambda: len(finished(store)) > 3))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 30, 100])
def test_killed_in_the_middle_of_many(store, n):
    killed_then_again(store, LARGE, N_LARGE, lambda: wait_until(lambda: len(finished(store)) >= n))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda store: None, id="as training begins"),
        pytest.param(lambda store: wait_until(in_outbox), id="with the first run in the outbox"),
        pytest.param(lambda store: wait_until(lambda: len(finished(store)) > 10), id="with ten in the store"),
        *(
            pytest.param(lambda store, at=at: time.sleep(at), id=f"after {at:.2f} s")
            for at in random.Random(1).choices([x / 100 for x in range(150)], k=3)
        ),
    ],
)
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_killed_at_any_moment(store, moment, engine):
    killed_then_again(store, (*MANY, f"engine={engine}"), N_MANY, lambda: moment(store))


@pytest.mark.slow
def test_killed_again_and_again(store):
    moments, n_kills = random.Random(2), 0
    process = start_cli(*MANY)
    while process.poll() is None and n_kills < 8:
        wait_until(lambda process=process: begun() or process.poll() is not None)
        time.sleep(moments.uniform(0, 2.5))
        kill_group(process)
        process.communicate()
        n_kills += 1
        process = start_cli(*MANY)
    process.communicate()
    assert process.returncode == 0
    assert_whole(store, N_MANY)


@pytest.mark.slow
def test_killed_at_fifty_random_moments(store):
    """Each command adds 8 runs; kills begin before there is a store, and fall into every part of a sweep."""
    moments, n_kills, n_seeds = random.Random(3), 0, 0
    while n_kills < 50:
        n_seeds += 4
        command = ("-m", "epochs=50", "lr=0.1,0.01", f"seed=range({n_seeds})")
        process = start_cli(*command)
        if n_seeds > 8:
            wait_until(lambda process=process: begun() or process.poll() is not None)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0, 1))
        n_kills += process.poll() is None
        kill_group(process)
        process.communicate()
    assert run_cli(*command).code == 0
    assert_whole(store, 2 * n_seeds)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_ctrl_c_keeps_and_delivers_what_is_finished(store, engine):
    process = start_cli(*MANY, f"engine={engine}")
    wait_until(lambda: len(finished(store)) > 3)
    workers = children(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with the rest" in out
    assert "Traceback" not in err
    assert_gone(workers)
    assert_whole(store, len(finished(store)))
    done = len(finished(store))
    assert f"{N_MANY - done} finished, 0 diverged, 0 failed, {done} skipped" in run_cli(*MANY).out
    assert_whole(store, N_MANY)


@pytest.mark.slow
@pytest.mark.parametrize("n_sweeps", [2, 8])
@pytest.mark.parametrize("same", [True, False], ids=["the same", "different"])
def test_sweeps_at_once_on_one_new_store(store, n_sweeps, same):
    seeds = ["range(12)"] * n_sweeps if same else [f"range({6 * i},{6 * i + 6})" for i in range(n_sweeps)]
    sweeps = [start_cli("-m", "epochs=20", "lr=0.1,0.01", f"seed={few}") for few in seeds]
    for process in sweeps:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
        assert "0 failed" in out
    assert_whole(store, 24 if same else 12 * n_sweeps)


@pytest.mark.slow
def test_a_long_run_that_was_shown_live_is_removed_after_a_kill(store):
    process = start_cli("epochs=100000000", "record.every=1000")
    wait_until(lambda: "RUNNING" in statuses(store))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert run_cli("epochs=1").code == 0
    assert_whole(store, 1)


def test_a_store_that_does_not_answer_is_refused_in_seconds():
    begin = time.monotonic()
    answer = run_cli("epochs=1", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - begin < 20
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "cannot be opened (" in answer.err and "tracking.offline=true keeps runs in the outbox" in answer.err
    assert not begun()


@pytest.mark.slow
@pytest.mark.parametrize(("later", "command", "n"), [("src.deliver", SOME, N_SOME), ("src.run", LARGE, N_LARGE)])
def test_a_server_killed_in_the_middle_loses_nothing(tmp_path, later, command, n):
    database, port = tmp_path / "server.db", free_port()
    address = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    with mlflow_server(database, port):
        process = start_cli(*command, **address)
        wait_until(lambda: len(finished(database)) > n // 5)
    out, err = process.communicate(timeout=300)
    n_kept = len(in_outbox())
    assert (process.returncode, n_kept > 5) == (3, True), out + err
    assert f"{n_kept} runs wait in the outbox" in out
    assert f"{n} finished, 0 diverged, 0 failed, 0 skipped" in out
    assert "stays in the outbox" in err and "Traceback" not in err
    with mlflow_server(database, port):
        answer = run_cli(*(command if later == "src.run" else ()), command=("-m", later), **address)
    assert answer.code == 0
    assert f"{n_kept} runs" in answer.out
    assert ("were delivered" if later == "src.run" else "runs delivered, 0 left") in answer.out
    runs = stored(database)
    assert [run.status for run in runs] == ["FINISHED"] * n
    assert len({run.identity for run in runs}) == n
    assert not begun()
