"""Statistics agree with references: closed forms, worked examples, enumeration, scipy, statsmodels and lifelines."""

from itertools import combinations, product
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times
from scipy import stats

from descent_lab.analysis import statistics as st
from descent_lab.analysis.statistics.intervals import iqm, median_interval
from descent_lab.analysis.statistics.profiles import median_time
from descent_lab.errors import DataError, NotGiven

INF = np.inf


def runs_of(**values: list[float]) -> pd.DataFrame:
    """Runs on data set d, one per entrant and seed, with these losses, such as runs_of(sgd=[0.1, 0.2])."""
    rows = [
        {"dataset": "d", "optimizer": name, "seed": seed, "loss": loss, "run_id": f"{name}{seed}"}
        for name, losses in values.items()
        for seed, loss in enumerate(losses)
    ]
    return pd.DataFrame(rows).assign(status="finished")


def curves_of(**values: list[float]) -> pd.DataFrame:
    """Curves of training losses at steps 0, 1, ..., one per run id."""
    rows = [
        {"run_id": run, "step": step, "epoch": step, "step_seconds": step / 10, "value": value}
        for run, losses in values.items()
        for step, value in enumerate(losses)
    ]
    return pd.DataFrame(rows).assign(metric="train/loss")


# --- across seeds ---


@pytest.mark.parametrize("n", [5, 6, 7, 10, 17, 30, 100])
def test_median_interval_lies_within_the_exact_one(n):
    x = np.random.default_rng(n).normal(size=n)
    exact = stats.quantile_test(x, p=0.5).confidence_interval(0.95)
    estimate, low, high = median_interval(x)
    assert estimate == np.median(x)
    lower, upper = (np.nan_to_num(limit, nan=x.min() if i == 0 else x.max()) for i, limit in enumerate(exact))
    assert lower <= low <= estimate <= high <= upper
    assert np.count_nonzero(x < low) - np.count_nonzero(x < lower) <= 1


def test_median_interval_of_ten_by_hand():
    # Hettmansperger & Sheather: gamma_2 = 0.97852, gamma_3 = 0.89063, I = 0.32448, lambda = 0.65764
    share = (1002 / 1024 - 0.95) / (1002 / 1024 - 912 / 1024)
    weight = 8 * share / (2 + 6 * share)
    interval = median_interval(np.arange(1.0, 11.0))
    np.testing.assert_allclose(interval, [5.5, 2 + weight, 9 - weight])


def test_few_seeds_say_so():
    table = st.summarise(runs_of(a=[1.0], b=[1.0, 2.0, 3.0], c=[1.0, 2, 3, 4, 5]), "optimizer", "loss")
    assert table["note"].tolist() == ["1 seed: no interval", "3 seeds: their range covers 75%, not 95%", ""]
    assert np.isnan(table["low"][0])
    assert table.loc[1, ["low", "high"]].tolist() == [1.0, 3.0]


def test_diverged_runs_are_the_worst_and_counted():
    runs = runs_of(a=[1.0, 2, 3, np.nan, INF], b=[1.0, 2, 3, 4, 5])
    runs.loc[runs["run_id"] == "b4", "status"] = "diverged"
    table = st.summarise(runs, "optimizer", "loss").set_index("optimizer")
    assert table["diverged"].tolist() == [2, 1]
    assert table.loc["a", ["estimate", "low", "high"]].tolist() == [3.0, 1.0, INF]
    means = st.summarise(runs, "optimizer", "loss", "mean")
    assert means["estimate"].tolist() == [INF, INF]
    assert means["low"].isna().all()
    assert means["note"][0] == "2 of 5 diverged: no finite mean"
    higher = st.summarise(runs, "optimizer", "loss", better="higher").set_index("optimizer")
    assert higher.loc["a", ["estimate", "low", "high"]].tolist() == [1.0, -INF, 3.0]


@pytest.mark.parametrize("n", [4, 8, 20])
def test_iqm_is_the_trimmed_mean(n):
    x = np.random.default_rng(n).lognormal(size=(3, n))
    np.testing.assert_allclose(iqm(x), stats.trim_mean(x, 0.25, axis=-1))


def test_iqm_weighs_fractions_and_survives_divergence():
    # n = 5: 1.25 samples off each end leave 0.75, 1, 0.75 of the middle three
    assert iqm(np.array([1.0, 2, 3, 5, INF])) == pytest.approx((0.75 * 2 + 3 + 0.75 * 5) / 2.5)


def test_geometric_mean_is_students_t_on_logarithms():
    x = np.random.default_rng(0).lognormal(size=12)
    row = st.summarise(runs_of(a=list(x)), "optimizer", "loss", "geometric_mean").iloc[0]
    limits = np.exp(stats.ttest_1samp(np.log(x), 0.0).confidence_interval(0.95))
    np.testing.assert_allclose(row[["estimate", "low", "high"]].astype(float), [stats.gmean(x), *limits])


@pytest.mark.parametrize("statistic", ["median", "iqm", "geometric_mean", "mean"])
@pytest.mark.parametrize("strata", [None, "dataset"])
def test_the_same_rows_in_any_order_give_the_same_bytes(statistic, strata):
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=(2, 40))
    runs = pd.concat([runs_of(a=list(part), b=list(part[:9])).assign(dataset=i) for i, part in enumerate(x)])
    tables = [
        st.summarise(runs.sample(frac=1, random_state=i), "optimizer", "loss", statistic, strata=strata) for i in (0, 1)
    ]
    assert tables[0].to_csv() == tables[1].to_csv()
    alone = st.summarise(runs[runs["optimizer"] == "b"], "optimizer", "loss", statistic, strata=strata)
    assert alone.to_csv(index=False) == tables[0][1:].to_csv(index=False)


