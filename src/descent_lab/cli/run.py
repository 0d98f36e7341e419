"""Hydra entry: a configuration in, a tracked run out."""

import gc
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import hydra

from descent_lab import plugins
from descent_lab.cli import exit_code, summaries
from descent_lab.cli.entry import no_reader
from descent_lab.cli.sweeper_words import as_text
from descent_lab.paths import CONF

if TYPE_CHECKING:
    from omegaconf import DictConfig

TAKE_A_WORD = {  # options of Hydra after which comes a word that is no value of the configuration
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--experimental-rerun", "--info", "-i"),
}


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(composed: "DictConfig") -> float | tuple[float, ...]:
    """One run; returns what a search minimises (tuning.by), infinite where it diverged. Raises RunError if it failed.

    A sweep of the default launcher goes through hydra_plugins instead; other launchers call this once a job.
    """
    from hydra.core.hydra_config import HydraConfig

    from descent_lab.cli.session import run_one  # imported here, so that --help stays quick

    with shown():
        return run_one(composed, HydraConfig.get())  # type: ignore[arg-type]  # a DictConfig behind its schema


def main(arguments: Sequence[str]) -> int:
    """Run `python -m src.run <arguments>`; the exit code. A refusal is one line."""
    sys.argv[1:] = map(as_text, _options_first(arguments))
    gc.set_threshold(50_000)  # libraries and MLflow's rows are many objects and little garbage: a quarter of the start
    sys.setswitchinterval(0.0005)  # seconds; training waits that long for the thread that tracks, at every record
    exit_code.noted()  # forget what an earlier command of this process noted
    summaries.forget()
    with hidden() as complaints:
        try:
            plugins.allow_from(arguments)
            with _raising():
                task()
            with shown():
                summaries.write()
            code = exit_code.noted()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else exit_code.REFUSED
            complaints.write(f"\n{end.code}" if isinstance(end.code, str) else "")
        except KeyboardInterrupt:  # before training began, or again while finished runs were being delivered
            complaints.write("interrupted: finished runs are kept; the same command goes on with the rest")
            code = exit_code.INTERRUPTED
        except BrokenPipeError:
            code = no_reader()
        except Exception as error:
            from descent_lab.cli.complaints import explained

            complaints.seek(0)
            complaints.truncate()
            line, code = explained(error, arguments)
            complaints.write(line)
    if complaints.getvalue():
        from descent_lab.cli.complaints import one_line

        print(one_line(complaints.getvalue()), file=sys.stderr)
    gc.freeze()  # or the interpreter looks through everything once more before it ends
    return code


def _options_first(words: Sequence[str]) -> list[str]:
    """The words, options before values: Hydra refuses `lr=0.1 -m seed=0,1`, where an option divides the values."""
    options: list[str] = []
    values: list[str] = []
    before = ""
    for word in words:
        (options if word.startswith("-") or before in TAKE_A_WORD else values).append(word)
        before = word
    return options + values


@contextmanager
def hidden() -> Iterator[io.StringIO]:
    """Collect what Hydra writes to stderr, often many lines, to be said in one."""
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        yield sys.stderr
    finally:
        sys.stderr = stderr


@contextmanager
def shown() -> Iterator[None]:
    """Let stderr be seen meanwhile, although Hydra's part of it is hidden."""
    collected, sys.stderr = sys.stderr, sys.__stderr__
    try:
        yield
    finally:
        sys.stderr = collected


@contextmanager
def _raising() -> Iterator[None]:
    """Have Hydra raise what it would otherwise print over many lines."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
