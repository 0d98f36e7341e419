"""Configuration files and README: every choice loads, and is told of."""

from pathlib import Path

import pytest
import yaml
from harness import CONF, choices, choosing, make_config

from descent_lab.paths import ROOT

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


@pytest.mark.skipif(not README.exists(), reason="no README yet")
@pytest.mark.parametrize("group", TOLD)
def test_the_readme_tells_of_every_choice(group):
    text = README.read_text()
    assert [choice for choice in choices(group) if f"`{choice}`" not in text] == []


def test_no_configuration_holds_a_path_of_one_machine():
    for path in FILES:
        assert str(Path.home()) not in path.read_text() and str(ROOT) not in path.read_text(), path
