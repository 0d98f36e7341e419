"""Tuning: equal budgets, chosen on tuning seeds, judged on held-out ones."""

import math

import pandas as pd
import pytest

from descent_lab.analysis.statistics import best_setting, tuning_cells
from descent_lab.sweeps.tuning import Budget, Interval, tune

LOSS = {"a": {"0.1": 3.0, "0.01": 1.0}, "b": {"0.1": 2.0, "0.01": math.inf}}


class Recorded:
    """A launch that looks losses up, and remembers what it was asked for."""

    def __init__(self, loss):
        self.loss, self.jobs = loss, []

    def __call__(self, jobs):
        self.jobs += jobs
        return [self.loss(dict(override.split("=", 1) for override in job)) for job in jobs]


def looked_up(job):
    """The loss in the table, worse on some seeds than on others."""
    return LOSS[job["optimizer"]][job["lr"]] + 0.1 * int(job["seed"])


def of_phase(launch, phase):
    return [job for job in launch.jobs if f"tracking.phase={phase}" in job]


def test_each_entrant_gets_its_own_best_setting_and_the_same_trials():
    launch = Recorded(looked_up)
    winners = tune({"optimizer": ["a", "b"]}, {"lr": ["0.1", "0.01"]}, Budget([0, 1, 2], [7, 8], None, 8), launch)
    assert winners == {("optimizer=a",): {"lr": "0.01"}, ("optimizer=b",): {"lr": "0.1"}}
    trials = [sum(f"optimizer={name}" in job for job in of_phase(launch, "tuning")) for name in "ab"]
    assert trials == [6, 6]


def test_winners_are_judged_on_the_held_out_seeds_alone():
    launch = Recorded(looked_up)
    tune({"optimizer": ["a", "b"]}, {"lr": ["0.1", "0.01"]}, Budget([0, 1, 2], [7, 8], None, 8), launch)
    assert sorted(of_phase(launch, "evaluation")) == sorted(
        [f"optimizer={name}", f"lr={lr}", f"seed={seed}", "tracking.phase=evaluation"]
        for name, lr in (("a", "0.01"), ("b", "0.1"))
        for seed in (7, 8)
    )


def test_one_lucky_seed_does_not_decide():
    """The median over the tuning seeds does: 0.1 is best once, 0.01 twice."""
    losses = {("0.1", "0"): 0.0, ("0.1", "1"): 9.0, ("0.1", "2"): 9.0}
    launch = Recorded(lambda job: losses.get((job["lr"], job["seed"]), 5.0))
    winners = tune({"optimizer": ["a"]}, {"lr": ["0.1", "0.01"]}, Budget([0, 1, 2], [], None, 8), launch)
    assert winners == {("optimizer=a",): {"lr": "0.01"}}


@pytest.mark.parametrize(("unlucky", "best"), [({"0.3": 28.0}, "0.1"), ({"0.1": 28.0}, "0.3"), ({}, "0.1")])
def test_of_equal_medians_the_lower_mean_decides_then_the_smaller_setting(unlucky, best):
    """Where most seeds end at a loss of 0."""
    launch = Recorded(lambda job: unlucky.get(job["lr"], 0.0) if job["seed"] == "1" else 0.0)
    winners = tune({"optimizer": ["a"]}, {"lr": ["0.3", "0.1"]}, Budget([0, 1, 2], [], None, 8), launch)
    assert winners == {("optimizer=a",): {"lr": best}}
    jobs = [dict(override.split("=") for override in job) for job in launch.jobs]
    runs = pd.DataFrame(
        {"dataset": "d", "optimizer": "a", "lr": float(job["lr"]), "seed": int(job["seed"]), "loss": launch.loss(job)}
        for job in jobs
    )
    assert list(best_setting(tuning_cells(runs, "loss", [0, 1, 2]))["lr"]) == [float(best)]


def test_a_seed_cannot_both_tune_and_judge():
    with pytest.raises(ValueError, match="held_out_seeds=2: is a tuning seed too"):
        Budget([0, 1, 2], [2, 3], None, 8)


def test_an_interval_needs_a_number_of_trials():
    with pytest.raises(ValueError, match="lr: an interval needs"):
        tune({}, {"lr": Interval(1e-3, 1, True)}, Budget([0], [1], None, 8), Recorded(looked_up))


def test_optuna_searches_with_an_equal_budget_and_finds_the_valley():
    pytest.importorskip("optuna")
    launch = Recorded(lambda job: abs(math.log10(float(job["lr"])) + 2) if job["optimizer"] == "a" else math.inf)
    budget = Budget([0], [9], 30, 5)
    winners = tune({"optimizer": ["a", "b"]}, {"lr": Interval(1e-5, 1, True)}, budget, launch)
    assert [sum(f"optimizer={name}" in job for job in of_phase(launch, "tuning")) for name in "ab"] == [30, 30]
    assert 1e-3 < winners[("optimizer=a",)]["lr"] < 1e-1


def test_an_entrant_that_always_diverges_has_no_winner_and_is_not_judged():
    launch = Recorded(lambda job: math.inf if job["optimizer"] == "b" else 1.0)
    winners = tune({"optimizer": ["a", "b"]}, {"lr": ["0.1", "0.01"]}, Budget([0], [7], None, 8), launch)
    assert winners[("optimizer=b",)] == {}
    assert [job[0] for job in of_phase(launch, "evaluation")] == ["optimizer=a"]
