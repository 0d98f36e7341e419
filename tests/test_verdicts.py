"""Verdicts agree with references, never disagree with their intervals, and hold their error over a whole report.

Shares of simulated studies (errors, coverage, power) are in tests/test_statistics_calibration.py.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats
from statsmodels.stats.multitest import multipletests

from descent_lab.analysis import statistics as st
from descent_lab.analysis.statistics.anytime import AnytimeMean, AnytimeMedian
from descent_lab.analysis.statistics.family import hierarchical, reachable
from descent_lab.analysis.statistics.hodges_lehmann import Middle, sign_p
from descent_lab.analysis.statistics.means import Mean
from descent_lab.errors import DataError, NotGiven

KINDS = {
    "mean": Mean,
    "middle": Middle,
    "anytime mean": lambda strata: AnytimeMean(np.concatenate(strata)),
    "anytime median": AnytimeMedian,
}


def runs_of(logs: dict[str, np.ndarray], start: float = 1e9) -> pd.DataFrame:
    """Comparable runs from log losses of shape (n_problems, n_blocks, n_seeds) for each entrant."""
    parts = []
    for name, x in logs.items():
        problem, block, seed = np.indices(x.shape)
        columns = {"block": block, "seed": block * x.shape[2] + seed, "loss": np.exp(x), "start": start}
        dataset = [f"p{i}" for i in problem.ravel()]
        parts.append(pd.DataFrame({key: np.broadcast_to(v, x.shape).ravel() for key, v in columns.items()}))
        parts[-1] = parts[-1].assign(entrant=name, dataset=dataset)
    return st.comparable(pd.concat(parts, ignore_index=True), "loss")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- values that are compared ---


def test_diverged_and_worsened_runs_count_as_their_own_start_and_tiny_losses_as_the_floor():
    runs = pd.DataFrame(
        {
            "dataset": "d",
            "entrant": ["a", "a", "a", "a", "b", "b"],
            "loss": [0.5, 1e76, 3.0, 0.0, np.nan, np.inf],
            "start": [2.0, 2.5, 2.0, 2.0, np.nan, 2.0],
            "status": ["finished", "diverged", "finished", "finished", "diverged", "finished"],
            "dtype": ["float64", "float64", "float32", "float32", "float64", "float64"],
        }
    )
    table = st.comparable(runs, "loss")
    floor = 2.0 * np.finfo("float32").eps
    np.testing.assert_allclose(np.exp(table["level"]), [0.5, 2.5, 2.0, floor, 2.0, 2.0])
    assert table["counted_as"].tolist() == [
        "",
        "diverged",
        "worse than its start",
        "below the floor",
        "diverged",
        "diverged",
    ]
    counts = st.counted_otherwise(table, ["dataset", "entrant"])
    assert counts[["n", "diverged", "worse", "floored"]].to_numpy().tolist() == [[4, 1, 1, 1], [2, 2, 0, 0]]


def test_scores_are_compared_on_the_linear_scale():
    runs = pd.DataFrame({"dataset": "d", "score": [0.9, 0.05, np.nan], "start": 0.1})
    assert st.comparable(runs, "score", better="higher", scale="linear")["level"].tolist() == [0.9, 0.1, 0.1]


@pytest.mark.parametrize(
    ("loss", "start", "message"),
    [
        ([1.0, -1.0], [2.0, 2.0], "column 'loss': -1 has no logarithm; use scale='linear'"),
        ([1.0, 0.0], [0.0, 0.0], "column 'loss': the start on d has no logarithm"),
        ([1.0, 0.5], [np.nan, np.inf], "column 'start': no run on d has a finite start"),
    ],
)
def test_what_cannot_be_compared_is_named(loss, start, message):
    runs = pd.DataFrame({"dataset": "d", "loss": loss, "start": start})
    with pytest.raises(NotGiven, match=message):
        st.comparable(runs, "loss")


def test_starts_are_the_values_at_step_0():
    curves = pd.DataFrame({"run_id": ["r", "r", "s"], "step": [0, 1, 0], "metric": "train/loss", "value": [2.0, 1, 3]})
    assert st.starts(curves).to_dict() == {"r": 2.0, "s": 3.0}


def test_a_block_in_which_an_entrant_diverged_at_every_setting_counts_as_its_start():
    runs = runs_of({"a": noise(1, 3, 2), "b": noise(1, 3, 2, seed=1)}).assign(run_id="r", status="finished")
    reported = runs[(runs["entrant"] != "b") | (runs["block"] != 1)]
    absent = pd.DataFrame({"dataset": ["p0", "p0"], "entrant": ["b", "c"], "block": [1, 1]})  # c has no run at all
    filled = st.comparable(st.with_diverged_blocks(reported, absent), "loss")
    added = filled[filled["run_id"].isna()]
    assert added[["entrant", "block", "seed", "counted_as"]].to_numpy().tolist() == [
        ["b", 1, seed, "diverged"] for seed in (2, 3)
    ]
    np.testing.assert_allclose(np.exp(added["level"]), 1e9)
    assert st.verdicts(filled)["n"][0] == 3


# --- blocks ---


def test_differences_pair_seeds_and_blocks_average_them():
    logs = {"a": noise(2, 3, 4), "b": noise(2, 3, 4, seed=1)}
    table = st.blocks(st.differences(runs_of(logs)))
    d = logs["a"] - logs["b"]
    np.testing.assert_allclose(table["d"], d.mean(axis=2).ravel())
    np.testing.assert_allclose(table["within"], d.var(axis=2, ddof=1).ravel())
    assert (table["n"] == 4).all() and table["block"].tolist() == [0, 1, 2] * 2


def test_the_share_of_tuning_is_that_of_the_one_way_layout():
    rng = np.random.default_rng(0)
    tuning, seeds = rng.normal(scale=0.3, size=(1, 4_000, 1)), rng.normal(scale=0.4, size=(1, 4_000, 4))
    shares = st.tuning_share(st.blocks(st.differences(runs_of({"a": tuning + seeds, "b": 0 * seeds}))))
    # tuning 0.3^2 = 0.09, seeds 0.4^2 / 4 = 0.04
    np.testing.assert_allclose(shares[["tuning", "seeds", "share"]].iloc[0], [0.09, 0.04, 9 / 13], rtol=0.1)
    alike = st.tuning_share(st.blocks(st.differences(runs_of({"a": 0 * seeds, "b": 0 * seeds}))))
    assert alike["variance"][0] == 0 and np.isnan(alike["share"][0])


def test_a_comparison_needs_two_entrants_that_share_a_seed():
    with pytest.raises(NotGiven, match="column 'entrant': a comparison needs 2 entrants, found"):
        st.verdicts(runs_of({"a": noise(1, 1, 3)}))
    apart = runs_of({"a": noise(1, 1, 3), "b": noise(1, 1, 3)}).assign(seed=range(6))
    with pytest.raises(NotGiven, match="no two values of 'entrant' share a problem and a seed"):
        st.verdicts(apart)


def test_two_runs_of_one_seed_are_refused():
    runs = runs_of({"a": noise(1, 1, 3), "b": noise(1, 1, 3)})
    with pytest.raises(DataError, match="more than one row has dataset=p0, data=p0, block=0, seed=0, entrant=a"):
        st.verdicts(pd.concat([runs, runs]))


# --- each kind of evidence ---


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_mean_of_one_problem_is_scipys_t_test(n):
    d = noise(n) + 0.5
    expected = stats.ttest_1samp(d, 0)
    assert Mean([d]).p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(Mean([d]).interval(0.05), expected.confidence_interval(0.95))


def test_the_mean_over_two_problems_is_welchs_test():
    # with two strata the mean of means is zero where m_1 = -m_2
    x, y = noise(5) + 1, 3 * noise(8, seed=1)
    expected = stats.ttest_ind(x, -y, equal_var=False)
    assert Mean([x, y]).p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(2 * np.array(Mean([x, y]).interval(0.1)), expected.confidence_interval(0.9))


@pytest.mark.parametrize("n", [3, 6, 10, 25])
def test_the_middle_is_scipys_signed_rank_test_inverted(n):
    d = noise(n) + 0.4
    middle = Middle([d])
    assert middle.p == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    low, high = middle.interval(0.1)
    if np.isfinite(low):
        for inside, theta in [(False, low - 1e-9), (True, low + 1e-9), (True, high - 1e-9), (False, high + 1e-9)]:
            assert (stats.wilcoxon(d - theta, method="exact").pvalue > 0.1) == inside


def test_over_strata_the_middle_is_the_full_permutation():
    strata = [noise(4) + 0.3, noise(3, seed=1)]
    ranks = [np.sign(d) * stats.rankdata(np.abs(d)) for d in strata]
    size = np.abs(np.concatenate(ranks))
    sums = np.array([np.dot(size, signs) for signs in product([-1, 1], repeat=7)])
    total = np.concatenate(ranks).sum()
    assert Middle(strata).p == pytest.approx(np.mean(np.abs(sums) >= abs(total) - 1e-9))


def test_ties_and_zeros_count_against_a_rejection():
    d = np.array([0.0, 0.0, 0.0, 1, 1, 1, 1, 2, 2, -1])
    jittered = [d + 1e-9 * np.random.default_rng(seed).normal(size=10) for seed in range(200)]
    assert Middle([d]).p >= max(Middle([x]).p for x in jittered) - 1e-12
    assert Middle([d], resolution=5.0).p == 1.0


@pytest.mark.parametrize("d", [[1.0, 2, -3, 4, 5, 6, 7, 8], [0.0, 0, 1, 2, 3], [0.0, 0.0]])
def test_the_sign_test_is_scipys(d):
    signs = [np.sign(x) for x in d if x]
    expected = stats.binomtest(signs.count(1.0), len(signs)).pvalue if signs else 1.0
    assert sign_p(np.array(d)) == pytest.approx(expected)


def test_many_differences_are_the_normal_limit_of_the_exact_test():
    d = noise(501) + 0.08
    assert Middle([d]).p == pytest.approx(stats.wilcoxon(d, method="approx").pvalue, rel=0.01)


def test_the_anytime_mean_is_the_bayes_factor_of_t():
    # Gonen et al. 2005: the ratio of a scaled t density to the central one, effect ~ N(0, 1)
    d = noise(7) + 0.8
    t = stats.ttest_1samp(d, 0).statistic
    e = stats.t.pdf(t / np.sqrt(8), 6) / np.sqrt(8) / stats.t.pdf(t, 6)
    assert AnytimeMean(d).p == pytest.approx(min(1.0, 1 / e))


@given(
    strata=some.lists(some.lists(some.integers(-5, 8), min_size=2, max_size=12), min_size=1, max_size=3),
    level=some.sampled_from([0.001, 0.01, 0.05, 0.0625, 0.2]),
    kind=some.sampled_from(sorted(KINDS)),
)
@settings(max_examples=300, deadline=None)
def test_interval_and_test_never_disagree_and_mirror(strata, level, kind):
    d = [np.array(values) / 4 for values in strata]
    evidence, mirrored = KINDS[kind](d), KINDS[kind]([-x for x in d])
    low, high = evidence.interval(level)
    assert low <= evidence.estimate <= high
    assert (low > 0 or high < 0) == (evidence.p <= level * (1 + 1e-9))
    assert evidence.smallest_p <= evidence.p * (1 + 1e-9)
    np.testing.assert_allclose(mirrored.interval(level), (-high, -low))
    assert mirrored.p == pytest.approx(evidence.p)
    assert evidence.smallest_p > level or np.isfinite(low)


@pytest.mark.parametrize("kind", KINDS)
def test_fewest_units_are_the_fewest_that_reach_a_level(kind):
    for level in (0.05, 0.004):
        n = KINDS[kind]([np.ones(4)]).units_to_reach(level)
        assert KINDS[kind]([noise(n)]).smallest_p <= level
        assert n < 3 or KINDS[kind]([noise(n - 1)]).smallest_p > level


# --- the family ---


def questions(tops: Sequence[float], singles: Sequence[Sequence[float]]) -> pd.DataFrame:
    """p of each pair over all problems, and of its single problems."""
    rows = [(pair, True, True, p) for pair, p in enumerate(tops)]
    rows += [(pair, False, False, p) for pair, ps in enumerate(singles) for p in ps]
    return pd.DataFrame(rows, columns=["pair", "first", "opens", "p"])


@given(some.lists(some.floats(1e-6, 1), min_size=1, max_size=8))
@settings(max_examples=10, deadline=None)  # statsmodels collects garbage in every call, which takes long
def test_without_single_problems_the_family_is_holms(p):
    table = hierarchical(questions(p, []))
    np.testing.assert_allclose(table["p_adjusted"], multipletests(p, method="holm")[1])


@given(some.lists(some.floats(1e-6, 0.05), min_size=1, max_size=8))
@settings(max_examples=10, deadline=None)
def test_with_one_pair_the_single_problems_are_holms(p):
    table = hierarchical(questions([0.01], [p]))
    expected = np.maximum(multipletests(p, method="holm")[1], 0.01)
    np.testing.assert_allclose(table["p_adjusted"][1:], expected)
    closed = hierarchical(questions([0.06], [p]))
    assert not closed["rejected"].any() and (closed["level"][1:] == 0).all()


@given(
    some.lists(some.sampled_from([0.0001, 0.004, 0.012, 0.02, 0.04, 0.6]), min_size=2, max_size=5),
    some.lists(some.sampled_from([0.0001, 0.004, 0.012, 0.04, 0.6]), min_size=15, max_size=15),
)
@settings(deadline=None)
def test_levels_sum_to_the_error_at_most_and_decide(tops, singles):
    table = hierarchical(questions(tops, np.reshape(singles, (5, 3))[: len(tops)]))
    assert table.loc[~table["rejected"], "level"].sum() <= 0.05 + 1e-12
    assert (table["rejected"] == (table["p"] <= table["level"] * (1 + 1e-9))).all()
    assert (table["rejected"] == (table["p_adjusted"] <= 0.05 + 1e-12)).all()


def test_more_evidence_never_takes_a_verdict_away():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(size=(3, 5)) ** 6
        before = hierarchical(questions(p[:, 0], p[:, 1:]))
        p[tuple(rng.integers(0, [3, 5]))] /= 10
        after = hierarchical(questions(p[:, 0], p[:, 1:]))
        assert (before["rejected"] <= after["rejected"]).all()


def test_the_error_of_the_family_holds_where_one_pair_truly_differs():
    """Holm over pairs, and the full error again for each pair's problems, would be wrong in more than 10 %."""
    rng, wrong, naive, n_studies = np.random.default_rng(1), 0, 0, 500
    for _ in range(n_studies):
        p = rng.uniform(size=(3, 5))
        p[:2, 0] = 0  # two pairs are told apart over all problems; their single problems, and the third pair, are null
        rejected = hierarchical(questions(p[:, 0], p[:, 1:]))["rejected"].to_numpy()
        wrong += rejected[2:].any()
        naive += p[2, 0] <= 0.05 or (p[:2, 1:] <= 0.05 / 4).any()
    assert stats.binom.sf(wrong - 1, n_studies, 0.05) > 0.001
    assert naive / n_studies > 0.1


