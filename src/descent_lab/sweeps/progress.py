"""What can be seen while a sweep trains: one progress bar, and long runs live in MLflow."""

import sys
from time import monotonic
from types import TracebackType

from tqdm import tqdm

from descent_lab.sweeps.worker import Stack, Trained, train_stack
from descent_lab.tracking.uploader import Uploader
from descent_lab.training.trainer import Recorder

LIVE_SECONDS = 10.0  # a run that trains longer can be watched, with new points this often
LIVE_RUNS = 16  # stacks of more runs are not shown live: writing them would cost more than training


class Bar:
    """Steps done of all runs, runs done, steps per second, time left."""

    def __init__(self, n_steps: int, n_runs: int, shown: bool):
        self.bar = tqdm(
            total=n_steps,
            unit=" steps",
            unit_scale=True,
            disable=None if shown else True,  # None: shown on a terminal only
            file=sys.stderr,
            dynamic_ncols=True,
        )
        self.n_runs, self.runs_done, self.ahead = n_runs, 0, 0
        self._show()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.bar.close()

    def steps(self, done: int) -> None:
        """The present stack has done so many steps in all."""
        self.bar.update(done - self.ahead)
        self.ahead = done

    def stack_done(self, stack: Stack) -> None:
        """A stack has ended, with all its steps or before."""
        self.steps(stack.total_steps)
        self.ahead = 0
        self.runs_done += len(stack.configs)
        self._show()

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.runs_done}/{self.n_runs} runs")


class Watcher:
    """Trains stacks in this process while showing how far they are."""

    def __init__(self, bar: Bar, uploader: Uploader):
        self.bar, self.uploader = bar, uploader

    def train_stack(self, stack: Stack) -> Trained:
        """As worker.train_stack, watched."""
        last = monotonic()

        def on_record(recorder: Recorder, started: float) -> None:
            nonlocal last
            self.bar.steps(recorder.steps[-1] * len(stack.configs))
            if monotonic() - last > LIVE_SECONDS and len(stack.configs) <= LIVE_RUNS:
                for r, config in enumerate(stack.configs):
                    self.uploader.show(config.tracked, recorder.curves(r), started, wait=len(stack.configs) == 1)
                last = monotonic()

        return train_stack(stack, on_record)