def test_constant_values_have_an_interval_of_no_width():
    for statistic in ("median", "iqm", "geometric_mean", "mean"):
        row = st.summarise(runs_of(a=[2.0] * 12), "optimizer", "loss", statistic).iloc[0]
        np.testing.assert_allclose(row[["estimate", "low", "high"]].astype(float), 2.0)


# --- along training ---


def test_curves_agree_with_summaries_at_every_step():
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=(7, 4))
    runs = runs_of(a=list(x[:, -1]))
    curves = curves_of(**{f"a{seed}": list(row) for seed, row in enumerate(x)})
    bands = st.summarise_curves(curves, runs, "optimizer")
    for step in range(4):
        at = st.summarise(curves[curves["step"] == step].assign(a=0), "a", "value").iloc[0]
        assert bands.loc[step, ["estimate", "low", "high"]].tolist() == at[["estimate", "low", "high"]].tolist()


def test_a_diverged_curve_stays_in_the_band_as_worst_and_a_stopped_one_keeps_its_value():
    runs = runs_of(a=[1.0, 1.0, 1.0]).assign(status=["finished", "diverged", "finished"])
    curves = curves_of(a0=[4.0, 3.0, 2.0], a1=[4.0, 9.0], a2=[4.0, 1.0])
    bands = st.summarise_curves(curves, runs, "optimizer")
    assert bands["estimate"].tolist() == [4.0, 3.0, 2.0]
    assert bands["high"].tolist() == [4.0, 9.0, INF]
    assert bands["low"].tolist() == [4.0, 1.0, 1.0]


@pytest.mark.parametrize("axis", ["epoch", "step_seconds", "gradients"])
def test_other_axes_place_the_same_values(axis):
    runs = runs_of(a=[1.0, 1.0]).assign(gradients=6.0, steps=2)
    curves = curves_of(a0=[4.0, 3.0, 2.0], a1=[4.0, 3.0, 2.0])
    bands = st.summarise_curves(curves, runs, "optimizer", axis=axis)
    scale = {"epoch": 1.0, "step_seconds": 0.1, "gradients": 3.0}[axis]
    np.testing.assert_allclose(bands[axis], np.arange(3) * scale)
    assert bands["estimate"].tolist() == [4.0, 3.0, 2.0]


def test_a_thousand_curves_are_summarised_in_seconds():
    n, points = 1_000, 100
    runs = pd.DataFrame({"run_id": np.arange(n), "optimizer": np.arange(n) % 20, "status": "finished"})
    value = np.random.default_rng(0).lognormal(size=n * points)
    curves = pd.DataFrame({"run_id": np.repeat(np.arange(n), points), "step": np.tile(np.arange(points), n)})
    begun = perf_counter()
    bands = st.summarise_curves(curves.assign(metric="train/loss", value=value), runs, "optimizer")
    assert perf_counter() - begun < 5  # about 0.2 s on a quiet machine
    assert len(bands) == 20 * points


# --- groups ---


def test_groups_are_the_largest_sets_that_are_not_told_apart():
    same = "indistinguishable"
    pairs = pd.DataFrame(
        [("a", "b", same), ("a", "c", "a"), ("a", "d", "a"), ("b", "c", same), ("b", "d", "b"), ("c", "d", "c")],
        columns=["a", "b", "verdict"],
    )
    groups = st.indistinguishable(pairs).groupby("group")["entrant"].agg("".join)
    assert groups.tolist() == ["ab", "bc"]


# --- ranks ---

# Demsar (2006), table 6: ranks of four classifiers on 14 data sets
DEMSAR = [
    (4, 3, 2, 1), (1, 2, 3, 4), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1), (1, 2.5, 4, 2.5), (3, 2, 4, 1),
    (2.5, 2.5, 4, 1), (4, 3, 2, 1), (2.5, 2.5, 2.5, 2.5), (4, 2.5, 1, 2.5), (3, 2, 4, 1), (4, 1, 2, 3), (3, 1, 4, 2),
]  # fmt: skip
C45 = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]


def demsar() -> pd.DataFrame:
    wide = pd.DataFrame(DEMSAR, columns=C45).rename_axis("dataset").reset_index()
    return wide.melt("dataset", var_name="optimizer", value_name="level").assign(seed=0, resolution=0.0)


