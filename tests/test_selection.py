"""Settings are chosen on tuning seeds and reported on others, block by block, for any number of hyperparameters."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descent_lab.analysis.comparison import Comparison
from descent_lab.analysis.measure import Measure, chosen_by, measure_of, tuned_by
from descent_lab.analysis.plans import latest_plan, plan_of
from descent_lab.analysis.selection import DIVERGED, NOT_RUN, select
from descent_lab.analysis.studies import studies
from descent_lab.analysis.study import study
from descent_lab.analysis.subset import tuning_runs
from descent_lab.errors import ConfigError
from descent_lab.sweeps.objective import Objective
from descent_lab.sweeps.space import Values
from descent_lab.sweeps.tuning import Block, Design, Entrant, tune
from descent_lab.tracking.reader import Results
from descent_lab.tracking.reader.arrays import Artifacts

SPACE = {"lr": {"low": 0.01, "high": 1.0, "scale": "log"}, "optimizer.weight_decay": {"values": [0.0, 0.1]}}
PLAN = {
    "space": SPACE, "search": "grid", "trials": 4, "by": "train/loss", "at": "final", "blocks": 2,
    "tuning_seeds": [[0, 1], [2, 3]], "held_out_seeds": [[10, 11], [12, 13]],
}  # fmt: skip


def runs_of(rows, plan=PLAN, **columns):
    """A frame of runs, as the reader gives it. rows: (optimizer, lr, weight_decay, seed, loss), inf: diverged."""
    frame = pd.DataFrame(rows, columns=["optimizer", "lr", "optimizer.weight_decay", "seed", "final_train_loss"])
    known = {
        "dataset": "iris", "backend": "jax", "schedule": "constant", "experiment": "optimizers", "timing": "shared",
        "started": np.arange(len(frame)), "run_id": [f"r{i}" for i in range(len(frame))], "sweep": "s",
        "tracking.tuning": None if plan is None else json.dumps(plan), "cost_gradient_equivalents": 1.0,
        "steps": 10, "passes": 10.0, "data": None,
    }  # fmt: skip
    status = np.where(np.isfinite(frame["final_train_loss"]), "finished", "diverged")
    return frame.assign(status=status, **(known | columns))


def results_of(runs):
    """Results without curves."""
    params = ("backend", "dataset", "schedule", "optimizer", "optimizer.weight_decay", "lr", "seed", "tracking.tuning")
    curves = pd.DataFrame(columns=["run_id", "step", "epoch", "step_seconds", "metric", "value"])
    return Results("memory", runs, lambda: curves, 0, ("optimizers",), params, Artifacts("memory", {}))


def selected(runs):
    """The selection of these runs by the training loss."""
    labelled = study(results_of(runs)).runs
    return select(labelled.join(tuned_by(labelled, pd.DataFrame(), Measure())))


def two_entrants():
    """In block 0 sgd is best at (0.1, 0.0), in block 1 at (1.0, 0.1); adam is best at (0.1, 0.1) in both."""
    best = {"sgd": [(0.1, 0.0), (1.0, 0.1)], "adam": [(0.1, 0.1), (0.1, 0.1)]}
    rows = []
    for optimizer, of_block in best.items():
        for block, chosen in enumerate(of_block):
            for lr in (0.1, 1.0):
                for decay in (0.0, 0.1):
                    loss = 1.0 if (lr, decay) == chosen else 2.0
                    rows += [(optimizer, lr, decay, seed, loss) for seed in PLAN["tuning_seeds"][block]]
            rows += [(optimizer, *chosen, seed, 1.5) for seed in PLAN["held_out_seeds"][block]]
    return rows


def test_several_hyperparameters_make_one_entrant_with_held_out_seeds_only():
    chosen = selected(runs_of(two_entrants()))
    assert set(chosen.runs["entrant"]) == {"sgd", "adam"}
    assert set(chosen.runs["seed"]) == {10, 11, 12, 13}
    assert chosen.runs.groupby("entrant").size().to_dict() == {"adam": 4, "sgd": 4}
    assert chosen.blocks == {"iris": 2} and chosen.tuning == {"iris": [0, 1, 2, 3]}
    settings = chosen.by_block.set_index(["entrant", "block"])["setting"].to_dict()
    assert settings["sgd", 0] == "lr=0.1, weight_decay=0" and settings["sgd", 1] == "lr=1, weight_decay=0.1"
    assert settings["adam", 0] == settings["adam", 1] == "lr=0.1, weight_decay=0.1"
    assert chosen.chosen.set_index("entrant")["share"].to_dict() == {"adam": 1.0, "sgd": 0.5}


def test_what_a_seed_is_for_follows_from_the_plan_and_not_from_what_was_run():
    """A run at a held-out seed, that another study made at a setting that was not chosen, is not reported."""
    rows = [*two_entrants(), ("sgd", 1.0, 0.0, 10, 0.001), ("adam", 0.1, 0.1, 99, 0.001)]
    assert selected(runs_of(rows)).runs["final_train_loss"].tolist() == [1.5] * 8


def test_targets_may_come_from_the_tuning_runs_at_the_chosen_settings_which_are_not_compared():
    labelled = study(results_of(runs_of(two_entrants())))
    chosen = selected(runs_of(two_entrants()))
    tuned = tuning_runs(labelled, chosen, "sgd")
    assert sorted(zip(tuned["seed"], tuned["setting"], strict=True)) == [
        (0, "lr=0.1, weight_decay=0"), (1, "lr=0.1, weight_decay=0"),
        (2, "lr=1, weight_decay=0.1"), (3, "lr=1, weight_decay=0.1"),
    ]  # fmt: skip
    assert set(tuned["final_train_loss"]) == {1.0}
    plain = runs_of([("sgd", lr, 0.0, seed, lr + seed) for lr in (0.1, 1.0) for seed in range(4)], plan=None)
    assert tuning_runs(study(results_of(plain)), selected(plain), "sgd").empty  # every seed is compared


def test_an_entrant_that_diverged_everywhere_changes_nothing_for_the_others():
    rows = two_entrants()
    bad = [("lion", lr, 0.0, seed, np.inf) for lr in (0.1, 1.0) for seed in range(4)]
    with_bad, without = selected(runs_of(rows + bad)), selected(runs_of(rows))
    columns = ["entrant", "seed", "block", "final_train_loss"]
    pd.testing.assert_frame_equal(with_bad.runs[columns], without.runs[columns])
    lion = with_bad.by_block[with_bad.by_block["entrant"] == "lion"]
    assert lion["how"].tolist() == [DIVERGED, DIVERGED] and lion["n"].tolist() == [0, 0]


def test_without_a_plan_an_entrant_without_held_out_runs_falls_back_alone():
    rows = [(name, lr, 0.0, seed, lr) for name in ("sgd", "adam") for lr in (0.1, 1.0) for seed in (0, 1, 2)]
    rows += [("sgd", 0.1, 0.0, seed, 0.1) for seed in (10, 11)]
    bad = [("lion", lr, 0.0, seed, np.inf) for lr in (0.1, 1.0) for seed in (0, 1, 2)]
    chosen = selected(runs_of(rows + bad, None))
    assert chosen.runs.groupby("entrant")["seed"].apply(set).to_dict() == {"sgd": {10, 11}, "adam": {0, 1, 2}}
    assert chosen.by_block.set_index("entrant")["how"]["lion"] == DIVERGED


def test_a_chosen_setting_without_a_held_out_run_is_said():
    rows = [row for row in two_entrants() if not (row[0] == "sgd" and row[3] in (12, 13))]
    chosen = selected(runs_of(rows))
    assert chosen.by_block.set_index(["entrant", "block"])["how"]["sgd", 1] == NOT_RUN
    assert set(chosen.runs.loc[chosen.runs["entrant"] == "sgd", "seed"]) == {10, 11}


@pytest.mark.parametrize("text", [None, "", "None", "{", "[]", '{"by": 1}', '{"space": 1, "tuning_seeds": [["x"]]}'])
def test_a_text_that_is_no_plan_is_none(text):
    assert plan_of(text) is None
    assert latest_plan(runs_of(two_entrants(), None).assign(**{"tracking.tuning": text})) is None


def test_settings_are_chosen_by_what_the_plan_says():
    runs = runs_of(two_entrants()).assign(final_validation_accuracy=np.arange(40.0))
    by_accuracy = plan_of(json.dumps(PLAN | {"by": "validation/accuracy"}))
    values = tuned_by(runs, pd.DataFrame(), chosen_by(by_accuracy, Measure()))
    assert values["tuned_by"].tolist() == values["then_by"].tolist() == [-float(i) for i in range(40)]
    by_time = plan_of(json.dumps(PLAN | {"at": {"time_to": 0.5}}))
    curves = pd.DataFrame({"run_id": ["r0"] * 3, "metric": "train/loss", "step": [0, 5, 9], "value": [1.0, 0.5, 0.1]})
    values = tuned_by(runs, curves, chosen_by(by_time, Measure()))
    steps = values["tuned_by"]
    assert steps.iloc[0] == 5 and np.isinf(steps.iloc[1:]).all()
    assert values["then_by"].tolist() == runs["final_train_loss"].tolist()


@settings(max_examples=40, deadline=None)
@given(losses=st.lists(st.sampled_from([0.0, 0.5, 2.0, np.inf]), min_size=40, max_size=40), target=st.booleans())
def test_reports_choose_the_settings_that_the_sweep_chose_whatever_is_equal(losses, target):
    """Losses that are equal at most settings, and targets that few or no runs reach, at step 5 if they do."""
    space = {name: Values(axis) for name, axis in (("lr", [0.1, 1.0]), ("optimizer.weight_decay", [0.0, 0.1]))}
    at = {"time_to": 0.5} if target else "final"
    blocks = tuple(map(Block, PLAN["tuning_seeds"], PLAN["held_out_seeds"]))
    left, rows = iter(losses), []

    def launch(jobs):
        scores = []
        for job in jobs:
            value = dict(word.split("=", 1) for word in job)
            loss = next(left, 0.5)
            rows.append(("sgd", *(float(value[name]) for name in space), int(value["seed"]), loss))
            finished = {"final/train_loss": loss, "target/step": 5.0 if loss <= 0.5 else np.inf}
            scores.append(Objective(target=0.5 if target else None).score(finished if np.isfinite(loss) else None))
        return scores

    chosen = tune([Entrant(("optimizer=sgd",), space, at=at)], Design(blocks, "grid", 4), launch)[("optimizer=sgd",)]
    runs = runs_of(rows, PLAN | {"at": at})
    reached = runs[runs["final_train_loss"] <= 0.5]
    curves = pd.DataFrame({"run_id": reached["run_id"], "metric": "train/loss", "step": 5, "value": 0.0})
    labelled = study(results_of(runs)).runs
    measure = chosen_by(latest_plan(labelled), Measure())
    reported = select(labelled.join(tuned_by(labelled, curves, measure))).by_block
    for block, choice in enumerate(chosen):
        row = reported[reported["block"] == block].iloc[0]
        assert (row["n"] == 2) == bool(choice.setting) and (row["how"] == DIVERGED) == (not choice.setting)
        if choice.setting:
            assert row["setting"] == ", ".join(
                f"{name.rpartition('.')[2]}={value:g}" for name, value in choice.setting.items()
            )


def test_nothing_is_chosen_on_the_test_set():
    assert chosen_by(None, Measure("test/accuracy")) == Measure("train/loss")
    assert chosen_by(None, Measure("validation/loss")) == Measure("validation/loss")


def test_problems_without_what_is_asked_about_are_left_out():
    rows = [(optimizer, 0.1, 0.0, seed, 1.0) for optimizer in ("sgd", "adam") for seed in range(3)]
    classified = runs_of(rows, None, final_test_accuracy=0.9)
    regressed = runs_of(rows, None, dataset="diabetes", run_id=[f"d{i}" for i in range(6)])
    comparison = Comparison.of(
        results_of(pd.concat([classified, regressed], ignore_index=True)), metric="test/accuracy"
    )
    assert set(comparison.selection.runs["dataset"]) == {"iris"}
    assert comparison.left_out == ["diabetes"]


def test_what_is_asked_about():
    runs = runs_of(two_entrants()).assign(final_test_accuracy=0.5)
    assert measure_of(runs, None, None) == Measure("train/loss")
    assert measure_of(runs, "test/accuracy", None) == Measure("test/accuracy")
    tuned = runs_of(two_entrants(), PLAN | {"by": "validation/accuracy"})
    tuned = tuned.assign(final_test_accuracy=0.5, chosen_test_accuracy=0.6)
    assert measure_of(tuned, None, None) == Measure("test/accuracy", "chosen")
    assert measure_of(tuned, "test/accuracy", "final") == Measure("test/accuracy", "final")
    with pytest.raises(ConfigError, match="metric=test/nothing: no run has it; there are test/accuracy, train/loss"):
        measure_of(runs, "test/nothing", None)
    assert (Measure("test/accuracy").better, Measure("test/accuracy").scale) == ("higher", "linear")


def test_a_store_of_many_studies_is_split_by_the_names_of_sweeps():
    runs = runs_of(two_entrants(), **{"tracking.sweep": (["a"] * 8 + ["b"] * 8 + ["None"] * 24)})
    parts = studies(results_of(runs))
    assert list(parts) == ["a", "b", "optimizers"]
    assert [len(part.runs) for part in parts.values()] == [8, 8, 24]
    assert list(studies(results_of(runs_of(two_entrants())))) == ["optimizers"]


def test_runs_without_a_name_are_split_by_command_where_they_would_be_too_many_entrants():
    runs = runs_of(two_entrants(), sweep=["first"] * 20 + ["second"] * 20)
    assert list(studies(results_of(runs), most_entrants=2)) == ["optimizers"]
    assert list(studies(results_of(runs), most_entrants=1)) == ["first", "second"]


def test_a_file_whose_content_changed_is_two_problems():
    runs = runs_of(two_entrants(), dataset="csv", data=["a" * 64] * 30 + ["b" * 64] * 10)
    assert set(study(results_of(runs)).runs["dataset"]) == {"csv, content aaaaaaaa", "csv, content bbbbbbbb"}
    other = runs.assign(**{"dataset.path": ["x.csv"] * 30 + ["y.csv"] * 10})
    assert not study(results_of(other)).runs["dataset"].str.contains("content").any()
