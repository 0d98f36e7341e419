"""How often does a report say that one optimizer is better than itself? Whole studies, from tuning to words.

`python -m tests.end_to_end` prints the table of tests/COVERAGE.md. The same optimizer enters each study twice. Each
entrant is tuned on seeds of its own, drawn at random from a pool of runs; both are judged on the same held-out seeds.
The code is that of reports: it selects settings block by block, and makes values comparable, verdicts and words. The
pools are simulated, or runs of the harness on real data sets.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

import descent_lab as dl
from descent_lab.analysis import statistics as st
from descent_lab.analysis.measure import THEN_BY, TUNED_BY, Measure
from descent_lab.analysis.selection import select
from descent_lab.report.verdict_words import Wording, details, headline
from descent_lab.tracking.study_record import StudyRecord
from tests.calibration import LUCK, luck

TUNING, HELD_OUT = 3, 4  # seeds of a block
ONE_BLOCK = (5, 20)  # tuning and held-out seeds of a study of one block
RATES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # so close that the best one varies with the tuning seeds
DATA = ("iris", "wine", "diabetes")
ASKED = st.Asked()
WORDING = Wording(Measure(), ASKED, tuned=True)
Pools = Mapping[str, np.ndarray]  # the losses of each problem, shape (2, n_settings, n_seeds): at the start, at the end


def simulated_pools(law: str, n_problems: int, rng: np.random.Generator, n_seeds: int = 200) -> Pools:
    """Log losses are lowest near the middle of the settings, by which they differ less than by seed."""
    bowl = 0.1 * (np.arange(len(RATES)) - 2.4)[:, None] ** 2
    pools = {}
    for problem in range(n_problems):
        level = rng.normal() + bowl + 0.2 * rng.normal(size=n_seeds) + 0.3 * luck(law, (len(RATES), n_seeds), rng)
        pools[f"p{problem}"] = np.exp([np.full(level.shape, 5.0), level])
    return pools


def real_pools(n_seeds: int, epochs: int) -> Pools:
    """Runs of sgd on three data sets."""
    pools = {}
    for data in DATA:
        words = [f"dataset={data}", "optimizer=sgd", f"lr={','.join(map(str, RATES))}", f"seed=range({n_seeds})"]
        results = dl.sweep([*words, f"epochs={epochs}", "record.points=2"], progress=False)
        runs = results.runs.assign(start=results.runs["run_id"].map(st.starts(results.curves)))
        runs.loc[runs["status"] == "diverged", "final_train_loss"] = np.inf
        wide = [runs.pivot(index="lr", columns="seed", values=name) for name in ("start", "final_train_loss")]
        pools[data] = np.stack([table.to_numpy(float) for table in wide])
    return pools


def study(pools: Pools, n_entrants: int, n_blocks: int, rng: np.random.Generator) -> pd.DataFrame:
    """The runs of one study, as `selection.select` wants them: every setting on every seed, for every entrant."""
    tuning, held_out = (TUNING, HELD_OUT) if n_blocks > 1 else ONE_BLOCK
    n = n_blocks * tuning
    seeds = np.arange(n + n_blocks * held_out)
    plan = StudyRecord(
        {"lr": {"values": list(RATES)}},
        "grid",
        len(RATES),
        "train/loss",
        "final",
        n_blocks,
        seeds[:n].reshape(n_blocks, tuning).tolist(),
        seeds[n:].reshape(n_blocks, held_out).tolist(),
    )
    parts = []
    for problem, pool in pools.items():
        drawn = rng.permutation(pool.shape[2])
        for entrant in range(n_entrants):
            own = np.concatenate([drawn[(entrant + 1) * n :][:n], drawn[-n_blocks * held_out :]])
            place, seed = (index.ravel() for index in np.indices((len(RATES), len(seeds))))
            start, loss = pool[:, place, own[seed]]
            columns = {"place": place, "lr": np.take(RATES, place), "seed": seed, "start": start, "loss": loss}
            parts.append(pd.DataFrame(columns).assign(dataset=problem, entrant=f"e{entrant}"))
    runs = pd.concat(parts, ignore_index=True)
    runs["status"] = np.where(np.isfinite(runs["loss"]), "finished", "diverged")
    chosen_by = runs["loss"].fillna(np.inf)
    runs = runs.assign(**{TUNED_BY: chosen_by, THEN_BY: chosen_by})
    return runs.assign(setting="lr=" + runs["lr"].astype(str), started=0, **{"tracking.tuning": plan.text})


def page(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The verdicts of a study, and all that its page says of them."""
    table = st.verdicts(st.comparable(select(runs).runs, "loss"), asked=ASKED)
    rows = [part for _, part in table.groupby("dataset")]
    said = [headline(part, WORDING) for part in rows]
    return table, said + [line for part in rows for line in details(part, WORDING)]


def false_words(pools: Pools, n_entrants: int, n_blocks: int, n_studies: int, seed: int = 0) -> tuple[float, float]:
    """The share of studies whose words call an entrant better than itself, and the coverage of all intervals."""
    rng, wrong, covers = np.random.default_rng(seed), 0, []
    for _ in range(n_studies):
        table, said = page(study(pools, n_entrants, n_blocks, rng))
        wrong += any("better than" in sentence and "No entrant is shown" not in sentence for sentence in said)
        covers.append(((table["effect_low"] <= 1) & (table["effect_high"] >= 1)).mean())
    return wrong / n_studies, float(np.mean(covers))


def report(kinds: Sequence[str], n_studies: int = 200) -> None:
    """Print the table row by row."""

    def row(name: str, n_problems: int, n_blocks: int, n: int, result: Sequence[float]) -> None:
        cells = [name, n_problems, n_blocks, n, *(f"{share:.3f}" for share in result)]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)

    print("| runs | problems | blocks | studies | called better | coverage |")
    if "real" in kinds:
        pools = real_pools(n_seeds=400, epochs=20)
        for n_blocks in (5, 10, 1):
            for data in DATA:
                row(data, 1, n_blocks, n_studies, false_words({data: pools[data]}, 2, n_blocks, n_studies))
            row("all three", 3, n_blocks, n_studies, false_words(pools, 2, n_blocks, n_studies))
    if "simulated" in kinds:
        for law in LUCK:
            for n_problems, n in ((1, n_studies), (12, n_studies // 2)):
                for n_blocks in (5, 10, 1):
                    row(f"simulated, {law}", n_problems, n_blocks, n, in_many_pools(law, n_problems, n_blocks, n))


def in_many_pools(law: str, n_problems: int, n_blocks: int, n_studies: int) -> np.ndarray:
    """`false_words` of studies in simulated pools, 5 studies each, so that no single pool decides."""
    rng = np.random.default_rng([n_problems, n_blocks, list(LUCK).index(law)])
    pools = (simulated_pools(law, n_problems, rng) for _ in range(n_studies // 5))
    return np.mean([false_words(pool, 2, n_blocks, 5, seed) for seed, pool in enumerate(pools)], axis=0)


if __name__ == "__main__":
    report(sys.argv[1:] or ["real", "simulated"])
