"""What is written to MLflow agrees with the schema, and takes few calls."""

import getpass
import json
import shlex
from collections import Counter
from dataclasses import dataclass

import mlflow
import numpy as np
import pytest
import yaml
from harness import choices, make_config
from stores import create_store

from descent_lab.cli import predict, replay
from descent_lab.sweeps.config import GROUPS, parse
from descent_lab.sweeps.execute import run_all
from descent_lab.sweeps.identity import flat
from descent_lab.tracking import outbox, schema
from descent_lab.tracking.inputs import inputs_of
from descent_lab.tracking.reader import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

HELD = ["dataset.validation_fraction=0.4"]
RUNS = {
    "regression": ["optimizer=adam", "epochs=50", "tracking.save_theta=false"],
    "classification": ["dataset=polynomials", "dataset.n_samples=5", "batching=minibatch", "epochs=3", "seed=4"],
    "search": ["backend=random_search", "backend.arrays=numpy", "epochs=5"],
    "diverged": ["dataset=line", "model=linear", "lr=1e6", "epochs=300", "record.every=1"],
    "long": ["dataset=product", "epochs=2500", "record.every=1"],
    "compiled": ["backend=jax", "epochs=100"],
    "validated": [*HELD, "dataset=polynomials", "dataset.n_samples=5", "optimizer=adam", "lr=0.3", "epochs=40"],
}
CURVES = {"train/loss", "test/loss", "train/grad_norm", "lr", "time/step_seconds"}
SCORES = {"regression": "rmse", "classification": "accuracy", "search": "rmse", "diverged": "rmse"}
SCORES["validated"] = "accuracy"
HANDFUL = 12