def test_hypotheses_that_no_data_can_reject_take_no_level_from_others():
    assert reachable([0.5, 0.001, 0.03]).tolist() == [False, True, True]
    assert reachable([0.03, 0.03, 0.001]).tolist() == [False, False, True]
    assert reachable([0.03, 0.001, 0.001]).tolist() == [True, True, True]


# --- the table ---


@given(
    levels=some.lists(some.integers(-6, 6), min_size=72, max_size=72),
    far=some.sampled_from([0, 4, 20]),
    replicated=some.booleans(),
    anytime=some.booleans(),
    beforehand=some.sampled_from([(), ("p0",)]),
)
@settings(max_examples=25, deadline=None)
def test_a_verdict_is_there_exactly_where_the_interval_leaves_out_no_difference(
    levels, far, replicated, anytime, beforehand
):
    x = np.reshape(levels, (3, 2, 6, 2)) / 8
    runs = runs_of({"a": x[0], "b": x[1], "c": x[2] + far / 8})
    asked = st.Asked(anytime=anytime, beforehand=beforehand)
    table = st.verdicts(runs if replicated else runs.assign(block=0), asked=asked)
    outside = (table["effect_low"] > 1) | (table["effect_high"] < 1)
    decided = table["winner"] != ""
    assert (decided == (outside & table["corrected"])).all()
    assert (decided == (table["p_adjusted"] <= 0.05 + 1e-9)).all()
    assert (decided == table["verdict"].isin(["better", "slightly better"])).all()
    beyond = (table["effect_low"] > 1.1) | (table["effect_high"] < 1 / 1.1)
    assert ((table["verdict"] == "better") == (beyond & decided)).all()
    assert (table["needed"].notna() <= (table["verdict"] == "undecided")).all()
    assert table.loc[table["corrected"] & ~decided, "level"].sum() <= 0.05 + 1e-12


