"""The list of metrics: what each one computes, and that a metric added to it reaches everything that is recorded."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from harness import make_config, make_run, trained

from descent_lab.metrics import METRICS, Metric, Outputs, better, metrics_of
from descent_lab.nn.losses import BinaryCrossEntropy, CategoricalCrossEntropy, MeanSquaredError
from descent_lab.report.sections import results
from descent_lab.tracking.outbox import describe

LOGITS = np.array([[[3.0, -1.0, 0.5, -2.0]]])  # (1 run, 1 output, 4 samples)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_values_are_those_of_the_formulas(xp):
    z, y = xp.asarray(LOGITS), xp.asarray([[[1.0, 1.0, 0.0, 0.0]]])
    regression = Outputs(z, y, MeanSquaredError("identity"), "regression")
    np.testing.assert_allclose(METRICS["rmse"].value(regression), [np.sqrt((4 + 4 + 0.25 + 4) / 4)])
    binary = Outputs(z, y, BinaryCrossEntropy(), "binary")
    np.testing.assert_allclose(METRICS["accuracy"].value(binary), [0.5])
    np.testing.assert_allclose(METRICS["loss"].value(binary), np.mean(np.logaddexp(0, LOGITS) - y * LOGITS))
    three = xp.asarray([[[3.0, 0.0], [1.0, 2.0], [2.0, 5.0]]])
    multiclass = Outputs(
        three, xp.asarray([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]), CategoricalCrossEntropy(), "multiclass"
    )
    np.testing.assert_allclose(METRICS["accuracy"].value(multiclass), [0.5])


def test_every_task_has_its_metrics_and_each_says_which_way_is_better():
    assert list(metrics_of("regression"))[:2] == ["loss", "rmse"]
    assert list(metrics_of("binary"))[:2] == list(metrics_of("multiclass"))[:2] == ["loss", "accuracy"]
    assert (better("accuracy"), better("rmse"), better("grad_norm")) == ("higher", "lower", "lower")


def _share_within(outputs):
    xp = outputs.z.__array_namespace__()
    return xp.mean(1.0 * (xp.abs(outputs.predictions - outputs.y) < 0.1), axis=(-2, -1))


@pytest.fixture
def within():
    """A metric that is in the list for one test only."""
    METRICS.add("within", Metric("share within 0.1", "higher", ("regression",), _share_within))
    yield "within"
    del METRICS._parts["within"]


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_metric_that_is_added_is_recorded_everywhere(within, backend):
    words = ["dataset=product", f"backend={backend}", "epochs=40", "lr=0.05", "record.every=1"]
    outcome = trained(*words)
    data, theta, objective = (run := make_run(*words)).problem.data, outcome.theta["final"], run.problem.objective
    near = np.abs(objective.predict(theta, data.x_test, None) - data.y_test.T) < 0.1
    assert outcome.curves["test/within"][-1] == pytest.approx(near.mean())
    values = outcome.curves["train/within"]
    assert values.shape == outcome.curves["train/loss"].shape
    summary = describe(make_config(*words).tracked, outcome, 0.0, 1.0, {}).summary
    assert summary["final/train_within"] == values[-1]
    assert summary["best/train_within"] == values.max()
    assert "train/within" not in trained("dataset=iris", "epochs=1", f"backend={backend}").curves


def test_a_metric_that_is_added_is_in_the_table_of_results(within):
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"dataset": "product", "entrant": ["a", "b"] * 6, "seed": np.repeat(range(6), 2)})
    runs = runs.assign(final_test_rmse=rng.random(12), final_test_within=rng.random(12))
    table = results._scores(SimpleNamespace(selection=SimpleNamespace(runs=runs))).set_index("entrant")
    assert (table["test_metric"] == "rmse").all()
    for entrant in ("a", "b"):
        median = runs.loc[runs["entrant"] == entrant, "final_test_within"].median()
        assert table.loc[entrant, "test_within"] == pytest.approx(median)
