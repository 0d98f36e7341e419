"""Each value of a hyperparameter is written once, in its class; Hydra and Python get it from there."""

import subprocess
import sys
from dataclasses import MISSING, asdict, fields

import pytest
from harness import CONF, choices, choosing, composed, make_config, read_choice, written
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from descent_lab import optim
from descent_lab.components import resolve
from descent_lab.data.batching import Batching
from descent_lab.nn.models import MLP
from descent_lab.sweeps.config import Config, Tracking
from descent_lab.training.run import Record, Stop

COMPONENTS = ("backend", "dataset", "engine", "init", "optimizer", "schedule")
EVERY = [(group, choice) for group in COMPONENTS for choice in choices(group)]


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_a_choice_is_its_class_but_for_what_its_yaml_says(group, choice):
    options = written(group, choice)
    kind = resolve(group, options.pop("_target_"))
    given = TypeAdapter(kind).validate_python
    needed = {f.name: "text" for f in fields(kind) if f.default is f.default_factory is MISSING}
    values = read_choice(group, choice)[group]
    target = values.pop("_target_")
    assert resolve(group, target) is kind
    assert {name for name, value in values.items() if value == "???"} == needed.keys() - options.keys()
    assert given(needed | {n: v for n, v in values.items() if v != "???"}) == given(needed | options)


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_yaml_repeats_no_default(group, choice):
    options = written(group, choice)
    kind = resolve(group, options.pop("_target_"))
    repeated = [f.name for f in fields(kind) if f.name in options and options[f.name] == f.default]
    assert not repeated


@pytest.mark.parametrize("name", choices("optimizer"))
def test_an_optimizer_in_python_is_what_the_command_line_composes(name):
    config = make_config(*choosing("optimizer", name))
    kind = type(config.optimizer)
    assert config.optimizer == kind() and config.lr == kind.suggested_lr
    assert getattr(optim, kind.__name__, kind) is kind


def test_what_is_no_component_has_its_defaults_too():
    config = make_config("model=linear")
    assert (config.model, config.batching, config.tracking) == (MLP(), Batching(), Tracking())
    assert (config.record, config.stop) == (Record(), Stop())
    root = {f.name: f.default for f in fields(Config) if f.default is not MISSING}
    assert {name: getattr(config, name) for name in root} == root


def test_an_override_reaches_a_value_that_yaml_leaves_out():
    config = make_config("optimizer=adam", "optimizer.beta1=0.8", "record.points=7", "model.batch_norm=true")
    assert config.optimizer == optim.Adam(beta1=0.8)
    assert config.record.points == 7 and config.model.batch_norm


def test_a_study_changes_what_its_choices_leave_to_their_classes():
    study = make_config("+experiment=demo")
    assert (study.record.points, study.record.every) == (16, None)


def test_a_folder_of_ones_own_is_filled_as_well(tmp_path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("_target_: descent_lab.optim.adam.Adam\nbeta1: 0.5\n")
    (tmp_path / "optimizer" / "derived.yaml").write_text("defaults: [adam]\nbeta2: 0.5\n")
    (tmp_path / "optimizer" / "both.yaml").write_text(
        "# @package _global_\nlr: 0.5\noptimizer:\n  _target_: descent_lab.optim.adam.Adam\n  eps: 0.1\n"
    )

    def optimizer(*overrides):
        values = OmegaConf.to_container(composed(f"hydra.searchpath=[file://{tmp_path}]", *overrides), resolve=False)
        return values["lr"], {name: value for name, value in values["optimizer"].items() if name != "_target_"}

    assert optimizer("optimizer=mine", "optimizer.eps=1") == (0.001, asdict(optim.Adam(beta1=0.5, eps=1)))
    assert optimizer("optimizer=derived") == (0.001, asdict(optim.Adam(beta2=0.5)))
    assert optimizer("optimizer=both") == (0.5, asdict(optim.Adam(eps=0.1)))


def test_an_own_folder_on_the_command_line(tmp_path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("_target_: descent_lab.optim.adam.Adam\nbeta1: 0.5\n")
    command = [sys.executable, "-m", "src.run", "--config-dir", str(tmp_path), "optimizer=mine", "--cfg", "job"]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, check=True)
    values = OmegaConf.create(done.stdout)
    assert (values.optimizer.beta1, values.optimizer.beta2, values.lr) == (0.5, optim.Adam().beta2, 0.001)


def test_reading_a_choice_loads_no_large_library():
    """`--help` shows every default, and must stay quick."""
    script = f"""
import sys
from descent_lab.cli.defaults import FileConfigSource
source = FileConfigSource("main", "file://{CONF}")
for group, choice in {EVERY}:
    source.load_config(f"{{group}}/{{choice}}")
print(*{{"jax", "mlflow", "sklearn", "pandas", "matplotlib", "ray", "distributed"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_other_applications_of_hydra_are_left_alone(tmp_path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "theirs.yaml").write_text("_target_: torch.optim.Adam\nlr: 0.1\n")
    (tmp_path / "config.yaml").write_text("defaults: [optimizer: theirs]\n")
    composed()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("config") == {"optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1}}
    assert composed("optimizer=adam").optimizer.beta1 == optim.Adam().beta1
