"""The results of runs that were trained in memory or read from a store, as arrays and frames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from descent_lab.api.problem import Piece, Problem
from descent_lab.errors import ModelError
from descent_lab.problems.predictor import Predictor
from descent_lab.training.run import Outcome
from descent_lab.wording import counted

if TYPE_CHECKING:
    import pandas as pd

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Result:
    """One run.

    curves: step, epoch, time/step_seconds and every metric by name, such as train/loss: each (n_records,).
    theta: init, best and final: each (n_params,); with batch normalisation also the running statistics: statistics_init
    and so on. best is that of the lowest validation/loss; without a validation set, of the lowest train/loss.
    status: finished or diverged. ended: why it ended: epochs, target, min_delta, patience, max_seconds or diverged.
    seconds: what the time was spent on: setup, compile, step, eval, log.
    """

    name: str
    curves: Arrays
    theta: Arrays
    predictions: Arrays = field(repr=False)  # prediction and truth on the test set, each (n_test, n_outputs)
    status: str
    ended: str
    seconds: Mapping[str, float]
    problem_of: Callable[[], Problem] = field(repr=False)
    diverged_at: int | None = None  # the first step with a loss that is not finite, or beyond `Stop.explode`

    @classmethod
    def of(cls, problem: Problem, outcome: Outcome, name: str) -> "Result":
        """The result of a training in memory."""
        return cls(
            name,
            outcome.curves,
            outcome.theta,
            outcome.predictions,
            outcome.status,
            outcome.ended,
            outcome.ledger,
            lambda: problem,
            outcome.diverged_at,
        )

    @property
    def problem(self) -> Problem:
        """The problem; that of a stored run is built again. Raises ModelError where that is impossible."""
        return self.problem_of()

    def layers(self, which: str = "final") -> list[Piece]:
        """theta by layers: W (fan_in, fan_out) and b (fan_out,), or gamma and beta. which: init, best or final."""
        return self.problem.layers(self._theta(which))

    def predict(self, x: Any, which: str = "final") -> np.ndarray:
        """Predictions (n, n_outputs) for raw points x, (n, n_features) or, of a single feature, (n,).

        Values in the target's own units for a regression; for a classification one column for each class, in the order
        of problem.data.classes. Raises ModelError for points of another shape.
        """
        problem = self.problem
        points = np.asarray(x, dtype=np.float64)
        points = points[:, None] if points.ndim == 1 else points
        n_features = problem.data.x_train.shape[1]
        if points.ndim != 2 or points.shape[1] != n_features:
            raise ModelError(f"x of shape {np.shape(x)}: must be (n, {n_features})")
        theta, batch_stats = self._theta(which), self.theta.get(f"statistics_{which}")
        return Predictor(problem.data, problem.objective, theta, batch_stats).outputs(points)

    def frame(self) -> "pd.DataFrame":
        """The curves, one row a record: step, epoch, time/step_seconds and a column a metric."""
        import pandas as pd

        return pd.DataFrame(dict(self.curves))

    def _theta(self, which: str) -> np.ndarray:
        if which not in ("init", "best", "final") or which not in self.theta:
            there = ", ".join(name for name in ("init", "best", "final") if name in self.theta)
            raise ModelError(f"which={which}: must be one of {there}" if there else f"{self.name}: no theta was kept")
        return self.theta[which]

    def __repr__(self) -> str:
        loss = self.curves["train/loss"][-1]
        return f"<{self.name}: {self.status} ({self.ended}), train/loss {loss:.6g}, {len(self.curves['step'])} records>"


@dataclass(frozen=True, eq=False)
class Results:
    """Many runs; those of a store and those trained in memory have the same columns.

    runs: one row a run: run_id, name, status, every parameter by its own name, and every summary metric.
    made: makes `curves`, which are large, when they are first used.
    failed: the runs that could not be made or trained: (name, why).
    best: of a sweep that tuned: the best setting of each entrant, both as overrides; empty where every one diverged.
    params: the columns of runs that are parts of the configuration.

    `results[run_id]` and `results[0]` give one run; so does iterating.
    """

    runs: "pd.DataFrame"
    made: "Callable[[], pd.DataFrame]" = field(repr=False)
    open: Callable[[str], Result] = field(repr=False)
    failed: Sequence[tuple[str, str]] = ()
    best: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)
    params: tuple[str, ...] = ()

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """Long: run_id, step, epoch, step_seconds, metric, value."""
        return self.made()

    def verdicts(
        self,
        metric: str | None = None,
        at: str | None = None,
        *,
        compared: Sequence[str] | None = None,
        tuned: Sequence[str] = ("lr",),
        **asked: Any,
    ) -> "pd.DataFrame":
        """Which entrant is better, by how much, how sure: the table of pairs that a report shows.

        metric: such as test/accuracy; None: the training loss or, where settings were tuned on a validation set, the
        same metric of the test set. at: final, best or chosen (where validation was best). compared: groups that make
        judged, baselines, beforehand, anytime, as `descent_lab.analysis.statistics.Asked` explains them.
        judged, baselines, beforehand and anytime, as `descent_lab.analysis.statistics.Asked` explains them.

        The columns are those of `descent_lab.analysis.statistics.verdicts`. Raises ConfigError for what does not fit
        the runs, and NotGiven (a DescentError) where no two entrants share a seed.

        >>> dl.load(sweep="demo").verdicts("test/accuracy", margin=0.02)[["a", "b", "verdict", "winner"]]
        """
        from descent_lab.analysis.comparison import Comparison
        from descent_lab.tracking.reader import Results as Stored
        from descent_lab.tracking.reader.arrays import Artifacts

        stored = Stored("", self.runs, lambda: self.curves, 0, (), self.params, Artifacts("", {}))
        return Comparison.of(stored, compared=compared, tuned=tuned, metric=metric, at=at, asked=asked).verdicts()

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Result]:
        return (self.open(run_id) for run_id in self.runs["run_id"])

    def __getitem__(self, run: int | str) -> Result:
        """One run by its id, or by its place in `runs`. Raises ModelError where there is none."""
        ids = list(self.runs["run_id"])
        if isinstance(run, str) and run not in ids:
            raise ModelError(f"run={run}: not among the {counted(len(ids), 'run')}")
        return self.open(run if isinstance(run, str) else ids[run])

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<{counted(len(self), 'run')}{failed}, {counted(len(self.curves), 'point')} of curves>"
