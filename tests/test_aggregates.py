"""Scores over many problems, sources of variance and confounds: worked examples, rliable's definitions, simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descent_lab.analysis import statistics as st
from descent_lab.errors import NotGiven

THESE, LIKE_THESE = "these problems", "problems like these"


def suite(levels: np.ndarray, start: float = 10.0, names: str = "abc") -> pd.DataFrame:
    """Runs with these levels (n_entrants, n_problems, n_seeds), all of which start at the same loss."""
    entrant, problem, seed = (grid.ravel() for grid in np.indices(levels.shape))
    return pd.DataFrame(
        {
            "optimizer": [names[i] for i in entrant],
            "dataset": [f"p{j}" for j in problem],
            "seed": seed,
            "start": start,
            "level": levels.ravel(),
        }
    )


def test_scores_by_hand():
    # the reference goes from 10 to 1 on average of logarithms: the way is log 10
    loss = np.array([[[0.5, 2.0]], [[10.0, 0.001]]])
    scored = st.scores(suite(np.log(loss)), "a")
    assert scored["score"].tolist() == pytest.approx([np.log(20) / np.log(10), np.log(5) / np.log(10), 0.0, 2.0])
    accuracy = suite(np.array([[[0.7, 0.9]], [[0.5, 0.6]]]), start=0.4)
    linear = st.scores(accuracy, "a", better="higher", scale="linear")
    assert linear["score"].tolist() == pytest.approx([0.75, 1.25, 0.25, 0.5])


def test_a_reference_that_ends_where_it_began_gives_no_score():
    levels = np.log(np.array([[[1.0, 1.0], [10.0, 10.0]], [[2.0, 2.0], [2.0, 2.0]]]))
    runs = suite(levels)
    assert set(st.scores(runs, "a")["dataset"]) == {"p0"}
    assert st.left_behind(runs, "a") == ["p1"]
    with pytest.raises(NotGiven, match="the reference a gets ahead of its start on no problem"):
        st.scores(runs[runs["dataset"] == "p1"], "a")


def test_aggregates_are_rliables():
    """Its definitions: a trimmed mean over all runs, the mean shortfall from 1, and mean Mann-Whitney shares."""
    rng = np.random.default_rng(5)
    levels = rng.normal(size=(3, 7, 4))  # 28 scores an entrant: a quarter is a whole number
    scored = suite(levels).assign(score=lambda rows: rows["level"] + 0.8)
    table = st.aggregates(scored).query("over == @THESE").set_index(["statistic", "optimizer"])["estimate"]
    better = st.probability_better(scored, better="higher").query("over == @THESE").set_index(["a", "b"])["estimate"]
    for i, name in enumerate("abc"):
        x = levels[i] + 0.8
        assert table["iqm", name] == pytest.approx(stats.trim_mean(x, 0.25, axis=None))
        assert table["optimality_gap", name] == pytest.approx(1 - np.minimum(x, 1).mean())
    shares = [stats.mannwhitneyu(levels[0, j], levels[1, j], alternative="greater").statistic / 16 for j in range(7)]
    assert better["a", "b"] == pytest.approx(np.mean(shares))


def test_one_data_set_in_many_variants_counts_once():
    levels = np.zeros((2, 9, 3))
    levels[0, :8] = -1.0  # a is better on 8 variants of one data set, and worse on another
    levels[0, 8] = 1.0
    runs = suite(levels, names="ab").assign(data=lambda rows: np.where(rows["dataset"] == "p8", "other", "one"))
    table = st.probability_better(runs).set_index("over")
    assert table.loc[THESE, "estimate"] == pytest.approx(0.5)
    assert np.isnan(table.loc[LIKE_THESE, "low"])
    assert table.loc[LIKE_THESE, "note"] == "2 distinct data sets: 6 or more are needed to speak of others"


def test_equal_levels_tie_and_one_seed_has_no_interval():
    rng = np.random.default_rng(0)
    same = rng.normal(size=(1, 6, 5)) + np.zeros((2, 1, 1))
    same[1] += 1e-12
    row = st.probability_better(suite(same, names="ab").assign(resolution=1e-8)).iloc[0]
    assert row["estimate"] == pytest.approx(0.5)
    single = st.aggregates(suite(same[:, :, :1], names="ab").assign(score=0.5))
    assert single[["low", "high"]].isna().all(axis=None)
    assert (single["note"] == "1 seed: no interval").all()


def test_where_all_runs_of_one_are_better_there_is_no_interval():
    """Every draw would give 1 again."""
    levels = np.random.default_rng(0).random((2, 7, 5)) + np.array([0.0, 9.0])[:, None, None]
    table = st.probability_better(suite(levels, names="ab"))
    np.testing.assert_allclose(table["estimate"], 1.0)
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["note"] == "all runs of one are better: a bootstrap gives no interval").all()


def test_the_same_runs_in_any_order_give_the_same_bits():
    scored = suite(np.random.default_rng(1).normal(size=(2, 6, 5)), names="ab").assign(score=lambda rows: rows["level"])
    shuffled = scored.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(st.aggregates(scored), st.aggregates(shuffled))
    pd.testing.assert_frame_equal(st.probability_better(scored), st.probability_better(shuffled))


def covered(n_studies: int, over: str, n_problems: int = 10, n_seeds: int = 6) -> float:
    """How often the interval of P(a better than b) holds 1/2, with equal entrants; problems favour either by chance."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(n_studies):
        favour = rng.normal(size=(1, n_problems, 1)) * (over == LIKE_THESE)
        levels = rng.normal(size=(2, n_problems, n_seeds))
        levels[:1] += favour
        row = st.probability_better(suite(levels, names="ab")).set_index("over").loc[over]
        hits += row["low"] <= 0.5 <= row["high"]
    return hits / n_studies


