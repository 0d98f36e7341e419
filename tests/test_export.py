"""Runs as MLflow models that need nothing of this package, the runs that deserve it, and curves as files."""

import json
import os
import subprocess
import sys
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
import yaml
from harness import make_config, run_cli
from stores import answers, create_store, free_port, kill_group, store_of, wait_until

from descent_lab.cli import run
from descent_lab.cli.export import main
from descent_lab.exports import curves
from descent_lab.nn.activations import ACTIVATIONS, Activation
from descent_lab.sweeps.restore import restore
from descent_lab.tracking.reader import load

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

VALIDATED = "dataset.validation_fraction=0.2"
IRIS = ["dataset=iris", "optimizer=adam", "epochs=15"]
POLYNOMIAL = ["dataset=polynomials", "dataset.n_samples=20", "optimizer=adam", "epochs=5"]
RUNS = {
    "classes": [*IRIS, "lr=0.05", VALIDATED],
    "worse": [*IRIS, "lr=0.001", VALIDATED],
    "other seed": [*IRIS, "lr=0.05", "seed=1", VALIDATED],
    "diverged": [*IRIS, "optimizer=sgd", "lr=1e200", "model.hidden=[7]", VALIDATED],
    "scores": ["dataset=iris", "epochs=5", "model.loss=mse", "model.output=tanh"],
    "binary": ["dataset=sign", "epochs=5"],
    "normalised": [*POLYNOMIAL, "model.batch_norm=true", "model.hidden=[6,5]"],
    "float32": [*POLYNOMIAL, "dtype=float32", "model.activation=sigmoid"],
    "erf": ["dataset=iris", "epochs=5", "model.activation=gelu"],
    "one feature": ["dataset=line", "epochs=5"],
    "other layers": [
        "dataset=product",
        "epochs=1",
        "model=layers",
        "model.layers=[{dense: 4}, batch_norm, {activate: tanh}, batch_norm, {dense: 1}]",
    ],
    "own units": ["dataset=diabetes", "epochs=5", "dataset.standardise_target=true"],
}
VALID = ["dataset=iris", VALIDATED]  # those of RUNS that can be compared
WITH = "params.`dataset.validation_fraction` = '0.2'"
MODELS = [name for name in RUNS if name not in ("diverged", "other layers")]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The address of a store, and its run ids by the names in RUNS."""
    configs = {name: make_config(*overrides) for name, overrides in RUNS.items()}
    uri = store_of(tmp_path_factory.mktemp("export"), list(configs.values()))
    ids = load(uri).runs.set_index("identity")["run_id"]
    return uri, {name: ids[config.identity] for name, config in configs.items()}


@pytest.fixture
def export(stored, capsys):
    """The command on that store: exit code, output, errors; run ids may be given by name."""
    uri, ids = stored

    def call(*words):
        given = [f"run={ids.get(word[4:], word[4:])}" if word.startswith("run=") else word for word in words]
        code = main([*given, f"uri={uri}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def points(model, n=3):
    """Points in the units of the data of a predictor."""
    x = model.data.x_train[:n]
    return x if model.data.x_scaling is None else model.data.x_scaling.invert(x)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_predict_does(name, stored, export, tmp_path):
    import mlflow.pyfunc

    uri, ids = stored
    theta = "final" if name in ("normalised", "worse") else "best"
    code, out, err = export(f"run={name}", f"theta={theta}", f"output={tmp_path / 'model'}")
    assert (code, err) == (0, "") and out.startswith(str(tmp_path / "model"))
    model, known = mlflow.pyfunc.load_model(str(tmp_path / "model")), restore(ids[name], theta, uri)
    x, features = points(known), list(known.data.features)
    expected = known.outputs(x)
    named = pd.DataFrame(x, columns=features)
    for given in (x, named, named[features[::-1]]):  # columns of a frame go by their names
        answers = model.predict(given)
        assert list(answers) == [column.name for column in model.metadata.signature.outputs.inputs]
        numbers = answers.drop(columns="class", errors="ignore")
        np.testing.assert_allclose(numbers, expected, rtol=1e-13, atol=1e-15)
        if known.data.task != "regression":
            assert list(answers["class"]) == [known.data.classes[k] for k in expected.argmax(axis=1)]
    one = model.predict(x[:1])
    assert len(one) == 1 and one.equals(model.predict(named[:1]).reset_index(drop=True))
    assert len(model.predict(model.input_example)) == 1
    assert model.metadata.metadata["run_id"] == ids[name] and model.metadata.metadata["theta"] == theta


@pytest.mark.parametrize(("name", "more"), [("classes", set()), ("erf", {"scipy"})])
def test_a_model_needs_neither_this_package_nor_jax(name, more, export, tmp_path):
    export(f"run={name}", f"output={tmp_path / 'model'}")
    script = (
        "import sys\n"
        "sys.modules['descent_lab'] = sys.modules['jax'] = None  # as if not installed\n"
        "import mlflow.pyfunc, numpy\n"
        "print(*mlflow.pyfunc.load_model('model').predict(numpy.array([[5.1, 3.5, 1.4, 0.2]]))['class'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["setosa"], done.stderr
    requirements = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert {line.partition("==")[0] for line in requirements} == {"mlflow", "numpy", "pandas"} | more


def test_a_served_model_answers(export, tmp_path):
    export("run=classes", f"output={tmp_path / 'model'}")
    port = free_port()
    serve = ["models", "serve", "-m", str(tmp_path / "model"), "--env-manager", "local", "-p", str(port), "-w", "1"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *serve],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/ping"))
        for body in (
            {"inputs": [[5, 3.5, 1.4, 0.2]]},
            json.loads((tmp_path / "model/serving_input_example.json").read_text()),
        ):
            asked = Request(
                f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urlopen(asked, timeout=30) as answer:
                (row,) = json.load(answer)["predictions"]
            assert set(row) == {"class", "p(setosa)", "p(versicolor)", "p(virginica)"}
    finally:
        kill_group(server)


BAD_POINTS = {
    "another number of columns": (np.zeros((2, 3)), "must be|missing inputs"),
    "other names": (pd.DataFrame(np.zeros((1, 4)), columns=list("abcd")), "there is no sepal length"),
    "not finite": (np.array([[1, 2, np.nan, 3]]), "row 0, petal length .cm.: nan is not a finite number"),
}


@pytest.mark.parametrize(("x", "why"), BAD_POINTS.values(), ids=BAD_POINTS)
def test_points_that_do_not_fit_are_refused(x, why, export, tmp_path):
    import mlflow.pyfunc

    export("run=classes", f"output={tmp_path / 'model'}")
    with pytest.raises(Exception, match=why):
        mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(x)


def test_the_activation_of_a_plug_in(tmp_path, monkeypatch):
    import mlflow.pyfunc

    parts = {**ACTIVATIONS._parts, "cube": Activation(_cube, lambda z, a: 3 * z * z)}
    monkeypatch.setattr(ACTIVATIONS, "_parts", parts)
    uri = store_of(tmp_path, [make_config("dataset=product", "model.activation=cube", "lr=0.001", "epochs=2")])
    (run_id,) = load(uri).runs["run_id"]
    assert main([f"run={run_id}", f"output={tmp_path / 'model'}", f"uri={uri}"]) == 0
    known = restore(run_id, "best", uri)
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(points(known))
    np.testing.assert_allclose(answers, known.outputs(points(known)), rtol=1e-13)
    del parts["cube"]
    with pytest.raises(ImportError, match="activation cube: comes from a plug-in; install .*test_export"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))


def _cube(z):
    return z * z * z


def test_a_model_is_logged_to_its_run_and_registered_once(stored, export):
    from mlflow import MlflowClient

    uri, ids = stored
    first = export("run=classes", "register=flowers")[1]
    again = export("run=classes", "register=flowers")[1]
    assert "flowers version 1" in first and "flowers version 1 (logged before)" in again
    address = first.partition(": ")[0]
    assert again.startswith(address) and not export("run=classes", "theta=final")[1].startswith(address)
    client = MlflowClient(uri)
    run = client.get_run(ids["classes"])
    assert run.info.status == "FINISHED" and {model.model_id for model in run.outputs.model_outputs} >= {address[8:]}
    assert client.get_logged_model(address[8:]).experiment_id == run.info.experiment_id
    assert len(client.search_model_versions("name = 'flowers'")) == 1
    loaded = "mlflow.pyfunc.load_model('models:/flowers/1').predict([[5.1, 3.5, 1.4, 0.2]])"
    script = f"import mlflow; mlflow.set_tracking_uri({uri!r}); print({loaded})"
    assert "setosa" in run_cli("-c", script, command=()).out


def test_the_best_run_by_a_stated_metric(stored, export, tmp_path):
    uri, _ = stored
    code, out, _ = export("best", *VALID, f"output={tmp_path / 'loss'}")
    losses = load(uri, filter=WITH).runs.set_index("run_id")["best_validation_loss"]
    assert code == 0 and f"run {losses.idxmin()}" in out and "the lowest of 3 runs" in out  # one diverged
    out = export("best", *VALID, "metric=validation/accuracy", "theta=final", f"output={tmp_path / 'a'}")[1]
    assert "validation/accuracy" in out and "the highest of 3 runs" in out
    err = export("best", *VALID, "metric=test/accuracy", f"output={tmp_path / 'test'}")[2]
    assert "caution: chosen by test/accuracy" in err
    export("best", *VALID, "each=lr", f"output={tmp_path / 'each'}")
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == ["lr_0.001", "lr_0.05"]


REFUSED = {
    "no run": ([], "run: missing; give run=ID, or begin with `best` or `curves`"),
    "unknown run": (["run=0123456789abcdef"], "run=0123456789abcdef: no finished run of that id"),
    "layers": (["run=other layers"], "only networks of dense layers, with or without batch normalisation, export"),
    "stray": (["run=classes", "lr=0.1"], "lr: does not go with run"),
    "theta": (["run=classes", "theta=worst"], "theta=worst: must be best or final or init"),
    "start": (["best", "theta=init"], "theta=init: must be best or final"),
    "incomparable": (
        ["best"],
        "of different dataset (diabetes, iris, line, polynomials, product, sign) do not compare",
    ),
    "losses": (["best", "dataset=iris"], "of different dataset.validation_fraction (0.0, 0.2) do not compare"),
    "only diverged": (["best", "lr=1e+200"], "best: no run of 1 finished without diverging"),
    "unknown metric": (
        ["best", *VALID, "metric=validation/rmse"],
        "validation/rmse: some of 3 runs do not",
    ),
    "no metric": (["best", *VALID, "metric=loss"], "metric=loss: must be such as validation/loss"),
    "each": (["best", *VALID, "each=colour"], "each=colour: the runs have no such parameter"),
    "none": (["best", "dataset=wine"], "no finished run with dataset=wine in"),
    "no output": (["curves"], "output: missing; give output=curves.parquet or output=curves.csv"),
    "kind": (["curves", "output=curves.txt"], "output=curves.txt: must end in .parquet or .csv"),
    "folder": (["curves", "output=/no/such/curves.csv"], "output=/no/such/curves.csv: cannot be written"),
    "no values": (["curves", "output=curves.csv", "metrics=train/los"], "have no values of train/los"),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line(words, why, export, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = export(*words)
    assert code == 2 and out == "" and why in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_diverged_is_exported_with_a_caution(export, tmp_path):
    code, _, err = export("run=diverged", f"output={tmp_path / 'model'}")
    assert code == 0 and "caution: " in err and "diverged at step 1; its theta `best` is from before" in err


def test_a_folder_that_is_there_is_not_touched(export, tmp_path):
    (tmp_path / "mine").write_text("mine")
    code, _, err = export("run=classes", f"output={tmp_path}")
    assert code == 2 and "is there already" in err and [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_winners_of_a_tuned_sweep(tmp_path):
    uri = create_store(tmp_path / "mlflow.db")
    sweep = [
        "dataset=gaussian",
        "optimizer=sgd,adam",
        "tracking.export=true",
        "hydra.sweeper.tuned=lr",
        "lr=0.05,0.01",
        "epochs=3",
    ]
    seeds = ["hydra.sweeper.tuning_seeds='0,1'", "hydra.sweeper.held_out_seeds='7,8'"]
    done = run_cli("-m", *sweep, *seeds, f"tracking.uri={uri}", DESCENT_OUTBOX=str(tmp_path / "outbox"))
    assert done.code == 0, done.err
    assert main(["best", f"uri={uri}", f"output={tmp_path / 'models'}"]) == 0
    runs = load(uri).runs.set_index("run_id")
    said = dict(
        line.removeprefix("best: optimizer=").split(" lr=") for line in done.out.splitlines() if "best: " in line
    )
    logged = {model.source_run_id for model in _logged_models(uri)}
    for optimizer in ("sgd", "adam"):
        (model,) = (tmp_path / "models" / optimizer).glob("MLmodel")
        run = runs.loc[yaml.safe_load(model.read_text())["metadata"]["run_id"]]
        assert (run["seed"], run["tracking.phase"], run["optimizer"]) == (7, "evaluation", optimizer)
        assert run["lr"] == float(said[optimizer]) and run.name in logged
    assert len(logged) == 2 and done.out.count("models:/m-") == 2  # by tracking.export=true


def _logged_models(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return client.search_logged_models([experiment.experiment_id for experiment in client.search_experiments()])


@pytest.mark.parametrize(
    ("words", "why"),
    {
        (): "goes with hydra.sweeper.tuned",
        ("-m", "seed=0,1"): "goes with hydra.sweeper.tuned",
        ("-m", "lr=0.1,0.2", "hydra.sweeper.tuned=lr", "tracking.offline=true"): "the store must be there",
        ("-m", "lr=0.1,0.2", "hydra.sweeper.tuned=lr", "tracking.save_theta=false"): "needs tracking.save_theta=true",
    }.items(),
)
def test_models_that_no_sweep_could_log_are_refused(words, why, capfd):
    assert run.main([*words, "tracking.export=true"]) == 2
    assert f"tracking.export=true: {why}" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["curves.parquet", "curves.csv"])
def test_curves_as_one_file(name, stored, export, tmp_path, monkeypatch):
    uri, _ = stored
    monkeypatch.setattr(curves, "AT_A_TIME", 2)
    monkeypatch.setattr(curves, "ROWS", 100)
    code, out, _ = export("curves", *VALID, f"output={tmp_path / name}", "metrics=train/loss,test/accuracy")
    table = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
    expected = load(uri, filter=WITH, metrics=["train/loss", "test/accuracy"])
    assert code == 0 and f"{len(expected.curves)} rows, 4 runs" in out
    pd.testing.assert_frame_equal(table[list(expected.curves)], expected.curves, check_dtype=False)
    about = table.groupby("run_id").first()
    runs = expected.runs.set_index("run_id")
    assert list(table)[:3] == ["run_id", "status", "seed"]
    assert {"optimizer", "lr", "model.hidden"} <= set(table) and "epochs" not in table
    for column in ("status", "seed", "optimizer", "lr"):
        assert about[column].to_dict() == runs[column].to_dict()
    assert [path.name for path in tmp_path.iterdir()] == [name]
