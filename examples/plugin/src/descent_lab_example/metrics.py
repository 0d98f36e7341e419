"""A metric: every regression records train/mae and test/mae."""

from descent_lab.metrics import METRICS, Array, Metric, Outputs


def _mae(outputs: Outputs) -> Array:
    xp = outputs.z.__array_namespace__()
    return xp.mean(xp.abs(outputs.predictions - outputs.y), axis=(-2, -1))


METRICS.add("mae", Metric("mean absolute error", "lower", ("regression",), _mae))
