"""Records a stack of runs as it trains: its curves, snapshots of theta, and the reason why each run ends."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from descent_lab.loops.base import Carry, Workload
from descent_lab.training.ledger import Ledger
from descent_lab.training.run import Outcome, Run


class Recorder:
    """Holds the curves, the snapshots of theta and the reason to stop of every run of a stack."""

    def __init__(self, runs: Sequence[Run], workload: Workload, ledger: Ledger, device: str) -> None:
        self.runs, self.workload, self.ledger, self.device = runs, workload, ledger, device
        n_runs = workload.n_runs
        self.steps: list[int] = []
        self.step_seconds: list[float] = []
        self.metrics: list[dict[str, np.ndarray]] = []
        self.ended: list[str | None] = [None] * n_runs
        self.n_records = np.zeros(n_runs, dtype=int)
        self.diverged_at: list[int | None] = [None] * n_runs
        self.lowest = np.full(n_runs, np.inf)
        self.least = np.array([run.stop.min_delta or 0.0 for run in runs])  # the least improvement, with patience
        self.improved = np.full(n_runs, np.inf)  # the last loss that patience takes for an improvement
        self.waited = np.zeros(n_runs, dtype=int)  # records since
        self.limit = np.empty(0)  # (n_runs,): a run with a larger loss, or one that is no number, has diverged
        self.init = self.best = self.last = np.empty(0)
        limits = [run.stop.max_seconds for run in runs if run.stop.max_seconds is not None]
        self.clock_seconds = min(limits) * n_runs / 50 if limits else np.inf  # between looks at the clock

    def record(self, t: int, carry: Carry, metrics: dict[str, np.ndarray]) -> None:
        """Record the metrics and the state after t steps."""
        loss = metrics["train/loss"]
        if t == 0:
            self.limit = self._limit(loss)
        self._end_diverged(t, np.asarray(carry.diverged_at), loss)
        state = np.asarray(carry.theta)
        if carry.batch_stats is not None:
            state = np.concatenate([state, np.asarray(carry.batch_stats)], axis=-1)
        if t == 0:
            self.init, self.best, self.last = state.copy(), state.copy(), state.copy()
        active = self._active()
        watched = metrics.get("validation/loss", loss)
        lower = active & (watched < self.lowest)
        self.best[lower], self.lowest[lower] = state[lower], watched[lower]
        self._wait(watched)
        self.last[active] = state[active]
        self.n_records[active] += 1
        self.steps.append(t)
        self.step_seconds.append(self.ledger.seconds["step"] / self.workload.n_runs)
        self.metrics.append(metrics)
        for r in np.flatnonzero(active):
            self.ended[r] = self._reason(t, int(r))

    def over(self) -> bool:
        """Whether every run has ended."""
        return all(self.ended)

    def stride(self) -> float:
        """The number of steps until the next look at the clock; infinite if no run has a limit on step seconds."""
        if self.clock_seconds == np.inf:
            return np.inf
        done, seconds = self.steps[-1], self.ledger.seconds["step"]
        return max(1, int(self.clock_seconds * done / seconds)) if done and seconds else 1

    def out_of_time(self) -> bool:
        """Whether a run that goes on has used up its step seconds."""
        spent = self.ledger.seconds["step"] / self.workload.n_runs
        return any(_late(run, spent) for run, ended in zip(self.runs, self.ended, strict=True) if not ended)

    def outcomes(self) -> list[Outcome]:
        """The results of each run, with its share of the seconds in the ledger."""
        outcomes = [self._outcome(r) for r in range(self.workload.n_runs)]
        self.ledger.book("eval")
        share = {purpose: seconds / self.workload.n_runs for purpose, seconds in self.ledger.seconds.items()}
        return [replace(outcome, ledger=dict(share)) for outcome in outcomes]

    def curves(self, r: int) -> dict[str, np.ndarray]:
        """The curves of run r: step, epoch, time/step_seconds and the metrics, each (n_records,)."""
        n, per_epoch = self.n_records[r], self.workload.program.batches.per_epoch
        steps = np.array(self.steps[:n], dtype=np.int64)
        curves = {"step": steps, "epoch": steps / per_epoch, "time/step_seconds": np.array(self.step_seconds[:n])}
        return curves | {name: np.array([m[name][r] for m in self.metrics[:n]]) for name in self.metrics[0]}

    def _active(self) -> np.ndarray:
        return np.array([ended is None for ended in self.ended])

    def _limit(self, start: np.ndarray) -> np.ndarray:
        """The limit of each run's loss: `stop.explode` times the start's, (n_runs,), if that is positive and finite.

        Else it is the largest finite number.
        """
        dtype = self.workload.theta.dtype
        most = float(np.finfo(dtype).max)
        with np.errstate(all="ignore"):  # 0 times infinity, and what overflows
            beyond = start * np.array([run.stop.explode or np.inf for run in self.runs])
        return np.where((start > 0) & (beyond < most), beyond, most).astype(dtype)

    def _end_diverged(self, t: int, diverged_at: np.ndarray, loss: np.ndarray) -> None:
        """End the runs whose loss (n_runs,) at step t, or before, is beyond the limit."""
        for r in np.flatnonzero(self._active() & ((diverged_at >= 0) | ~(loss <= self.limit))):
            self.ended[r] = "diverged"
            self.diverged_at[r] = int(diverged_at[r]) if diverged_at[r] >= 0 else t

    def _wait(self, watched: np.ndarray) -> None:
        """Count the records since the loss that patience watches, (n_runs,), was lower than before."""
        better = watched < self.improved - self.least
        self.improved = np.where(better, watched, self.improved)
        self.waited = np.where(better, 0, self.waited + 1)

    def _reason(self, t: int, r: int) -> str | None:
        """Why run r ends at step t; None: it goes on."""
        stop, loss = self.runs[r].stop, self.metrics[-1]["train/loss"][r]
        if stop.target is not None and loss <= stop.target:
            return "target"
        if stop.patience is not None:
            if self.waited[r] >= stop.patience:
                return "patience"
        elif stop.min_delta is not None and t and abs(loss - self.metrics[-2]["train/loss"][r]) < stop.min_delta:
            return "min_delta"
        if _late(self.runs[r], self.step_seconds[-1]):
            return "max_seconds"
        return "epochs" if t == self.workload.program.n_steps else None

    def _outcome(self, r: int) -> Outcome:
        curves = self.curves(r)
        return Outcome(
            curves=curves,
            theta=self._snapshots(r),
            predictions=self._predictions(r),
            ledger={},
            ended=self.ended[r] or "interrupted",
            timing="isolated" if self.workload.n_runs == 1 else "shared",
            device=self.device,
            diverged_at=self.diverged_at[r],
            gradient_equivalents=self.runs[r].gradient_equivalents(int(curves["step"].max(initial=0))),
            data=self.runs[r].problem.data.outline,
        )

    def _snapshots(self, r: int) -> dict[str, np.ndarray]:
        """The init, best and final theta, and their running batch statistics under statistics_init and so on."""
        n_params = self.workload.theta.shape[1]
        states = {"init": self.init[r], "best": self.best[r], "final": self.last[r]}
        stats = {f"statistics_{name}": state[n_params:] for name, state in states.items() if len(state) > n_params}
        return {name: state[:n_params] for name, state in states.items()} | stats

    def _predictions(self, r: int) -> dict[str, np.ndarray]:
        theta, workload = self._snapshots(r), self.workload
        predict = workload.program.objective.predict
        with np.errstate(all="ignore"):  # the last finite theta of a diverged run may be huge
            predicted = predict(theta["final"], workload.x_test[r], theta.get("statistics_final"))
        return {"prediction": predicted.T, "truth": workload.y_test[r]}


def _late(run: Run, seconds: float) -> bool:
    """Whether a run has spent its seconds on steps."""
    return run.stop.max_seconds is not None and seconds >= run.stop.max_seconds
