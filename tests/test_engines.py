"""The same curves from every engine, and no work lost with a worker; each against the real thing on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from fragile import WORKS
from harness import CONF, make_config, run_cli
from stores import assert_gone, assert_whole, busiest, children, finished, start_cli, stored, wait_until

from descent_lab.errors import ConfigError, Failure
from descent_lab.paths import ROOT
from descent_lab.sweeps.engines.base import attempt
from descent_lab.sweeps.engines.processes import Processes
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.worker import Stack, train_stack

SWEEP = ("-m", "epochs=20", "backend=numpy,jax", "lr=0.1,0.01", "seed=range(2)")
N_RUNS = 8
CLUSTERS = {"dask": ("distributed", []), "ray": ("ray", []), "slurm": ("submitit", ["engine.cluster=local"])}
EVERY = ["processes", *(pytest.param(name, marks=pytest.mark.slow) for name in CLUSTERS)]


def options(engine: str) -> list[str]:
    """Overrides that start an engine here with two workers; skips the test where it is not installed."""
    module, more = CLUSTERS.get(engine, ("concurrent.futures", []))
    pytest.importorskip(module)
    return [f"engine={engine}", "engine.workers=2", *more]


def with_fragile_works(engine: str, folder: Path, works: tuple[str, ...]) -> dict:
    done = subprocess.run(
        [sys.executable, "tests/fragile.py", engine, str(folder), *works],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_every_engine_is_tested():
    assert {path.stem for path in (CONF / "engine").glob("*.yaml")} == {"serial", "processes", *CLUSTERS}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Curves by identity, as one process makes them."""
    database = tmp_path_factory.mktemp("serial") / "mlflow.db"
    outbox = str(database.parent / "outbox")
    answer = run_cli(*SWEEP, MLFLOW_TRACKING_URI=f"sqlite:///{database}", DESCENT_OUTBOX=outbox)
    assert answer.code == 0, answer.err
    return {run.identity: run.curves for run in stored(database)}


def test_processes_give_the_curves_of_one_process():
    configs = [make_config("epochs=20", f"seed={seed}", f"lr={lr}") for seed in range(2) for lr in (0.1, 0.01)]
    engine = make_config("engine=processes", "engine.workers=2").engine
    stacks = [Stack(configs[:2], 20, 0), Stack(configs[2:], 20, 0)]
    alone = {stack.configs[0].identity: trained for stack, trained in Serial().run(train_stack, stacks)}
    for stack, trained in engine.run(train_stack, stacks):
        for outcome, expected in zip(trained.outcomes, alone[stack.configs[0].identity].outcomes, strict=True):
            np.testing.assert_allclose(outcome.curves["train/loss"], expected.curves["train/loss"], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", *CLUSTERS])
def test_curves_are_those_of_one_process(store, serial, engine, tmp_path):
    folder = [f"engine.folder={tmp_path}"] if engine == "slurm" else []
    answer = run_cli(*SWEEP, *options(engine), *folder)
    assert answer.code == 0, answer.out + answer.err
    assert_whole(store, N_RUNS)
    for run in stored(store):
        for name in ("step", "train/loss", "test/loss", "train/grad_norm"):
            np.testing.assert_allclose(run.curves[name], serial[run.identity][name], rtol=1e-12, atol=0)


@pytest.mark.parametrize("engine", EVERY)
def test_a_lost_worker_or_a_failing_work_costs_no_other(engine, tmp_path):
    """Whatever the engine, every work has one result; what a worker was lost with is tried again."""
    options(engine)
    works = WORKS if engine != "slurm" else tuple(work for work in WORKS if work != "dies always")  # slow to notice
    told = with_fragile_works(engine, tmp_path, works)
    assert (told["n"], set(told["results"])) == (len(works), set(works))
    for work in ("fine", "fine too", "last", "dies once"):
        assert told["results"][work] == work.upper()
    assert told["results"]["raises"].startswith("failed: ValueError: no such (fragile.py:")
    if "dies always" in works:
        assert told["results"]["dies always"].startswith("failed: its worker was lost: ")
        assert told["attempts"]["dies always"] >= 3
    if engine != "dask":  # which may lose a result with the worker that still holds it, and compute it again
        assert told["attempts"]["fine"] == told["attempts"]["raises"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_a_worker_killed_in_the_middle_of_a_large_result_is_noticed(tmp_path, after):
    (pair,) = Processes(workers=1).run(Large(tmp_path / "tried", after), ["work"])
    assert pair == ("work", bytes(Large.size))


@dataclass(frozen=True)
class Large:
    """Kills its process a while after it has returned, the first time: while its result is being sent, with luck."""

    mark: Path
    after: float
    size = 400_000_000

    def __call__(self, work: str) -> bytes:
        if not self.mark.exists():
            self.mark.touch()
            Timer(self.after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return bytes(self.size)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "dask", "ray"])
def test_a_worker_killed_in_a_sweep_loses_no_run(store, engine):
    command = ("-m", "epochs=5000", "lr=0.1,0.01", "seed=range(4)", "timing=isolated", *options(engine))
    process = start_cli(*command)
    wait_until(lambda: process.poll() is not None or finished(store))
    busiest(process)[1].send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert_whole(store, 8)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [*CLUSTERS])
def test_ctrl_c_leaves_no_process_behind(store, engine, tmp_path):
    folder = [f"engine.folder={tmp_path}"] if engine == "slurm" else []
    process = start_cli("-m", "epochs=200000000", "seed=range(4)", "timing=isolated", *options(engine), *folder)
    wait_until(lambda: process.poll() is not None or busiest(process)[0] > 4)
    workers = children(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130, out + err
    assert "the same command goes on with the rest" in out
    assert_gone(workers)
    assert_whole(store, 0)


@pytest.mark.parametrize("engine", [*CLUSTERS])
def test_an_engine_that_is_not_installed_is_named(engine, monkeypatch):
    module = CLUSTERS[engine][0]
    monkeypatch.setitem(sys.modules, module, None)
    complaint = f"engine={engine}: {module} is not installed; pip install '.[{engine}]'"
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        list(make_config(f"engine={engine}").engine.run(attempt, [1]))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "slurm"])
def test_a_cluster_that_is_not_there_is_refused_in_one_line(engine):
    options(engine)
    where = {"dask": "engine.address=tcp://127.0.0.1:1", "slurm": "engine.cluster=slurm"}[engine]
    answer = run_cli("-m", "epochs=1", f"engine={engine}", where)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(f"engine={engine}: cannot be started (")


def test_a_failure_says_what_and_where_in_one_line():
    def fails(work):
        return 1 / work

    ((_, one), (_, failure)) = Serial().run(fails, [1, 0])
    assert one == 1
    assert isinstance(failure, Failure)
    assert str(failure).startswith("ZeroDivisionError: division by zero (test_engines.py:")


def test_ctrl_c_is_no_failure_of_the_work():
    def interrupted(work):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, None)
