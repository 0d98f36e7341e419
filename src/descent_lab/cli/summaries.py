"""The summary run of each sweep of a command, written when the command has done all its runs."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from descent_lab.errors import without_password

if TYPE_CHECKING:
    from descent_lab.sweeps.summary import Part
    from descent_lab.tracking.record import SweepKey

MADE_BY = "descent_lab.report.summary_run"  # by its name, as in main.py: reports lie above commands
_noted: "dict[SweepKey, Part]" = {}


def note(parts: "Mapping[SweepKey, Part]") -> None:
    """Remember what was done to sweeps, in a command that may launch runs several times."""
    for key, part in parts.items():
        if key in _noted:
            _noted[key].add(part)
        else:
            _noted[key] = part


def forget() -> None:
    """The next command of this process begins anew."""
    _noted.clear()


def write() -> None:
    """Write the summaries of the sweeps that were noted; say where, or in a line why not.

    A sweep to which nothing came keeps the summary that it has.
    """
    for key, part in _noted.items():
        try:
            written = _written(key, part)
        except Exception as error:  # the runs are all there, and the command has done what it was asked for
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(without_password(f"no summary of sweep {key.sweep}: {reason}"), file=sys.stderr)
            continue
        if written:
            print(f"summary: {key.sweep} (an MLflow run in the experiment {key.experiment})")


def _written(key: "SweepKey", part: "Part") -> bool:
    """Whether a summary was written."""
    from descent_lab.tracking.stores import Stores

    stores = Stores()
    if not part.new and stores.at(key.uri, key.experiment).has("summary", key.sweep):
        return False
    return bool(import_module(MADE_BY).add_summary(key, part, stores))
