"""tracking=none: finished runs are folders, each once and whole; MLflow need not be installed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from harness import make_config, run_cli
from stores import FILES, create_store, kill_group, start_cli, wait_until

import descent_lab as dl
from descent_lab.errors import StoreError
from descent_lab.sweeps.execute import run_all
from descent_lab.tracking import outbox
from descent_lab.tracking.address import resolve
from descent_lab.tracking.stores import Stores
from descent_lab.tracking.uploader import deliver_abandoned

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
VALIDATED = "dataset.validation_fraction=0.2"
SWEEP = ["-m", "tracking=none", "seed=range(40)", "epochs=60", "record.every=1", "tracking.sweep=many"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


def described(folder: Path) -> list[dict]:
    """What run.json says of each run, all of whose files must be there."""
    runs = [path for path in folder.glob("*") if not path.name.startswith(".")] if folder.exists() else []
    assert all({file.name for file in run.iterdir()} == FILES | {"run.json"} for run in runs)
    return [json.loads((run / "run.json").read_text()) for run in runs]


def assert_whole(folder: Path, n_runs: int) -> None:
    """The folder holds so many runs, each once, and nothing is left in the outbox or half written."""
    identities = [run["tags"]["identity"] for run in described(folder)]
    assert len(identities) == len(set(identities)) == n_runs
    assert [path.name for path in folder.glob(".*")] == [".lock"]
    assert [path.name for path in outbox.root().glob("*") if path.suffix != ".lock"] == []


def trained(folder, *overrides, words=("epochs=3", "seed={seed}"), seeds=(0, 1)):
    configs = [
        make_config("tracking=none", f"tracking.uri=folder:{folder}", *(w.format(seed=s) for w in words), *overrides)
        for s in seeds
    ]
    return run_all(configs, progress=False)


WITHOUT_MLFLOW = """
import sys
sys.modules["mlflow"] = None  # as if it were not installed
from pathlib import Path
from descent_lab.cli.main import main

