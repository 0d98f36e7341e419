"""The Python API: what the command line trains, in memory, to the bit; errors in one line; nothing on disk."""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from harness import composed, make_config, trained

import descent_lab as dl
from descent_lab.sweeps.execute import run_all
from descent_lab.sweeps.naming import named

TIMES = {"time/step_seconds", "step_seconds"}


def same_curves(ours, theirs):
    assert set(ours) == set(theirs)
    return all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in set(ours) - TIMES)


@pytest.fixture
def gaussian():
    return dl.problem(dl.datasets.Gaussian(n_samples=60), hidden=[5], seed=3)


GAUSSIAN = ("dataset.n_samples=60", "model.hidden=[5]", "seed=3", "epochs=6")


# --- the same numbers as the command line's -------------------------------------------------------------------


@pytest.mark.parametrize("backend", [dl.backends.Numpy(), dl.backends.Jax(), dl.backends.TaylorAlgebra()])
def test_objects_train_as_the_command_line_does(gaussian, backend):
    result = dl.train(
        gaussian,
        dl.Adam(beta1=0.8),
        lr=0.01,
        epochs=6,
        batching=dl.Batching(size=32, shuffle=True),
        schedule=dl.schedules.Cosine(),
        backend=backend,
    )
    name = {"Numpy": "numpy", "Jax": "jax", "TaylorAlgebra": "taylor"}[type(backend).__name__]
    words = (f"backend={name}", "batching=minibatch", "schedule=cosine", "optimizer=adam", "optimizer.beta1=0.8")
    theirs = trained(*GAUSSIAN, *words, "lr=0.01")
    assert same_curves(result.curves, theirs.curves)
    assert all(np.array_equal(result.theta[name], theirs.theta[name]) for name in theirs.theta)
    assert (result.status, result.ended, result.diverged_at) == ("finished", "epochs", None)


def test_names_train_as_objects_do(gaussian):
    named = dl.problem("gaussian", n_samples=60, hidden=[5], seed=3)
    by_name = dl.train(named, "adam", beta1=0.8, epochs=4, batching="minibatch", backend="numpy", schedule="cosine")
    batching = dl.Batching(size=32, shuffle=True)
    by_object = dl.train(gaussian, dl.Adam(beta1=0.8), epochs=4, batching=batching, schedule=dl.schedules.Cosine())
    assert same_curves(by_name.curves, by_object.curves)


def test_the_defaults_are_the_command_lines(gaussian):
    assert same_curves(dl.train(gaussian, epochs=6).curves, trained(*GAUSSIAN).curves)
    search = dl.train(gaussian, epochs=6, backend=dl.backends.RandomSearch(arrays="numpy"))
    assert same_curves(search.curves, trained(*GAUSSIAN, "backend=random_search", "backend.arrays=numpy").curves)
    assert same_curves(dl.run([*GAUSSIAN, "optimizer=lion"]).curves, trained(*GAUSSIAN, "optimizer=lion").curves)


@pytest.mark.parametrize("name", ["gaussian", "digits", "line", "polynomials", "product", "sign"])
def test_a_named_problem_is_the_command_lines(name):
    ours, theirs = dl.problem(name, seed=2), make_config(f"dataset={name}", "seed=2")
    assert (ours.dataset, ours.model, ours.init) == (theirs.dataset, theirs.model, theirs.init)
    assert np.array_equal(ours.theta, theirs.problem().theta)


def test_a_problem_trains_from_the_same_start_and_batches_again(gaussian):
    first, second = (dl.train(gaussian, epochs=3, batching="minibatch", lr=0.1) for _ in range(2))
    assert same_curves(first.curves, second.curves)


