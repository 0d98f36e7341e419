"""Plug-ins: one class and at most one YAML file add a part, and nothing in the package is edited."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from zipfile import ZipFile

import numpy as np
import pytest
from harness import Answer, run_cli

from descent_lab import plugins
from descent_lab.errors import ConfigError
from descent_lab.paths import ROOT

EXAMPLE = ROOT / "examples" / "plugin"


def install(source: Path, place: Path) -> None:
    """Build the wheel of a project and unpack it into a folder, which is then like a site-packages folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "wheel")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = (place / "wheel").iterdir()
    ZipFile(wheel).extractall(place / "site")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the example plug-in installed."""
    place = tmp_path_factory.mktemp("plugin")
    install(EXAMPLE, place)
    return place / "site"


def run(*arguments: str, site: Path, **environment: str) -> Answer:
    """A command whose runs stay in the outbox, which the exit code 3 says."""
    return run_cli(*arguments, "tracking.offline=true", PYTHONPATH=str(site), **environment)


def pytest_in(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Tests of this repository or of the plug-in, in an environment that has the plug-in."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


# --- the example ----------------------------------------------------------------------------------------------


def test_the_choices_of_a_plug_in_are_offered_and_run(site):
    told = run_cli("--help", PYTHONPATH=str(site)).out
    for line in ("optimizer: .*sign_sgd", "dataset: .*moons", "backend: .*forward_mode", "engine: .*logged"):
        assert re.search(line, told), line
    done = run("optimizer=sign_sgd", "dataset=moons", "optimizer.beta=0.5", "epochs=3", site=site)
    assert (done.code, done.err) == (3, "") and "numpy sign_sgd moons lr=0.003 s0" in done.out
    wrong = run("optimizer=sign_sgdd", site=site)
    assert wrong.code and "sign_sgd" in wrong.err and "\n" not in wrong.err.strip()


def test_the_tests_of_the_plug_in_pass(site):
    done = pytest_in(site, str(EXAMPLE / "tests"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "chosen", "least"),
    [
        ("test_optimizers.py", "sign_sgd", 8),
        ("test_datasets.py", "moons", 2),
        ("test_defaults.py", "sign_sgd or moons or forward_mode or logged", 8),
        ("test_gradients.py", "forward_mode or (pseudo_huber and swish)", 8),
        ("test_losses.py", "pseudo_huber", 4),
        ("test_network.py", "swish", 4),
        ("test_layers.py", "rescale", 8),
    ],
)
def test_shared_tests_take_up_what_a_plug_in_adds(site, file, chosen, least):
    done = pytest_in(site, str(ROOT / "tests" / file), "-k", chosen, "-vv")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" PASSED") >= least, done.stdout


# --- one class, at most one YAML: from the current folder, without installing anything -------------------------

OPTIMIZER = """
    from dataclasses import dataclass
    from descent_lab import Optimizer

    @dataclass(frozen=True, kw_only=True)
    class Mine(Optimizer):
        scale: float = 2.0

        def init(self, theta):
            return ()

        def update(self, g, state, theta, lr):
            return -lr * self.scale * g, state
"""
DATASET = """
    from dataclasses import dataclass
    import numpy as np
    from descent_lab import Data, Dataset

    @dataclass(frozen=True, kw_only=True)
    class Mine(Dataset):
        n: int = 12

        def load(self, data, split):
            x = data.standard_normal((self.n, 2))
            return Data(x[2:], x[2:, :1], x[:2], x[:2, :1], "regression", ("a", "b"))
"""
ENGINE = """
    from dataclasses import dataclass
    from descent_lab.sweeps.engines.base import Engine, attempt

    @dataclass(frozen=True, kw_only=True)
    class Mine(Engine):
        n_workers = 1

        def run(self, task, works):
            for work in works[::-1]:
                yield work, attempt(task, work)
"""
NAMED = """
    from descent_lab.metrics import METRICS, Metric
    from descent_lab.nn.activations import ACTIVATIONS, Activation

    ACTIVATIONS.add("cube", Activation(lambda z: z * z * z, lambda z, a: 3 * z * z))
    METRICS.add("largest", Metric("largest logit", "lower", ("regression",), lambda o: o.z.max(axis=(-2, -1))))
"""
INITIALISER = """
    from dataclasses import dataclass
    import numpy as np
    from descent_lab import Initialiser

    @dataclass(frozen=True, kw_only=True)
    class Mine(Initialiser):
        value: float = 0.5

        def weights(self, stream, fan_in, fan_out, following):
            return np.full((fan_in, fan_out), self.value)
"""
SCHEDULE = """
    from dataclasses import dataclass
    from descent_lab.optim.schedules import Schedule

    @dataclass(frozen=True, kw_only=True)
    class Mine(Schedule):
        power: float = 1.0

        def factor(self, k, n):
            return (1 - k / n) ** self.power
