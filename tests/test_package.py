"""The package as people install it: a wheel in an environment of its own, used from an empty folder."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest

from descent_lab.paths import ROOT

TEMPLATES = ROOT / "src" / "descent_lab" / "report" / "templates"


def build(kind: str, source: Path, output: Path) -> Path:
    """The wheel or the sdist (`kind`) of the project in `source`, written to the folder `output`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(output)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = output.iterdir()
    return made


def install(python: Path, wheel: Path) -> None:
    """Install a wheel without its dependencies, by uv where it is there, else by pip."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    tool = [uv, "pip", "install", "--python"] if uv else [sys.executable, "-m", "pip", "--python"]
    command = [*tool, str(python), *([] if uv else ["install"]), "--quiet", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and an empty folder to work in, with a home of its own."""

    python: Path
    folder: Path

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the console script in the folder."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        home = {"HOME": str(self.folder.parent / "home"), "XDG_CACHE_HOME": str(self.folder.parent / "home" / "cache")}
        program = self.python.with_name("descent-lab")
        return subprocess.run([program, *command], cwd=self.folder, env=kept | home, capture_output=True, text=True)

    def left(self) -> set[str]:
        """What lies in the folder; the files of one SQLite store count as the store."""
        return {"mlflow.db" if path.name.startswith("mlflow.db") else path.name for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    """The wheel in a fresh environment, beside this one's libraries (but not its editable descent-lab)."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place / "venv")
    python = place / "venv" / "bin" / "python"
    install(python, wheel)
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))  # a path of a .pth file loads no other .pth file
    (place / "empty").mkdir()
    return Installed(python, place / "empty")


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_its_configurations_and_nothing_else(wheel):
    inside = names(wheel)
    assert {name.split("/")[0] for name in inside} == {"descent_lab", "hydra_plugins"}
    files = {path.name for path in TEMPLATES.iterdir() if path.is_file()}
    assert {f"descent_lab/report/templates/{name}" for name in files} <= inside
    configurations = {f"descent_lab/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    published = {f"descent_lab/{path.relative_to(ROOT)}" for path in (ROOT / "experiments").iterdir()}
    assert configurations | published | {"descent_lab/py.typed"} <= inside


def test_a_source_distribution_gives_the_same_wheel(wheel, tmp_path):
    source = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(source) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert names(build("wheel", unpacked, tmp_path / "wheel")) == names(wheel)


def test_the_installed_package_works_in_an_empty_folder_and_leaves_only_the_store(installed):
    done = installed("run", "epochs=2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 finished" in done.stdout
    assert installed.left() == {"mlflow.db", "mlartifacts"}
    done = installed("run", "-m", "epochs=2", "seed=0,1,2", "tracking.summary=false")
    assert done.returncode == 0 and "2 finished" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("charts: mlflow ui, then http://")
    assert installed.left() == {"mlflow.db", "mlartifacts"}
    done = installed("report")
    assert (done.returncode, done.stderr) == (0, "")
    assert (installed.folder / "reports" / "output" / "index.html").is_file()
    assert installed.left() == {"mlflow.db", "mlartifacts", "reports"}


@pytest.mark.slow
def test_the_wheel_brings_its_dependencies(wheel, tmp_path):
    """With pip, from the package index."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    (tmp_path / "empty").mkdir()
    done = Installed(python, tmp_path / "empty")("run", "epochs=2", "backend=jax")
    assert (done.returncode, done.stderr) == (0, "")


def test_everything_imported_is_declared():
    """Each library that the package imports is in pyproject.toml, as a dependency or in an extra.

    Not pydantic_core, whose version pydantic pins.
    """
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [*declared["dependencies"], *chain(*declared["optional-dependencies"].values())]
    known = {re.split(r"[>\[]", requirement)[0].lower() for requirement in required}
    distributions = packages_distributions()
    for path in [*(ROOT / "src" / "descent_lab").rglob("*.py"), *(ROOT / "hydra_plugins").glob("*.py")]:
        for module in (
            imported(path) - set(sys.stdlib_module_names) - {"descent_lab", "pydantic_core"}
        ):  # which pydantic pins
            names = {name.lower() for name in distributions.get(module, [module])}
            assert names & known, f"{path}: {module}"


def imported(path: Path) -> set[str]:
    """The top-level names of what a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | named}


def test_a_plug_in_is_found_once_it_is_installed(installed, tmp_path):
    plugin = build("wheel", ROOT / "examples" / "plugin", tmp_path / "wheel")
    install(installed.python, plugin)
    (tmp_path / "empty").mkdir()
    done = Installed(installed.python, tmp_path / "empty")("run", "optimizer=sign_sgd", "dataset=moons", "epochs=2")
    assert (done.returncode, done.stderr) == (0, "") and "sign_sgd moons" in done.stdout
