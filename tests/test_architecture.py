"""Imports point downwards, from the command line to the mathematics, and never in circles (docs: architecture)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from descent_lab.paths import PACKAGE

LAYERS = (  # from the bottom: a part may import its own layer's parts only where it is alone in it, and lower layers
    ("paths", "errors", "moved", "wording", "child_processes", "taylor", "portable"),
    ("plugins",),
    ("faults",),
    ("components",),
    ("metrics", "seeding", "validation"),
    ("data", "nn", "optim"),
    ("problems",),
    ("loops",),
    ("derivatives",),
    ("training",),
    ("tracking",),
    ("sweeps",),
    ("analysis",),
    ("exports",),
    ("cli",),
    ("api", "report"),
    ("replication",),
)
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
ALONE = {"hydra": {"cli"}, "omegaconf": {"cli"}, "mlflow": {"tracking"}, "matplotlib": {"report", "replication"}}
FILES = sorted(PACKAGE.rglob("*.py"))


def part(module: str) -> str:
    """`optim` of descent_lab.optim.adam; the package itself is its public face, above all."""
    return module.split(".")[1] if "." in module else ""


def name_of(file: Path) -> str:
    return ".".join(("descent_lab", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imports(file: Path, at_start: bool = False) -> Iterator[str]:
    """Modules that a file imports; at_start: only those that it imports when it is imported itself."""
    tree = ast.parse(file.read_text())
    for node in _at_start(tree) if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                within = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                inner = within.with_suffix(".py").exists() or within.is_dir()
                yield f"{node.module}.{alias.name}" if inner else node.module


def _at_start(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: not in functions, and not for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_start(child)


def test_every_part_has_its_place():
    parts = {name_of(file).split(".")[1] for file in FILES if file.parent != PACKAGE or file.stem != "__init__"}
    assert parts == set(HEIGHT)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_downwards(file):
    ours = part(name_of(file))
    for module in imports(file):
        theirs = part(module) if module.startswith("descent_lab") else None
        if ours and theirs and theirs != ours:
            assert HEIGHT[theirs] < HEIGHT[ours], f"{ours} imports {module}"
        library = module.split(".")[0]
        if library in ALONE and ours:
            lowest = min(HEIGHT[name] for name in ALONE[library])
            assert ours in ALONE[library] or HEIGHT[ours] > lowest, f"{ours} imports {library}"


def test_no_module_imports_itself_through_others():
    graph = {name_of(file): {m for m in imports(file, at_start=True) if m.startswith("descent_lab.")} for file in FILES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(graph.get(module, ())):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