def test_words_follow_interval_and_margin():
    shifts = {"far": 1.0, "near": 0.05, "same": 0.0, "loud": 0.0}
    scale = {"far": 0.1, "near": 0.01, "same": 0.01, "loud": 2.0}
    logs = {name: shifts[name] + scale[name] * noise(1, 6, 4, seed=i) for i, name in enumerate(shifts)}
    table = st.verdicts(runs_of(logs | {"base": 0.01 * noise(1, 6, 4, seed=9)}), asked=st.Asked(judged="base"))
    rows = table[table["corrected"]].set_index("b")
    assert rows["verdict"].to_dict() == {
        "far": "better",
        "near": "slightly better",
        "same": "practically equal",
        "loud": "undecided",
    }
    assert rows["winner"].to_dict() == {"far": "base", "near": "base", "same": "", "loud": ""}
    assert rows["needed"].notna().to_dict() == {"far": False, "near": False, "same": False, "loud": True}
    others = st.verdicts(runs_of(logs), asked=st.Asked(judged="far", baselines=["near"])).set_index(["a", "b"])
    assert others["corrected"].sum() == 1 and others.loc[("far", "near"), "corrected"]
    assert (others.loc[~others["corrected"], "winner"] == "").all()


@pytest.mark.parametrize("replicated", [True, False])
@pytest.mark.parametrize("anytime", [True, False])
def test_swapping_and_scaling_change_nothing(replicated, anytime):
    logs = {"a": noise(3, 12, 3), "b": noise(3, 12, 3, seed=1) + 1.0}
    asked = st.Asked(anytime=anytime)
    columns = ["n", "level", "p", "p_adjusted", "verdict", "corrected", "needed", "note"]

    def judged(logs: dict[str, np.ndarray], factor: float) -> pd.DataFrame:
        runs = runs_of({name: x + np.log(factor) for name, x in logs.items()}, start=1e9 * factor)
        return st.verdicts(runs if replicated else runs.assign(block=0), asked=asked)

    plain, scaled = judged(logs, 1.0), judged(logs, 1e-3)
    swapped = judged({"a": logs["b"], "b": logs["a"]}, 1.0)
    pd.testing.assert_frame_equal(plain, scaled)
    pd.testing.assert_frame_equal(plain[columns], swapped[columns])
    np.testing.assert_allclose(plain["effect_low"], 1 / swapped["effect_high"])
    assert plain["winner"].map({"a": "b", "b": "a", "": ""}).tolist() == swapped["winner"].tolist()
    assert plain["unit"].unique().tolist() == ["blocks" if replicated else "seeds"]
    assert plain["verdict"].iloc[0] == "better"