def test_demsars_example():
    ranks = st.average_ranks(demsar()).set_index("optimizer")["rank"]
    np.testing.assert_allclose(ranks[C45], [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    # "CD = 1.25" at 0.05 and "1.12" at 0.10 with k = 4, N = 14
    assert st.critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)
    assert st.critical_difference(4, 14, confidence=0.9) == pytest.approx(1.12, abs=0.01)
    pairs = st.rank_pairs(demsar(), confidence=0.9)
    apart = pairs[pairs["nemenyi"] != "indistinguishable"]
    expected = {frozenset(pair) for pair in [("C4.5", "C4.5+m"), ("C4.5", "C4.5+m+cf")]}
    assert {frozenset(pair) for pair in zip(apart["a"], apart["b"], strict=True)} == expected
    groups = st.indistinguishable(pairs, "nemenyi").groupby("group")["entrant"].agg(set)
    assert groups.tolist() == [{"C4.5", "C4.5+cf"}, {"C4.5+cf", "C4.5+m", "C4.5+m+cf"}]


def test_critical_differences_are_those_of_demsars_table_5():
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    quantiles = [st.critical_difference(k, 10) / np.sqrt(k * (k + 1) / 60) for k in range(2, 11)]
    np.testing.assert_allclose(quantiles, table, atol=1.1e-3)


@pytest.mark.parametrize("decimals", [9, 0])
def test_friedman_is_scipys_with_and_without_ties(decimals):
    x = np.random.default_rng(3).normal([0, 0.5, 1.0, 2.0], 1, size=(9, 4)).round(decimals)
    data, entrant = np.indices(x.shape)
    runs = pd.DataFrame({"dataset": data.ravel(), "optimizer": entrant.ravel(), "level": x.ravel(), "resolution": 0.0})
    row = st.friedman(runs).iloc[0]
    expected = stats.friedmanchisquare(*x.T)
    np.testing.assert_allclose([row["chi2"], row["p_chi2"]], [expected.statistic, expected.pvalue])
    assert row["p"] == pytest.approx(expected.pvalue, abs=0.01)


@pytest.mark.parametrize("decimals", [9, 0])
@pytest.mark.parametrize("n", [8, 14])
def test_nemenyi_and_wilcoxon_are_scikit_posthocs(n, decimals):
    """Nemenyi with and without ties; Wilcoxon's p with Holm's correction where it is exact there too, without ties."""
    x = np.random.default_rng(n).normal([0.0, 0.4, 1.0, 2.0], 0.8, size=(n, 4)).round(decimals)
    data, entrant = np.indices(x.shape)
    runs = pd.DataFrame({"dataset": data.ravel(), "optimizer": entrant.ravel(), "level": x.ravel()})
    pairs = st.rank_pairs(runs.assign(seed=0, resolution=0.0))
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(x).to_numpy()
    apart = [bool(nemenyi[a, b] <= 0.05) for a, b in zip(pairs["a"], pairs["b"], strict=True)]
    assert (pairs["nemenyi"] != "indistinguishable").tolist() == apart
    assert 0 < sum(apart) < len(apart)
    if decimals == 9:
        holm = scikit_posthocs.posthoc_wilcoxon(list(x.T), p_adjust="holm").to_numpy()
        theirs = [holm[a, b] for a, b in zip(pairs["a"], pairs["b"], strict=True)]
        np.testing.assert_allclose(pairs["p_holm"], theirs)


def on_data_sets(a: list[float], b: list[float], names: list[str] | None = None) -> pd.DataFrame:
    """One run of a and of b on each of several problems; names: the data set of each problem."""
    problems = [f"problem {i}" for i in range(len(a))]
    both = pd.DataFrame({"dataset": problems * 2, "optimizer": ["a"] * len(a) + ["b"] * len(b)})
    return both.assign(level=np.log([*a, *b]), resolution=1e-8, seed=0, data=(names or problems) * 2)


def test_the_direction_of_a_verdict_is_that_of_its_own_test():
    """a is lower 14 times by little, b 13 times by much: the average rank is a's, the signed ranks are b's."""
    loss = np.exp(np.append(-np.linspace(0.1, 0.2, 14), np.linspace(1, 2, 13)))
    table = st.rank_pairs(on_data_sets(list(loss), [1.0] * 27)).iloc[0]
    assert table["rank_a"] < table["rank_b"]
    assert table["p"] < 0.05
    assert table["wilcoxon"] == "b"  # the large differences speak for b
    assert 0 < table["difference_low"] < table["difference"]


def test_variants_of_a_data_set_are_one_unit():
    rng = np.random.default_rng(0)
    x = list(rng.lognormal(size=16))
    with pytest.raises(NotGiven, match="2 distinct data sets: a test of what holds on others needs 6 or more"):
        st.rank_pairs(on_data_sets(x, [2 * y for y in x], ["iris"] * 8 + ["wine"] * 8))
    names = [name for name in "cdefgh" for _ in range(2)]
    pair = st.rank_pairs(on_data_sets(x[:12], [2 * y for y in x[:12]], names)).iloc[0]
    assert (pair["n"], pair["p"], pair["wilcoxon"]) == (6, 2 * 0.5**6, "a")
    three = pd.concat([on_data_sets(x[:12], x[:12], names), on_data_sets(x[:12], x[:12], names).replace("b", "c")])
    note = st.rank_pairs(three.drop_duplicates(["dataset", "optimizer"]))["note"][0]
    assert note == "6 data sets in 3 comparisons: no verdict is possible; 7 could give one"


def test_ranks_follow_the_mean_of_the_logarithms_and_not_medians_of_values():
    """a is lower by the median and mean of values on even seeds; b by the mean of logarithms, as in verdicts."""
    a, b = [0.9, 1.1, 1.0, 1.0], [1e-3, 1.5, 1.6, 1.7]
    runs = pd.concat([on_data_sets(a, b).assign(seed=[0, 1, 2, 3] * 2, dataset="d", data="d")])
    assert np.median(a) < np.median(b) and np.mean(a) < np.mean(b)
    assert st.average_ranks(runs)["optimizer"].tolist() == ["b", "a"]


def test_rounding_errors_make_no_verdict():
    x = np.random.default_rng(1).lognormal(size=12)
    pair = st.rank_pairs(on_data_sets(list(x), list(x * (1 + 1e-12)))).iloc[0]
    assert (pair["rank_a"], pair["p"], pair["wilcoxon"]) == (1.5, 1.0, "indistinguishable")


def test_places_with_one_data_set_left_out():
    # ranks of a: 1, 1, 2, 2; without problem 0 or 1 b leads, without problem 2 or 3 a leads
    rows = st.leave_one_out(on_data_sets([1, 1, 2, 2], [2, 2, 1, 1]))
    assert rows[rows["place"] == 1].set_index("left_out")["optimizer"].tolist() == ["b", "b", "a", "a"]
    assert st.places(rows).to_dict("list") == {
        "optimizer": ["a", "b"],
        "first": [2, 2],
        "n": [4, 4],
        "best": [1, 1],
        "worst": [2, 2],
    }


# --- targets and runtimes ---


@pytest.mark.parametrize("seed", range(5))
def test_kaplan_meier_is_lifelines(seed):
    rng = np.random.default_rng(seed)
    n = 12
    time, limit = rng.integers(1, 15, n).astype(float), rng.integers(5, 20, n).astype(float)
    reached, time = time <= limit, np.minimum(time, limit)
    hits = pd.DataFrame({"optimizer": "a", "time": time, "reached": reached})
    theirs = KaplanMeierFitter().fit(time, reached)
    mine = st.survival(hits, "optimizer").set_index("time")
    inside = (mine["share"] > 0) & (mine["share"] < 1)
    np.testing.assert_allclose(mine["share"], theirs.survival_function_at_times(mine.index))
    limits = theirs.confidence_interval_survival_function_.loc[mine.index[inside]].to_numpy()
    np.testing.assert_allclose(mine.loc[inside, ["low", "high"]], limits)
    median = st.time_to_target(hits, "optimizer").iloc[0]
    assert median["estimate"] == theirs.median_survival_time_
    np.testing.assert_allclose(
        median[["low", "high"]].astype(float),
        median_survival_times(theirs.confidence_interval_survival_function_).to_numpy()[0],
    )


def test_few_runs_of_uneven_budgets_say_so():
    hits = pd.DataFrame({"optimizer": "a", "time": [1.0, 2.0, 3.0, 4.0, 5.0], "reached": [1, 1, 0, 1, 1]})
    table = st.time_to_target(hits, "optimizer")
    assert table["note"][0] == "few runs of uneven budgets: a 95 % interval covers about 90 % (measured)"
    assert st.time_to_target(hits[hits["reached"] == 1].assign(reached=[1, 1, 1, 0]), "optimizer")["note"][0] != ""
    assert st.time_to_target(hits.assign(reached=[1, 1, 1, 1, 0]), "optimizer")["note"][0] == ""


def test_a_single_run_has_a_time_but_no_interval():
    hits = pd.DataFrame({"optimizer": ["a", "b"], "time": [3.0, 4.0], "reached": [True, False]})
    table = st.time_to_target(hits, "optimizer")
    assert table["estimate"].tolist() == [3.0, INF]
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["note"] == "1 seed: no interval").all()


