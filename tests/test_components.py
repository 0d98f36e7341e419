"""Which classes a configuration may name, and under which name they count in the identity of a run."""

import sys
from dataclasses import dataclass

import pytest
from harness import make_config

from descent_lab import plugins
from descent_lab.components import Registry, resolve, target_of
from descent_lab.errors import ConfigError
from descent_lab.moved import MOVED
from descent_lab.optim import SGD, Adam
from descent_lab.sweeps.config import parse

GROUPS = {"optimizers": "optimizer", "schedules": "schedule", "engines": "engine", "backends": "backend"}


def _group_before(path: str) -> str:
    _, part, *rest = path.split(".")
    return GROUPS.get(part) or ("dataset" if rest[0] == "datasets" else "init")


@pytest.fixture
def allowed(monkeypatch):
    """Allow packages as the command line does, for one test."""
    monkeypatch.setattr(plugins, "_allowed", set())
    monkeypatch.setattr(sys, "path", [*sys.path])
    return plugins.allow


@pytest.mark.parametrize("path", MOVED)
def test_classes_are_found_where_they_stood_before(path):
    kind = resolve(_group_before(path), path)
    assert kind.__name__
    assert target_of(kind.__new__(kind)).startswith("descent_lab.")


@pytest.mark.parametrize(
    "target",
    [
        "subprocess.Popen",
        "subprocess.getoutput",
        "builtins.dict",
        "os.system",
        "antigravity.Optimizer",
        "src.optimizers.NoSuch",
        "descent_lab.optim.adam.subprocess.Popen",
        "descent_lab.optim.NoSuch",
        "descent_lab.no_such_module.Adam",
        "descent_lab.optim.base.Optimizer",
        "descent_lab.optim.base.DecoupledDecay",
        "descent_lab.optim.adam",
        "descent_lab.optim.schedules.Constant",
        "descent_lab.components.resolve",
        "descent_lab.optim.base.math.inf",
        "Adam",
        "",
        "..",
        "descent_lab.optim adam",
        None,
        3,
        ["descent_lab.optim.adam.Adam"],
    ],
)
def test_anything_but_a_complete_class_of_the_group_is_refused_in_one_line(target):
    with pytest.raises(ConfigError, match=r"^optimizer\._target_=") as refusal:
        resolve("optimizer", target)
    assert "\n" not in str(refusal.value)
    assert "antigravity" not in sys.modules


def test_a_package_is_imported_only_if_the_command_line_allows_it(allowed, tmp_path, monkeypatch):
    (tmp_path / "somebodys_package.py").write_text(
        "from descent_lab.optim import SGD\nclass Mine(SGD):\n    '''Mine.'''\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"plugins\.allow=\[somebodys_package\] on the command line"):
        resolve("optimizer", "somebodys_package.Mine")
    assert "somebodys_package" not in sys.modules
    plugins.allow_from(["lr=0.1", "plugins.allow=[somebodys_package]"])
    assert resolve("optimizer", "somebodys_package.Mine").kind == "somebodys_package.Mine"


def test_a_configuration_cannot_allow_packages_itself(allowed):
    config = make_config()
    with pytest.raises(ConfigError, match=r"plugins\.allow=\['os'\]: may be given on the command line only"):
        parse({**config.values, "plugins": {"allow": ["os"]}}, config.choices)


def test_an_error_in_somebodys_module_names_its_file_and_line(allowed, tmp_path, monkeypatch):
    (tmp_path / "faulty_package.py").write_text("import math\nscale = math.sqrt('one')\n")
    monkeypatch.syspath_prepend(tmp_path)
    allowed(["faulty_package"])
    with pytest.raises(ConfigError, match=r"cannot be imported: TypeError: .*faulty_package\.py:2\)"):
        resolve("optimizer", "faulty_package.Mine")


@pytest.mark.parametrize("name", ["a b", "../x", "", "a.b"])
def test_what_is_allowed_is_a_package_name(allowed, name):
    with pytest.raises(ConfigError, match=r"^plugins\.allow="):
        allowed([name])


def test_a_class_without_a_kind_counts_by_its_package_and_name_never_by_its_parents():
    @dataclass(frozen=True, kw_only=True)
    class Mine(Adam):
        """Not Adam."""

    assert Adam.kind == "adam"
    assert Mine.kind == f"{__name__.partition('.')[0]}.{Mine.__qualname__}"


def test_names_that_are_taken_and_names_that_do_not_exist_are_refused():
    registry = Registry("activation", {"relu": 1, "tanh": 2})
    assert registry.add("swish", 3) == 3
    assert registry.add("swish", 3) == 3
    with pytest.raises(ConfigError, match="activation 'relu': there is one"):
        registry.add("relu", 4)
    with pytest.raises(ValueError, match=r"must be one of relu, swish, tanh; did you mean tanh\?"):
        registry.checked("tahn")


def test_every_kind_of_a_group_is_its_own():
    """Two classes of one kind would make two runs one."""
    kinds = [(_group_before(path), resolve(_group_before(path), path).kind) for path in MOVED]
    assert len(set(kinds)) == len(kinds)
    assert SGD.kind == "sgd"
