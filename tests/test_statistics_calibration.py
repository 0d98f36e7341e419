"""95 % intervals contain the true value in 95 % of simulated studies, and at most 5 % of equal entrants are told apart.

The quick tests simulate hundreds of studies, the slow ones thousands. Both allow for the binomial error of the shares.
The measured numbers are in tests/COVERAGE.md.
"""

import numpy as np
import pytest
from scipy import stats

from tests import calibration as study
from tests import end_to_end

LONG = pytest.param(4_000, marks=pytest.mark.slow)
SLOW = pytest.param(1_000, marks=pytest.mark.slow)


def chance(share: float, n_studies: int) -> float:
    """The error that a simulated share may have: three standard errors."""
    return 3 * float(np.sqrt(share * (1 - share) / n_studies))


def holds(coverage: float, n_studies: int, least: float = 0.93, most: float = 0.97) -> bool:
    return least - chance(least, n_studies) <= coverage <= most + chance(most, n_studies)


def within_nominal(errors: float, n_studies: int, level: float = 0.05) -> bool:
    """Whether a share of false verdicts is compatible with the level, by the binomial distribution."""
    return bool(stats.binom.sf(round(errors * n_studies) - 1, n_studies, level) > 0.001)


@pytest.mark.parametrize("n_studies", [500, LONG])
@pytest.mark.parametrize("law", study.LOSSES)
@pytest.mark.parametrize("n", study.SIZES)
def test_median_intervals_cover(n, law, n_studies):
    assert holds(study.across_seeds(law, "median", n, n_studies), n_studies)


@pytest.mark.parametrize("n_studies", [300, LONG])
@pytest.mark.parametrize("law", study.POSITIVE)
@pytest.mark.parametrize("n", study.SIZES)
def test_geometric_mean_intervals_cover(n, law, n_studies):
    assert holds(study.across_seeds(law, "geometric_mean", n, n_studies), n_studies)


@pytest.mark.parametrize(
    ("law", "n", "n_studies"),
    [("log-normal, sigma 1", 5, 300), ("log-normal, sigma 1", 10, 300)]
    + [pytest.param(law, n, 2_000, marks=pytest.mark.slow) for law in study.LOSSES for n in study.SIZES],
)
def test_iqm_intervals_cover(law, n, n_studies):
    assert holds(study.across_seeds(law, "iqm", n, n_studies), n_studies)


@pytest.mark.slow
@pytest.mark.parametrize("n", study.SIZES)
def test_mean_intervals_of_skewed_losses_fall_short_as_their_note_says(n):
    coverage = study.across_seeds("log-normal, sigma 1", "mean", n, 2_000)
    assert holds(coverage, 2_000, least=0.895, most=0.93)
    assert holds(study.across_seeds("normal", "mean", n, 2_000), 2_000)


@pytest.mark.parametrize("n_studies", [200, SLOW])
@pytest.mark.parametrize(("statistic", "n"), [("iqm", 5), ("iqm", 10), ("median", 10)])
def test_intervals_over_data_sets_cover(statistic, n, n_studies):
    assert holds(study.over_datasets(statistic, n, n_studies), n_studies)


def test_pooled_medians_of_few_seeds_cover_at_least_what_they_promise():
    assert study.over_datasets("median", 5, 500) >= 0.95


@pytest.mark.parametrize("n_studies", [300, LONG])
@pytest.mark.parametrize("budget", study.BUDGETS)
@pytest.mark.parametrize("n", study.SIZES)
def test_time_to_target_intervals_cover(n, budget, n_studies):
    least = 0.895 if (n, budget) == (5, "uneven budgets") else 0.93  # as the note of `time_to_target` says
    assert holds(study.time_to_target(n, n_studies, study.BUDGETS[budget]), n_studies, least)


@pytest.mark.parametrize("n_studies", [300, LONG])
@pytest.mark.parametrize("n", study.SIZES)
@pytest.mark.parametrize(("success", "least"), [(0.6, 0.925), (0.8, 0.925), (1.0, 0.885)])
def test_expected_runtime_intervals_cover_as_their_note_says(success, least, n, n_studies):
    assert holds(study.expected_runtime(n, n_studies, success), n_studies, least)


@pytest.mark.parametrize("n_studies", [200, LONG])
@pytest.mark.parametrize("diverged", [0.0, 0.2])
@pytest.mark.parametrize("n", study.SIZES)
def test_the_same_optimizer_under_two_names_is_told_apart_at_most_nominally(n, diverged, n_studies):
    assert within_nominal(study.told_apart(n, n_studies, diverged=diverged), n_studies)


@pytest.mark.parametrize("n_studies", [20, SLOW])
@pytest.mark.parametrize("n_datasets", [6, 12])
def test_equal_entrants_over_data_sets_are_held_equal_by_every_test(n_datasets, n_studies):
    for name, errors in study.equal_suites(4, n_datasets, 5, n_studies).items():
        assert within_nominal(errors, n_studies), name


@pytest.mark.parametrize("n_studies", [200, LONG])
@pytest.mark.parametrize(("n", "shift"), [(10, 1.0), (30, 0.5), (30, 0.75)])
def test_a_known_difference_is_found_at_the_rate_of_theory(n, shift, n_studies):
    expected = study.power(n, shift)
    assert abs(study.told_apart(n, n_studies, shift) - expected) < 0.025 + chance(expected, n_studies)


# --- verdicts ---


