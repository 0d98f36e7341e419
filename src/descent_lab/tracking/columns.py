"""The names of what is stored of a run in frames of runs, where "/" is not part of a name."""

SHORT = {
    "time/step_seconds": "logged_step_seconds",
    "ledger/step_seconds": "step_seconds",
    "lr": "final_lr",  # the parameter lr keeps its name
}


def column(metric: str) -> str:
    """The column of a metric: `final/train_loss` is final_train_loss, `ledger/step_seconds` step_seconds."""
    return SHORT.get(metric, metric.removeprefix("ledger/").replace("/", "_"))