@pytest.mark.parametrize("replicated", [True, False])
@pytest.mark.parametrize("anytime", [True, False])
@pytest.mark.parametrize("apart", [0.0, 1e-12])
def test_identical_curves_are_practically_equal_also_with_rounding_errors(replicated, anytime, apart):
    logs = {"a": np.zeros((2, 12, 2)), "b": apart * (1 + 0.01 * noise(2, 12, 2))}
    runs = runs_of(logs) if replicated else runs_of(logs).assign(block=0)
    table = st.verdicts(runs, asked=st.Asked(anytime=anytime))
    assert (table["verdict"] == "practically equal").all()
    assert np.isfinite(table[["effect", "effect_low", "effect_high", "p"]]).all(axis=None)


@pytest.mark.parametrize("replicated", [True, False])
def test_constant_differences_have_finite_answers(replicated):
    runs = runs_of({"a": np.zeros((2, 12, 2)), "b": np.full((2, 12, 2), np.log(2))})
    table = st.verdicts(runs if replicated else runs.assign(block=0))
    assert (table["verdict"] == "better").all() and (table["winner"] == "a").all()
    np.testing.assert_allclose(table[["effect", "effect_low", "effect_high"]], 0.5, rtol=1e-6)
    assert (table["p"] > 0).all()


