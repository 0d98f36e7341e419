"""The folder of a report: made aside, then put in place; only files that the harness wrote are ever removed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from descent_lab.errors import ConfigError

MARKER = ".descent-lab-report"  # marks a folder as a report's; names the report's files, one a line
HEAD = "Written by descent-lab. When the report is made again, these files are replaced, and no others:"


@contextmanager
def made_anew(output: Path) -> Iterator[Path]:
    """A new folder to write a report into. When the block ends, its files take the place of the report in `output`.

    If the block raises or is killed, the report in `output` stays as it was. Files in `output` that no report wrote
    stay. Raises ConfigError where `output` is a file or another's folder, or cannot be written.
    """
    refuse_foreign(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(output)
        draft = output.parent / f".{output.name}.{os.getpid()}.draft"
        draft.mkdir()
        _mark(draft, [])
    except OSError as error:
        raise ConfigError(f"output={output}: cannot be written ({error.strerror or error})") from error
    try:
        yield draft
        _put_in_place(draft, output)
    except OSError as error:
        raise ConfigError(f"output={output}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def refuse_foreign(output: Path) -> None:
    """Raise ConfigError unless `output` is a folder that is empty, holds a report, or is not there yet."""
    if not output.exists() and not output.is_symlink():
        return
    if not output.is_dir():
        raise ConfigError(f"output={output}: is a file; must be a folder")
    if any(output.iterdir()) and not (output / MARKER).is_file():
        raise ConfigError(
            f"output={output}: is not empty and holds no {MARKER}, which marks a report's folder "
            "(reports made before 0.2.0 have none); empty it, or choose another"
        )


def _put_in_place(draft: Path, output: Path) -> None:
    """Move the files of the draft to `output`, and remove those that an earlier report left there."""
    output.mkdir(exist_ok=True)
    earlier = _listed(output)
    new = sorted(path.relative_to(draft) for path in draft.rglob("*") if path.is_file() and path.name != MARKER)
    _mark(output, {*earlier, *new})  # if this is interrupted, the next report knows the files of both
    for name in earlier - set(new):
        (output / name).unlink(missing_ok=True)
    for name in new:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(output / name)
    for folder in sorted({name.parent for name in earlier}, key=lambda path: -len(path.parts)):
        with suppress(OSError):  # it holds something else
            (output / folder).rmdir()
    _mark(output, new)


def _listed(output: Path) -> set[Path]:
    """The files that the marker names, relative to `output`; none that lies elsewhere."""
    marker = output / MARKER
    names = map(Path, marker.read_text(encoding="utf-8").splitlines()[1:]) if marker.is_file() else ()
    root = output.resolve()
    return {name for name in names if (output / name).resolve().is_relative_to(root) and not name.is_absolute()}


def _mark(folder: Path, names: Iterator[Path] | set[Path] | list[Path]) -> None:
    lines = [HEAD, *(name.as_posix() for name in sorted(names))]
    (folder / MARKER).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _remove_abandoned(output: Path) -> None:
    """Remove the drafts beside `output` whose process was killed."""
    for draft in output.parent.glob(f".{output.name}.*.draft"):
        number = draft.name.split(".")[-2]
        ours = (draft / MARKER).is_file() and number.isdigit()
        if ours and (int(number) == os.getpid() or not psutil.pid_exists(int(number))):
            shutil.rmtree(draft, ignore_errors=True)
