"""A saved model, applied: points and files, classes by probability, and the best run that no worse one replaces."""

import csv

import numpy as np
import pytest
from harness import make_config

from descent_lab.cli.predict import main
from descent_lab.data.builtin.polynomials import POLYNOMIALS
from descent_lab.sweeps.execute import run_all
from descent_lab.sweeps.restore import restore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

IRIS = ["dataset=iris", "optimizer=adam", "lr=0.05", "epochs=40"]
POLYNOMIAL = ["dataset=polynomials", "optimizer=adam", "lr=0.02", "dataset.n_samples=20"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with runs of several kinds; its address, and run ids by name."""
    folder = tmp_path_factory.mktemp("predict")
    rows = np.random.default_rng(0).normal([100, -3], [20, 0.1], (40, 2))
    table = np.column_stack([rows, 1000 + 3 * rows[:, 0] - 50 * rows[:, 1]])
    np.savetxt(folder / "rents.csv", table, delimiter=",", header="size,noise,rent", comments="")
    with pytest.MonkeyPatch.context() as patch:
        uri = f"sqlite:///{folder}/mlflow.db"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("DESCENT_OUTBOX", str(folder / "outbox"))
        path = [f"dataset.path={folder}/rents.csv", "dataset.target=rent", "dataset.standardise_target=true"]
        settings = {
            "iris": IRIS,
            "scores": [*IRIS, "model.loss=mse", "model.output=tanh", "epochs=5"],
            "sign": ["dataset=sign", "optimizer=adam", "lr=0.05", "epochs=200"],
            "polynomials": [*POLYNOMIAL, "epochs=150"],
            "normalised": [*POLYNOMIAL, "epochs=20", "model.batch_norm=true"],
            "product": ["dataset=product", "epochs=5"],
            "rents": ["dataset=csv", *path, "model=linear", "optimizer=sgd", "lr=0.2", "epochs=200"],
            "forgetful": ["dataset=product", "epochs=2", "tracking.save_theta=false"],
        }
        configs = {name: make_config(*given) for name, given in settings.items()}
        summary = run_all(list(configs.values()), progress=False)
        assert summary.code == 0, summary
        from descent_lab.tracking.reader import load

        by_identity = load(uri).runs.set_index("identity")["run_id"]
    return uri, {name: by_identity[config.identity] for name, config in configs.items()}, folder


@pytest.fixture
def predict(trained, capsys):
    """The command on that store: exit code, output, errors; run ids may be given by name."""
    uri, ids, _ = trained

    def call(*arguments):
        given = [f"run={ids.get(a[4:], a[4:])}" if a.startswith("run=") else a for a in arguments]
        code = main(given if any(a.startswith("uri=") for a in given) else [*given, f"uri={uri}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_classes_come_by_probability(predict):
    code, out, _ = predict("run=iris", "x=[5.1,3.5,1.4,0.2]")
    lines = [line.split() for line in out.splitlines()]
    assert (
        code == 0 and lines[0][0] == "setosa" and {line[0] for line in lines} == {"setosa", "versicolor", "virginica"}
    )
    chances = [float(line[1]) for line in lines]
    assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1, abs=1e-5)


def test_a_point_is_named_by_its_polynomial(predict):
    code, out, _ = predict("run=polynomials", "x=[-0.9,-1.7]")  # on 3x + 1
    assert code == 0 and len(out.splitlines()) == len(POLYNOMIALS)
    assert {line[:29].rsplit("  ", 1)[0].strip() for line in out.splitlines()} >= {"3x + 1", "-2x - 3"}


def test_a_binary_class_has_two_probabilities(predict):
    _, out, _ = predict("run=sign", "x=[100]")
    assert out.splitlines()[0].startswith("positive  ") and len(out.splitlines()) == 2
    assert predict("run=sign", "x=100")[1] == out


def test_scores_are_not_called_probabilities(predict):
    code, out, _ = predict("run=scores", "x=[5.1,3.5,1.4,0.2]")
    assert code == 0 and out.startswith("scores") and len(out.splitlines()) == 4


def test_predictions_are_those_of_training(trained):
    """The same network on the same points gives what the run itself recorded for its test set."""
    uri, ids, _ = trained
    from descent_lab.tracking.reader import load

    results = load(uri)
    for name in ("iris", "product", "normalised"):
        model = restore(ids[name], "final", uri)
        raw = model.data.x_test if model.data.x_scaling is None else model.data.x_scaling.invert(model.data.x_test)
        recorded = results.predictions(ids[name])["prediction"]
        np.testing.assert_allclose(model.outputs(raw), recorded, rtol=1e-9, atol=1e-12)


def test_new_points_and_predictions_are_in_the_users_units(predict):
    """The file is standardised, features and target; the law 1000 + 3 size - 50 noise comes back unstandardised."""
    code, out, _ = predict("run=rents", "x=[[110,-3],[0,0]]")
    assert code == 0
    np.testing.assert_allclose([float(line) for line in out.split()], [1480, 1000], rtol=1e-3)


def test_which_theta(predict):
    outs = [predict("run=product", "x=[1,2,4]", f"which={which}")[1] for which in ("init", "best", "final")]
    assert outs[0] != outs[2] and outs[1] == outs[2]  # descent at a small rate: the last is the best


@pytest.mark.parametrize("header", ["noise,other,size\n", None], ids=["named", "in order"])
def test_a_file_of_points(predict, trained, tmp_path, header):
    points, output = tmp_path / "points.csv", tmp_path / "out.csv"
    points.write_text(f"{header}-3,7,110\n\n0,7,0\n" if header else "110,-3\n0,0\n")
    code, out, _ = predict("run=rents", f"file={points}", f"output={output}")
    assert code == 0 and out == ""
    with open(output) as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["size", "noise", "prediction"] and rows[0]["size"] == "110.0"
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], [1480, 1000], rtol=1e-3)


def test_a_file_of_points_to_classify_goes_to_the_screen(predict, tmp_path):
    (tmp_path / "points.csv").write_text("5.1,3.5,1.4,0.2\n6.5,3.0,5.5,2.0\n")
    code, out, _ = predict("run=iris", f"file={tmp_path}/points.csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0 and rows[0]["class"] == "setosa" and float(rows[0]["p(setosa)"]) > 0.5 and len(rows) == 2


REFUSED = {
    "unknown id": (["run=0123456789abcdef", "x=[1]"], "run=0123456789abcdef: no finished run of that id"),
    "no id at all": (["run=a'b", "x=[1]"], "run=a'b: not a run id"),
    "no theta": (["run=forgetful", "x=[1,2,4]"], "no theta was kept"),
    "features": (["run=product", "x=[1,2]"], "x=[1,2]: 2 numbers, the model has 3 features: x1, x2, x3"),
    "text": (["run=product", "x=[1,2,zwei]"], "x=[1,2,zwei]: 'zwei' is not a number"),
    "infinite": (["run=product", "x=[1,2,inf]"], "x=[1,2,inf], point 1, column 'x3': inf is infinite"),
    "empty": (["run=product", "x=[]"], "x=[]: '' is not a number"),
    "no point": (["run=product"], "give either x=[...] or file=points.csv"),
    "two": (["run=product", "x=[1]", "file=a.csv"], "give either x=[...] or file=points.csv"),
    "no file": (["run=product", "file=/no/such.csv"], "/no/such.csv: cannot be read: No such file or directory"),
    "which": (["run=product", "x=[1,2,4]", "which=worst"], "which=worst: must be best, init, final"),
    "no run": (["x=[1,2,4]"], "run: missing"),
    "no value": (["run=product", "x"], "x: must be name=value"),
    "stray": (["run=product", "x=[1,2,4]", "lr=0.1"], "lr: only chooses among runs with run=best"),
    "best of what": (["run=best", "x=[1]"], "best: of which data set? give dataset=NAME"),
    "best of none": (["best", "dataset=wine"], "no finished run with dataset=wine"),
    "incomparable": (["best", "dataset=iris"], "best: losses of different model.loss (None, mse) do not compare"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line(predict, name):
    arguments, said = REFUSED[name]
    code, out, err = predict(*arguments)
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


BAD_FILES = {
    "": "empty",
    "size,noise\n": "column names and no points",
    "size,price\n1,2\n": "no column 'noise'",
    "1,2,3\n": "3 columns, the model has 2 features",
    "1,2\n3\n": "line 2: 1 cells, the first line has 2",
    "1,2\n3,x\n": "line 2: 'x' is not a number",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_files_are_refused(predict, tmp_path, text):
    (tmp_path / "points.csv").write_text(text)
    code, _, err = predict("run=rents", f"file={tmp_path}/points.csv")
    assert code == 2 and BAD_FILES[text] in err and len(err.splitlines()) == 1


def test_the_best_run_is_never_replaced_by_a_worse_one(predict, trained, store):
    """Better ones take its place; worse ones, of later date, do not; runs of other settings can be told apart."""
    config = ["dataset=sign", "optimizer=sgd"]

    def best():
        code, out, _ = call("best", "dataset=sign")
        assert code == 0
        return out

    def call(*arguments):
        return predict(*arguments, f"uri=sqlite:///{store}")

    def train(*given):
        assert run_all([make_config(*config, *given)], progress=False).code == 0

    train("epochs=20", "lr=0.001")
    first = best()
    train("epochs=0")
    assert best() == first  # a worse one came later
    train("epochs=200", "lr=0.01")
    better = best()
    assert better != first and float(better.split("=")[1]) < float(first.split("=")[1])
    train("epochs=20", "lr=0.001", "force=true")
    assert best() == better
    run_id = better.split()[0]
    assert call("run=best", "dataset=sign", "x=17")[1] == call(f"run={run_id}", "x=17")[1]
    assert call("best", "dataset=sign", "epochs=0")[1].split()[0] not in (run_id, first.split()[0])


def test_the_best_run_of_several_with_a_validation_set_has_the_lowest_validation_loss(predict, store):
    held = ["dataset=iris", "dataset.validation_fraction=0.3", "optimizer=adam", "record.every=1"]
    assert run_all([make_config(*held, *given) for given in (["lr=0.5"], ["lr=0.01"])], progress=False).code == 0
    there = f"uri=sqlite:///{store}"
    code, out, _ = predict("best", "dataset=iris", there)
    from descent_lab.tracking.reader import load

    runs = load(f"sqlite:///{store}").runs.set_index("run_id")
    run_id, _, loss = out.strip().replace("=", " ").split()
    assert (
        code == 0
        and runs["best_validation_loss"].idxmin() == run_id
        and float(loss) == runs["chosen_validation_loss"].min()
    )
    assert runs["best_train_loss"].idxmin() != run_id
    assert run_all([make_config("dataset=iris", "epochs=1")], progress=False).code == 0
    code, _, err = predict("best", "dataset=iris", there)
    assert code == 2 and "best: losses of different dataset.validation_fraction (0.0, 0.3) do not compare" in err
    assert predict("best", "dataset=iris", "dataset.validation_fraction=0.3", there)[1] == out


def test_a_file_that_changed_is_not_guessed_at(predict, trained):
    path = trained[2] / "rents.csv"
    before = path.read_text()
    path.write_text(before.replace("size", "area"))
    code, _, err = predict("run=rents", "x=[1,2]")
    path.write_text(before)
    assert code == 2 and "has changed since the run" in err and len(err.splitlines()) == 1


def test_help_is_shown(capsys):
    assert main([]) == 0 and main(["--help"]) == 0
    assert "python -m src.predict run=ID" in capsys.readouterr().out
