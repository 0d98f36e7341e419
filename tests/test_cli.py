"""The command line as a user meets it: help, refusals in one line, exit codes, sweeps, and doing nothing twice."""

import re
import runpy
import sys

import mlflow
import pytest
from harness import Answer, choices, run_cli
from stores import create_store

from descent_lab.paths import ROOT
from descent_lab.tracking import outbox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

REFUSED = {  # what is asked for: what the one line on stderr must say
    "backend=numyp": "backend/numyp.*jax.*numpy.*random_search",
    "optimizer=adma": "optimizer/adma.*adam",
    "lr=-1": "lr=-1: must be greater than 0",
    "lr=abc": "lr=abc: must be a valid number",
    "lr=nan": "lr=nan: must be a finite number",
    "lr=": "lr=",
    "batching.size=0": "batching.size=0: must be greater than or equal to 1",
    "batching.size=500": "batching.size=500: must be between 1 and the 200 training samples",
    "epochs=-3": "epochs=-3: must be greater than or equal to 0",
    "dataset.path=missing.csv": "dataset.path",
    "dataset=csv": "dataset.path",
    "dataset=csv dataset.path=missing.csv dataset.target=y": "missing.csv: No such file",
    "backend=random_search optimizer=adam": "optimizer=adam: backend random_search takes no optimizer",
    "-m backend=random_search optimizer=adam seed=0,1": "optimizer=adam: backend random_search takes no optimizer",
    "model.loss=categorical_cross_entropy": "model.loss=categorical_cross_entropy: a regression",
    "optimizer=newton": "optimizer=newton: needs derivatives of order 2",
    "~optimizer": "optimizer",
    "stop=null": "stop=None: must be",
    "+colour=red": "colour: no such field",
    "lr=[": "no viable alternative",
}


def inside(capfd, monkeypatch, *arguments):
    """The same as run_cli, in this process: quicker, and good enough for what ends before anything runs."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["src.run", *arguments])
    capfd.readouterr()
    code = 0
    try:
        runpy.run_module("src.run", run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    return Answer(code, *capfd.readouterr())


@pytest.mark.parametrize("arguments", REFUSED)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(arguments, capfd, monkeypatch, store):
    answer = inside(capfd, monkeypatch, *arguments.split())
    assert answer.code not in (0, None)
    assert re.search(REFUSED[arguments], answer.err, re.DOTALL), answer
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert "Traceback" not in answer.out + answer.err and "File " not in answer.err
    assert not list(store.parent.iterdir()) and not outbox.root().exists()


def test_help_lists_every_choice_without_heavy_imports():
    code = (
        "import runpy, sys; sys.argv = ['src.run', '--help']\n"
        "try: runpy.run_module('src.run', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'mlflow', 'jax', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    answer = run_cli(command=("-c", code))
    assert answer.code == 0, answer.err
    for group in ("backend", "dataset", "optimizer", "init", "batching", "schedule", "model"):
        (line,) = [line for line in answer.out.splitlines() if line.strip().startswith(f"{group}:") and "," in line]
        assert set(choices(group)) == set(re.split(r"[,\s]+", line.partition(":")[2].strip())), line


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_run_into_an_existing_store_imports_only_what_it_uses(store, backend):
    create_store(store)
    code = (
        "import sys; from descent_lab.cli.run import main\n"
        f"assert main(['epochs=2', 'record.points=3', 'backend={backend}']) == 0\n"
        f"assert main(['epochs=2', 'record.points=3', 'backend={backend}']) == 0\n"
        "heavy = {'mlflow', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'joblib', 'torch', 'optax', 'jax'}\n"
        "print('imported', *sorted(heavy & set(sys.modules)))"
    )
    answer = run_cli(command=("-c", code))
    assert answer.code == 0, answer.err
    assert re.search("^1 finished.*^0 finished, .* 1 skipped", answer.out, re.DOTALL | re.MULTILINE)
    assert answer.out.splitlines()[-1].split() == ["imported", *(["jax"] if backend == "jax" else [])]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for the runs of this file: creating one takes seconds. Each test has an experiment of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('shared')}/mlflow.db"


@pytest.fixture
def experiment(shared, request, monkeypatch):
    """Runs commands in an experiment of the test's own, and gives its runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    name = request.node.name

    def command(*arguments):
        return run_cli(*arguments, f"tracking.experiment={name}")

    def runs():
        client = mlflow.MlflowClient(shared)
        return client.search_runs([client.get_experiment_by_name(name).experiment_id], "tags.identity LIKE '%'")

    return command, runs


def test_a_run_is_skipped_the_second_time_and_forced_the_third(experiment, tmp_path):
    command, runs = experiment
    given = ["dataset=polynomials", "stream=legacy", "init=normal", "init.std=0.1", "epochs=0"]
    first, second = command(*given), command(*given)
    assert first.code == second.code == 0 and first.err == second.err == ""
    assert "1 finished" in first.out and "0 finished" in second.out and "1 skipped" in second.out
    (run,) = runs()
    assert run.data.metrics["train/loss"] == pytest.approx(2.4942046014713335, rel=1e-14)
    forced = command(*given, "force=true")
    assert forced.code == 0 and "1 finished" in forced.out and len(runs()) == 2
    assert not list(tmp_path.rglob("parcel.json"))


def test_in_a_sweep_bad_and_diverging_runs_stop_nobody(experiment):
    command, runs = experiment
    answer = command("-m", "dataset=line", "model=linear", "epochs=300", "lr=0.001,-1,1e6,abc")
    assert answer.code not in (0, 2) and "Traceback" not in answer.out + answer.err
    lines = answer.out.splitlines()
    counts = next(i for i, line in enumerate(lines) if line.startswith("1 finished, 1 diverged, 2 failed, 0 skipped"))
    reasons = lines[counts - 2 : counts]
    assert "lr=-1: must be greater than 0" in reasons[0] and "lr=abc: must be a valid number" in reasons[1]
    by_status = {run.data.tags["status"]: run for run in runs()}
    assert set(by_status) == {"finished", "diverged"}
    assert len({run.data.tags["sweep"] for run in by_status.values()}) == 1


def test_divergence_is_an_answer_and_not_a_failure(experiment):
    command, runs = experiment
    answer = command("dataset=line", "model=linear", "epochs=300", "lr=1e6")
    assert answer.code == 0 and "1 diverged" in answer.out and answer.err == ""
    (run,) = runs()
    assert run.info.status == "FINISHED" and run.data.tags["status"] == "diverged"
    assert 0 < int(run.data.tags["diverged_at"]) < 300 and run.data.params["lr"] == "1000000.0"


def test_a_sweep_over_optimizers_searches_once(experiment):
    command, runs = experiment
    answer = command("-m", "backend=random_search,numpy", "optimizer=sgd,adam,lion", "epochs=3", "lr=0.01")
    assert answer.code == 0 and "4 finished" in answer.out and "2 skipped" in answer.out
    assert sorted(run.data.params["optimizer"] for run in runs()) == ["adam", "lion", "none", "sgd"]
