"""What a search minimises: a recorded metric at the end of a run or at its best, or the steps to a target.

A run that is finished is known by its results: `final/*` and `best/*` of every metric, as stores hold them, and
`target/step`, the first recorded step at which the metric had reached the target. They are the same for runs that are
trained now and for runs that a store holds already.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from descent_lab.components import suggestion
from descent_lab.errors import ConfigError
from descent_lab.metrics import METRICS, better, metrics_of
from descent_lab.optim.base import Optimizer
from descent_lab.problems.supervised import Problem

Results = Mapping[str, float]  # of a finished run, by name
Score = tuple[float, ...]  # of a run or of a setting, by which it is compared with others; lower is better
WORST: Score = (math.inf,)  # of a run that diverged or failed
STEP = "target/step"
LOSSES = ("validation/loss", "train/loss")  # what is minimised by default: the first that a run has


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a tuned sweep chooses settings by; it changes no run.

    by: a metric of the training or the validation set, such as validation/accuracy; None: validation/loss where there
        is a validation set, else train/loss. Whether low or high is better is known of every metric.
    at: its value at the end of the run, or the best one of all records.
    target: the fewest steps until the metric reaches this value count instead. Never to reach it is worst. Of equal
        numbers of steps, the value decides.
    """

    by: str | None = None
    at: Literal["final", "best"] = "final"
    target: float | None = None

    @property
    def described(self) -> str | dict[str, float | str]:
        """`at` as the param `tracking.tuning` has it."""
        if self.target is None:
            return self.at
        return {"time_to": self.target} | ({} if self.at == "final" else {"then": self.at})

    def metric(self, problem: Problem) -> str:
        """The name of the metric on a problem."""
        return self.by or LOSSES[0 if len(problem.data.x_validation) else 1]

    def refuse_unrecorded(self, problem: Problem, optimizer: Optimizer | None) -> None:
        """Raise ConfigError in one line where it is known that a run on this problem does not record the metric."""
        if self.by is None:
            return
        part, _, name = self.by.partition("/")
        own = {} if optimizer is None else optimizer.metrics(optimizer.init(np.zeros((1, 1))))
        known = [*metrics_of(problem.objective.task), *(["grad_norm", *own] if part == "train" else [])]
        if part not in ("train", "validation") or (name not in known and name in METRICS) or not name:
            hint = "; test metrics are reported, and never chosen by" if part == "test" else ""
            raise ConfigError(
                f"tuning.by={self.by}: must be train/NAME or validation/NAME, NAME being one of "
                f"{', '.join(metrics_of(problem.objective.task))}{hint}"
            )
        if name not in known:
            raise ConfigError(
                f"tuning.by={self.by}: is not recorded; must be one of {', '.join(known)}{suggestion(name, known)}"
            )
        if part == "validation" and not len(problem.data.x_validation):
            raise ConfigError(
                f"tuning.by={self.by}: there is no validation set; dataset.validation_fraction=0.2 makes one"
            )

    def results(self, summary: Results, curves: Callable[[], Mapping[str, np.ndarray]]) -> Results:
        """The results of a finished run.

        summary: its metrics of one value. curves: gives its curves, each (n_records,); called only for a target.
        """
        known = {name: value for name, value in summary.items() if name.startswith(("final/", "best/"))}
        if self.target is None:
            return known
        of_run = curves()
        name = self._name({_key("final", name) for name in of_run})
        values = of_run.get(name, np.full(len(of_run["step"]), np.nan))
        reached = values >= self.target if _high(name) else values <= self.target
        return known | {STEP: float(of_run["step"][np.argmax(reached)]) if reached.any() else math.inf}

    def score(self, results: Results | None) -> Score:
        """What is compared, lower being better; None stands for a run that diverged or failed.

        Raises ConfigError where the run did not record the metric.
        """
        if results is None:
            return WORST
        name = self._name(results)
        if _key(self.at, name) not in results:
            there = sorted(key.removeprefix("final/") for key in results if key.startswith("final/"))
            raise ConfigError(f"tuning.by={name}: a run did not record it; there are {', '.join(there)}")
        value = results[_key(self.at, name)]
        signed = -value if _high(name) else value
        return (signed,) if self.target is None else (results[STEP], signed)

    def _name(self, recorded: Mapping[str, float] | set[str]) -> str:
        return self.by or next((name for name in LOSSES if _key("final", name) in recorded), LOSSES[-1])


FINAL_LOSS = Objective()


def _key(at: str, name: str) -> str:
    """The name of the summary of a metric: final/train_loss of train/loss."""
    return f"{at}/{name.replace('/', '_', 1)}"


def _high(name: str) -> bool:
    return better(name.partition("/")[2]) == "higher"
