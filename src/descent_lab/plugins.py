"""Plug-ins: packages of users whose components and parts belong to the harness as its own do.

An installed package is a plug-in if it has an entry point of the group `descent_lab`:

    [project.entry-points.descent_lab]
    my_plugin = "my_package.plugin"

The named module (or package) is imported when a part is asked for that the harness does not have; importing it adds
its parts to the registries. Configurations may name its component classes. Its folder `conf`, beside the module, is
searched for choices: conf/optimizer/my_optimizer.yaml makes `optimizer=my_optimizer`.

A package that is not installed as a plug-in can be allowed for one command: `plugins.allow=[my_package]`.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from descent_lab.errors import ConfigError

GROUP = "descent_lab"
KEY = "plugins.allow"

_allowed: set[str] = set()  # packages that the command line of this process allows
_loaded: set[str] = set()
_broken: dict[str, str] = {}  # module: why it cannot be imported


@cache
def installed() -> tuple[str, ...]:
    """The modules that installed plug-ins name, in the order of their entry points' names."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(dict.fromkeys(point.module for point in points))


def allowed() -> set[str]:
    """The top-level packages whose classes a configuration may name."""
    return {GROUP} | _allowed | {module.partition(".")[0] for module in installed()}


def allow(packages: Iterable[str]) -> None:
    """Let configurations of this process name classes of these packages. Raises ConfigError for other text.

    Only what a person typed may be allowed: never what a configuration file or a stored run says.
    """
    for package in packages:
        if not package.isidentifier():
            raise ConfigError(f"{KEY}={package}: must be names of top-level packages, such as [my_package]")
        _allowed.add(package)
    if _allowed and os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` does: the package may lie in the current folder


def allowed_here() -> tuple[str, ...]:
    """The packages that the command line allows, for other processes of the same command."""
    return tuple(sorted(_allowed))


def allow_from(arguments: Sequence[str]) -> None:
    """Allow what the words of a command line say: plugins.allow=[a,b]."""
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and key.lstrip("+") == KEY:
            names = value.strip().removeprefix("[").removesuffix("]").split(",")
            allow(name.strip().strip("'\"") for name in names if name.strip())


def load() -> None:
    """Import every plug-in that this process has not imported yet. One that fails is named on stderr, once."""
    for module in (*installed(), *allowed_here()):
        if module in _loaded or module in _broken:
            continue
        _loaded.add(module)  # before it is imported, as it may ask for parts itself
        try:
            import_module(module)
        except Exception as error:  # whatever is wrong with somebody's package: others can do without it
            _loaded.discard(module)
            reason = (str(error).splitlines() or [""])[0]
            _broken[module] = f"{type(error).__name__}: {reason}"
            print(f"plug-in {module}: cannot be imported ({_broken[module]})", file=sys.stderr)


def conf_folders() -> list[Path]:
    """The folders of configurations that installed plug-ins bring."""
    folders = [place.parent / "conf" for place in map(_file, installed()) if place]
    return [folder for folder in folders if folder.is_dir()]


def places() -> list[Path]:
    """The places of the code of plug-ins and of allowed packages: folders of packages, files of single modules."""
    tops = dict.fromkeys(module.partition(".")[0] for module in (*installed(), *allowed_here()))
    files = [file for file in map(_file, tops) if file]
    return [file.parent if file.name == "__init__.py" else file for file in files]


def _file(module: str) -> Path | None:
    """The file of a module, found without importing it or the packages that it is in; None where there is none."""
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except Exception:  # whatever a finder raises; `load` says so when the module is needed
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin else None
    places = [Path(folder, *below) for folder in spec.submodule_search_locations or ()]
    files = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
    return next((file for file in files if file.is_file()), None)
