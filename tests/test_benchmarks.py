"""The quick forms of the benchmarks run, and their checks refuse different work. No test depends on measured times."""

import pytest

from benchmarks import limits, measuring, stacking, sweep, tracking
from benchmarks.measuring import Disagreement, Lap, Report
from benchmarks.peers import by_hand
from benchmarks.problems import DIGITS, S1, flat, ours, peer, plain_run, same_loss
from descent_lab.training.trainer import train


@pytest.mark.parametrize("script", [limits, stacking])
def test_quick_form_runs(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick"])
    monkeypatch.setattr(measuring.Clock, "of_processor", lambda: None)  # it would stay set for other tests
    script.main()
    assert "load before and after" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_composing_and_tracking_are_measured(capsys):
    report = Report("sweep", "A sweep")
    sweep.composing(report, 10)
    tracking.tracking(report, 2, rounds=1)
    assert report.data["composing"] > 0
    assert all(value > 0 for lap in report.data["milliseconds a run"] for value in lap.values())


def script(problem):
    """Gradient descent by this harness, in the form of a peer's script."""
    (outcome,) = train([problem.run])
    blocks = problem.run.problem.objective.network.blocks(outcome.theta["final"])
    return lambda: [(block["W"], block.get("b")) for block in blocks]


def test_contest_times_what_agrees():
    work = S1.but("backend=numpy", epochs=3)
    entrants = {"numpy": ours(work), "script": peer(work, script)}
    seconds = measuring.contest(entrants, 2, same_loss(work, 1e-12))
    (row,) = measuring.rows(work.name, "numpy", seconds, {"script": 1.0})
    assert row.against == "script" and row.ratio > 0


@pytest.mark.parametrize("work", [S1.but("model.bias=true", epochs=20), DIGITS.but(epochs=2)], ids=lambda w: w.name)
def test_scripts_by_hand_do_the_same_work(work):
    scripts = {f.__name__: peer(work, f) for f in (by_hand.tutorial, by_hand.tuned)}
    measuring.contest({"numpy": ours(work, "backend=numpy"), **scripts}, 0, same_loss(work, 1e-9))


def test_contest_refuses_other_work():
    work = S1.but("backend=numpy", epochs=3)
    start = flat(plain_run(work.run()).weights)
    entrants = {"numpy": ours(work), "idle": lambda: Lap(1.0, start)}
    with pytest.raises(Disagreement, match="differ by more than"):
        measuring.contest(entrants, 1, same_loss(work, 1e-9))