"""
BACKEND = """
    from dataclasses import dataclass
    import numpy as np
    from descent_lab.derivatives.base import Derivatives, NumpyBackend

    @dataclass(frozen=True, kw_only=True)
    class Mine(NumpyBackend):
        h: float = 1e-5
        order = 1

        def step_bytes(self, objective, n, itemsize):
            return 0

        def cost(self, objective, n, order):
            return 1.0 * objective.network.n_params

        def differentiate(self, objective, theta, x, y):
            loss, batch_stats = objective.value(theta, x, y)
            moved = [objective.value(theta + self.h * e, x, y)[0] for e in np.eye(theta.shape[-1])]
            return Derivatives(loss, (np.stack(moved, -1) - loss[..., None]) / self.h, None, batch_stats)
"""
CLASSES = {
    "optimizer": OPTIMIZER,
    "dataset": DATASET,
    "engine": ENGINE,
    "init": INITIALISER,
    "schedule": SCHEDULE,
    "backend": BACKEND,
}


@pytest.mark.parametrize("group", CLASSES)
def test_one_class_and_one_yaml_add_a_choice(group, tmp_path):
    (tmp_path / "my_module.py").write_text(dedent(CLASSES[group]))
    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / "mine.yaml").write_text("_target_: my_module.Mine\n")
    words = ["-m", "--config-dir", str(tmp_path / "conf"), f"{group}=mine", "epochs=2", "seed=0,1"]
    done = run(*words, "plugins.allow=[my_module]", site=tmp_path)
    assert (done.code, done.err) == (3, "") and "2 finished" in done.out
    refused = run(*words, site=tmp_path)
    assert refused.code and "plugins.allow=[my_module]" in refused.out + refused.err


def test_one_line_adds_a_metric_or_an_activation(tmp_path):
    (tmp_path / "my_module.py").write_text(dedent(NAMED))
    words = ["plugins.allow=[my_module]", "model.activation=cube", "epochs=2"]
    done = run(*words, site=tmp_path, DESCENT_OUTBOX=str(tmp_path / "outbox"))
    assert (done.code, done.err) == (3, "")
    (curves,) = (tmp_path / "outbox").rglob("curves.npz")
    assert {"train/largest", "test/largest"} <= set(np.load(curves))
    refused = run(*words[1:], site=tmp_path)
    assert refused.code and "model.activation=cube: must be one of elu, gelu" in refused.err


def test_workers_in_other_processes_know_what_is_allowed(tmp_path):
    (tmp_path / "my_module.py").write_text(dedent(OPTIMIZER))
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "mine.yaml").write_text("_target_: my_module.Mine\n")
    words = ["-m", "--config-dir", str(tmp_path / "conf"), "optimizer=mine", "epochs=2", "seed=0,1"]
    done = run(*words, "plugins.allow=[my_module]", "engine=processes", "engine.workers=1", site=tmp_path)
    assert (done.code, done.err) == (3, "") and "2 finished" in done.out


# --- a plug-in that is broken ---------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path) -> Path:
    """A plug-in that cannot be imported, with a choice of its own."""
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[descent_lab]\nbroken = broken_plugin.parts\n")
    (tmp_path / "broken_plugin" / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "broken_plugin" / "__init__.py").write_text("raise RuntimeError('out of order')\n")
    (tmp_path / "broken_plugin" / "parts.py").write_text("")
    choice = tmp_path / "broken_plugin" / "conf" / "optimizer" / "broken.yaml"
    choice.write_text("_target_: broken_plugin.parts.Broken\n")
    return tmp_path


def test_a_broken_plug_in_matters_only_to_runs_that_need_it(broken):
    done = run("epochs=1", site=broken)
    said = "plug-in broken_plugin.parts: cannot be imported (RuntimeError: out of order)\n"  # its metrics are missing
    assert (done.code, done.err) == (3, said)
    done = run("optimizer=broken", site=broken)
    assert done.code and "out of order" in done.err and "broken_plugin" in done.err
    assert "\n" not in done.err.strip()


def test_a_broken_plug_in_is_named_once(broken, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(broken))
    for name, empty in (("_loaded", set()), ("_broken", {})):
        monkeypatch.setattr(plugins, name, empty)
    plugins.installed.cache_clear()
    try:
        assert plugins.conf_folders() == [broken / "broken_plugin" / "conf"]
        assert "broken_plugin" not in sys.modules, "folders are found without importing anything"
        plugins.load()
        plugins.load()
    finally:
        plugins.installed.cache_clear()
    line = "plug-in broken_plugin.parts: cannot be imported (RuntimeError: out of order)"
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize("word", ["plugins.allow=[../x]", "plugins.allow=[my-package]"])
def test_only_names_of_packages_are_allowed(word):
    with pytest.raises(ConfigError, match="names of top-level packages"):
        plugins.allow_from([word])