@pytest.mark.parametrize(
    ("law", "n_entrants", "n_problems", "n_blocks", "n_studies"),
    [("normal", 2, 1, 5, 60), ("exponential", 2, 12, 5, 40), ("log-normal", 4, 6, 10, 20), ("normal", 2, 12, 1, 30)]
    + [
        pytest.param(law, *sizes, 1_000, marks=pytest.mark.slow)
        for law in study.LUCK
        for sizes in ((2, 1, 5), (2, 12, 5), (2, 1, 10), (2, 12, 10), (4, 12, 5), (2, 12, 1))
    ],
)
def test_reports_of_equal_entrants_have_a_verdict_in_at_most_5_percent(
    law, n_entrants, n_problems, n_blocks, n_studies
):
    errors, coverage = study.false_verdicts(law, n_entrants, n_problems, n_blocks, n_studies)
    assert within_nominal(errors, n_studies)
    assert coverage >= 0.93 - chance(0.93, n_studies)


@pytest.mark.parametrize("n_studies", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_entrants_that_differ_elsewhere_cause_no_false_verdict(n_studies):
    errors, _ = study.false_verdicts("normal", 4, 12, 5, n_studies, shift=np.log(3))
    assert within_nominal(errors, n_studies)


@pytest.mark.parametrize("n_studies", [300, LONG])
@pytest.mark.parametrize("law", study.LUCK)
@pytest.mark.parametrize("n_blocks", [5, 10])
def test_intervals_over_blocks_cover(n_blocks, law, n_studies):
    for n_problems in (1, 12):
        assert holds(study.mean_coverage(law, n_problems, n_blocks, n_studies), n_studies)


@pytest.mark.slow
@pytest.mark.parametrize(("n_problems", "least"), [(1, 0.88), (12, 0.92)])
@pytest.mark.parametrize("law", ["log-normal", "exponential"])
def test_intervals_cover_less_where_the_luck_of_one_entrant_alone_is_skewed(law, n_problems, least):
    assert holds(study.mean_coverage(law, n_problems, 5, 4_000, skewed=True), 4_000, least, 0.955)


@pytest.mark.parametrize("n_studies", [400, LONG])
@pytest.mark.parametrize("law", study.LUCK)
def test_hodges_lehmann_intervals_cover(law, n_studies):
    assert holds(study.middle_coverage(law, 20, n_studies), n_studies)


@pytest.mark.parametrize("n_studies", [300, LONG])
@pytest.mark.parametrize("n_blocks", [5, 10])
def test_a_loss_that_is_1_5_times_lower_is_found_at_the_rate_of_theory(n_blocks, n_studies):
    share, expected = study.found(n_blocks, 1, n_studies)
    assert abs(share - expected) < chance(expected, n_studies)


@pytest.mark.parametrize("n_studies", [100, SLOW])
@pytest.mark.parametrize(
    ("kind", "law", "pilot"),
    [(study.Mean, "normal", 10), (study.Mean, "exponential", 10)] + [(study.Middle, law, 20) for law in study.LUCK],
)
def test_the_promised_number_of_units_is_right_within_a_quarter(kind, law, pilot, n_studies):
    _, fewer, _, more = study.promised(kind, law, pilot, n_studies)
    error = chance(0.8, n_studies)
    assert fewer - error <= 0.8 <= more + error


@pytest.mark.parametrize("n_studies", [100, SLOW])
@pytest.mark.parametrize("law", study.LUCK)
@pytest.mark.parametrize("kind", [study.AnytimeMean, study.median_of])
def test_studies_may_grow_until_there_is_a_verdict(kind, law, n_studies):
    assert within_nominal(study.stopped_early(kind, law, 30, n_studies), n_studies)


def test_looking_at_a_fixed_test_again_and_again_is_wrong_too_often():
    assert study.stopped_early(study.mean_of, "normal", 30, 100) > 0.1


@pytest.mark.parametrize(
    ("law", "n_problems", "n_blocks", "n_studies"),
    [("normal", 1, 5, 10), ("exponential", 3, 5, 5), ("normal", 1, 1, 10)]
    + [pytest.param(law, m, r, 400, marks=pytest.mark.slow) for law in study.LUCK for m in (1, 12) for r in (5, 10)],
)
def test_no_page_calls_an_optimizer_better_than_itself_in_more_than_5_percent(law, n_problems, n_blocks, n_studies):
    wrong, _ = end_to_end.in_many_pools(law, n_problems, n_blocks, n_studies)
    level = 0.05 if n_blocks > 1 else 0.2  # one block leaves out the variance of tuning, and its headlines say so
    assert within_nominal(wrong, n_studies, level)


def test_a_page_calls_an_optimizer_better_that_is():
    rng = np.random.default_rng(0)
    runs = end_to_end.study(end_to_end.simulated_pools("normal", 2, rng), 2, 5, rng)
    runs["loss"] *= np.where(runs["entrant"] == "e1", 5.0, 1.0)
    _, said = end_to_end.page(runs)
    assert said[0] == "e0 is better than e1."


@pytest.mark.slow
def test_no_page_of_real_runs_calls_an_optimizer_better_than_itself_in_more_than_5_percent():
    pools = end_to_end.real_pools(n_seeds=200, epochs=10)
    assert set(pools) == set(end_to_end.DATA)
    assert within_nominal(end_to_end.false_words(pools, 2, 5, 200)[0], 200)