def test_first_hits_on_recorded_points():
    runs = runs_of(a=[1.0, 1.0, 1.0, 1.0]).assign(status=["finished", "finished", "diverged", "diverged"])
    curves = curves_of(a0=[8.0, 4.0, 2.0], a1=[8.0, 5.0, 4.5], a2=[8.0, 9.0], a3=[8.0, 3.0])
    targets = pd.DataFrame({"dataset": "d", "level": [1.0], "target": [4.0]})
    hits = st.first_hits(curves, runs, targets)
    assert hits["reached"].tolist() == [True, False, False, True]
    assert hits["time"].tolist() == [1.0, 2.0, INF, 1.0]
    assert hits["spent"].tolist() == [1.0, 2.0, 1.0, 1.0]
    higher = st.first_hits(curves.assign(value=-curves["value"]), runs, targets.assign(target=-4.0), better="higher")
    assert higher["time"].tolist() == hits["time"].tolist()
    seconds = st.first_hits(curves, runs, targets, axis="step_seconds")
    assert seconds["time"].tolist() == [0.1, 0.2, INF, 0.1]


def test_targets_come_from_the_reference_only():
    runs = runs_of(a=[1.0, 2.0, 3.0], b=[0.1, 0.1, 0.1])
    curves = curves_of(**{run: [32.0, loss] for run, loss in zip(runs["run_id"], runs["loss"], strict=True)})
    target = st.reference_targets(runs, "a", value="loss")
    assert target.to_dict("list") == {"dataset": ["d"], "level": [1.0], "target": [2.0]}
    assert st.reference_targets(runs, ["a", "b"], value="loss")["target"].tolist() == [0.1]
    ladder = st.interpolated_targets(curves, runs, "a", (0.5, 1.0), value="loss")
    np.testing.assert_allclose(ladder["target"], [8.0, 2.0])


def test_targets_are_never_behind_the_start_and_a_higher_level_is_harder():
    """On e the reference ends worse than it began: level 1 would be the easiest."""
    runs = pd.concat([runs_of(a=[2.0]), runs_of(a=[64.0]).assign(dataset="e", run_id="a1")])
    curves = curves_of(a0=[32.0, 2.0], a1=[32.0, 64.0])
    ladder = st.interpolated_targets(curves, runs, "a", (0.5, 1.0), value="loss")
    assert ladder["dataset"].tolist() == ["d", "d"]
    assert st.without_targets(curves, runs, "a", value="loss").to_numpy().tolist() == [
        ["e", "the reference a starts at 32 on e and ends at 64: no target"]
    ]
    with pytest.raises(NotGiven, match="the reference a starts at 32 on e and ends at 64: no target"):
        st.interpolated_targets(curves, runs[runs["dataset"] == "e"], "a", value="loss")
    higher = st.interpolated_targets(curves, runs, "a", (0.5, 1.0), value="loss", better="higher", scale="linear")
    assert higher.to_numpy().tolist() == [["e", 0.5, 48.0], ["e", 1.0, 64.0]]


