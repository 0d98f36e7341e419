"""The summary run and the charts of each sweep of a command, written when the command has done all its runs."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from descent_lab.errors import without_password

if TYPE_CHECKING:
    from descent_lab.sweeps.summary import Part
    from descent_lab.tracking.record import SweepKey
    from descent_lab.tracking.stores import Stores

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
    """Write the summaries and the charts of the sweeps that were noted; say where, or in a line why not.

    It is said on stderr, so that scripts find the numbers of runs in the last line of stdout. A sweep to which nothing
    came keeps the summary that it has.
    """
    if not _noted:
        return
    from descent_lab.tracking.stores import Stores

    stores = Stores()
    for key, part in _noted.items():
        for what, write_it in {"summary": _summary, "charts": _charts}.items():
            try:
                said = write_it(key, part, stores)
            except Exception as error:  # the runs are all there, and the command has done what it was asked for
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                said = without_password(f"no {what} of sweep {key.sweep}: {reason}")
            if said:
                print(said, file=sys.stderr)


def _summary(key: "SweepKey", part: "Part", stores: "Stores") -> str | None:
    """Write the summary; say where it is seen if it was written."""
    from descent_lab.tracking import view

    store = stores.at(key.uri, key.experiment)
    if not part.summarised or (not part.new and store.has("summary", key.sweep)):
        return None
    run_id, address = import_module(MADE_BY).add_summary(key, part, stores), view.pages(key.uri)
    where = f"{address}/#/experiments/{store.experiment_id}/runs/{run_id}" if address else f"run {run_id}"
    return f"summary: {where}" if run_id else None


def _charts(key: "SweepKey", part: "Part", stores: "Stores") -> str | None:
    """Keep the charts as a saved view in MLflow; say where they are seen."""
    from descent_lab.sweeps.charts import view_of
    from descent_lab.tracking import view

    charts = view_of(key.sweep, part.configs)
    if charts is None:
        return None
    store = stores.at(key.uri, key.experiment)
    view.save(charts, store)
    address = view.link(charts, key.uri, store.experiment_id)
    return f"charts: {address}" if address else None
