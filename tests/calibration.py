"""How often do intervals contain the true value, and how often are tests wrong? Simulated studies with known answers.

`python -m tests.calibration` prints the tables of tests/COVERAGE.md, and `python -m tests.calibration verdicts` only
those on verdicts; the tests check the same numbers.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import integrate, special, stats

from descent_lab.analysis import statistics as st
from descent_lab.analysis.statistics.anytime import AnytimeMean, AnytimeMedian
from descent_lab.analysis.statistics.evidence import Evidence
from descent_lab.analysis.statistics.family import hierarchical
from descent_lab.analysis.statistics.hodges_lehmann import Middle
from descent_lab.analysis.statistics.means import Mean

SIZES = (5, 10, 30)
POSITIVE = {
    "log-normal, sigma 1": stats.lognorm(1.0),
    "log-normal, sigma 0.3": stats.lognorm(0.3),
    "gamma, shape 2": stats.gamma(2.0),
}
REAL = {"normal": stats.norm(10.0), "t, 3 degrees": stats.t(3, loc=20.0)}
LOSSES = POSITIVE | REAL
LOG_MEAN = {"log-normal, sigma 1": 0.0, "log-normal, sigma 0.3": 0.0, "gamma, shape 2": special.digamma(2.0)}
LUCK = {"normal": stats.norm(), "log-normal": stats.lognorm(1.0), "exponential": stats.expon()}
TUNING, SEEDS, HELD_OUT = 0.3, 0.3, 4  # deviations of a log loss by tuning and by the seed; held-out seeds of a block
BUDGETS = {"all reach it": (1.0, 1.0), "60 % reach it": (0.6, 0.6), "uneven budgets": (0.3, 1.0)}
STRATA = {"location": [0.0, 0.3, -0.2, 1.0, 0.5, -0.4], "spread": [0.5, 1.0, 0.3, 0.8, 1.2, 0.6]}


def truth(name: str, statistic: str) -> float:
    """The value of a statistic in the population."""
    law = LOSSES[name]
    if statistic == "iqm":
        return 2 * integrate.quad(law.ppf, 0.25, 0.75)[0]
    if statistic == "geometric_mean":
        return float(np.exp(LOG_MEAN[name]))
    return float(law.median() if statistic == "median" else law.mean())


def covered(table: pd.DataFrame, value: float, low: str = "low", high: str = "high") -> float:
    """The share of rows whose interval contains the value."""
    return float(((table[low] <= value) & (value <= table[high])).mean())


def studies(x: np.ndarray, **columns: object) -> pd.DataFrame:
    """A frame `study, seed, value` from x of shape (n_studies, n_seeds)."""
    study, seed = np.indices(x.shape)
    return pd.DataFrame({"study": study.ravel(), "seed": seed.ravel(), "value": x.ravel(), **columns})


def across_seeds(name: str, statistic: str, n: int, n_studies: int, seed: int = 0) -> float:
    """The coverage of `summarise`."""
    x = LOSSES[name].rvs((n_studies, n), random_state=np.random.default_rng(seed))
    return covered(st.summarise(studies(x), "study", "value", statistic), truth(name, statistic))


def over_datasets(statistic: str, n: int, n_studies: int, seed: int = 0) -> float:
    """The coverage of `summarise` pooled over six data sets with skewed values of different location and spread."""
    rng = np.random.default_rng(seed)
    location, spread = (np.array(STRATA[key]) for key in ("location", "spread"))
    law = stats.lognorm(0.7)
    pool = location + spread * law.ppf((np.arange(100_000) + 0.5) / 100_000)[:, None]
    x = location + spread * law.rvs((n_studies * n, 6), random_state=rng)
    frame = pd.DataFrame(x).melt(var_name="dataset", ignore_index=False)
    frame["study"] = frame.index // n
    middle = np.sort(pool.ravel())[len(pool) * 6 // 4 : -(len(pool) * 6) // 4]
    expected = {"median": np.median(pool), "iqm": middle.mean(), "mean": pool.mean()}[statistic]
    return covered(st.summarise(frame, "study", "value", statistic, strata="dataset"), float(expected))


def told_apart(n: int, n_studies: int, shift: float = 0.0, diverged: float = 0.0, seed: int = 0) -> float:
    """The share of studies of n seeds in which two entrants with normal log losses are told apart; b is worse by
    `shift`.

    The share `diverged` of runs diverges: they count as a start that is far above.
    """
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(n_studies, n)) / np.sqrt(2) + move for move in (0.0, shift))
    a, b = (np.where(rng.random(x.shape) < diverged, 10.0, x) for x in (a, b))
    return float(np.mean([Middle([d]).p <= 0.05 for d in a - b]))


def equal_suites(n_entrants: int, n_datasets: int, n_seeds: int, n_studies: int) -> dict[str, float]:
    """The share of studies of equal entrants on several data sets with a false verdict, for each test."""
    errors = {"Friedman": 0.0, "Nemenyi": 0.0, "Wilcoxon-Holm": 0.0}
    for study in range(n_studies):
        runs = suite(n_entrants, n_datasets, n_seeds, study)
        ranked = st.rank_pairs(runs)
        errors["Friedman"] += st.friedman(runs)["p"][0] <= 0.05
        errors["Nemenyi"] += (ranked["nemenyi"] != "indistinguishable").any()
        errors["Wilcoxon-Holm"] += (ranked["wilcoxon"] != "indistinguishable").any()
    return {name: count / n_studies for name, count in errors.items()}


def suite(n_entrants: int, n_datasets: int, n_seeds: int, seed: int) -> pd.DataFrame:
    """Runs of equal entrants: each data set has a level, each seed a start, and each run log-normal noise."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(n_datasets, 1, 1)) + rng.normal(size=(n_datasets, n_seeds, 1))
    x = np.exp(level + rng.normal(size=(n_datasets, n_seeds, n_entrants)))
    dataset, start, optimizer = np.indices(x.shape)
    columns = {"dataset": dataset, "seed": start, "optimizer": optimizer, "value": x, "level": np.log(x)}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}).assign(resolution=0.0)


