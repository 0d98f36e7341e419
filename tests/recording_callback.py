"""A Hydra callback that notes what it hears of."""

from typing import Any

from hydra.experimental.callback import Callback

HEARD: list[tuple[Any, ...]] = []


class Recorder(Callback):
    """Notes the names of the callbacks, and of jobs their number, lr, status and return value."""

    def on_run_start(self, config, **about):
        HEARD.append(("run_start",))

    def on_run_end(self, config, **about):
        HEARD.append(("run_end",))

    def on_multirun_start(self, config, **about):
        HEARD.append(("multirun_start",))

    def on_multirun_end(self, config, **about):
        HEARD.append(("multirun_end",))

    def on_job_start(self, config, **about):
        HEARD.append(("job_start", config.lr))

    def on_job_end(self, config, job_return, **about):
        HEARD.append(("job_end", config.lr, job_return.status.name, job_return._return_value))
