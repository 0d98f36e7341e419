"""What tracking needs to know of a run before it is trained: what to write, and where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, MinLen

from descent_lab.tracking.address import resolve
from descent_lab.tracking.study_record import Phase


class RunKey(NamedTuple):
    """Where a run belongs, and which one it is: two runs with the same key are the same run."""

    uri: str  # of the tracking store
    experiment: str
    identity: str  # hash of all that can change the run's curves


class SweepKey(NamedTuple):
    """A sweep in one experiment of one store."""

    uri: str  # of the tracking store
    experiment: str
    sweep: str  # the tag that its runs share


@dataclass(frozen=True)
class KnownRun:
    """A finished run that need not be trained again, as far as a sweep that skips it asks.

    summary: its metrics with one value. curves: gives its curves, each (n_records,).
    """

    diverged: bool
    summary: Mapping[str, float]
    curves: Callable[[], Mapping[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Where runs are written.

    uri: address of the store; None: MLFLOW_TRACKING_URI, or mlflow.db at the repository root (installed: in the
        current folder).
    experiment: name of the MLflow experiment.
    sweep: the name that the runs of a sweep share; None: the time at which the sweep began.
    phase, block, tuning: what the run's seed is used for, in which block of seeds, and how the entrant is tuned
        (study_record.py), where hyperparameters are tuned; hydra.sweeper.tuned sets them.
    save_theta: store the parameters of the network in theta.npz.
    export: at the end of a tuned sweep, log an MLflow model of each entrant's chosen setting.
    offline: leave the runs in the outbox, for `descent-lab deliver`.
    summary: at the end of a sweep, write one more MLflow run that shows the whole sweep.
    """

    uri: str | None = None
    experiment: Annotated[str, MinLen(1)] = "optimizers"
    sweep: str | None = None
    phase: Phase | None = None
    block: Annotated[int, Ge(0)] | None = None
    tuning: str | None = None
    save_theta: bool = True
    export: bool = False
    offline: bool = False
    summary: bool = True

    def key(self, identity: str) -> RunKey:
        """Where the run of this identity belongs, with the address of the store as it is resolved now."""
        return RunKey(resolve(self.uri), self.experiment, identity)


@dataclass(frozen=True)
class Origin:
    """Where the data of a run come from.

    name: of the data set, or of its file. digest: 20 hexadecimal digits, of the options that make or split the data and
    of the content of files. path: of the file of the training samples; None: `made_by`, a class, makes them.
    """

    name: str
    digest: str
    made_by: str
    path: str | None


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as the tracking store will describe it.

    name: a readable name, which MLflow lists.
    identity: hash of everything that can change the run's curves.
    params: every leaf of the configuration by its dotted name, and the choice of each group.
    settings: the same as nested values, for config.yaml.
    fingerprint: hash of the content of data that come from files; None for other data. origin: of the data.
    tracking: where the run is written.
    force: write the run even if the store holds a finished run of this identity.
    """

    name: str
    identity: str
    params: Mapping[str, str]
    settings: Mapping[str, Any]
    fingerprint: str | None
    origin: Origin
    tracking: Tracking
    force: bool

    @property
    def key(self) -> RunKey:
        """Where the run belongs, with the address of the store as it is resolved now."""
        return self.tracking.key(self.identity)