def hits(n: int, n_studies: int, budget: tuple[float, float], seed: int = 0) -> pd.DataFrame:
    """Log-normal times to a target with median 1, censored by budgets that are drawn between two quantiles."""
    rng = np.random.default_rng(seed)
    time = rng.lognormal(size=(n_studies, n))
    limit = stats.lognorm(1.0).ppf(rng.uniform(*budget, size=time.shape))
    frame = studies(np.minimum(time, limit)).rename(columns={"value": "time"})
    return frame.assign(reached=(time <= limit).ravel(), spent=frame["time"])


def time_to_target(n: int, n_studies: int, budget: tuple[float, float]) -> float:
    """The coverage of the Kaplan-Meier median."""
    return covered(st.time_to_target(hits(n, n_studies, budget), "study"), 1.0)


def expected_runtime(n: int, n_studies: int, success: float) -> float:
    """The coverage of the expected running time, where the share `success` of the runs reaches the target."""
    limit = stats.lognorm(1.0).ppf(success)
    spent = integrate.quad(stats.lognorm(1.0).sf, 0, limit)[0]
    return covered(st.expected_runtime(hits(n, n_studies, (success, success)), "study"), spent / success)


def power(n: int, shift: float) -> float:
    """The rate at which the test should find a shift of normal differences with standard deviation 1.

    It is the power of the t test for 3 / pi times the number of pairs, by the asymptotic efficiency of Wilcoxon's test.
    """
    m = n * 3 / np.pi
    t, centre = stats.t.ppf(0.975, m - 1), shift * np.sqrt(m)
    return float(stats.nct.sf(t, m - 1, centre) + stats.nct.cdf(-t, m - 1, centre))