def test_hits_are_compared_at_the_steps_that_all_recorded():
    """b was recorded at every step and a at every tenth: b would seem quicker with the same curve."""
    runs = runs_of(a=[1.0], b=[1.0])
    steps = np.arange(0, 31)
    every = pd.DataFrame({"run_id": "b0", "step": steps, "epoch": steps / 3, "value": np.exp(-steps / 10.0)})
    curves = pd.concat([every[every["step"] % 10 == 0].assign(run_id="a0"), every]).assign(metric="train/loss")
    targets = pd.DataFrame({"dataset": "d", "level": [1.0], "target": [np.exp(-1.2)]})
    hits = st.first_hits(curves, runs, targets)
    assert hits["time"].tolist() == [20.0, 20.0]
    assert hits["resolution"].tolist() == [10.0, 10.0]
    stopped = curves[(curves["run_id"] == "a0") | (curves["step"] <= 12)]  # b stopped when it reached the target
    assert st.first_hits(stopped, runs, targets)["time"].tolist() == [20.0, 12.0]
    slower = curves.assign(step=curves["step"] * np.where(curves["run_id"] == "a0", 7, 1))  # batches of another size
    by_epoch = st.first_hits(slower, runs, targets, axis="epoch")
    np.testing.assert_allclose(by_epoch["time"], [20 / 3, 20 / 3])


def test_given_targets_are_checked():
    good = pd.DataFrame({"dataset": "d", "level": ["1", "0.5"], "target": [0.1, 0.3]})
    assert st.given_targets(good)["level"].tolist() == [0.5, 1.0]
    for bad, message in [
        (good.drop(columns="level"), "targets: column 'level' is missing; there are dataset, target"),
        (good.assign(target=["x", 1.0]), "targets: level 1, target x of d: must be numbers"),
        (good.assign(target=[0.3, 0.1]), "targets: level 1 of d has the target 0.3, which is no harder"),
        (good.assign(level=1.0), "more than one row has dataset=d, level=1"),
    ]:
        with pytest.raises(DataError, match=message):
            st.given_targets(bad)


def test_expected_runtime_by_hand():
    # Hansen et al.: evaluations of all runs over the number of successes: (10 + 30 + 100) / 2
    hits = pd.DataFrame({"optimizer": ["a"] * 3 + ["b"] * 2, "spent": [10.0, 30.0, 100.0, 7.0, 7.0]})
    table = st.expected_runtime(hits.assign(reached=[True, True, False, False, False]), "optimizer")
    assert table["estimate"].tolist() == [70.0, INF]
    assert table["low"][0] < 70.0 < table["high"][0]


def test_runtime_ecdf_by_hand():
    hits = pd.DataFrame({"optimizer": "a", "time": [0.0, 2.0, 2.0, 9.0], "reached": [True, True, True, False]})
    table = st.runtime_ecdf(hits)
    assert table[["time", "share"]].to_numpy().tolist() == [[0.0, 0.25], [2.0, 0.75]]


# --- profiles ---

TIMES = pd.DataFrame(
    [("p", "a", 1.0), ("p", "b", 2.0), ("q", "a", 6.0), ("q", "b", 3.0), ("r", "a", INF), ("r", "b", 5.0)],
    columns=["dataset", "optimizer", "time"],
).assign(seed=0, reached=lambda rows: np.isfinite(rows["time"]))


def test_performance_profile_by_hand():
    profile = st.performance_profile(TIMES, problem="dataset")
    share = profile.pivot(index="tau", columns="optimizer", values="share")
    assert share.index.tolist() == [1.0, 2.0]
    np.testing.assert_allclose(share.loc[1.0, ["a", "b"]], [1 / 3, 2 / 3])
    np.testing.assert_allclose(share.loc[2.0, ["a", "b"]], [2 / 3, 1.0])
    assert profile[["low", "high"]].isna().all(axis=None)  # one run each


def algoperfs_score(ratios: np.ndarray, points: int, tau_max: float = 4.0) -> np.ndarray:
    """The definition of AlgoPerf's scoring code: trapezoids under the profile on a grid of tau from 1, over its length.

    ratios: shape (n_entrants, n_workloads). (mlcommons/algorithmic-efficiency, scoring/performance_profile.py:
    compute_performance_profiles with scale="linear", compute_leaderboard_score with normalize=True.)
    """
    tau = np.linspace(1.0, tau_max, points)
    profile = (ratios[:, :, None] <= tau).mean(axis=1)
    return np.trapezoid(profile, tau) / (tau_max - 1.0)


def test_the_score_is_algoperfs_and_the_log_form_has_its_own_name():
    # one workload that takes 2.2 times as long: (4 - 2.2) / (4 - 1) = 0.6 on the linear scale, 0.431 on the log scale
    slower = pd.DataFrame({"dataset": "p", "optimizer": ["a", "b"], "time": [1.0, 2.2], "seed": 0, "reached": True})
    scores = st.profile_score(slower, problem="dataset").set_index("optimizer")
    assert scores.loc["b", "algoperf"] == pytest.approx(0.6)
    assert scores.loc["b", "log_area"] == pytest.approx(np.log(4 / 2.2) / np.log(4), abs=1e-12)
    assert scores.loc["b", "log_area"] == pytest.approx(0.431, abs=5e-4)
    rng = np.random.default_rng(2)
    time = np.where(rng.random((3, 8)) < 0.2, INF, rng.lognormal(0, 0.7, (3, 8)))
    time[:, 0] = INF  # nobody reaches it: it counts for nobody
    rows = [("abc"[i], j, time[i, j], 0, np.isfinite(time[i, j])) for i in range(3) for j in range(8)]
    hits = pd.DataFrame(rows, columns=["optimizer", "dataset", "time", "seed", "reached"])
    with np.errstate(invalid="ignore"):
        expected = algoperfs_score(time / time.min(axis=0), 300_001)
    mine = st.profile_score(hits, problem="dataset").set_index("optimizer")
    np.testing.assert_allclose(mine.loc[list("abc"), "algoperf"], expected, atol=1e-5)
    np.testing.assert_allclose(mine.loc[list("abc"), "reached"], np.isfinite(time).mean(axis=1))


