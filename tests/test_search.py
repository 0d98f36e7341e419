"""Tuning: equal budgets, chosen on tuning seeds, judged on held-out ones, in disjoint blocks."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from descent_lab.analysis.statistics import best_setting, tuning_cells
from descent_lab.sweeps.objective import Objective
from descent_lab.sweeps.space import Interval, Values, complete, size_of, space_of
from descent_lab.sweeps.tuning import Entrant, blocks_of, design_of, override, quasi_random, tally, tune
from descent_lab.tracking.outbox import summary_of
from descent_lab.tracking.study_record import StudyRecord
from descent_lab.training.run import Outcome

LOSS = {"a": {"0.1": 3.0, "0.01": 1.0}, "b": {"0.1": 2.0, "0.01": math.inf}}
LR = Values((0.1, 0.01))
LOG = Interval(1e-5, 1.0, "log")
BLOCK = blocks_of(None, [0, 1, 2], [7, 8])


class Recorded:
    """A launch that looks losses up, and remembers what it was asked for."""

    def __init__(self, loss):
        self.loss, self.jobs = loss, []

    def __call__(self, jobs):
        self.jobs += jobs
        return [(self.loss(dict(override.split("=", 1) for override in job)),) for job in jobs]


def looked_up(job):
    """The loss in the table, worse on some seeds than on others."""
    return LOSS[job["optimizer"]][job["lr"]] + 0.1 * int(job["seed"])


def entrants(*names, space=None):
    return [Entrant((f"optimizer={name}",), space or {"lr": LR}) for name in names]


def tuned(who, launch, blocks=BLOCK, search=None, trials=None, **more):
    """The setting of each entrant in each block."""
    chosen = tune(who, design_of(who, blocks, search, trials, **more), launch)
    return {words[0].removeprefix("optimizer="): [c.setting for c in choices] for words, choices in chosen.items()}


def of_phase(launch, phase):
    return [job for job in launch.jobs if f"tracking.phase={phase}" in job]


# --- choosing -------------------------------------------------------------------------------------------------


def test_each_entrant_gets_its_own_best_setting_and_the_same_trials():
    launch = Recorded(looked_up)
    assert tuned(entrants("a", "b"), launch) == {"a": [{"lr": 0.01}], "b": [{"lr": 0.1}]}
    assert [sum(f"optimizer={name}" in job for job in of_phase(launch, "tuning")) for name in "ab"] == [6, 6]


def test_winners_are_judged_on_the_held_out_seeds_alone():
    launch = Recorded(looked_up)
    tuned(entrants("a", "b"), launch)
    assert [job[:5] for job in of_phase(launch, "evaluation")] == [
        [f"optimizer={name}", f"lr={lr}", f"seed={seed}", "tracking.phase=evaluation", "tracking.block=0"]
        for name, lr in (("a", 0.01), ("b", 0.1))
        for seed in (7, 8)
    ]


def test_one_lucky_seed_does_not_decide():
    """The median over the tuning seeds does: 0.1 is best once, 0.01 twice."""
    losses = {("0.1", "0"): 0.0, ("0.1", "1"): 9.0, ("0.1", "2"): 9.0}
    launch = Recorded(lambda job: losses.get((job["lr"], job["seed"]), 5.0))
    assert tuned(entrants("a"), launch) == {"a": [{"lr": 0.01}]}


@pytest.mark.parametrize(("unlucky", "best"), [({"0.3": 28.0}, 0.1), ({"0.1": 28.0}, 0.3), ({}, 0.1)])
def test_of_equal_medians_the_lower_mean_decides_then_the_smaller_setting(unlucky, best):
    """Where most seeds end at a loss of 0."""
    launch = Recorded(lambda job: unlucky.get(job["lr"], 0.0) if job["seed"] == "1" else 0.0)
    assert tuned(entrants("a", space={"lr": Values((0.3, 0.1))}), launch) == {"a": [{"lr": best}]}
    jobs = [dict(override.split("=", 1) for override in job) for job in of_phase(launch, "tuning")]
    runs = pd.DataFrame(
        {"dataset": "d", "optimizer": "a", "lr": float(job["lr"]), "seed": int(job["seed"]), "loss": launch.loss(job)}
        for job in jobs
    )
    assert list(best_setting(tuning_cells(runs, "loss", [0, 1, 2]))["lr"]) == [best]


def test_an_entrant_that_always_diverges_has_no_winner_and_is_not_judged():
    launch = Recorded(lambda job: math.inf if job["optimizer"] == "b" else 1.0)
    assert tuned(entrants("a", "b"), launch)["b"] == [{}]
    assert {job[0] for job in of_phase(launch, "evaluation")} == {"optimizer=a"}


def test_several_hyperparameters_make_one_entrant_judged_on_held_out_seeds_only():
    space = {"lr": LR, "optimizer.weight_decay": Values((0.0, 0.1))}
    launch = Recorded(lambda job: float(job["lr"]) + float(job["optimizer.weight_decay"]))
    assert tuned(entrants("a", space=space), launch) == {"a": [{"lr": 0.01, "optimizer.weight_decay": 0.0}]}
    judged = of_phase(launch, "evaluation")
    assert len(of_phase(launch, "tuning")) == 4 * 3 and len({tuple(job[:3]) for job in judged}) == 1
    assert sorted(job[3] for job in judged) == ["seed=7", "seed=8"]


def test_of_settings_that_never_reach_the_target_the_metric_decides():
    """Runs have two scores then: the steps, and the metric."""
    inf, values = math.inf, {"0.1": 3.0, "0.01": 2.0}
    who = entrants("a", "b")

    def launch(jobs):
        words = [dict(word.split("=", 1) for word in job) for job in jobs]
        reached = {("b", "0.1"): 50.0}
        return [(reached.get((w["optimizer"], w["lr"]), inf), values[w["lr"]]) for w in words]

    chosen = tune(who, design_of(who, BLOCK, None, None), launch)
    assert [choices[0].setting["lr"] for choices in chosen.values()] == [0.01, 0.1]


# --- blocks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_blocks_are_disjoint_of_equal_size_and_together_all_seeds(n):
    blocks = blocks_of(n, None, None)
    parts = [part for block in blocks for part in (block.tuning_seeds, block.held_out_seeds)]
    seeds = [seed for part in parts for seed in part]
    assert len(blocks) == n and len(seeds) == len(set(seeds)) == (15 if n == 1 else 7 * n)
    assert {len(part) for part in parts} == ({5, 10} if n == 1 else {3, 4})


def test_seeds_that_are_given_make_one_block_and_no_seeds_make_five():
    assert len(blocks_of(None, None, None)) == 5
    (block,) = blocks_of(None, [3, 4], [9])
    assert (block.tuning_seeds, block.held_out_seeds) == ((3, 4), (9,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, [0, 1, 2], [2, 3]), "held_out_seeds=2: is a tuning seed too"),
        ((2, [0, 1, 2], [8, 9]), "tuning_seeds: 3 seeds cannot be cut into 2 equal blocks"),
        ((None, [], [8]), "tuning_seeds: 0 seeds cannot be cut"),
        ((None, [1, 1], [8]), "names a seed twice"),
        ((0, None, None), "blocks=0: must be at least 1"),
    ],
)
def test_seeds_that_make_no_blocks_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        blocks_of(*given)


def test_each_block_chooses_by_its_own_seeds_and_judges_on_its_own():
    """In block 0 (seeds 0, 1) lr=0.1 is best, in block 1 (seeds 2, 3) lr=0.01."""
    blocks = blocks_of(2, [0, 1, 2, 3], [8, 9])
    launch = Recorded(lambda job: float(job["lr"]) * (-1 if int(job["seed"]) < 2 else 1))
    assert tuned(entrants("a"), launch, blocks) == {"a": [{"lr": 0.1}, {"lr": 0.01}]}
    judged = [dict(word.split("=", 1) for word in job) for job in of_phase(launch, "evaluation")]
    assert [(job["tracking.block"], job["seed"], job["lr"]) for job in judged] == [
        ("0", "8", "0.1"),
        ("1", "9", "0.01"),
    ]
    settings = [{tuple(job[:2]) for job in launch.jobs if job[-2] == f"tracking.block={r}"} for r in (0, 1)]
    assert settings[0] == settings[1]


def test_a_tally_counts_the_blocks_of_each_setting():
    blocks = blocks_of(3, [0, 1, 2], [7, 8, 9])
    launch = Recorded(lambda job: float(job["lr"]) * (-1 if job["seed"] == "0" else 1))
    who = entrants("a")
    (chosen,) = tune(who, design_of(who, blocks, None, None), launch).values()
    assert tally(chosen) == [({"lr": 0.01}, 2), ({"lr": 0.1}, 1)]


def test_every_run_tells_of_the_study():
    blocks = blocks_of(2, [0, 1], [8, 9])
    space = {"lr": Interval(1e-3, 1.0, "log"), "optimizer.mu": Values((0.0, 0.9))}
    launch = Recorded(lambda job: float(job["lr"]))
    tuned(entrants("a", space=space), launch, blocks, trials=4)
    for job in launch.jobs:
        words = dict(word.split("=", 1) for word in job)
        text = words["tracking.tuning"][1:-1]
        assert json.loads(text) == {
            "space": {"lr": {"low": 0.001, "high": 1.0, "scale": "log"}, "optimizer.mu": {"values": [0.0, 0.9]}},
            "search": "quasi_random",
            "trials": 4,
            "by": "train/loss",
            "at": "final",
            "blocks": 2,
            "tuning_seeds": [[0], [1]],
            "held_out_seeds": [[8], [9]],
        }
        place = StudyRecord.read(text).place(int(words["seed"]))
        assert place == (words["tracking.phase"], int(words["tracking.block"]))
    assert StudyRecord.read(text).place(5) is None


# --- which settings -------------------------------------------------------------------------------------------


def test_quasi_random_settings_are_the_same_points_for_entrants_of_equal_dimension():
    one, other = ({"lr": Interval(low, low * 1000, "log"), "x": Interval(0.0, 1.0)} for low in (1e-4, 1e-2))
    points = [
        [(math.log10(s["lr"] / low) / 3, s["x"]) for s in quasi_random(space, 16)]
        for space, low in ((one, 1e-4), (other, 1e-2))
    ]
    assert len(set(points[0])) == 16
    for p, q in zip(*points, strict=True):
        assert p == pytest.approx(q, abs=0.003)  # three significant digits


def test_quasi_random_settings_fill_every_interval_evenly():
    space = {"lr": LOG, "n": Interval(1, 4, integer=True), "word": Values(("x", "y"))}
    settings = quasi_random(space, 32)
    quarters = [int(4 * LOG.place(setting["lr"])) for setting in settings]
    assert [quarters.count(q) for q in range(4)] == [8] * 4
    assert [[s["n"] for s in settings].count(n) for n in (1, 2, 3, 4)] == [8] * 4
    assert [s["word"] for s in settings].count("x") == 16
    assert settings[:8] == quasi_random(space, 8)


def test_a_space_with_no_more_settings_than_trials_is_tried_completely():
    assert [setting["lr"] for setting in quasi_random({"lr": Values((1, 2, 3))}, 4)] == [1, 2, 3]


@pytest.mark.parametrize(("interval", "low", "high"), [(Interval(1, 100, "log", True), 1, 100), (LOG, 1e-5, 1.0)])
def test_an_interval_is_from_its_low_to_its_high(interval, low, high):
    numbers = [interval.at(u) for u in (0.0, 0.25, 0.5, 0.75, 0.999999)]
    assert numbers == sorted(numbers) and (numbers[0], numbers[-1]) == (low, pytest.approx(high))
    assert all(isinstance(number, int) == interval.integer for number in numbers)


def test_the_search_follows_from_the_space_where_none_is_given():
    lists, mixed = entrants("a", "b"), [*entrants("a"), *entrants("b", space={"lr": LOG})]
    assert (design_of(lists, BLOCK, None, None).search, design_of(lists, BLOCK, None, None).trials) == ("grid", 2)
    assert (design_of(mixed, BLOCK, None, None).search, design_of(mixed, BLOCK, None, None).trials) == (
        "quasi_random",
        16,
    )
    assert design_of(lists, BLOCK, None, 2).search == "quasi_random"


@pytest.mark.parametrize(
    ("spaces", "search", "trials", "message"),
    [
        ([{"lr": LOG}], "grid", None, "search=grid: lr is an interval"),
        ([{"lr": LR}, {"lr": Values((1, 2, 3))}], "grid", None, "has 2 settings and optimizer=b 3; give equal numbers"),
        ([{"lr": LR}], "grid", 7, "trials=7: the grid has 2 settings"),
        ([{"lr": LR}], None, 0, "trials=0: must be at least 1"),
        ([{"lr": LR}], "bayes", None, "search=bayes: must be one of"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(spaces, search, trials, message):
    who = [Entrant((f"optimizer={name}",), space) for name, space in zip("ab", spaces, strict=False)]
    with pytest.raises(ValueError, match=message):
        design_of(who, BLOCK, search, trials)


def test_optuna_searches_with_an_equal_budget_and_finds_the_valley_in_each_block():
    pytest.importorskip("optuna")
    launch = Recorded(lambda job: abs(math.log10(float(job["lr"])) + 2) if job["optimizer"] == "a" else math.inf)
    blocks = blocks_of(2, [0, 1], [8, 9])
    winners = tuned(entrants("a", "b", space={"lr": LOG}), launch, blocks, "optuna", 30, batch=5)
    assert [sum(f"optimizer={name}" in job for job in of_phase(launch, "tuning")) for name in "ab"] == [60, 60]
    assert all(1e-3 < setting["lr"] < 1e-1 for setting in winners["a"]) and winners["b"] == [{}, {}]
    tried = [{job[1] for job in of_phase(launch, "tuning") if f"tracking.block={r}" in job} for r in (0, 1)]
    assert tried[0] != tried[1]


# --- spaces as they are written -------------------------------------------------------------------------------


def test_a_space_is_the_same_nested_or_dotted_complete_or_short():
    dotted = {"lr": {"low": "1e-4", "high": 1, "scale": "log"}, "optimizer.mu": [0, 0.0, 0.9], "optimizer.n": None}
    nested = {"lr": dotted["lr"], "optimizer": {"mu": {"values": [0, 0.9]}, "n": None}}
    axes = {"lr": Interval(1e-4, 1.0, "log"), "optimizer.mu": Values((0, 0.9)), "optimizer.n": None}
    for written in (dotted, nested, complete(dotted), complete(nested)):
        assert space_of("space", written) == axes
    assert size_of({"a": Values((1, 2)), "b": Interval(1, 5, integer=True)}) == 10


BAD = [
    ({"lr": 3}, "space.lr=3: must be {values"),
    ({"lr": []}, r"space.lr.values=\[\]: must be a list"),
    ({"lr": {"low": 1}}, 'space.lr={"low": 1}: must be'),
    ({"lr": {"low": 1, "hgih": 2}}, "space.lr.hgih: no such field; did you mean high"),
    ({"lr": {"low": 2, "high": 1}}, "space.lr.low=2: must be below high=1"),
    ({"lr": {"low": 0, "high": 1, "scale": "log"}}, "space.lr.low=0: must be greater than 0 on a log scale"),
    ({"lr": {"low": 0, "high": 1, "scale": "lin"}}, "space.lr.scale=lin: must be linear or log"),
    ({"lr": {"low": 0, "high": 1.5, "integer": True}}, "must be whole numbers"),
    ({"lr": {"low": 0, "high": 1, "integer": 1}}, "integer=1: must be true or false"),
    ({"lr": {"low": "a", "high": 1}}, "space.lr.low=a: must be a finite number"),
    ({"lr": {"values": [1], "low": 1, "high": 2}}, "has values and low"),
    ({"optimizer": {"mu": {}}}, "space.optimizer.mu={}: must be"),
    ([1], r"space=\[1\]: must name hyperparameters"),
]


@pytest.mark.parametrize(("written", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_spaces_are_refused_in_one_line(written, message):
    for form in (written, complete(written)):
        with pytest.raises(ValueError, match=message) as caught:
            space_of("space", form)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [1, 1e-05, True, None, "cosine", [25, 25], "a b", "it's", "a\\", "a\\'b", "${x}", "1e3"]
)
def test_a_value_of_a_trial_reaches_hydra_as_it_is(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override("x", value)).value()
    assert parsed == value and type(parsed) is type(value)


# --- what settings are chosen by ------------------------------------------------------------------------------

CURVES = {
    "step": np.array([0, 5, 10, 20]),
    "train/loss": np.array([4.0, 1.0, 0.5, 0.75]),
    "validation/loss": np.array([4.0, 2.0, 3.0, 3.5]),
    "validation/accuracy": np.array([0.1, 0.6, 0.9, 0.8]),
}
OUTCOME = Outcome(CURVES, {}, {}, {}, "epochs", "shared", "cpu")


@pytest.mark.parametrize(
    ("objective", "score"),
    [
        (Objective(), (3.5,)),
        (Objective(by="train/loss"), (0.75,)),
        (Objective(by="train/loss", at="best"), (0.5,)),
        (Objective(by="validation/accuracy"), (-0.8,)),
        (Objective(by="validation/accuracy", at="best"), (-0.9,)),
        (Objective(by="train/loss", target=0.6), (10, 0.75)),
        (Objective(target=2.0), (5, 3.5)),
        (Objective(target=1.0, at="best"), (math.inf, 2.0)),
        (Objective(by="validation/accuracy", target=0.6), (5, -0.8)),
    ],
)
def test_a_run_is_scored_by_what_was_asked_for_whether_it_was_trained_now_or_before(objective, score):
    assert objective.score(objective.results(summary_of(OUTCOME), lambda: CURVES)) == score
    stored = {"train/loss": 0.75, "ledger/step_seconds": 1.0} | summary_of(OUTCOME)
    assert objective.score(objective.results(stored, lambda: CURVES)) == score
    assert objective.score(None) == (math.inf,)


def test_without_a_validation_set_the_training_loss_counts():
    curves = {name: values for name, values in CURVES.items() if not name.startswith("validation")}
    summary = summary_of(replace(OUTCOME, curves=curves))
    for objective in (Objective(), Objective(target=1.0)):
        assert objective.score(objective.results(summary, lambda: curves))[-1] == 0.75


def test_a_metric_that_no_run_recorded_is_refused():
    objective = Objective(by="train/effective_lr")
    with pytest.raises(
        ValueError, match="tuning.by=train/effective_lr: a run did not record it; there are train_loss, "
    ):
        objective.score(objective.results(summary_of(OUTCOME), lambda: CURVES))
