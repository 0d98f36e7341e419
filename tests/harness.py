"""What the tests share: the choices in conf/, configurations composed from its YAML files, and the command line."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from descent_lab.cli.compose import Composer
from descent_lab.cli.defaults import FileConfigSource
from descent_lab.loops.base import Workload
from descent_lab.paths import ROOT
from descent_lab.plugins import conf_folders
from descent_lab.sweeps.config import Config, parse
from descent_lab.training.run import Outcome, Run
from descent_lab.training.trainer import train

CONF = ROOT / "conf"
NUMBERS = np.random.default_rng(7).standard_normal((24, 3))  # in the files of csv and npz: two features and a target


def choices(group: str) -> list[str]:
    """The choices of a group: the YAML files in its folder, and in those of the plug-ins that are installed."""
    return sorted(path.stem for folder in (CONF, *conf_folders()) for path in (folder / group).glob("*.yaml"))


def composed(*overrides: str):
    """The configuration that Hydra itself composes."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


@cache
def composer() -> Composer:
    """The composer of all tests, so that each combination of choices is composed only once."""
    return Composer(lambda overrides: composed(*overrides), lambda name: (CONF / name).is_dir())


@cache
def make_config(*overrides: str) -> Config:
    """The configuration that `python -m src.run <overrides>` has. What needs a file, or layers, gets some."""
    names = [o.removeprefix("dataset=") for o in overrides if o.startswith("dataset=")]
    files = [] if any(o.startswith("dataset.path=") for o in overrides) else file_of(*names)
    listed = "model=layers" in overrides and not any(o.startswith("model.layers=") for o in overrides)
    return parse(*composer()([*overrides, *files, *(["model.layers=[{dense: 1}]"] if listed else [])]))


def make_run(*overrides: str) -> Run:
    """The run of these overrides, ready to train."""
    config = make_config(*overrides)
    return config.run(config.problem())


def trained(*overrides: str) -> Outcome:
    """The outcome of a run with these overrides, trained alone."""
    (outcome,) = train([make_run(*overrides)])
    return outcome


class Caught(Exception):
    """Ends a training, and carries what the test wants to see."""


def workload_of(*runs: Run) -> Workload:
    """What the backend of runs is given to train them as one stack."""
    with patch.object(type(runs[0].backend), "prepare", lambda backend, workload: _raise(Caught(workload))):
        try:
            train(runs)
        except Caught as caught:
            return caught.args[0]
    raise AssertionError("the backend was not asked")


def _raise(error: Exception) -> None:
    raise error


def double_precision() -> Any:
    """A context in which JAX computes in float64; where it stands depends on JAX's version."""
    import jax
    import jax.experimental

    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(True)


def file_of(*datasets: str) -> list[str]:
    """The overrides that give the data sets csv and npz a file."""
    if "csv" in datasets:
        write = partial(np.savetxt, X=NUMBERS, delimiter=",", header="a,b,y", comments="")
        return [f"dataset.path={_written('data.csv', write)}", "dataset.target=y"]
    if "npz" in datasets:
        return [f"dataset.path={_written('data.npz', partial(np.savez, x=NUMBERS[:, :2], y=NUMBERS[:, 2]))}"]
    return []


def _written(name: str, write: Callable[[Path], None]) -> Path:
    """The path of a file, which is written if it does not exist; never half, as other test processes may read it."""
    path = ROOT / ".cache" / "tests" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_stem(f"{path.stem}-{os.getpid()}")
        write(draft)
        draft.rename(path)
    return path


def read_choice(group: str, choice: str) -> dict[str, Any]:
    """The values of a choice, from its YAML and from the class that it names, also those outside of the group."""
    source = FileConfigSource("main", f"file://{_file(group, choice).parents[1]}")
    return OmegaConf.to_container(source.load_config(f"{group}/{choice}").config, resolve=False)


def values_of(group: str, choice: str) -> dict[str, Any]:
    """The values of a choice within its group, from its YAML and from the class that it names."""
    values = read_choice(group, choice)
    return values.get(group, values)


def written(group: str, choice: str) -> dict[str, Any]:
    """The values of a group that are written in the YAML of a choice."""
    values = yaml.safe_load(_file(group, choice).read_text())
    return values.get(group, values)


def _file(group: str, choice: str) -> Path:
    """The YAML of a choice, of this package or of a plug-in."""
    files = [folder / group / f"{choice}.yaml" for folder in (CONF, *conf_folders())]
    return next(file for file in files if file.is_file())


VARIANTS = [("backend=random_search", "backend.arrays=numpy")]
OF_ORDER_2 = [("backend=taylor", "backend.order=2")]
Overrides = tuple[str, ...]


def order(group: str, overrides: Overrides) -> int:
    """The order of the derivatives that a backend gives or an optimizer needs, read from its YAML and class."""
    (choice, *options) = (override.partition("=")[2] for override in overrides)
    values = values_of(group, choice)
    module, _, kind = values["_target_"].rpartition(".")
    from_options = int(options[0]) if options and options[0].isdigit() else values.get("order")
    return getattr(getattr(import_module(module), kind), "order", from_options)


def every_backend() -> list[Overrides]:
    """The overrides for every backend with its defaults, and for its variants."""
    plain = [(f"backend={name}",) for name in choices("backend")]
    return [*plain, *(variant for variant in VARIANTS if variant[:1] in plain)]


def backends_for(optimizer: str = "sgd") -> list[Overrides]:
    """The overrides for each backend that an optimizer can be used with; `numpy` is first if it is one of them."""
    needed = order("optimizer", (f"optimizer={optimizer}",))
    able = {b[0]: b for b in reversed(every_backend() + OF_ORDER_2) if order("backend", b) >= needed}
    return sorted(able.values(), key=lambda overrides: overrides[0] != "backend=numpy")


def choosing(group: str, choice: str) -> list[str]:
    """The overrides for a choice of any group, with a backend that it can be used with."""
    return [f"{group}={choice}", *(backends_for(choice)[0] if group == "optimizer" else ())]


def backend_of(overrides: Overrides) -> Any:
    """The backend of these overrides, to replace the backend of a run."""
    return make_config(*overrides).backend


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def run_cli(*arguments: str, command: Sequence[str] = ("-m", "src.run"), **environment: str) -> Answer:
    """Run `python -m src.run <arguments>` at the repository root, with the store of the test."""
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