def test_profile_score_is_the_area_under_the_profile():
    scores = st.profile_score(TIMES, problem="dataset").set_index("optimizer")
    # over log tau from 1 to 4: a is at 1/3 for the first half and at 2/3 for the second; b at 2/3 and 1
    np.testing.assert_allclose(scores.loc[["a", "b"], "log_area"], [1 / 2, 5 / 6])
    # over tau from 1 to 4: a is at 1/3 until 2 and at 2/3 from there; b at 2/3 and 1
    np.testing.assert_allclose(scores.loc[["a", "b"], "algoperf"], [5 / 9, 8 / 9])
    assert scores["reached"].to_dict() == {"a": pytest.approx(2 / 3), "b": 1.0}


def test_with_a_fixed_reference_nothing_moves_when_an_entrant_is_added():
    added = pd.DataFrame({"dataset": ["p", "q", "r"], "optimizer": "c", "time": 0.01, "seed": 0, "reached": True})
    more = pd.concat([TIMES, added])
    stored = pd.Series({"p": 2.0, "q": 3.0, "r": 5.0})
    for reference in ("b", stored):
        before, after = (
            st.profile_score(times, problem="dataset", reference=reference, r_min=0.25).set_index("optimizer")
            for times in (TIMES, more)
        )
        pd.testing.assert_frame_equal(before.sort_index(), after.loc[["a", "b"]].sort_index())
        assert before.loc["b", "log_area"] == pytest.approx(0.5)


def test_median_times_of_draws_are_kaplan_meiers():
    rng = np.random.default_rng(0)
    time, reached = rng.integers(1, 9, 15).astype(float), rng.random(15) < 0.7
    weights = rng.multinomial(14, np.full(15, 1 / 15), size=50)
    drawn = [pd.DataFrame({"time": np.repeat(time, w), "reached": np.repeat(reached, w), "draw": 0}) for w in weights]
    expected = [st.time_to_target(rows, "draw")["estimate"][0] for rows in drawn]
    assert median_time(time, reached, weights).tolist() == expected


def seeded_hits(n: int, rng: np.random.Generator, n_problems: int = 8, blocks: int = 1) -> pd.DataFrame:
    """Times of a and b on several problems, b 1.5 times slower, with log-normal noise; half of it is the block's."""
    problem, seed = (grid.ravel() for grid in np.indices((n_problems, n)))
    block = seed * blocks // n
    shared = rng.normal(size=(2, n_problems, blocks))
    noise = rng.normal(size=(2, n_problems, n)) + (shared[:, problem, block].reshape(2, n_problems, n) * (blocks > 1))
    time = np.exp(0.4 * noise) * np.array([1.0, 1.5])[:, None, None]
    parts = [
        pd.DataFrame({"dataset": problem, "optimizer": name, "seed": seed, "block": block, "time": time[i].ravel()})
        for i, name in enumerate("ab")
    ]
    return pd.concat(parts, ignore_index=True).assign(reached=True)


def test_bands_and_intervals_hold_the_estimate_in_any_order_and_narrow_with_seeds():
    hits = seeded_hits(20, np.random.default_rng(4))
    profile = st.performance_profile(hits, problem="dataset")
    assert (profile["low"] <= profile["share"]).all() and (profile["share"] <= profile["high"]).all()
    scores = st.profile_score(hits, problem="dataset")
    pd.testing.assert_frame_equal(scores, st.profile_score(hits.sample(frac=1, random_state=1), problem="dataset"))
    few = st.profile_score(hits[hits["seed"] < 4], problem="dataset")
    wide, narrow = ((table["algoperf_high"] - table["algoperf_low"]).max() for table in (few, scores))
    assert narrow < wide
    assert few["note"].tolist() == ["4 seeds: the interval is too narrow"] * 2
    assert (scores["note"] == "").all()
    blocks = seeded_hits(20, np.random.default_rng(4), blocks=5)
    tables = (st.profile_score(rows, problem="dataset") for rows in (blocks, blocks.drop(columns="block")))
    of_blocks, of_seeds = ((table["algoperf_high"] - table["algoperf_low"]).max() for table in tables)
    assert of_seeds < of_blocks  # the seeds of a block are not independent


# --- tuning ---


def grid(**medians: list[float]) -> pd.DataFrame:
    """Runs of a grid of lr 0.001, 0.01, ..., with seeds 0 to 5 around each median."""
    rows = [
        {"dataset": "d", "optimizer": name, "lr": 10.0 ** (i - 3), "seed": seed, "loss": median + 0.001 * (seed - 2)}
        for name, values in medians.items()
        for i, median in enumerate(values)
        for seed in range(6)
    ]
    return pd.DataFrame(rows)


def test_the_best_lr_is_chosen_on_tuning_seeds():
    runs = grid(sgd=[3.0, 1.0, 2.0])
    runs.loc[(runs["seed"] == 5) & (runs["lr"] == 0.001), "loss"] = 0.0  # a lower loss on a seed that is not for tuning
    chosen = st.best_setting(st.tuning_cells(runs, "loss", range(5)))
    assert chosen["lr"].tolist() == [0.01]
    assert chosen["n"].tolist() == [5]


