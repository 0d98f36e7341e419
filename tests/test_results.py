"""Reading a store gives what was written, leaves incomplete runs out, and creates no files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from descent_lab.analysis.measure import THEN_BY, TUNED_BY
from descent_lab.analysis.selection import AS_GIVEN, SAME, select
from descent_lab.analysis.study import study, varying
from descent_lab.analysis.subset import filled, reference_of
from descent_lab.errors import StoreError
from descent_lab.tracking.reader import load
from descent_lab.tracking.reader.arrays import Artifacts, read_curves
from descent_lab.tracking.reader.frames import runs_frame
from descent_lab.tracking.reader.source import About, Described, in_memory
from tests.harness import make_config, make_run
from tests.stores import store_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
SHORT = ("epochs=12", "record.points=6", "dataset=iris", "schedule=linear")


@pytest.fixture(scope="module")
def full_store(tmp_path_factory):
    """A store with two batchings and two seeds, of random search and of adam."""
    folder = tmp_path_factory.mktemp("results")
    made = [
        make_config(*SHORT, f"batching={batching}", f"seed={seed}", *words)
        for batching in ("full", "minibatch")
        for seed in (0, 1)
        for words in (("optimizer=adam", "lr=0.1"), ("backend=random_search", "lr=0.1"))
    ]
    return store_of(folder, made)


def test_curves_are_whole(full_store):
    results = load(full_store)
    assert len(results.runs) == 8
    assert results.unfinished == 0
    loss = results.curves[results.curves["metric"] == "train/loss"]
    last = loss.sort_values("step").groupby("run_id")["value"].last()
    expected = results.runs.set_index("run_id")["final_train_loss"]
    pd.testing.assert_series_equal(last.sort_index(), expected.sort_index(), check_names=False)
    assert loss.groupby("run_id")["step"].max().to_dict() == dict(
        zip(results.runs["run_id"], results.runs["steps"], strict=True)
    )
    np.testing.assert_allclose(results.runs["passes"], 12)


def test_the_base_lr_keeps_its_name_beside_the_rate_that_was_recorded(full_store):
    results = load(full_store)
    assert set(results.runs["lr"]) == {0.1} and set(results.runs["final_lr"]) == {0.0}
    rates = results.curves[results.curves["metric"] == "lr"]
    np.testing.assert_allclose(rates["value"], 0.1 * (1 - rates["epoch"] / 12), atol=1e-17)


def test_runs_from_before_an_option_do_not_differ_in_it_from_runs_at_its_default():
    config, later = (
        make_config("dataset=iris"),
        ("dataset.validation_fraction", "stop.patience", "seeds.split", "schedule.by"),
    )
    before = {name: value for name, value in config.params.items() if name not in later}
    held = {**config.params, "dataset.validation_fraction": "0.2"}
    stored = [
        Described(About(str(i), "", "", "", 0), {}, params, {})
        for i, params in enumerate((before, config.params, held))
    ]
    runs = runs_frame(in_memory(stored))
    assert all(runs[name][0] == runs[name][1] == config.params[name] for name in later)
    assert varying(runs[:2], list(held)) == [] and varying(runs, list(held)) == ["dataset.validation_fraction"]


def test_artifacts_by_run(full_store):
    results = load(full_store, filter="params.backend = 'random_search' and params.seed = '0'")
    run_id = results.runs["run_id"].iloc[0]
    assert results.config(run_id)["choices"]["backend"] == "random_search"
    assert results.predictions(run_id)["truth"].shape == results.predictions(run_id)["prediction"].shape
    assert set(results.theta(run_id)) == {"init", "best", "final"}


def test_without_artifacts_the_curves_come_from_the_metrics(full_store):
    whole = load(full_store)
    bare = Artifacts(whole.uri, dict.fromkeys(whole.artifacts.uris, "file:///nowhere"))
    again = read_curves(bare, whole.runs)
    stored = read_curves(whole.artifacts, whole.runs)
    for a, b in zip(again, stored, strict=True):
        np.testing.assert_array_equal(a["step"], b["step"])
        np.testing.assert_array_equal(a["train/loss"], b["train/loss"])
        np.testing.assert_allclose(a["epoch"], b["epoch"])


def test_a_run_that_is_being_written_is_left_out(full_store):
    from mlflow import MlflowClient

    client = MlflowClient(full_store)
    experiment = client.get_experiment_by_name("optimizers")
    begun = client.create_run(experiment.experiment_id, tags={"identity": "x", "sweep": "y"})
    results = load(full_store)
    client.delete_run(begun.info.run_id)
    assert (len(results.runs), results.unfinished) == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"experiment": "nope"}, "experiment=nope: no such experiment"),
        ({"filter": "params.lr ="}, "filter=params.lr =: cannot be searched"),
        ({"uri": "sqlite:////nowhere/at/all.db"}, "there is no such store"),
        ({"uri": "nowhere"}, "there is no such folder"),
    ],
)
def test_refused_in_one_line(full_store, arguments, message):
    with pytest.raises(StoreError) as refused:
        load(**({"uri": full_store} | arguments))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_store_stays_as_it_is(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreError, match="not an MLflow store"):
        load(f"sqlite:///{path}")
    assert path.stat().st_size == 0


def test_what_differs_keeps_runs_apart(full_store):
    results = load(full_store)
    assert set(varying(results.runs, results.params)) == {"backend", "batching", "optimizer"}
    elsewhere = results.runs.assign(engine=["serial", "processes"] * 4, debug=["False", "True"] * 4)
    assert varying(elsewhere, results.params) == varying(results.runs, results.params)
    runs = study(results).runs
    assert set(runs["dataset"]) == {"iris, batching=full", "iris, batching=minibatch"}
    assert set(runs["entrant"]) == {"adam", "random_search"}
    spent = runs.groupby("entrant")["gradients"].max()
    network = make_run("dataset=iris").problem.objective.network
    assert spent["adam"] / spent["random_search"] == pytest.approx(network.gradient_products / network.forward_products)


def test_runs_stored_before_costs_were_counted_get_a_rule_of_thumb(full_store):
    results = load(full_store)
    older = replace(results, runs=results.runs.drop(columns="cost_gradient_equivalents"))
    spent = study(older).runs.groupby("entrant")["gradients"].max()
    assert spent["adam"] == pytest.approx(3 * spent["random_search"])


def test_another_comparison_by_name(full_store):
    """If the batchings are compared, the optimizers distinguish problems."""
    runs = study(load(full_store), ["batching"]).runs
    assert set(runs["entrant"]) == {"full", "minibatch"}
    assert {name.partition(",")[0] for name in runs["dataset"]} == {"iris"}
    assert runs["dataset"].nunique() == 2


def _runs(entries):
    """Rows of (entrant, lr, seed, loss)."""
    frame = pd.DataFrame(entries, columns=["entrant", "lr", "seed", "loss"])
    setting = frame["lr"].map("lr={:g}".format)
    place = frame["lr"].rank(method="dense")
    by = dict.fromkeys((TUNED_BY, THEN_BY), frame["loss"])
    return frame.assign(dataset="d", status="finished", setting=setting, place=place, **by)


def test_no_seed_chooses_the_lr_it_is_reported_at():
    """Only on seed 2 the other lr is better. It is reported at the lr that the other seeds chose."""
    rows = [("a", lr, seed, loss) for seed in range(5) for lr, loss in ((0.1, 1.0), (0.2, 2.0 if seed != 2 else 0.1))]
    chosen = select(_runs(rows))
    assert chosen.runs.set_index("seed")["lr"].to_dict() == dict.fromkeys(range(5), 0.1)


def test_seeds_that_took_no_part_in_tuning_are_held_out():
    tuned = [("a", lr, seed, lr) for seed in (0, 1) for lr in (0.1, 0.2)]
    held = [("a", 0.1, seed, 0.1) for seed in (2, 3, 4)]
    chosen = select(_runs(tuned + held))
    assert sorted(chosen.runs["seed"]) == [2, 3, 4]
    assert chosen.chosen["how"].item() == "setting chosen on seeds 0-1, reported on seeds 2-4"


def test_what_a_seed_is_for_is_believed_where_it_was_said():
    """After a second tuning on a wider grid, in the same store, the held-out seeds have two lr. They stay held out."""
    tuned = [("a", lr, seed, 1 - lr) for seed in (0, 1) for lr in (0.1, 0.2, 0.3)]
    held = [("a", lr, seed, 1 - lr) for seed in (2, 3, 4) for lr in (0.2, 0.3)]
    runs = _runs(tuned + held).assign(**{"tracking.phase": ["tuning"] * 6 + ["evaluation"] * 6})
    chosen = select(runs)
    assert chosen.runs[["lr", "seed"]].to_numpy().tolist() == [[0.3, 2], [0.3, 3], [0.3, 4]]
    assert chosen.chosen["how"].item() == "setting chosen on seeds 0-1, reported on seeds 2-4"


def test_targets_come_from_sgd_or_from_the_entrant_in_the_middle():
    runs = _runs([("a", 0.1, 0, 1.0), ("b", 0.1, 0, 3.0), ("c", 0.1, 0, 2.0), ("d", 0.1, 0, np.inf)])
    assert reference_of(runs, "loss", None) == "c"
    assert reference_of(pd.concat([runs, _runs([("sgd", 0.1, 0, 9.0)])]), "loss", None) == "sgd"
    assert reference_of(runs, "loss", "a") == "a"
    assert reference_of(runs.assign(loss=np.nan), "loss", None) is None


def test_what_was_not_chosen_and_what_cannot_be_is_said():
    assert set(select(_runs([("a", 0.1, 0, 1.0), ("b", 0.2, 0, 1.0)])).chosen["how"]) == {AS_GIVEN}
    assert set(select(_runs([("a", 0.1, 0, 1.0), ("a", 0.2, 0, 2.0)])).chosen["how"]) == {SAME}


def test_gaps_are_dropped_from_where_they_are_most():
    present = {"d1": "abc", "d2": "ab", "d3": "ab", "d4": "b"}
    rows = pd.DataFrame([(d, e) for d, entrants in present.items() for e in entrants], columns=["dataset", "entrant"])
    complete = filled(rows)
    assert set(complete["entrant"]) == {"a", "b"} or set(complete["entrant"]) == {"b"}
    assert (pd.crosstab(complete["dataset"], complete["entrant"]) == 1).all(axis=None)
