"""One run of a store, opened without pandas, which takes a third of a second to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from descent_lab.errors import ModelError
from descent_lab.tracking.address import resolve
from descent_lab.tracking.columns import column
from descent_lab.tracking.reader import store
from descent_lab.tracking.reader.arrays import Artifacts, Curves, curves_of
from descent_lab.tracking.reader.source import INFO, TAGS, Stored, Wanted


@dataclass(frozen=True)
class StoredRun:
    """A complete run of a store. about: what a frame of runs says of it, by the names of its columns."""

    uri: str  # of the store
    run_id: str
    about: Mapping[str, Any]
    artifacts: Artifacts = field(repr=False)

    def curves(self) -> Curves:
        """Every curve, each (n_records,)."""
        return curves_of(self.artifacts, self.run_id, float(self.about["epochs"]))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of `theta` or `predictions`, as Results gives them; empty if not stored."""
        return self.artifacts.arrays(self.run_id, f"{name}.npz")

    def config(self) -> dict[str, Any]:
        """The resolved configuration, nested, with the choice of each group as `choices`; empty if not stored."""
        return self.artifacts.config(self.run_id)


def load_run(run_id: str, uri: str | None = None) -> StoredRun:
    """A run of a store. Raises ModelError where the store has no finished run of that id, StoreError as `load` does."""
    if not run_id.isalnum():
        raise ModelError(f"run={run_id}: not a run id")
    source = store.connect(resolve(uri))
    stored = source.find(Wanted(run=run_id))
    if not stored.runs:
        raise ModelError(f"run={run_id}: no finished run of that id in {source.uri}")
    return StoredRun(source.uri, run_id, _about(stored), Artifacts(source.uri, {run_id: stored.runs[0].artifacts}))


def _about(stored: Stored) -> dict[str, Any]:
    """What is known of the only run that was found."""
    info = dict(zip(INFO, stored.runs[0], strict=False))
    params = {name: values[0] for name, values in stored.params.items()}
    tags = {name: stored.tags.get(name, [None])[0] for name in TAGS}
    return params | {column(name): values[0] for name, values in stored.metrics.items()} | tags | info