@pytest.mark.parametrize("replacement", [False, True])
def test_best_of_k_is_the_mean_over_all_draws(replacement):
    loss, held = np.array([3.0, 1.0, 2.0, 5.0]), np.array([1.0, 4.0, 2.0, 3.0])
    trials = pd.DataFrame({"optimizer": "a", "estimate": loss, "held": held})
    table = st.best_of_k(trials, "optimizer", report="held", replacement=replacement)
    for k in range(1, 5):
        draws = product(range(4), repeat=k) if replacement else combinations(range(4), k)
        outcome = [held[min(draw, key=lambda i: loss[i])] for draw in draws]
        assert table["expected"][k - 1] == pytest.approx(np.mean(outcome))
        assert table["median"][k - 1] == np.quantile(outcome, 0.5, method="inverted_cdf")


def test_best_of_k_with_a_diverged_trial():
    trials = pd.DataFrame({"optimizer": "a", "estimate": [1.0, np.inf, 2.0]})
    table = st.best_of_k(trials, "optimizer", report="estimate")
    assert table["expected"].tolist() == [INF, pytest.approx(4 / 3), 1.0]
    assert table["median"].tolist() == [2.0, 1.0, 1.0]


def test_the_best_of_equal_trials_is_no_better_than_they_are():
    """Scored by what it was chosen by, the best of 10 would be at 0.2."""
    rng = np.random.default_rng(0)
    equal = pd.DataFrame({"optimizer": "a", "estimate": rng.lognormal(size=10), "held_out": 1.0})
    assert st.best_of_k(equal, "optimizer")["expected"].tolist() == pytest.approx([1.0] * 10)
    with pytest.raises(NotGiven, match=r"all trials lack a score on seeds that they were not chosen on"):
        st.best_of_k(equal.drop(columns="held_out"), "optimizer")
    with pytest.raises(NotGiven, match=r"1 of 10 trials lack a score"):
        st.best_of_k(equal.assign(held_out=[np.nan] + [1.0] * 9), "optimizer")


def test_sensitivity_is_the_unbroken_range_around_the_best():
    cells = st.tuning_cells(grid(sgd=[1.5, 9.0, 1.5, 1.0, 1.9, 9.0]), "loss", range(5))
    row = st.sensitivity(cells, factor=2.0).iloc[0]
    assert (row["best"], row["share"]) == (1.0, pytest.approx(4 / 6))
    assert (row["lowest"], row["highest"]) == (0.1, 10.0)
    assert row["decades"] == pytest.approx(2.0)
    accuracy = st.sensitivity(cells, factor=2.0, better="higher").iloc[0]
    assert (accuracy["best"], accuracy["share"]) == (0.01, pytest.approx(2 / 6))


def test_warnings_name_what_is_wrong():
    runs = grid(good=[2.0, 1.0, 2.0], edge=[2.0, 1.5, 1.0], broken=[INF, 1.0, INF])
    cells = st.tuning_cells(runs, "loss", range(5))
    warnings = st.tuning_warnings(cells)
    assert warnings[["optimizer", "warning"]].to_numpy().tolist() == [["broken", "diverged"], ["edge", "edge"]]
    assert warnings["detail"].tolist() == [
        "10 of 15 runs diverged over all settings",
        "best lr 0.1 is on the edge of what was tried, 0.001 to 0.1",
    ]
    two = cells[cells["optimizer"] == "good"].assign(mu=[0.9, 0.5, 0.0], decay=[0.1, 0.0, 0.2], n=5)
    assert st.tuning_warnings(two, axes=("lr", "mu", "decay")).empty  # 0 is no edge
    two = two.assign(decay=[0.1, 0.3, 0.2])
    detail = "best decay 0.3 is on the edge of what was tried, 0.1 to 0.3"
    assert st.tuning_warnings(two, axes=("lr", "mu", "decay"))["detail"].tolist() == [detail]
    few = st.tuning_warnings(st.tuning_cells(runs, "loss", range(3)))
    assert (few["warning"] == "few seeds").sum() == 3


# --- cost and fairness ---


@pytest.mark.parametrize(
    ("backend", "optimizer", "expected"),
    [
        ("random_search", None, (50.0, 0.0, 50 / 3)),
        ("numpy", "adam", (0.0, 50.0, 50.0)),
        ("jax", "newton", (0.0, 50.0, 50 * (1 + 1.5 * 9))),
        ("taylor", "sgd", (50.0, 0.0, 50 / 3 * (1 + 1.5 * 9))),
        ("taylor", "newton", (50.0, 0.0, 50 / 3 * (1 + 1.5 * 9 + 2.25 * 45))),
    ],
)
def test_cost_in_gradient_equivalents(backend, optimizer, expected):
    cost = st.gradient_equivalents(backend, optimizer, n_steps=500, n_params=9, batch_fraction=0.1)
    np.testing.assert_allclose(cost, expected)


def test_the_ledger_flags_unequal_budgets():
    runs = grid(a=[1.0, 2.0], b=[1.0, 2.0]).assign(status="finished", steps=100, gradients=100.0, step_seconds=1.0)
    ledger = st.fairness_ledger(runs, range(5)).set_index(["phase", "optimizer"])
    assert ledger.loc[("tuning", "a"), ["trials", "seeds", "runs", "steps"]].tolist() == [2, 5, 10, 1000]
    assert (ledger["unequal"] == "").all()
    runs.loc[(runs["optimizer"] == "a") & (runs["seed"] < 5), "gradients"] = 200.0
    ledger = st.fairness_ledger(runs, range(5)).set_index(["phase", "optimizer"])
    assert ledger["unequal"].to_dict() == {
        ("evaluation", "a"): "",
        ("evaluation", "b"): "",
        ("tuning", "a"): "gradients_per_run",
        ("tuning", "b"): "gradients_per_run",
    }
    fewer = runs[(runs["optimizer"] == "a") | (runs["lr"] < 0.01)]
    assert "trials" in st.fairness_ledger(fewer, range(5))["unequal"][2].split()
    untested = runs[(runs["optimizer"] == "a") | (runs["seed"] < 5)]
    row = st.fairness_ledger(untested, range(5)).set_index(["phase", "optimizer"]).loc[("evaluation", "b")]
    assert (row["runs"], row["unequal"]) == (0, "trials seeds runs steps_per_run gradients_per_run")