def luck(law: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What chance adds to log losses, with mean 0 and deviation 1."""
    noise = LUCK[law]
    return (noise.rvs(shape, random_state=rng) - noise.mean()) / noise.std()


def tuned_study(
    law: str, n_entrants: int, n_problems: int, n_blocks: int, rng: np.random.Generator, shift: float = 0.0
) -> pd.DataFrame:
    """Comparable runs of one study with replicated tuning; the last entrant is worse by `shift` on even problems.

    One block stands for a study with settings that are fixed, on 20 seeds.
    """
    seeds = HELD_OUT if n_blocks > 1 else 20
    shape = (n_problems, n_blocks, seeds, n_entrants)
    level = rng.normal(size=(n_problems, 1, 1, 1)) + SEEDS * rng.normal(size=(*shape[:3], 1))
    level = level + SEEDS * luck(law, shape, rng)
    if n_blocks > 1:
        level = level + TUNING * luck(law, (n_problems, n_blocks, 1, n_entrants), rng)
    level[::2, ..., -1] += shift
    problem, block, seed, entrant = (index.ravel() for index in np.indices(shape))
    columns = {"dataset": problem, "block": block, "seed": seeds * block + seed, "entrant": entrant}
    return st.comparable(pd.DataFrame(columns | {"loss": np.exp(level).ravel(), "start": 1e6}), "loss")


def false_verdicts(
    law: str, n_entrants: int, n_problems: int, n_blocks: int, n_studies: int, shift: float = 0.0, seed: int = 0
) -> tuple[float, float]:
    """The share of studies with a verdict where there is no difference, and the coverage of their intervals there.

    With a shift, only what it leaves equal is looked at: pairs without the last entrant, and odd problems.
    """
    rng = np.random.default_rng(
        [seed, n_entrants, n_problems, n_blocks, list(LUCK).index(law)]
    )  # its own for each case
    wrong, covers = 0, []
    for _ in range(n_studies):
        table = st.verdicts(tuned_study(law, n_entrants, n_problems, n_blocks, rng, shift))
        if shift:
            odd = pd.to_numeric(table["dataset"], errors="coerce") % 2 == 1
            table = table[(table["b"] < n_entrants - 1) | odd]
        wrong += (table["winner"] != "").any()
        covers.append(((table["effect_low"] <= 1) & (table["effect_high"] >= 1)).mean())
    return wrong / n_studies, float(np.mean(covers))


def block_differences(law: str, shape: tuple[int, ...], rng: np.random.Generator, skewed: bool = False) -> np.ndarray:
    """D of blocks without a difference; skewed: where one entrant alone has luck to speak of."""
    return block_of(law, shape, rng) - (0.1 if skewed else 1.0) * block_of(law, shape, rng)


def block_of(law: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The mean log loss of an entrant in each block."""
    return TUNING * luck(law, shape, rng) + SEEDS * luck(law, (*shape, HELD_OUT), rng).mean(axis=-1)


def mean_coverage(law: str, n_problems: int, n_blocks: int, n_studies: int, skewed: bool = False) -> float:
    """The coverage of the interval over blocks."""
    rng = np.random.default_rng(0)
    d = block_differences(law, (n_studies, n_problems, n_blocks), rng, skewed)
    limits = np.array([Mean(list(study)).interval(0.05) for study in d])
    return float(((limits[:, 0] <= 0) & (limits[:, 1] >= 0)).mean())


def middle_coverage(law: str, n: int, n_studies: int) -> float:
    """The coverage of the Hodges-Lehmann interval over seeds."""
    rng = np.random.default_rng(0)
    d = luck(law, (n_studies, n), rng) - luck(law, (n_studies, n), rng)
    limits = np.array([Middle([study]).interval(0.05) for study in d])
    return float(((limits[:, 0] <= 0) & (limits[:, 1] >= 0)).mean())


def found(n_blocks: int, n_problems: int, n_studies: int, ratio: float = 1.5) -> tuple[float, float]:
    """The share of studies in which a loss that is `ratio` times lower is found over blocks, and that of theory."""
    rng = np.random.default_rng(0)
    d = block_differences("normal", (n_studies, n_problems, n_blocks), rng) + np.log(ratio)
    share = float(np.mean([Mean(list(study)).p <= 0.05 for study in d]))
    variance = 2 * (TUNING**2 + SEEDS**2 / HELD_OUT) / (n_problems * n_blocks)
    degrees = n_problems * (n_blocks - 1)
    t, centre = stats.t.isf(0.025, degrees), np.log(ratio) / np.sqrt(variance)
    return share, float(np.nansum([stats.nct.sf(t, degrees, centre), stats.nct.cdf(-t, degrees, centre)]))


def verdicts_by_weight(n_blocks: int, ratio: float, n_studies: int) -> dict[float, tuple[float, float]]:
    """By the weight of single problems: the share of pairs over all problems, and of pairs on single ones, told apart.

    4 entrants on 12 problems; the loss of each is sqrt(ratio) times lower than that of the next, on every problem.
    """
    rng = np.random.default_rng(0)
    told = {weight: np.zeros(2) for weight in (1e-9, 0.25, 0.5, 0.75, 1.0)}
    for _ in range(n_studies):
        d = np.stack([block_of("normal", (12, n_blocks), rng) + np.log(ratio) / 2 * i for i in range(4)])
        rows = []
        for pair, (a, b) in enumerate(combinations(d, 2)):
            rows.append((pair, True, True, Mean(list(a - b)).p))
            rows += [(pair, False, False, Mean([x]).p) for x in a - b]
        questions = pd.DataFrame(rows, columns=["pair", "first", "opens", "p"])
        for weight, shares in told.items():
            rejected = hierarchical(questions, problems=weight)["rejected"]
            shares += [rejected[questions["first"]].mean(), rejected[~questions["first"]].mean()]
    return {weight: tuple(shares / n_studies) for weight, shares in told.items()}


def promised(kind: Callable[[list[np.ndarray]], Evidence], law: str, pilot: int, n_studies: int) -> tuple[float, ...]:
    """The median number of units that pilot studies promise to be enough, and the power with 0.75, 1, 1.25 times it.

    The true difference is the margin, 1.1; the differences have the deviation 0.25.
    """
    rng, margin = np.random.default_rng(0), np.log(1.1)

    def differences(n: int) -> np.ndarray:
        return margin + 0.25 * (luck(law, (n_studies, n), rng) - luck(law, (n_studies, n), rng)) / np.sqrt(2)

    needed = [kind([d]).units_needed(0.05, margin) for d in differences(pilot)]
    n = float(np.median(needed))
    sizes = [round(n * factor) for factor in (0.75, 1.0, 1.25)]
    return n, *(float(np.mean([kind([d]).p <= 0.05 for d in differences(size)])) for size in sizes)


def stopped_early(kind: Callable[[np.ndarray], Evidence], law: str, most: int, n_studies: int) -> float:
    """The share of studies without a difference that have a verdict at some look, where one looks after every unit."""
    rng = np.random.default_rng(0)
    d = luck(law, (n_studies, most), rng) - luck(law, (n_studies, most), rng)
    return float(np.mean([any(kind(study[:n]).p <= 0.05 for n in range(2, most + 1)) for study in d]))


def report_verdicts(n_studies: int = 1_000) -> None:
    """Print the tables of verdicts of tests/COVERAGE.md row by row."""

    def row(*cells: object) -> None:
        words = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
        print(f"| {' | '.join(words)} |", flush=True)

    row("skewed luck of one entrant", "blocks", "1 problem", "12 problems")
    for law in LUCK:
        for n_blocks in (5, 10):
            row(law, n_blocks, *(1 - mean_coverage(law, m, n_blocks, 4 * n_studies, True) for m in (1, 12)))
    row("coverage", "units", "1 problem", "12 problems")
    for law in LUCK:
        for n_blocks in (5, 10):
            row(law, f"{n_blocks} blocks", *(mean_coverage(law, m, n_blocks, 4 * n_studies) for m in (1, 12)))
        row(law, "20 seeds", middle_coverage(law, 20, 4 * n_studies), "")
    row("a 1.5 times lower loss is found", "blocks", "1 problem", "theory", "12 problems", "theory")
    for n_blocks in (5, 10):
        row("", n_blocks, *found(n_blocks, 1, 4 * n_studies), *found(n_blocks, 12, n_studies))
    row(
        "told apart over all problems, on single ones",
        "blocks",
        "ratio",
        *(f"weight {weight:g}" for weight in (0, 0.25, 0.5, 0.75, 1)),
    )
    for n_blocks in (5, 10):
        for ratio in (1.2, 1.5, 2.0):
            shares = verdicts_by_weight(n_blocks, ratio, n_studies // 5).values()
            row("", n_blocks, ratio, *(f"{pairs:.2f}, {single:.2f}" for pairs, single in shares))
    row("units promised", "law", "median", "power at 0.75 n", "at n", "at 1.25 n")
    for name, kind, pilot in (("blocks", Mean, 10), ("seeds", Middle, 20)):
        for law in LUCK:
            row(name, law, *promised(kind, law, pilot, n_studies))
    row("stopping at any of 50 looks", "law", "anytime", "fixed test")
    for name, pair in {"blocks": (AnytimeMean, mean_of), "seeds": (median_of, middle_of)}.items():
        for law in LUCK:
            row(name, law, *(stopped_early(kind, law, 50, n_studies) for kind in pair))
    row("A/A", "blocks", "entrants", "problems", "studies", "any verdict", "coverage")
    cases = {(2, 1): n_studies // 2, (2, 12): n_studies // 2, (4, 12): n_studies // 4}
    for law in LUCK:
        for n_blocks in (5, 10, 1):
            for sizes, n in cases.items():
                row(law, n_blocks, *sizes, n, *false_verdicts(law, *sizes, n_blocks, n))
    for n_blocks in (5, 10):
        n = n_studies // 4
        row("one of 4 differs", n_blocks, 4, 12, n, *false_verdicts("normal", 4, 12, n_blocks, n, np.log(3)))


def mean_of(d: np.ndarray) -> Evidence:
    return Mean([d])


def middle_of(d: np.ndarray) -> Evidence:
    return Middle([d])


def median_of(d: np.ndarray) -> Evidence:
    return AnytimeMedian([d])


def report(n_studies: int = 4_000) -> None:
    """Print the tables of tests/COVERAGE.md row by row."""

    def row(what: str, where: str, cells: list[str]) -> None:
        print(f"| {what} | {where} | {' | '.join(cells)} |", flush=True)

    def share(measure: Callable[[int], float]) -> list[str]:
        return [f"{measure(n):.3f}" for n in SIZES]

    row("statistic", "values", [f"{n} seeds" for n in SIZES])
    for statistic, laws in {
        "median": LOSSES,
        "iqm": LOSSES,
        "geometric_mean": POSITIVE,
        "mean": LOSSES,
    }.items():
        for law in laws:
            row(statistic, law, share(partial(across_seeds, law, statistic, n_studies=n_studies)))
    for statistic in ("median", "iqm", "mean"):
        row(
            f"{statistic}, 6 data sets",
            "log-normal",
            share(partial(over_datasets, statistic, n_studies=n_studies // 2)),
        )
    for cut, budget in BUDGETS.items():
        row(
            "time to target",
            cut,
            share(partial(time_to_target, n_studies=n_studies, budget=budget)),
        )
    for success in (1.0, 0.8, 0.6):
        measure = partial(expected_runtime, n_studies=n_studies, success=success)
        row("expected runtime", f"{success:.0%} reach it", share(measure))
    for diverged in (0.0, 0.2):
        row("A/A", f"{diverged:.0%} diverged", share(partial(told_apart, n_studies=n_studies, diverged=diverged)))
    for shift in (0.5, 1.0):
        row("power", f"shift {shift:g}", share(partial(told_apart, n_studies=n_studies, shift=shift)))
        row("theory", f"shift {shift:g}", share(partial(power, shift=shift)))
    for n_datasets in (6, 12):
        for name, error in equal_suites(4, n_datasets, 5, n_studies // 8).items():
            row(f"A/A, {n_datasets} data sets, 4 entrants", name, [f"{error:.3f}", "", ""])


if __name__ == "__main__":
    if sys.argv[1:] != ["verdicts"]:
        report()
    report_verdicts()