def test_too_few_seeds_say_how_many_could_and_weaken_nobody():
    logs = {"a": noise(1, 1, 8), "b": noise(1, 1, 8, seed=1) + 9}
    alone = st.verdicts(runs_of(logs)).iloc[0]
    few = runs_of(logs | {"c": noise(1, 1, 8, seed=2)})
    table = st.verdicts(few[(few["entrant"] != "c") | (few["seed"] < 3)]).set_index(["a", "b"])
    assert table.loc[("a", "b"), "level"] == alone["level"] == 0.05
    assert table.loc[("a", "b"), "verdict"] == "better"
    row = table.loc[("a", "c")]
    assert not row["corrected"] and row["verdict"] == "undecided" and row["needed"] >= 5
    assert row["note"] == "3 seeds in 3 comparisons: no values could give a verdict; 7 seeds on each problem could"


@pytest.mark.parametrize("anytime", [True, False])
def test_problems_with_a_single_block_get_no_interval_and_weaken_nobody(anytime):
    runs = runs_of({"a": noise(3, 12, 3), "b": noise(3, 12, 3, seed=1) + 3})
    runs = runs[(runs["dataset"] != "p2") | (runs["block"] == 4)]
    table = st.verdicts(runs, asked=st.Asked(anytime=anytime)).set_index("dataset")
    assert table["verdict"].to_dict() == {"all": "better", "p0": "better", "p1": "better", "p2": "undecided"}
    assert table.loc["all", "n_problems"] == 2 and table.loc["p0", "level"] == 0.025
    assert table.loc["p2", ["effect_low", "effect_high", "corrected"]].tolist() == [0, np.inf, False]
    assert table.loc["p2", "note"].startswith("1 block in 3 comparisons: no values could give a verdict; ")