# --- bad input ---

RUNS = runs_of(a=[1.0, 2.0], b=[3.0, 4.0])
LEVELS = RUNS.assign(level=RUNS["loss"], resolution=0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: st.summarise(RUNS, "optimizer", "los"), "column 'los' is missing: the frame has dataset"),
        (lambda: st.summarise(RUNS.replace("a", None), "optimizer", "loss"), "'optimizer': 2 of 4 rows have no name"),
        (lambda: st.summarise(RUNS[:0], "optimizer", "loss"), "has no rows"),
        (lambda: st.summarise(RUNS, "optimizer", "loss", "mode"), "statistic 'mode': must be one of median, iqm"),
        (lambda: st.summarise(RUNS, "optimizer", "loss", confidence=95), "confidence 95: must lie between 0 and 1"),
        (lambda: st.summarise(RUNS, "optimizer", "loss", better="less"), "better 'less': must be one of lower, higher"),
        (lambda: st.summarise(RUNS, "optimizer", "loss", strata="run_id"), "1 run in a stratum: at least 2"),
        (lambda: st.average_ranks(LEVELS.assign(dataset=list("ddde"))[1:]), "a is missing on dataset e: ranks"),
        (lambda: st.critical_difference(1, 5), "1 entrant on 5 data sets"),
        (lambda: st.reference_targets(RUNS, "z", value="loss"), "reference 'z': must be one of a, b"),
        (lambda: st.performance_ratios(TIMES, problem="dataset", reference="a"), "no finite time on dataset r"),
        (lambda: st.performance_ratios(TIMES[:5], problem="dataset"), "b is missing on dataset r: profiles"),
        (lambda: st.summarise_curves(curves_of(a0=[1.0]), RUNS, "optimizer"), "3 runs without a record of"),
        (lambda: st.summarise_curves(curves_of(a0=[1.0]), RUNS, "optimizer", axis="day"), "axis 'day': must be one of"),
        (lambda: st.gradient_equivalents("torch", "sgd", 1, 9), "backend 'torch': must be one of numpy, jax"),
        (lambda: st.gradient_equivalents("jax", "sgd", 1, 9, batch_fraction=2), "batch_fraction 2: must be at most 1"),
        (lambda: st.tuning_cells(RUNS.assign(lr=1.0), "loss", [9]), r"no run has a tuning seed: \[9\]"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_sensitivity_where_the_best_loss_vanished():
    row = st.sensitivity(
        st.tuning_cells(grid(sgd=[3.0, 0.0, 0.0]).assign(loss=lambda t: t["loss"].clip(0).round()), "loss", range(5))
    )
    assert row[["best", "share", "lowest", "highest"]].to_numpy().tolist() == [[0.01, 2 / 3, 0.01, 0.1]]
    with pytest.raises(ValueError, match="-1 is negative"):
        st.sensitivity(pd.DataFrame({"dataset": "d", "optimizer": "o", "lr": [1.0], "estimate": [-1.0]}))


def trajectories(**curves: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and runs: one run for each backend, recorded at steps 0, 100 and 300."""
    runs = pd.DataFrame({"run_id": list(curves), "backend": list(curves), "dataset": "d", "lr": 0.1, "seed": 0})
    parts = [
        pd.DataFrame({"run_id": name, "step": [0, 100, 300], "metric": "train/loss", "value": x})
        for name, x in curves.items()
    ]
    return pd.concat(parts), runs


@pytest.mark.parametrize(
    ("other", "first", "every", "parts_at"),
    [
        ([3.0, 2.0, 1.0], 0.0, 0.0, np.nan),
        ([3.0, 2.0 + 2e-12, 1.1], 1e-12, 0.1, 300),
        ([3.0, 2.5, 1.0], 0.25, 0.25, 100),
        ([3.0, np.inf, 1.0], np.inf, np.inf, 100),
    ],
)
def test_backends_agree_or_part(other, first, every, parts_at):
    row = st.agreement(*trajectories(jax=other, numpy=[3.0, 2.0, 1.0]), "dataset").iloc[0]
    assert (row["backend"], row["against"], row["n"], row["records"]) == ("jax", "numpy", 1, 3)
    np.testing.assert_allclose([row["first"], row["all"], row["parts_at"]], [first, every, parts_at], rtol=1e-3)


def test_only_runs_that_differ_in_their_backend_alone_are_compared():
    curves, runs = trajectories(jax=[1.0] * 3, taylor=[1.0] * 3, numpy=[2.0] * 3)
    assert list(st.agreement(curves, runs, "dataset")["backend"]) == ["jax", "taylor"]
    assert list(st.agreement(curves, runs[runs["backend"] != "numpy"], "dataset")["against"]) == ["jax"]
    assert st.agreement(curves, runs.assign(seed=[0, 1, 2]), "dataset").empty
    assert st.agreement(curves, runs[runs["backend"] == "jax"], "dataset").empty
