"""The plug-in's own tests: its choices by name, and its classes as objects."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from descent_lab_example.backends import ForwardMode
from descent_lab_example.datasets import Moons
from descent_lab_example.optimizers import SignSGD

import descent_lab as dl


def test_the_choices_are_known_by_name():
    results = dl.sweep(["dataset=moons", "optimizer=sign_sgd,adam", "seed=0,1", "epochs=40", "lr=0.01"])
    assert len(results) == 4 and not results.failed
    assert (results.runs["final_test_accuracy"] > 0.7).all()


def test_every_component_of_sign_sgd_moves_by_lr():
    problem = dl.problem(Moons(n_samples=40), hidden=[3])
    result = dl.train(problem, SignSGD(beta=0.0), lr=0.01, epochs=1)
    assert abs(result.theta["final"] - result.theta["init"]) == pytest.approx(0.01)


def test_forward_mode_agrees_with_backpropagation():
    problem = dl.problem(Moons(n_samples=40), hidden=[3])
    ours, numpy = (dl.train(problem, "adam", epochs=20, backend=backend) for backend in (ForwardMode(), "numpy"))
    assert ours.curves["train/loss"] == pytest.approx(numpy.curves["train/loss"], rel=1e-10)


def test_named_parts_are_known():
    problem = dl.problem("gaussian", n_samples=40, hidden=[4], activation="swish", loss="pseudo_huber", bias=True)
    numpy, jax, taylor = (dl.train(problem, "adam", epochs=20, backend=name) for name in ("numpy", "jax", "taylor"))
    for other in (jax, taylor):
        assert other.curves["train/loss"] == pytest.approx(numpy.curves["train/loss"], rel=1e-10)
        assert other.curves["test/mae"] == pytest.approx(numpy.curves["test/mae"], rel=1e-10)


def test_the_report_has_the_section_and_the_metric(tmp_path):
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "DESCENT_OUTBOX": str(tmp_path / "outbox")}

    def command(*words):
        program = Path(sys.executable).with_name("descent-lab")
        subprocess.run([program, *words], cwd=tmp_path, env={**os.environ, **store}, check=True, capture_output=True)

    command("run", "-m", "dataset=gaussian", "optimizer=sgd,adam", "seed=0,1", "epochs=3")
    command("report", "output=report", "attach=false")
    report = tmp_path / "report"
    assert list(pd.read_csv(report / "worst.csv")["entrant"]) == ["adam", "sgd"]
    assert (report / "figures" / "worst.png").exists() and (report / "figures" / "curves_test_mae.png").exists()
    assert '<a href="#worst">Worst seeds</a>' in (report / "index.html").read_text()
    assert pd.read_csv(report / "results.csv")["test_mae"].notna().all()