def test_numbers_of_numpy_tuples_and_lines_of_words_are_taken(gaussian):
    named = dl.problem("gaussian", n_samples=np.int64(60), hidden=np.array([5]), seed=np.int64(3))
    result = dl.train(named, dl.Adam(beta1=np.float64(0.8)), lr=np.float64(0.01), epochs=np.int64(4))
    assert same_curves(result.curves, dl.train(gaussian, "adam", beta1=0.8, lr=0.01, epochs=4).curves)
    assert dl.problem("line", slopes=(1, 2)).data.x_train.shape == (9, 2)
    by_name, in_words = dl.train("sign", epochs=3), dl.run("dataset=sign epochs=3")
    assert same_curves(by_name.curves, in_words.curves)
    assert len(dl.sweep("dataset=sign epochs=1 seed='range(2)'")) == 2


# --- results --------------------------------------------------------------------------------------------------


def test_a_result_gives_arrays_frames_layers_and_predictions():
    problem = dl.problem("iris", hidden=[4], batch_norm=True)
    result = dl.train(problem, dl.SGD(), lr=0.1, epochs=5, batching=dl.Batching(size=30))
    assert problem.loss(np.stack([problem.theta, problem.theta])).shape == (2,)
    first, last = result.layers("best")
    assert {name: piece.shape for name, piece in first.items()} == {"W": (4, 4), "gamma": (4,), "beta": (4,)}
    assert {name: piece.shape for name, piece in last.items()} == {"W": (4, 3), "b": (3,)}
    raw = problem.data.x_scaling.invert(problem.data.x_test)
    assert np.allclose(result.predict(raw), result.predictions["prediction"])
    frame = result.frame()
    assert list(frame["step"]) == list(result.curves["step"]) and "test/accuracy" in frame
    assert set(result.seconds) == {"setup", "compile", "step", "eval", "log"}
    assert "finished" in repr(result) and "iris" in repr(problem)


def test_the_loss_of_a_theta_is_that_of_the_curves(gaussian):
    result = dl.train(gaussian, dl.Momentum(), lr=0.1, epochs=20)
    for which, record in (("init", 0), ("final", -1)):
        assert gaussian.loss(result.theta[which]) == pytest.approx(result.curves["train/loss"][record], rel=1e-12)


def test_a_regression_predicts_in_its_own_units():
    x = np.linspace(0, 1, 40)
    problem = dl.problem(dl.arrays(x, 500 + 100 * x, standardise_target=True), hidden=[], activation="identity")
    result = dl.train(problem, "momentum", lr=0.05, epochs=200)
    assert result.predict([0.0, 1.0])[:, 0] == pytest.approx([500, 600], abs=1)


def test_arrays_frames_and_series_are_data():
    stream = np.random.default_rng(0)
    x = pd.DataFrame(stream.standard_normal((60, 2)), columns=["height", "width"])
    y = pd.Series(np.where(x["height"] > x["width"], "tall", "wide"), name="shape")
    problem = dl.problem(dl.arrays(x, y, test_fraction=0.25), hidden=[4], seed=1)
    assert problem.data.features == ("height", "width") and problem.data.classes == ("tall", "wide")
    assert (problem.data.task, len(problem.data.x_test)) == ("binary", 15)
    given = dl.problem(dl.arrays(x.to_numpy(), y, x_test=x[:5].to_numpy(), y_test=y[:5]))
    assert (len(given.data.x_train), len(given.data.x_test), given.model.hidden) == (60, 5, (16,))
    own = {"x_validation": x[:7], "y_validation": y[:7]}
    held = dl.problem(dl.arrays(x, y, **own), hidden=[4])
    assert [len(part) for part, _ in held.data.parts.values()] == [48, 7, 12]
    assert "validation/accuracy" in dl.train(held, epochs=2).curves
    contents = {dl.arrays(x, y, **given).fingerprint() for given in ({}, own, {"x_test": x[:7], "y_test": y[:7]})}
    assert len(contents) == 3
    assert dl.train(problem, epochs=30, lr=1.0).curves["test/accuracy"][-1] > 0.8


# --- sweeps and stores ----------------------------------------------------------------------------------------

