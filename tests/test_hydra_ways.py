"""Hydra's own ways: its launchers, callbacks, logging and folders, and exit codes for every kind of bad input."""

import importlib
import logging
import math
import os
import re
import subprocess
import sys

import pytest
import recording_callback
from harness import Answer
from stores import stored

from descent_lab.cli import run
from descent_lab.paths import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
CALLBACK = "+hydra.callbacks.recorder._target_=recording_callback.Recorder"


@pytest.fixture
def command(capfd, monkeypatch, tmp_path):
    """`python -m src.run <arguments>` in this process, from an empty folder that the command must leave empty."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["src.run"])
    recording_callback.HEARD.clear()

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run.main(arguments)
        assert list(folder.iterdir()) == []
        return Answer(code, *capfd.readouterr())

    yield call
    logging.getLogger("descent_lab.sweeps").setLevel(logging.NOTSET)  # a test makes it talk


@pytest.mark.parametrize("launcher", ["stacked", "basic"])
def test_every_launcher_runs_every_job(command, store, launcher):
    answer = command("-m", "epochs=2", "lr=0.1,-1,0.2,0.3", f"hydra/launcher={launcher}")
    assert answer.code == 1 and "Traceback" not in answer.err
    runs = stored(store)
    assert len(runs) == 3 and all(run.whole for run in runs)
    assert len({run.tags["sweep"] for run in runs}) == 1
    said = answer.out + answer.err
    assert (
        sum(line.startswith("failed:") and "lr=-1: must be greater than 0" in line for line in said.splitlines()) == 1
    )


@pytest.mark.parametrize("launcher", ["stacked", "basic"])
def test_callbacks_hear_of_every_job_and_of_its_end(command, launcher):
    command("-m", "epochs=1", "lr=0.1,-1,1e9", "dataset=line", "model=linear", f"hydra/launcher={launcher}", CALLBACK)
    first, *jobs, last = recording_callback.HEARD
    assert (first, last) == (("multirun_start",), ("multirun_end",))
    assert sorted(job[1] for job in jobs if job[0] == "job_start") == [-1, 0.1, 1e9]
    ends = {job[1]: job[2:] for job in jobs if job[0] == "job_end"}
    assert ends[0.1][0] == "COMPLETED" and 0 < ends[0.1][1] < math.inf
    assert ends[1e9][0] == "COMPLETED"
    assert ends[-1][0] == "FAILED" and "lr=-1: must be greater than 0" in str(ends[-1][1])


def test_callbacks_hear_of_a_single_run(command):
    assert command("epochs=1", CALLBACK).code == 0
    assert [heard[0] for heard in recording_callback.HEARD] == ["run_start", "job_start", "job_end", "run_end"]


REFUSED = {  # a command: what its one line must say
    "optimizer=adm": r"optimizer=adm: .*must be one of .*adamw.*; did you mean adam\?",
    "+experiment=nosuch": "experiment=nosuch: .*must be one of .*compare",
    "nosuch=1": "nosuch: no such field",
    "epoch=3": r"epoch: no such field; did you mean epochs\?",
    "optimizer=adam optimizer.bta1=0.5": r"optimizer.bta1: no such field; did you mean optimizer.beta1\?",
    "lr=0.1,0.2": "lr=0.1,0.2: several values; -m sweeps over them",
    "lr=[": "no viable alternative",
    "lr=-1": "lr=-1: must be greater than 0",
    "batching.size=500": "batching.size=500: must be between 1 and the 200 training samples",
    "dataset=csv": "dataset.path: must be given",
    "dataset=csv dataset.path=x.csv dataset.target=y": "dataset=csv: x.csv: No such file",
    "--config-dir=/nosuch": "/nosuch' not found",
    "--config-name=nosuch": "Cannot find primary config 'nosuch'",
    "--nonsense": "unrecognized arguments: --nonsense",
    "hydra/launcher=basc": r"hydra/launcher=basc: .*; did you mean basic\?",
    "-m seed=range(0)": r"seed=range\(0\): is a sweep over no values",
    "-m hydra.sweeper.tuned=[lr,optimizer.wieght_decay] lr=0.1,0.2": "no values of optimizer.wieght_decay",
    "-m hydra.sweeper.tuned=[lr] lr=0.1,0.2 hydra.sweeper.tuning_seeds=abc": "tuning_seeds=abc: must be seeds",
    "-m hydra.sweeper.tuned=space lr=0.1": "has nothing to tune",
    "-m hydra.sweeper.tuned=[lr] hydra.sweeper.blocks=2 hydra.sweeper.tuning_seeds=[0]": "1 seed cannot be cut into 2",
    "-m hydra.sweeper.tuned=[lr] hydra.sweeper.search=bayes": "search=bayes: must be one of grid, quasi_random, optuna",
    "-m hydra.sweeper.tuned=[lr] hydra.sweeper.space.adm.lr=0.1,0.2": "space.adm: no entrant has this",
    "-m hydra.sweeper.tuned=[lr] hydra.sweeper.space.sgd.lr={low:20}": "sgd.lr.low=20: must be below high=10",
    "-m hydra.sweeper.tuned=[lr] tuning.by=test/loss": "tuning.by=test/loss: .*never chosen by",
    "-m hydra.sweeper.tuned=[lr] tuning.by=validation/loss": "there is no validation set; dataset.validation_fraction",
    "tuning.by=train/accuracy": "must be train/NAME or validation/NAME, NAME being one of loss, rmse",
    "-m hydra.sweeper.tuned=[lr] tuning.by=train/lss": r"must be one of loss, rmse, grad_norm; did you mean loss\?",
    "tuning.at=last": "tuning.at=last: must be 'final' or 'best'",
    "-m engine=processes engine.workers=0": "^engine.workers=0: must be greater than or equal to 1$",
    "tracking.uri=sqlite:////nosuch/x.db": "^tracking.uri=sqlite:.*x.db: cannot be opened .there is no folder /nosuch.",
    "plugins.allow=[a-b]": "plugins.allow=a-b: must be names of top-level packages",
    "optimizer._target_=subprocess.Popen": "package subprocess is neither",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_bad_input_of_every_kind_exits_with_2_and_one_line(command, arguments, store):
    answer = command(*arguments.split())
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1 and re.search(REFUSED[arguments], answer.err), answer.err
    assert answer.out == "" and not store.exists()


def test_a_sweep_of_which_all_is_refused_exits_with_2(command):
    answer = command("-m", "lr=-1,-2")
    assert answer.code == 2 and answer.err.count("must be greater than 0") == 2


def test_held_out_seeds_need_no_quotes(command, store):
    given = ["hydra.sweeper.tuned=[lr]", "lr=0.1,0.01", "epochs=1", "hydra.sweeper.tuning_seeds=[0,1]"]
    assert command("-m", *given, "hydra.sweeper.held_out_seeds=range(7,9)").code == 0
    assert len(stored(store)) == 6


def test_a_dry_run_of_a_tuned_sweep_names_no_best_setting(command, store):
    answer = command("-m", "hydra.sweeper.tuned=[lr]", "lr=0.1,0.01", "optimizer=sgd,adam", "dry_run=true")
    assert answer.code == 0 and "60 to run" in answer.out and "best" not in answer.out


def test_options_may_stand_between_values(command, store):
    assert command("epochs=0", "-m", "seed=0,1", "--config-dir", "conf=none", "lr=0.1").code == 2
    assert "lr: 0.1" in command("epochs=0", "--cfg", "job", "lr=0.1").out
    assert command("epochs=0", "-m", "seed=0,1", "lr=0.1").code == 0
    assert len(stored(store)) == 2


def test_verbose_tells_what_is_done(command):
    quiet = command("epochs=0")
    assert quiet.err == ""
    told = command("epochs=0", "seed=1", "hydra.verbose=[descent_lab.sweeps]")
    assert told.code == 0 and "[descent_lab.sweeps.execute]" in told.err and "1 stack to train" in told.err


MISSHAPEN = {  # what a method returns: what is said of it
    "g[..., :2], state": r"Faulty.update \(misshapen.py:10\): gives a step of shape .*2,?\); theta has",
    "None": r"Faulty.update \(misshapen.py:10\): gives a value of type NoneType; must be the step and the next state",
    "-lr * g, (*state, g)": r"Faulty.update \(misshapen.py:10\): gives a tuple of 2 as state; init gives a tuple of 1",
}


@pytest.mark.parametrize("base", ["dl.Optimizer", "DecoupledDecay"])
@pytest.mark.parametrize("returned", MISSHAPEN)
def test_what_an_optimizer_may_not_return_names_its_method(command, returned, base, tmp_path, monkeypatch):
    (tmp_path / "misshapen.py").write_text(
        "from dataclasses import dataclass\n"
        "import descent_lab as dl\n"
        "from descent_lab.optim.base import DecoupledDecay\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        f"class Faulty({base}):\n"
        "    def init(self, theta):\n"
        "        return (0 * theta,)\n\n"
        "    def update(self, g, state, theta, lr):\n"
        f"        return {returned}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "misshapen", raising=False)
    importlib.invalidate_caches()
    given = ["optimizer._target_=misshapen.Faulty", "plugins.allow=[misshapen]", "epochs=1"]
    backends = ("backend=numpy", "backend.loop=eager", "backend=jax")
    for backend in backends if base == "dl.Optimizer" else backends[::2]:
        answer = command(*given, backend)
        assert answer.code == 1 and len(answer.err.splitlines()) == 1, answer.err
        assert re.search(MISSHAPEN[returned], answer.err), answer.err


def test_an_if_on_values_is_explained_where_jax_refuses_it(command, tmp_path, monkeypatch):
    (tmp_path / "choosy.py").write_text(
        "from dataclasses import dataclass\n"
        "from descent_lab.optim import SGD\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Choosy(SGD):\n"
        "    def update(self, g, state, theta, lr):\n"
        "        return (-lr * g if (g > 0).all() else -2 * lr * g), state\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = ["optimizer._target_=choosy.Choosy", "plugins.allow=[choosy]", "epochs=1", "backend=jax"]
    answer = command(*given)
    assert answer.code == 1 and len(answer.err.splitlines()) == 1, answer.err
    assert re.search(r"no `if`.* may depend on values under JAX; choose with xp.where.*\(choosy.py:8\)", answer.err)


def test_an_error_in_somebodys_code_names_their_line_and_keeps_the_traceback(command, tmp_path, monkeypatch):
    (tmp_path / "their_rule.py").write_text(
        "from dataclasses import dataclass\n"
        "from descent_lab.optim import SGD\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Faulty(SGD):\n"
        "    def update(self, g, state, theta, lr):\n"
        "        return g @ theta[..., :2], state\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = ["optimizer._target_=their_rule.Faulty", "plugins.allow=[their_rule]", "epochs=2"]
    for backend in ("numpy", "jax"):
        answer = command(*given, f"backend={backend}")
        assert len(answer.err.splitlines()) == 1, answer.err
        line = answer.err.strip()
        assert answer.code == 1 and "(their_rule.py:8)" in line, line
        path = line.rpartition("traceback: ")[2]
        with open(path) as file:
            assert "their_rule.py" in file.read()
    shown = command(*given, "debug=true")
    assert "Traceback" in shown.err and shown.code == 1


def test_an_error_in_somebodys_data_set_fails_that_run_alone(command, store, tmp_path, monkeypatch):
    (tmp_path / "their_data.py").write_text(
        "from dataclasses import dataclass\n"
        "from descent_lab.data.builtin.gaussian import Gaussian\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Holes(Gaussian):\n"
        "    def load(self, data, split):\n"
        "        return {}['x'] if self.n_samples == 9 else super().load(data, split)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = ["dataset._target_=their_data.Holes", "plugins.allow=[their_data]", "epochs=1"]
    answer = command("-m", *given, "dataset.n_samples=9,10")
    assert answer.code == 1 and "KeyError: 'x' (their_data.py:8)" in answer.out
    assert len(stored(store)) == 1


def test_a_sweep_works_from_a_folder_that_cannot_be_written(store, tmp_path):
    """As another user, since root may write everywhere; with nothing but reading rights on the current folder."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    words = [sys.executable, "-m", "src.run", "-m", "epochs=0", "lr=0.1,0.2"]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [] and len(stored(store)) == 2
