"""A report replaces an earlier report, and nothing else: not a folder of somebody's, nor their files among its own."""

import os
from pathlib import Path

import pytest

from descent_lab.errors import ConfigError
from descent_lab.report.build import main
from descent_lab.report.folder import MARKER, made_anew


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def made(output: Path, *names: str) -> None:
    with made_anew(output) as folder:
        write(folder, *names)


def _half(folder: Path) -> None:
    """What a bug leaves behind in the middle of a report."""
    write(folder, "half.csv")
    raise KeyError("a bug")


def files(output: Path) -> set[str]:
    return {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()} - {MARKER}


def test_the_files_of_an_earlier_report_are_replaced_and_those_of_others_stay(tmp_path):
    output = tmp_path / "deep" / "report"
    made(output, "index.html", "figures/a.svg", "old/b.csv")
    write(output, "notes.txt", "figures/mine.png")
    made(output, "index.html", "figures/c.svg")
    assert files(output) == {"index.html", "figures/c.svg", "notes.txt", "figures/mine.png"}
    assert not (output / "old").exists()
    assert sorted(path.name for path in output.parent.iterdir()) == ["report"]


def test_the_folder_of_somebody_else_is_refused_whatever_its_files_are_called(tmp_path, capsys):
    write(tmp_path / "site", "index.html", "results.md", "runs.csv")
    with pytest.raises(ConfigError, match=rf"output={tmp_path / 'site'}: is not empty and holds no {MARKER}"):
        made(tmp_path / "site", "index.html")
    assert main([f"output={tmp_path / 'site'}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert files(tmp_path / "site") == {"index.html", "results.md", "runs.csv"}
    write(tmp_path, "a_file")
    with pytest.raises(ConfigError, match="a_file: is a file; must be a folder"):
        made(tmp_path / "a_file", "index.html")
    with pytest.raises(ConfigError, match="cannot be written"):
        made(tmp_path / "a_file" / "below", "index.html")


def test_a_marker_cannot_name_files_elsewhere(tmp_path):
    write(tmp_path, "precious.txt", "outside/more.txt")
    output = tmp_path / "report"
    made(output, "index.html")
    (output / "link").symlink_to(tmp_path / "outside")
    marker = output / MARKER
    marker.write_text(marker.read_text() + f"../precious.txt\n{tmp_path}/precious.txt\nlink/more.txt\n")
    made(output, "index.html")
    assert (tmp_path / "precious.txt").exists() and (tmp_path / "outside" / "more.txt").exists()


def test_a_report_that_fails_leaves_the_earlier_one_and_one_that_was_killed_blocks_nothing(tmp_path):
    output = tmp_path / "report"
    made(output, "index.html")
    with pytest.raises(KeyError), made_anew(output) as folder:
        _half(folder)
    assert files(output) == {"index.html"}
    gone = tmp_path / ".report.4194999.draft"
    alive = tmp_path / f".report.{os.getppid()}.draft"
    write(gone, "half.csv", MARKER)
    write(alive, "half.csv", MARKER)
    made(output, "index.html", "more.csv")
    assert files(output) == {"index.html", "more.csv"}
    assert not gone.exists() and alive.exists()
