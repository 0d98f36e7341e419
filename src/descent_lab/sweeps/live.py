"""Training in this process that can be watched: a progress bar, and long runs live in MLflow."""

from time import monotonic

from descent_lab.sweeps.worker import Stack, TrainedStack, train_stack
from descent_lab.tracking.uploader import Uploader
from descent_lab.training.bar import Bar
from descent_lab.training.recorder import Recorder

LIVE_SECONDS = 10.0  # a run that trains longer can be watched in MLflow, where new points appear this often
LIVE_RUNS = 16  # stacks of more runs are not shown live: writing them would take longer than training


def train_watched(stack: Stack, bar: Bar, uploader: Uploader) -> TrainedStack:
    """Train a stack as worker.train_stack does, while the bar moves and, for long runs, MLflow shows curves."""
    last_shown = monotonic()

    def on_record(recorder: Recorder, started: float) -> None:
        nonlocal last_shown
        bar.steps(recorder.steps[-1] * len(stack.configs))
        if monotonic() - last_shown > LIVE_SECONDS and len(stack.configs) <= LIVE_RUNS:
            for r, config in enumerate(stack.configs):
                uploader.show(config.tracked, recorder.curves(r), started, wait=len(stack.configs) == 1)
            last_shown = monotonic()

    return train_stack(stack, on_record)