def test_single_problems_are_asked_once_the_pair_is_told_apart_or_beforehand():
    logs = {"a": 0.1 * noise(3, 6, 3), "b": 0.1 * noise(3, 6, 3, seed=1)}
    logs["b"] += np.array([9.0, -9, 0.0])[:, None, None]  # opposite signs: equal over all problems
    table = st.verdicts(runs_of(logs)).set_index("dataset")
    assert table["corrected"].to_dict() == {"all": True, "p0": False, "p1": False, "p2": False}
    assert (table.loc[["p0", "p1"], "verdict"] == "undecided").all()
    before = st.verdicts(runs_of(logs), asked=st.Asked(beforehand=["p0"])).set_index("dataset")
    assert before.loc["p0", ["verdict", "level"]].tolist() == ["better", 0.025]
    assert not before.loc["p1", "corrected"]


def test_variants_of_one_data_set_are_averaged_first():
    runs = runs_of({"a": noise(2, 6, 3), "b": noise(2, 6, 3, seed=1)}).assign(data="iris")
    table = st.verdicts(runs).set_index("dataset")
    assert table.loc["all", ["n", "n_problems"]].tolist() == [6, 1]
    d = st.blocks(st.differences(runs)).pivot(index="block", columns="dataset", values="d").mean(axis=1)
    assert table.loc["all", "p"] == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_scores_have_differences_and_an_absolute_margin():
    x = 0.01 * np.abs(noise(1, 1, 12)) + np.array([0.8, 0.9])[:, None, None]
    runs = pd.concat([runs_of({"a": np.log(x[:1])}), runs_of({"b": np.log(x[1:])})]).assign(start=0.1)
    table = st.verdicts(
        st.comparable(runs, "loss", "higher", "linear"), asked=st.Asked(better="higher", scale="linear")
    )
    assert table["effect"][0] == pytest.approx(-0.1) and table["winner"][0] == "b" and table["verdict"][0] == "better"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"margin": 1.0}, "margin 1.0: must be above 1 for ratios"),
        ({"margin": 0.0, "scale": "linear"}, "margin 0.0: must be above 0 for differences"),
        ({"error": 1.0}, "error 1.0: must lie between 0 and 1"),
        ({"judged": "c"}, "entrant 'c': must be one of a, b"),
        ({"beforehand": ["q"]}, "beforehand 'q': must be one of p0"),
    ],
)
def test_what_cannot_be_asked_is_named(asked, message):
    with pytest.raises(ValueError, match=message):
        st.verdicts(runs_of({"a": noise(1, 2, 2), "b": noise(1, 2, 2)}), asked=st.Asked(**asked))


def test_a_typical_value_of_extreme_losses_has_limits_up_to_infinity():
    """Warnings are errors here: an end of the interval that no float holds is infinite, without a word."""
    levels = pd.DataFrame({"dataset": "d", "level": [690.0, 700.0, -700.0], "block": [0, 1, 2], "counted_as": ""})
    (row,) = st.typical(levels, "dataset").to_dict("records")
    assert row["estimate"] == pytest.approx(np.exp(690 / 3)) and (row["low"], row["high"]) == (0.0, np.inf)
    losses = pd.DataFrame({"dataset": "d", "loss": [1e300, 1e304, 1e-304]})
    (row,) = st.summarise(losses, "dataset", "loss", "geometric_mean").to_dict("records")
    assert (row["low"], row["high"]) == (0.0, np.inf)
