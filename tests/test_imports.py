"""The order of imports: each part of the package imports only parts that are as low or lower, without circles."""

import ast
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from descent_lab.paths import PACKAGE

LAYERS = (  # from the lowest to the highest; parts of one layer may import each other
    {"components", "errors", "faults", "metrics", "moved", "paths", "plugins", "seeding", "validation"},
    {"data", "nn", "optim", "taylor"},
    {"problems"},
    {"loops"},  # know no derivative
    {"derivatives"},
    {"training"},
    {"child_processes", "tracking"},
    {"analysis", "sweeps"},
    {"api", "cli", "replication", "report"},
)
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}
HYDRA = {"sweeps", "api", "cli", "replication"}  # the parts that may import Hydra
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def part_of(path: Path) -> str:
    """The file or folder of the package to which a module belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["descent_lab", *(parts[:-1] if parts[-1] == "__init__" else parts)])


NAMES = {name_of(path) for path in MODULES}


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    """The dotted names of the modules that are imported."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            taken = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= taken if taken <= NAMES else {str(node.module)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path):
    """Imports within functions count, too."""
    part, names = part_of(path), imports(ast.walk(ast.parse(path.read_text())))
    imported = {name.split(".")[1] for name in names if name.startswith("descent_lab.")}
    assert [other for other in imported if HEIGHT.get(other, 0) > HEIGHT[part]] == []
    libraries = {name.split(".")[0] for name in names}
    assert part in HYDRA or not libraries & {"hydra", "omegaconf"}
    assert part == "tracking" or "mlflow" not in libraries
    if part == "taylor":  # it can be used alone
        assert imported <= {"taylor"}


def test_no_module_imports_itself_by_way_of_others():
    """Imports when a module is loaded; those within functions and for type checkers do not count."""
    graph = {name_of(path): imports(ast.parse(path.read_text()).body) & NAMES for path in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
