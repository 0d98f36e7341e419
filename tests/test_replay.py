"""A stored run recomputed: the verdict on its curves."""

import numpy as np
import pytest

from descent_lab.cli.replay import compare, main, replay
from descent_lab.errors import ModelError
from descent_lab.sweeps.execute import run_all
from tests.harness import make_config
from tests.stores import stored

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

CURVE = {"step": np.array([0, 1, 10]), "train/loss": np.array([3.0, 2.0, 1.0]), "time/step_seconds": np.arange(3.0)}


def changed(name, values):
    return CURVE | {name: np.array(values)}


@pytest.mark.parametrize(
    ("replayed", "word", "step"),
    [
        (changed("time/step_seconds", [0.0, 5.0, 9.0]), "bit-identical", None),
        (changed("train/loss", [3.0, 2.0, 1.0 + 1e-13]), "equal within tolerance", None),
        (changed("train/loss", [3.0, 2.1, 1.1]), "different", 1),
        (changed("train/loss", [3.0, 2.0, np.nan]), "different", 10),
        (changed("step", [0, 1, 11]), "different", 10),
        ({name: values[:2] for name, values in CURVE.items()}, "different", 1),
    ],
)
def test_the_verdict_on_two_curves(replayed, word, step):
    verdict = compare(CURVE, replayed, 1e-10)
    assert (verdict.word, verdict.step) == (word, step)


VALIDATED = ["dataset=iris", "dataset.validation_fraction=0.3", "seeds.split=3", "lr=0.3", "stop.patience=2"]


@pytest.mark.parametrize("given", [["backend=numpy"], ["backend=jax"], VALIDATED])
def test_a_stored_run_is_recomputed_to_the_last_bit(store, given, capsys):
    run_all([make_config(*given, "epochs=5")], progress=False)
    (run,) = stored(store)
    assert replay(run.run_id)[0].word == "bit-identical"
    assert main([f"run={run.run_id}"]) == 0
    assert "nothing changed since" in capsys.readouterr().out


def test_a_curve_that_was_changed_is_found_out(store):
    run_all([make_config("epochs=5")], progress=False)
    (run,) = stored(store)
    curves = run.curves
    curves["train/loss"][2:] *= 1.001
    np.savez(run.artifacts / "curves.npz", **curves)
    verdict, _ = replay(run.run_id)
    assert (verdict.word, verdict.metric, verdict.step) == ("different", "train/loss", int(curves["step"][2]))


def test_a_run_that_does_not_exist(store):
    run_all([make_config("epochs=1")], progress=False)
    with pytest.raises(ModelError, match="run=nowhere: no finished run"):
        replay("nowhere")
