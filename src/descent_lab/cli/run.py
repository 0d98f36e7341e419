"""Hydra entry: a configuration in, a tracked run out."""

import gc
import io
import sys
from typing import TYPE_CHECKING

import hydra

from descent_lab import plugins
from descent_lab.errors import ConfigError
from descent_lab.paths import CONF

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(composed: "DictConfig") -> None:
    """One run. (A sweep goes through the launcher in hydra_plugins.)"""
    from hydra.core.hydra_config import HydraConfig

    from descent_lab.cli.session import single  # imported here so that --help stays quick

    sys.stderr = sys.__stderr__
    sys.exit(single(composed, HydraConfig.get()))  # type: ignore[arg-type]  # a DictConfig behind its schema


def main(arguments: list[str]) -> int:
    """What `python -m src.run <arguments>` does; returns or exits with the exit code."""
    sys.argv[1:] = arguments
    gc.set_threshold(50_000)  # libraries and MLflow's rows are many objects and little garbage: a quarter of the start
    sys.setswitchinterval(0.0005)  # training waits that long for the thread that tracks, at every record
    sys.stderr = complaints = io.StringIO()  # Hydra's own complaints take many lines: they are shown as one
    try:
        plugins.allow_from(arguments)
        task()
    except ConfigError as error:
        print(error, file=sys.__stderr__)
        sys.exit(2)
    except KeyboardInterrupt:  # before training began, or again while finished runs were being delivered
        print("interrupted: finished runs are kept; the same command goes on with the rest", file=sys.__stderr__)
        sys.exit(130)
    finally:
        sys.stderr = sys.__stderr__
        if complaints.getvalue():
            from descent_lab.cli.session import one_line

            print(one_line(complaints.getvalue()), file=sys.stderr)
        gc.freeze()  # or the interpreter looks through everything once more before it ends
    return 0