folder, out = map(Path, sys.argv[1:])
uri = f"folder:{folder}"
sweep = ["run", "-m", "tracking=none", f"tracking.uri={uri}", "dataset=line", "optimizer=sgd,adam", "seed=range(3)"]
print(main(sweep), main(sweep))
run_id = next(path.name for path in folder.iterdir() if not path.name.startswith("."))
print(main(["predict", f"run={run_id}", f"uri={uri}", "x=1"]), main(["replay", f"run={run_id}", f"--uri={uri}"]))
print(main(["export", "curves", f"uri={uri}", f"output={out / 'curves.csv'}"]), main(["deliver"]))
print(main(["report", f"--uri={uri}", f"--output={out / 'report'}"]), main(["export", f"run={run_id}", f"uri={uri}"]))
"""


def test_without_mlflow(folder, tmp_path):
    """Runs, sweeps, reports, predictions, replays and curves, while importing mlflow is impossible."""
    done = run_cli(WITHOUT_MLFLOW, str(folder), str(tmp_path), command=("-c",))
    assert [line for line in done.out.splitlines() if line in ("0 0", "0 2")] == ["0 0", "0 0", "0 0", "0 2"], done.err
    assert "6 finished, 0 diverged, 0 failed, 0 skipped" in done.out
    assert "0 finished, 0 diverged, 0 failed, 6 skipped" in done.out
    assert "largest relative difference" in done.out and "MLflow" not in done.out
    assert done.err == "export: models are written by MLflow, which is not installed: pip install mlflow\n"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Links open the folder of a run" in page and f"{folder.as_uri()}/{{run}}/" in page


def test_a_folder_answers_as_a_store_does(folder, tmp_path):
    uri = create_store(tmp_path / "mlflow.db")
    settings = [["dataset=iris", VALIDATED], ["dataset=iris", VALIDATED, "optimizer=sgd", "lr=1e200"]]
    for where in (f"tracking.uri={uri}", f"tracking.uri=folder:{folder}"):
        configs = [make_config(*words, "epochs=4", "tracking.sweep=both", where) for words in settings]
        assert run_all(configs, progress=False).code == 0
    ours, theirs = dl.load(f"folder:{folder}", sweep="both"), dl.load(uri, sweep="both")
    apart = ["run_id", "experiment_id", "started", "tracking.uri", *(c for c in theirs.runs if "seconds" in str(c))]
    runs = [results.runs.drop(columns=apart).sort_values("identity", ignore_index=True) for results in (ours, theirs)]
    pd.testing.assert_frame_equal(*runs, check_like=True)
    curves = [results.curves.drop(columns=["run_id", "step_seconds"]) for results in (ours, theirs)]
    curves = [of[of["metric"] != "time/step_seconds"].sort_values([*of], ignore_index=True) for of in curves]
    pd.testing.assert_frame_equal(*curves)
    run = dl.load(f"folder:{folder}", run=ours.runs["run_id"][0])
    assert run.theta.keys() == theirs[0].theta.keys() and run.predictions.keys() == theirs[0].predictions.keys()
    assert len(dl.load(f"folder:{folder}", experiment="optimizers").runs) == 2


def test_a_run_that_comes_twice_is_there_once(folder, tmp_path):
    """Delivered again by a process that was killed before it could discard it; made again elsewhere; forced."""
    offline = "tracking.offline=true"
    trained(folder, offline, seeds=[0])
    (session,) = outbox.root().glob("*.session")
    copy = tmp_path / "copy.session"
    session.rename(copy)
    for _ in range(2):
        outbox.root().mkdir(exist_ok=True)
        shutil.copytree(copy, session)
        assert deliver_abandoned(Stores()) == (1, 0)
        assert_whole(folder, 1)
    trained(folder, offline, seeds=[0, 1])
    assert deliver_abandoned(Stores()) == (2, 0)
    assert_whole(folder, 2)
    assert trained(folder, seeds=[0, 1]).skipped == 2
    assert trained(folder, "force=true", seeds=[0]).finished == 1 and len(described(folder)) == 3
    assert trained(folder, "tracking.experiment=other", seeds=[0]).finished == 1 and len(described(folder)) == 4


def test_a_killed_sweep_and_three_at_once_leave_each_run_once(folder):
    """A folder that is half written, as if its process had been killed in the middle, is removed."""
    sweep = [*SWEEP, f"tracking.uri=folder:{folder}"]
    killed = start_cli(*sweep)
    wait_until(lambda: len(list(folder.glob("[!.]*"))) >= 3 or killed.poll() is not None)
    kill_group(killed)
    killed.communicate()
    (folder / ".half.draft").mkdir()
    processes = [start_cli(*sweep) for _ in range(3)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert run_cli(*sweep).out.splitlines()[-1].startswith("0 finished, 0 diverged, 0 failed, 40 skipped")
    assert_whole(folder, 40)


def test_what_cannot_be_read_is_told_in_one_line(folder, tmp_path, capsys):
    with pytest.raises(StoreError, match="there is no such folder; python -m src.run tracking=none creates one"):
        dl.load(f"folder:{folder}")
    trained(folder)
    with pytest.raises(StoreError, match="filter=params.lr = '1': only MLflow searches by filters"):
        dl.load(f"folder:{folder}", filter="params.lr = '1'")
    with pytest.raises(StoreError, match="experiment=others: no such experiment in .*; there are optimizers"):
        dl.load(f"folder:{folder}", experiment="others")
    broken = next(path for path in folder.iterdir() if not path.name.startswith("."))
    (broken / "run.json").write_text("{")
    (folder / "notes.txt").write_text("mine")
    assert len(dl.load(f"folder:{folder}").runs) == 1
    assert "run.json: not readable, left out" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    refused = run_cli("tracking=none", f"tracking.uri=folder:{tmp_path / 'file'}", "epochs=1")
    assert refused.code == 2 and len(refused.err.splitlines()) == 1 and "cannot be opened" in refused.err


def test_addresses(monkeypatch, tmp_path):
    from descent_lab.paths import ROOT

    monkeypatch.chdir(tmp_path)
    assert resolve("folder:") == f"folder:{ROOT / 'runs'}" and resolve("folder:mine") == f"folder:{tmp_path / 'mine'}"
    assert make_config("tracking=none").tracked.key.uri == f"folder:{ROOT / 'runs'}"