@pytest.mark.parametrize(
    ("over", "n_studies"),
    [(THESE, 60), (LIKE_THESE, 60), *(pytest.param(o, 1_000, marks=pytest.mark.slow) for o in (THESE, LIKE_THESE))],
)
def test_intervals_of_the_share_of_wins_cover(over, n_studies):
    """Between 92 and 99 %: two levels of draws are a little wide."""
    share, error = covered(n_studies, over), 3 * np.sqrt(0.05 * 0.95 / n_studies)
    assert 0.92 - error <= share <= 0.99 + error


# --- sources of variance ---


def streams(n: int, deviations: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """Runs that vary each stream alone, and all together, n times each; the level adds an effect of each stream."""
    effects = {name: rng.normal(scale=size, size=n) for name, size in deviations.items()}
    rows = []
    for alone in [*deviations, None]:
        for i in range(n):
            seeds = {name: i if alone in (name, None) else 0 for name in deviations}
            given = {name: (i if alone == name else None) for name in deviations}
            level = sum(effects[name][seed] for name, seed in seeds.items())
            rows.append({"seed": i if alone is None else 0, "level": level, **given})
    return pd.DataFrame(rows).assign(dataset="d", optimizer="sgd").drop_duplicates(["seed", *deviations])


DEVIATIONS = {"seeds.split": 2.0, "seeds.init": 1.0, "seeds.order": 0.5}


def test_components_are_those_of_the_effects():
    table = st.variance_components(streams(400, DEVIATIONS, np.random.default_rng(1))).set_index("source")
    np.testing.assert_allclose(table.loc[list(DEVIATIONS), "deviation"], [2.0, 1.0, 0.5], rtol=0.1)
    np.testing.assert_allclose(table.loc[list(DEVIATIONS), "share"], np.array([4, 1, 0.25]) / 5.25, atol=0.1)
    assert abs(table.loc["rest", "share"]) < 0.15
    assert table.loc["all together", "share"] == 1.0


def test_intervals_of_the_components_are_those_of_the_f_distribution_and_cover():
    rng = np.random.default_rng(2)
    row = st.variance_components(streams(20, DEVIATIONS, rng)).set_index("source").loc["seeds.init"]
    ratio = row["share"] / stats.f.ppf([0.975, 0.025], 19, 19)
    np.testing.assert_allclose([row["low"], row["high"]], ratio, rtol=0.05)
    hits = []
    for _ in range(100):
        row = st.variance_components(streams(12, DEVIATIONS, rng)).set_index("source").loc["seeds.init"]
        hits.append(row["low"] <= 1 / 5.25 <= row["high"])
    assert np.mean(hits) >= 0.88


def test_a_run_that_is_there_twice_counts_once():
    """seeds.init=0 with seed=0 is the run with seed=0 and no seed of its own."""
    runs = streams(20, DEVIATIONS, np.random.default_rng(4))
    twice = pd.concat([runs, runs[(runs["seed"] == 0) & (runs["seeds.init"] == 0)], runs[runs["seed"] == 0].head(5)])
    table, again = st.variance_components(runs), st.variance_components(twice.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(table, again)
    assert table.set_index("source")["n"].to_dict() == dict.fromkeys([*DEVIATIONS, "all together"], 20) | {"rest": 0}


def test_without_runs_that_vary_together_shares_add_up_to_one():
    runs = streams(30, DEVIATIONS, np.random.default_rng(3))
    alone = runs[(runs["seed"] == 0) & runs[list(DEVIATIONS)].notna().any(axis=1)]
    table = st.variance_components(alone)
    assert table["source"].tolist() == list(DEVIATIONS)
    assert table["share"].sum() == pytest.approx(1.0)
    with pytest.raises(NotGiven, match=r"no two runs differ in one of seeds\.split, seeds\.init, seeds\.order alone"):
        st.variance_components(runs[runs[list(DEVIATIONS)].isna().all(axis=1)])


# --- confounds ---


def test_confounds_are_named_with_the_values_of_each_entrant():
    runs = pd.DataFrame(
        {
            "dataset": "iris",
            "optimizer": ["sgd", "sgd", "adam", "adam", "momentum", "momentum"],
            "epochs": [10, 10, 10, 10, 10, 10],
            "batching.size": [8, 16, 16, 8, 8, 16],
            "record.points": ["6", "6", "100", "100", "6", "6"],
            "stop.target": [None, None, "0.1", "0.1", None, None],
            "git.commit": ["abc"] * 5 + ["def"],
        }
    )
    assert st.confounds(runs).to_numpy().tolist() == [
        ["iris", "record points", "record.points: 100 (adam), 6 (momentum, sgd)"],
        ["iris", "stopping", "stop.target: 0.1 (adam), none (momentum, sgd)"],
        ["iris", "code", "git.commit: abc (adam, sgd), abc or def (momentum)"],
    ]
    assert st.confounds(runs[runs["optimizer"] == "sgd"]).empty
    assert st.confounds(runs, compared=("record", "stop"))["what"].tolist() == ["code"]


# --- one setting for all problems ---


def tried(levels: dict[str, list[float]], **columns: object) -> pd.DataFrame:
    """Runs of sgd on problems p0, p1, ... at each setting, with two seeds; the levels by setting."""
    rows = [
        {"dataset": f"p{i}", "data": f"p{i}", "entrant": "sgd", "setting": name, "level": level}
        for name, values in levels.items()
        for i, level in enumerate(values)
    ]
    both = [pd.DataFrame(rows).assign(seed=seed, phase="tuning") for seed in (0, 1)]
    return pd.concat(both, ignore_index=True).assign(**columns)


def test_the_one_setting_is_chosen_without_the_problem_that_it_is_judged_on():
    # over all three problems lr=1 is best, by p2 alone; without p2 it is lr=2
    runs = tried({"lr=1": [0.0, 0.0, -9.0], "lr=2": [-1.0, -1.0, 0.0]})
    held_out = tried({"lr=2": [-2.0, -2.0, -2.0]}).assign(phase="held-out", seed=lambda rows: rows["seed"] + 10)
    best = tried({"lr=2": [-1.0, -1.0], "lr=1": [0, 0, -8.0]}).query("(dataset == 'p2') == (setting == 'lr=1')")
    best = best.assign(seed=best["seed"] + 10)
    table = st.one_setting(pd.concat([runs, held_out]), best)
    assert table["setting"].tolist() == ["lr=1", "lr=1", "lr=2"]
    assert table["judged_on"].tolist() == ["tuning", "tuning", "held-out"]
    assert table["difference"].tolist() == [1.0, 1.0, 6.0]
    cost = st.cost_of_one_setting(table).iloc[0]
    assert (cost["difference"], cost["worst"], cost["worst_on"]) == (8 / 3, 6.0, "p2")


def test_variants_are_left_out_with_their_data_set_and_settings_must_be_complete():
    runs = tried({"lr=1": [0.0, 0.0, -9.0, 0.0], "lr=2": [-1.0, -1.0, 0.0, 0.0], "lr=3": [-99.0]})
    twins = runs.assign(data=runs["dataset"].replace("p3", "p2"))
    table = st.one_setting(twins, twins[twins["setting"] == "lr=1"]).set_index("dataset")
    assert table["setting"].to_dict() == {"p0": "lr=1", "p1": "lr=1", "p2": "lr=2", "p3": "lr=2"}
    with pytest.raises(NotGiven, match="1 data set: one setting for all is chosen on the others"):
        st.one_setting(runs[runs["dataset"] == "p0"], runs)