SWEEP = ["dataset=gaussian,iris", "optimizer=sgd,adam", "lr=0.1,0.01", "seed=range(2)", "epochs=3"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_a_sweep_in_memory_is_the_tracked_one(store):
    grid = [
        make_config(f"dataset={dataset}", f"optimizer={optimizer}", f"lr={lr}", f"seed={seed}", "epochs=3")
        for dataset in ("gaussian", "iris")
        for optimizer in ("sgd", "adam")
        for lr in (0.1, 0.01)
        for seed in (0, 1)
    ]
    entries = named(grid)
    run_all(entries, progress=False)
    tracked, ours = dl.load(), dl.sweep(SWEEP)
    assert len(tracked) == len(ours) == 16 and not ours.failed
    assert set(ours.runs) == set(tracked.runs)
    assert list(ours.runs["identity"]) == [config.identity for config in entries]
    columns = ["identity", "name", "lr", "seed", "optimizer.beta1", "final_train_loss", "status", "steps", "passes"]
    columns += ["best_test_loss", "train_loss", "train_accuracy", "timing", "dataset", "epochs"]
    both = [stored.runs[columns].sort_values("identity", ignore_index=True) for stored in (ours, tracked)]
    pd.testing.assert_frame_equal(*both)
    keys = dict(zip(tracked.runs["run_id"], tracked.runs["identity"], strict=True))
    theirs = tracked.curves.assign(run_id=tracked.curves["run_id"].map(keys)).drop(columns="step_seconds")
    order = ["run_id", "metric", "step"]
    both = [c.sort_values(order, ignore_index=True) for c in (ours.curves.drop(columns="step_seconds"), theirs)]
    pd.testing.assert_frame_equal(*both)
    check_stored_run(tracked, ours, keys)


def check_stored_run(tracked, ours, keys):
    """A run read from the store gives what the same run gives in memory."""
    run_id = tracked.runs["run_id"][12]
    stored, in_memory = dl.load(run=run_id), ours[keys[run_id]]
    assert same_curves(stored.curves, in_memory.curves)
    x = np.random.default_rng(0).standard_normal((5, stored.problem.data.x_train.shape[1]))
    assert np.array_equal(stored.predict(x, "best"), in_memory.predict(x, "best"))
    assert (stored.name, stored.status, stored.ended) == (in_memory.name, in_memory.status, in_memory.ended)
    assert len(stored.layers()) == len(in_memory.layers())
    assert set(stored.seconds) == set(in_memory.seconds)
    with pytest.raises(dl.ModelError, match="no finished run"):
        dl.load(run="0" * 32)


def test_a_sweep_keeps_what_can_be_trained_and_says_what_cannot():
    results = dl.sweep(["dataset.n_samples=30", "batching.size=8,1000", "lr=0.1,bad", "epochs=2"])
    assert len(results) == 1 and len(results.failed) == 3
    assert any("between 1 and the 24" in why for _, why in results.failed)
    assert [result.status for result in results] == ["finished"]
    assert "3 failed" in repr(results)


def test_a_study_is_a_sweep():
    words = ["+experiment=init", "lr=0.1", "init=normal,he", "seed=0,1", "epochs=1", "backend=numpy"]
    results = dl.sweep([*words, "hydra.sweeper.tuned=null"])
    assert len(results) == 4 and set(results.runs["init"]) == {"normal", "he"}


def test_a_tuned_sweep_chooses_on_some_seeds_and_judges_on_others():
    words = ["dataset.n_samples=40", "optimizer=sgd,adam", "lr=0.3,0.01", "epochs=5", "hydra.sweeper.tuned=[lr]"]
    seeds = ["hydra.sweeper.tuning_seeds=[0,1]", "hydra.sweeper.held_out_seeds=[7,8,9]"]
    results = dl.sweep([*words, *seeds])
    phases = results.runs.groupby("tracking.phase")["seed"].agg(lambda column: sorted(set(column)))
    assert phases.to_dict() == {"tuning": [0, 1], "evaluation": [7, 8, 9]} and len(results) == 2 * (2 * 2 + 3)
    assert set(results.best) == {("optimizer=sgd",), ("optimizer=adam",)}
    tuning = results.runs[results.runs["tracking.phase"] == "tuning"]
    for (optimizer,), (setting,) in results.best.items():
        median = tuning[tuning["optimizer"] == optimizer.removeprefix("optimizer=")].groupby("lr")["final_train_loss"]
        assert setting == f"lr={median.median().idxmin()}"
    with pytest.raises(dl.ConfigError, match="seed: is given by"):
        dl.sweep([*words, "seed=0,1"])


# --- errors ---------------------------------------------------------------------------------------------------

BAD = [
    (lambda p: dl.problem("adamm"), "dataset=adamm: must be one of breast_cancer"),
    (lambda p: dl.problem("digits", foo=1), "dataset.foo: no such field"),
    (lambda p: dl.problem(dl.datasets.Gaussian(), foo=1), "foo: no such argument"),
    (lambda p: dl.problem("digits", hidden=[0]), "model.hidden.0=0"),
    (lambda p: dl.problem("csv"), "dataset.path: missing"),
    (lambda p: dl.problem(3), "dataset=3: must be"),
    (lambda p: dl.problem("digits", seed=-1), "seed=-1"),
    (lambda p: dl.problem(dl.arrays([[1.0], [2.0]], [1.0])), "as many rows"),
    (lambda p: dl.problem(dl.arrays([[1.0], [2.0]], [1.0, None])), "arrays"),
    (lambda p: dl.problem(dl.arrays([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], x_test=[1.0])), "both, or neither"),
    (
        lambda p: dl.problem("iris", validation_fraction=0.9),
        "validation_fraction 0.9 of 150 rows",
    ),
    (lambda p: dl.train(p, "adm"), "did you mean adam"),
    (lambda p: dl.train(None), "problem=None: must be made by dl.problem"),
    (lambda p: dl.train(p, dl.Adam(beta1=2)), "optimizer.beta1=2: must be less than 1"),
    (lambda p: dl.train(p, "adam", beta3=1), "optimizer.beta3: no such field"),
    (lambda p: dl.train(p, dl.Adam(), beta1=0.5), "beta1: no such argument"),
    (lambda p: dl.train(p, lr=-1), "lr=-1: must be greater than 0"),
    (lambda p: dl.train(p, lr=float("nan")), "lr=nan"),
    (lambda p: dl.train(p, epochs=1.5), "epochs=1.5"),
    (lambda p: dl.train(p, dl.Newton()), "needs derivatives of order 2"),
    (lambda p: dl.train(p, dl.SGD(), backend="random_search"), "takes no optimizer"),
    (lambda p: dl.train(p, batching=dl.Batching(size=10**6)), "batching.size=1000000"),
    (lambda p: dl.train(p, stop=dl.Stop(max_seconds=-1)), "stop.max_seconds=-1"),
    (lambda p: dl.train(p, dtype="float16"), "dtype=float16"),
    (lambda p: dl.train(p, epochs=0).layers("last"), "which=last: must be one of init, best, final"),
    (lambda p: dl.train(p, epochs=0).predict([[1.0, 2.0]]), "must be (n, 1)"),
    (lambda p: dl.sweep(["lr=a"]), "lr=a: must be a valid number"),
    (lambda p: dl.sweep(["learning_rate=1"]), "learning_rate"),
    (lambda p: dl.run(["optimizer=newton"]), "needs derivatives of order 2"),
    (lambda p: dl.load("sqlite:////no/such.db"), "there is no such store"),
    (lambda p: dl.load(run="../x"), "not a run id"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_values_are_refused_in_one_line(gaussian, call, message):
    with pytest.raises(dl.DescentError) as caught:
        call(gaussian)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@dataclass(frozen=True, kw_only=True)
class Halving(dl.Optimizer):
    """An optimizer of one's own: it needs no registration."""

    factor: float = 0.5
    broken: bool = False

    def init(self, theta):
        return ()

    def update(self, g, state, theta, lr):
        if self.broken:
            raise ArithmeticError("my own slip")
        return -lr * self.factor * g, state


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_an_optimizer_of_ones_own_trains(gaussian, backend):
    half = dl.train(gaussian, Halving(), lr=0.2, epochs=5, backend=backend)
    whole = dl.train(gaussian, dl.SGD(), lr=0.1, epochs=5, backend=backend)
    assert np.allclose(half.curves["train/loss"], whole.curves["train/loss"], rtol=1e-12)
    with pytest.raises(ArithmeticError, match="my own slip"):
        dl.train(gaussian, Halving(broken=True), epochs=5, backend=backend)


# --- what it leaves alone -------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
begin = time.perf_counter()
import descent_lab as dl
assert not {"numpy", "pydantic"} & set(sys.modules), "import descent_lab loads more than its own file"
problem = dl.problem(dl.datasets.Gaussian(n_samples=60), hidden=[5])
for backend in (dl.backends.Numpy(), dl.backends.Jax()):
    dl.train(problem, dl.Adam(), epochs=3, backend=backend)
loaded = {"hydra", "omegaconf", "mlflow", "pandas", "sklearn", "matplotlib", "IPython"} & set(sys.modules)
dl.sweep(["dataset.n_samples=60", "seed=0,1", "epochs=2", "backend=numpy,jax"])
print(loaded, {"mlflow"} & set(sys.modules))
"""


def test_training_with_objects_needs_neither_hydra_nor_mlflow_nor_the_disk(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "DESCENT", "MLFLOW"))}
    home = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TMPDIR")}
    clone = f"import descent_lab.paths as p, pathlib; p.CACHE = p.ROOT = pathlib.Path({str(tmp_path / 'clone')!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", clone + SCRIPT], cwd=tmp_path / "here", env=kept | home, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "set() set()", "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_public_name_is_there():
    assert set(dl.__all__) <= set(dir(dl))
    assert all(getattr(dl, name) is not None for name in dl.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        dl.no_such_name  # noqa: B018


def test_a_sweep_inside_another_hydra_application_leaves_it_alone():
    from hydra.core.global_hydra import GlobalHydra

    composed()
    dl.sweep(["dataset.n_samples=20", "epochs=1"])
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize("shown", [True, False, None])
def test_the_progress_bar_is_shown_where_asked_for(gaussian, capsys, monkeypatch, shown):
    monkeypatch.setattr("descent_lab.api.training.DELAY", 0.0)
    dl.train(gaussian, epochs=5, progress=shown)
    assert ("1 of 1 run" in capsys.readouterr().err) == (shown is True)


def test_verdicts_of_a_sweep_are_those_of_a_report():
    """The settings are chosen and judged block by block, in memory; on another metric, high values are better."""
    words = "backend=jax dataset=iris optimizer=sgd,adam lr=0.1,0.0001 epochs=5 batching=minibatch record.points=3"
    seeds = "hydra.sweeper.blocks=2 hydra.sweeper.tuning_seeds=range(4) hydra.sweeper.held_out_seeds=range(10,14)"
    results = dl.sweep(f"{words} hydra.sweeper.tuned=[lr] {seeds}", progress=False)
    (row,) = results.verdicts().to_dict("records")
    assert (row["a"], row["b"], row["unit"], row["n"]) == ("adam", "sgd", "blocks", 2)
    losses = results.runs[results.runs["seed"] >= 10].pivot(
        index="seed", columns="optimizer", values="final_train_loss"
    )
    assert row["effect"] == pytest.approx(np.exp(np.log(losses["adam"] / losses["sgd"]).mean()))
    (row,) = results.verdicts("test/accuracy", judged="adam").to_dict("records")
    accuracy = results.runs[results.runs["seed"] >= 10].pivot(
        index="seed", columns="optimizer", values="final_test_accuracy"
    )
    assert row["effect"] == pytest.approx((accuracy["adam"] - accuracy["sgd"]).mean())
    with pytest.raises(dl.ConfigError, match="judged=lion: must be one of adam, sgd"):
        results.verdicts(judged="lion")
