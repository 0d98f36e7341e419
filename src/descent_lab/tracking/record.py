"""What is to be tracked of a run, and where: known before the run is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import MinLen

from descent_lab.tracking.address import resolve


class RunKey(NamedTuple):
    """Where a run belongs, and which one it is: two runs with the same key are the same run."""

    uri: str  # of the tracking store
    experiment: str
    identity: str  # hash of all that can change the run's curves


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Where runs are written.

    uri: of the store; None: MLFLOW_TRACKING_URI, or mlflow.db at the repository root (installed: the current folder).
    sweep: the name that joins the runs of a sweep; None: the time it began.
    phase: what the run's seed is for, where hyperparameters are tuned; hydra.sweeper.tuned sets it.
    offline: leave runs in the outbox, for `descent-lab deliver`.
    """

    uri: str | None = None
    experiment: Annotated[str, MinLen(1)] = "optimizers"
    sweep: str | None = None
    phase: Literal["tuning", "evaluation"] | None = None
    save_theta: bool = True
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run as the tracking store is to know it.

    params: every leaf of the configuration by its dotted name, and the choice of each group.
    settings: the same as nested values, for config.yaml.
    fingerprint: of the content of data that come from files; None for other data.
    force: whether it is wanted even if the store holds a finished run of this identity.
    """

    name: str
    identity: str
    params: Mapping[str, str]
    settings: Mapping[str, Any]
    fingerprint: str | None
    tracking: Tracking
    force: bool

    @property
    def key(self) -> RunKey:
        """Where the run belongs, with the address of the store as it is resolved now."""
        return RunKey(resolve(self.tracking.uri), self.tracking.experiment, self.identity)
