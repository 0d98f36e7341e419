"""Configuration files, README and docs/: every choice loads and is told of; every example in the text works."""

import re
import shlex
import tomllib
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml
from harness import CONF, choices, choosing, make_config

import descent_lab
from descent_lab.cli.completion import options_of
from descent_lab.cli.composition import configurations, sweep_of
from descent_lab.cli.main import COMMANDS
from descent_lab.metrics import METRICS
from descent_lab.nn.activations import ACTIVATIONS
from descent_lab.paths import ROOT
from descent_lab.sweeps.config import Config

FILES = sorted(CONF.rglob("*.yaml"))
GROUPS = ["backend", "dataset", "model", "init", "batching", "schedule", "optimizer", "tracking", "engine"]
TOLD = ["dataset", "optimizer", "backend", "init", "batching", "schedule"]  # by name in the README
README = ROOT / "README.md"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_file_is_a_mapping_in_tidy_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)
    assert path.read_text().endswith("\n") and "\t" not in path.read_text()


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_composes_and_validates(group):
    for choice in choices(group):
        assert make_config(*choosing(group, choice)).choices[group] == choice


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_composes(path):
    assert make_config(f"+experiment={path.stem}").epochs >= 0


def test_every_folder_is_a_group():
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders == {*GROUPS, "experiment", "hydra"}


@pytest.mark.parametrize("group", TOLD)
def test_the_readme_tells_of_every_choice(group):
    text = README.read_text()
    assert [choice for choice in choices(group) if f"`{choice}`" not in text] == []


def test_no_configuration_holds_a_path_of_one_machine():
    for path in FILES:
        assert str(Path.home()) not in path.read_text() and str(ROOT) not in path.read_text(), path


# --- the text -------------------------------------------------------------------------------------------------

PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE = re.compile(r"(?m)^\$ (?:python -m src\.|descent-lab |\.venv/bin/python -m src\.)(run\b.*)$")
OF_A_PLUG_IN = ("sign_sgd", "moons", "forward_mode", "signsgd")  # choices that are not installed here


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a page, as they stand in its Markdown."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text())


def commands(page: Path) -> list[list[str]]:
    """The words after `run` of every training command of a page."""
    lines = [line for block in blocks(page, "console") for line in CONSOLE.findall(block)]
    return [shlex.split(line, comments=True)[1:] for line in lines]


TRAINING = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)}")
    for page in PAGES
    for words in commands(page)
    if "..." not in words and not any(name in word for name in OF_A_PLUG_IN for word in words)
]


@pytest.fixture
def parts_of_this_test(monkeypatch, tmp_path):
    """Parts that an example adds are gone after the test; it runs in a folder of its own."""
    for registry in (ACTIVATIONS, METRICS):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, parts_of_this_test):
    names = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("words", TRAINING)
def test_the_training_commands_of_a_page_are_understood(words):
    """Each is composed and checked, and not run. Flags such as --help say nothing of values."""
    values = [word for word in words if "=" in word and not word.startswith("hydra.verbose")]
    sweep = sweep_of(values)
    for config in configurations(sweep.jobs()[:1]):
        assert isinstance(config, Config) or "houses.csv" in str(config), config


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_other_commands_of_a_page_exist(page):
    text = "\n".join(blocks(page, "console"))
    for command, rest in re.findall(r"(?m)^\$ descent-lab (\S+)(.*)$", text):
        assert command in COMMANDS or command.startswith("-"), command
        if command in ("predict", "replay", "report"):
            known = [option.removeprefix("--").rstrip("=").replace("-", "_") for option in options_of(command)]
            given = [word.partition("=")[0] for word in shlex.split(rest, comments=True) if "=" in word]
            assert [name for name in given if name not in (*known, "dataset")] == []
    for target in re.findall(r"(?m)^\$ make (\w+)", text):
        assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_yaml_of_a_page_is_yaml(page):
    assert all(isinstance(yaml.safe_load(block), dict) for block in blocks(page, "yaml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_hosted_workflow_calls_targets_of_the_makefile():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    called = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert called == {"make setup", "make test", "make docs"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"(?m)^{command.split()[1]}:", makefile) for command in called)
    for variable in jobs["test"]["env"]:
        assert re.search(rf"(?m)^{variable} \?=", makefile), variable


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 120


def test_the_version_is_one():
    """pyproject.toml says it; the citation and the changelog follow."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == stated
    assert f"\n## {stated}" in (ROOT / "CHANGELOG.md").read_text()
    assert descent_lab.__version__ == version("descent-lab")


def test_the_tables_of_the_pages_are_made_from_the_code():
    """Every mark of a page is known, and a table has a row for each choice."""
    spec = spec_from_file_location("docs_tables", ROOT / "scripts" / "docs_tables.py")
    tables = module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page in PAGES:
        assert not tables.MARK.search(tables.on_page_markdown(page.read_text()))
    drawn = [choice for choice in choices("schedule") if f">{choice}</text>" in tables.schedules()]
    assert set(choices("schedule")) - set(drawn) == {"reduce_on_plateau"}
    for group in ("backend", "dataset", "init", "schedule", "engine"):
        assert all(f"| `{choice}` |" in tables.table(f"choices of {group}") for choice in choices(group))
    assert all(f"| `{choice}` |" in tables.table("optimizers") for choice in choices("optimizer"))