@dataclass
class TrackedRuns:
    """The tracked runs and their numbers of calls to MLflow, by the names above, and what was left in the outbox."""

    client: mlflow.MlflowClient
    runs: dict
    calls: dict
    outbox: list
    folder: object

    def curve(self, name, metric):
        return self.client.get_metric_history(self.runs[name].info.run_id, metric)

    def artifact(self, name, file):
        return mlflow.artifacts.download_artifacts(
            run_id=self.runs[name].info.run_id, artifact_path=file, tracking_uri=self.client.tracking_uri
        )


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    uri, calls = create_store(folder / "mlflow.db"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("DESCENT_OUTBOX", str(folder / "outbox"))
        client = mlflow.MlflowClient(uri)
        for name, overrides in RUNS.items():
            calls[name] = counted(patch)
            summary = run_all([make_config(*overrides)], progress=False)
            assert summary.code == 0 and summary.finished + summary.diverged == 1
        left = list(outbox.root().rglob("parcel.json"))
    stored = client.search_runs(["1"], max_results=100)
    identities = {make_config(*overrides).identity: name for name, overrides in RUNS.items()}
    runs = {identities[run.data.tags["identity"]]: run for run in stored}
    return TrackedRuns(client, runs, calls, left, folder)


WATCHED = {name: getattr(mlflow.MlflowClient, name) for name in dir(mlflow.MlflowClient) if name[0] != "_"}


def counted(patch):
    """Counts, by name, the calls of public methods of MLflow's clients from now on."""
    counts = Counter()

    def watched(name, method):
        def call(self, *args, **kwargs):
            counts[name] += 1
            return method(self, *args, **kwargs)

        return call

    for name, method in WATCHED.items():
        if callable(method):
            patch.setattr(mlflow.MlflowClient, name, watched(name, method))
    return counts


@pytest.mark.parametrize("name", RUNS)
def test_params_are_the_leaves_and_the_choices(tracked, name):
    config, params = make_config(*RUNS[name]), tracked.runs[name].data.params
    assert params == config.params
    leaves = {key for key in flat(config.values) if key not in GROUPS}
    assert leaves <= set(params) and {"lr", "seed"} <= leaves
    for group in ("backend", "dataset", "model", "init", "batching", "schedule", "optimizer"):
        assert params[group] in [*choices(group), "none"]
    assert (params["optimizer"] == "none") == (name == "search")


@pytest.mark.parametrize("name", RUNS)
def test_tags_of_the_schema(tracked, name):
    run = tracked.runs[name]
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert {"identity", "sweep", "git.commit", "git.dirty", "status", "timing"} <= set(tags)
    assert tags["identity"] == make_config(*RUNS[name]).identity
    assert tags["status"] == ("diverged" if name == "diverged" else "finished")
    assert tags["timing"] == "isolated" and tags["git.dirty"] in ("true", "false")
    assert len(tags["git.commit"]) == 40 and run.info.status == "FINISHED"
    assert run.info.run_name == make_config(*RUNS[name]).name


@pytest.mark.parametrize("name", RUNS)
def test_what_mlflow_itself_shows(tracked, name):
    run, config = tracked.runs[name], make_config(*RUNS[name])
    tags = run.data.tags
    assert tags["mlflow.user"] == getpass.getuser() and tags["mlflow.source.git.commit"] == tags["git.commit"]
    numbers = {key.removeprefix("version."): value for key, value in tags.items() if key.startswith("version.")}
    assert {"python", "numpy", "jax"} <= set(numbers)
    assert tags["versions"] == ", ".join(f"{library} {number}" for library, number in numbers.items())
    first, end, commands, table = tags["mlflow.note.content"].split("\n\n")
    assert all(f"`{config.choices[group]}`" in first for group in ("backend", "model", "dataset"))
    assert f"at step {int(tracked.curve(name, 'lr')[-1].step) if name != 'diverged' else tags['diverged_at']}," in end
    assert ("diverged" in end) == (name == "diverged")
    _, again, *applied, _ = commands.splitlines()
    assert again == f"python -m src.replay run={run.info.run_id} --uri {tracked.client.tracking_uri}"
    assert len(applied) == (name != "regression")  # which keeps no theta
    assert all(f" run={run.info.run_id} " in line for line in applied)
    best = f"{run.data.metrics['best/test_loss']:.5g} (lowest)"
    assert f"| test/loss | {run.data.metrics['final/test_loss']:.5g} | {best} |" in table.splitlines()


def test_the_commands_of_a_description_work(tracked, capsys):
    note = tracked.runs["classification"].data.tags["mlflow.note.content"]
    again, applied = (shlex.split(line)[3:] for line in note.splitlines() if line.startswith("python "))
    assert replay.main(again) == 0 and predict.main(applied) == 0
    said = capsys.readouterr().out
    assert "bit-identical" in said and "0.0" in said


@pytest.mark.parametrize("name", ["validated", "regression"])
def test_inputs_are_the_parts_of_the_data(tracked, name):
    run, data = tracked.runs[name], make_config(*RUNS[name]).problem().data
    inputs = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert list(inputs) == list(data.parts) and {len(one.tags) for one in run.inputs.dataset_inputs} == {1}
    for part, (x, _) in data.parts.items():
        digest = inputs[part].digest
        assert len(digest) <= 36 and inputs[part].name == run.data.params["dataset"]
        assert json.loads(inputs[part].profile)["num_rows"] == len(x)
        query = f"dataset.digest = '{digest}' and dataset.context = '{part}'"
        assert run.info.run_id in {found.info.run_id for found in tracked.client.search_runs(["1"], query)}
    columns = json.loads(inputs["train"].schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == [*data.features, "class" if data.classes else "target"]
    source = mlflow.data.get_source(run.inputs.dataset_inputs[0])
    assert source.to_dict()["tags"]["mlflow.source.name"].startswith("descent_lab.data.")


def test_digests_tell_contents_and_splits_apart_but_not_seeds(tmp_path):
    def digests(*words):
        config = make_config(*words)
        return [one["digest"] for one in inputs_of(config.tracked.origin, config.problem().data.outline)]

    path = tmp_path / "points.csv"
    words = ["dataset=csv", f"dataset.path={path}", "dataset.target=y"]
    path.write_text("x,y\n" + "".join(f"{k},{k * k}\n" for k in range(20)))
    before = digests(*words, "seed=0")
    assert digests(*words, "seed=1") == before and len(set(before)) == 2
    assert digests(*words, "dataset.test_fraction=0.5") != before
    (train, _) = inputs_of(make_config(*words).tracked.origin, make_config(*words).problem().data.outline)
    assert train["name"] == "points.csv" and json.loads(train["source"]) == {"uri": str(path)}
    path.write_text("x,y\n" + "".join(f"{k},{k}\n" for k in range(20)))
    make_config.cache_clear()  # configurations remember the content of their data
    assert digests(*words, "seed=0") != before


def test_wide_data_are_described_by_their_shapes():
    config = make_config("dataset=digits")
    schema = json.loads(inputs_of(config.tracked.origin, config.problem().data.outline)[0]["schema"])
    assert json.loads(schema["mlflow_tensorspec"]["features"])[0]["tensor-spec"]["shape"] == [-1, 64]


@pytest.mark.parametrize("name", SCORES)
def test_metrics_of_the_schema(tracked, name):
    score, metrics = SCORES[name], tracked.runs[name].data.metrics
    held = ["validation", "test"] if name == "validated" else ["test"]
    curves = CURVES | {f"{part}/{kind}" for part in ("train", *held) for kind in ("loss", score)}
    curves = curves - ({"train/grad_norm"} if name == "search" else set())
    ledger = {f"ledger/{purpose}_seconds" for purpose in ("setup", "compile", "step", "eval", "log", "wall")}
    tracked = [curve for curve in curves if curve not in ("lr", "time/step_seconds")]
    summary = {f"{kind}/{curve.replace('/', '_')}" for curve in tracked for kind in ("final", "best")}
    of_held = {f"chosen/{part}/{kind}" for part in held for kind in ("loss", score)}
    chosen = of_held | {"chosen/step", "chosen/train/loss"} if name == "validated" else set()
    assert set(metrics) == curves | summary | ledger | chosen | {"cost/gradient_equivalents"}
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["final/train_loss"] == metrics["train/loss"] >= metrics["best/train_loss"]


def test_the_chosen_step_is_that_of_the_lowest_validation_loss(tracked):
    with np.load(tracked.artifact("validated", "curves.npz")) as curves:
        k = int(curves["validation/loss"].argmin())
        assert 0 < k < len(curves["step"]) - 1  # it overfits
        metrics = tracked.runs["validated"].data.metrics
        assert metrics["chosen/step"] == curves["step"][k]
        for name in ("train/loss", "validation/accuracy", "test/loss", "test/accuracy"):
            assert metrics[f"chosen/{name}"] == curves[name][k]
    (row,) = load(tracked.client.tracking_uri, filter="params.`dataset.validation_fraction` = '0.4'").runs.to_dict(
        "records"
    )
    assert row["chosen_test_loss"] == metrics["chosen/test/loss"] and row["chosen_step"] == metrics["chosen/step"]


@pytest.mark.parametrize("name", ["regression", "diverged", "compiled"])
def test_curves_are_those_of_the_artifact(tracked, name):
    with np.load(tracked.artifact(name, "curves.npz")) as curves:
        for metric in set(curves) - {"step", "epoch"}:
            points = tracked.curve(name, metric)
            assert [point.step for point in points] == curves["step"].tolist()
            np.testing.assert_array_equal([point.value for point in points], curves[metric])


def test_long_curves_are_thinned_and_whole_in_the_artifact(tracked):
    with np.load(tracked.artifact("long", "curves.npz")) as curves:
        assert len(curves["step"]) == 2501
        points = tracked.curve("long", "train/loss")
        assert 500 < len(points) <= 1000 and points[0].step == 0 and points[-1].step == 2500
        assert points[-1].value == curves["train/loss"][-1]


@pytest.mark.parametrize("name", RUNS)
def test_artifacts(tracked, name):
    files = {file.path for file in tracked.client.list_artifacts(tracked.runs[name].info.run_id)}
    assert {"config.yaml", "curves.npz"} <= files and ("theta.npz" in files) == (name != "regression")
    if "theta.npz" in files:
        config = make_config(*RUNS[name])
        with np.load(tracked.artifact(name, "theta.npz")) as theta:
            assert {"init", "best", "final"} <= set(theta)
            np.testing.assert_array_equal(theta["init"], config.problem().theta)


@pytest.mark.parametrize("name", RUNS)
def test_the_stored_configuration_is_that_of_the_run(tracked, name):
    with open(tracked.artifact(name, "config.yaml")) as file:
        values = yaml.safe_load(file)
    config = make_config(*RUNS[name])
    assert values.pop("choices") == dict(config.choices) and set(flat(values)) == set(flat(config.values))
    assert parse(values, config.choices).identity == config.identity


def test_stored_numbers_are_numbers_to_any_reader_of_yaml(tracked):
    with open(tracked.artifact("regression", "config.yaml")) as file:
        assert yaml.safe_load(file)["optimizer"]["eps"] == 1e-8


def test_a_diverged_run_ends_at_its_last_finite_step(tracked):
    run, points = tracked.runs["diverged"], tracked.curve("diverged", "train/loss")
    assert all(np.isfinite(point.value) for point in points)
    assert points[-1].step < int(run.data.tags["diverged_at"]) <= points[-1].step + 1


@pytest.mark.parametrize("name", ["compiled", "search", "diverged"])
def test_a_run_in_a_database_needs_no_client(tracked, name):
    assert tracked.calls[name] == {}


def test_a_run_through_the_client_is_a_handful_of_calls(store, monkeypatch):
    create_store(store)
    monkeypatch.setattr(schema, "TESTED", frozenset())
    run_all([make_config(*RUNS["search"])], progress=False)  # creates the experiment
    calls = counted(monkeypatch)
    run_all([make_config(*RUNS["compiled"])], progress=False)
    assert calls["log_metric"] == calls["log_param"] == calls["set_tag"] == 0
    assert calls["create_run"] == 1 and calls["log_batch"] >= 1
    assert sum(calls.values()) <= HANDFUL, calls


@pytest.mark.parametrize("name", ["compiled", "long"])
def test_the_ledger_adds_up_to_the_wall(tracked, name):
    run = tracked.runs[name]
    spent = {key: value for key, value in run.data.metrics.items() if key.startswith("ledger/")}
    wall = spent.pop("ledger/wall_seconds")
    assert sum(spent.values()) == pytest.approx(wall, rel=0.05)
    assert run.data.metrics["time/step_seconds"] == pytest.approx(spent["ledger/step_seconds"], rel=1e-6)
    assert (run.info.end_time - run.info.start_time) / 1000 == pytest.approx(wall, abs=0.05)


def test_nothing_is_left_in_the_outbox(tracked):
    assert tracked.outbox == []


def test_artifacts_lie_beside_the_store(tracked):
    assert {
        run.info.artifact_uri.startswith((tracked.folder / "mlartifacts").as_uri()) for run in tracked.runs.values()
    } == {True}
