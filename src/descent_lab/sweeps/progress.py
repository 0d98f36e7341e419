"""What can be seen while a sweep trains: one progress bar, and long runs live in MLflow."""

from time import monotonic

from descent_lab.sweeps.worker import Stack, Trained, train_stack
from descent_lab.tracking.uploader import Uploader
from descent_lab.training.bar import Bar
from descent_lab.training.trainer import Recorder

LIVE_SECONDS = 10.0  # a run that trains longer can be watched, with new points this often
LIVE_RUNS = 16  # stacks of more runs are not shown live: writing them would cost more than training


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
