"""How often does a whole study say something wrong? Studies in which the same optimizer competes with itself (A/A).

Each study goes through the very code of a report: the choice of settings, the pairs, the family and the words.
`python -m tests.honesty` prints the tables of docs/honesty.md; the tests check the same numbers in short.

- simulated: log losses of 5 settings whose true medians differ, with noise of a given law from seed to seed.
- real: runs of one optimizer on a data set, at 7 learning rates on many seeds. A study draws its seeds from them: each
  of the two entrants gets tuning seeds of its own, and both the same held-out seeds.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from descent_lab.report.report import Report
from descent_lab.report.sections import summary
from descent_lab.tracking.reader import Results
from descent_lab.tracking.reader.arrays import Artifacts

LAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "log-normal": lambda rng, shape: rng.lognormal(0.0, 1.0, shape) - np.exp(0.5),
    "exponential": lambda rng, shape: rng.exponential(1.0, shape) - 1.0,
}
RATES = np.geomspace(0.001, 1.0, 7)
TUNING, HELD_OUT = 3, 4  # seeds of a block
NOISE = 0.4  # deviation of a log loss from seed to seed, at one setting
CLAIMS = (" is better than", " is slightly better than", " better or slightly better than")


@dataclass(frozen=True)
class Said:
    """What the report of a study says: whether any winner is named, in its table and in its words, and the pairs."""

    table: bool
    words: bool
    pairs: pd.DataFrame


def seeds_of(blocks: int) -> dict[str, list[list[int]]]:
    """The seeds of a plan: those of block r for tuning, and those held out."""
    return {
        "tuning_seeds": [list(range(TUNING * r, TUNING * (r + 1))) for r in range(blocks)],
        "held_out_seeds": [list(range(1000 + HELD_OUT * r, 1000 + HELD_OUT * (r + 1))) for r in range(blocks)],
    }


def plan_of(blocks: int) -> str:
    """What each run of a study says of it."""
    told = {"space": {"lr": {"values": RATES.tolist()}}, "search": "grid", "trials": len(RATES), "by": "train/loss"}
    return json.dumps(told | {"at": "final", "blocks": blocks} | seeds_of(blocks))


def said_of(losses: Iterator[pd.DataFrame], blocks: int) -> Said:
    """What a report says of a study. losses: `dataset, optimizer, lr, seed, final_train_loss` of its parts."""
    runs = pd.concat(losses, ignore_index=True)
    n = len(runs)
    ids = [f"r{i}" for i in range(n)]
    runs = runs.assign(
        run_id=ids, backend="jax", schedule="constant", experiment="aa", timing="shared", status="finished",
        started=np.arange(n), sweep="aa", steps=100, passes=10.0, cost_gradient_equivalents=10.0, step_seconds=0.1,
        **{"tracking.tuning": plan_of(blocks), "git.commit": "0", "data": None},
    )  # fmt: skip
    curves = pd.DataFrame({"run_id": ids, "step": 0, "epoch": 0.0, "step_seconds": 0.0})
    curves = curves.assign(metric="train/loss", value=1e6)
    params = ("backend", "dataset", "schedule", "optimizer", "lr", "seed", "tracking.tuning")
    report = Report.of(Results("memory", runs, curves, 0, ("aa",), params, Artifacts("memory", {})))
    pairs = report.table("pairs")
    cards = [*filter(None, [summary.overall(report)]), *summary.verdicts(report)]
    sentences = " ".join(f"{card.headline} {' '.join(card.details)}" for card in cards)
    return Said(bool((pairs["winner"] != "").any()), any(claim in sentences for claim in CLAIMS), pairs)


def simulated(law: str, blocks: int, problems: int, seed: int, entrants: int = 2, ratio: float = 1.0) -> Said:
    """A study of equal entrants. ratio: the loss of the first entrant is lower by this factor; 1: all are equal."""
    rng = np.random.default_rng(seed)
    plan = seeds_of(blocks)
    tuning = [seed for block in plan["tuning_seeds"] for seed in block]
    held_out = [seed for block in plan["held_out_seeds"] for seed in block]
    bowl = 0.35 * (np.arange(len(RATES)) - 3) ** 2 / 3  # log loss over the best, by setting; neighbours are close

    def parts() -> Iterator[pd.DataFrame]:
        for problem in range(problems):
            shared = rng.standard_normal(len(tuning) + len(held_out))  # the luck of a start, which entrants share
            for entrant in range(entrants):
                noise = NOISE * LAWS[law](rng, (len(shared), len(RATES)))
                level = shared[:, None] + bowl + noise - np.log(ratio) * (entrant == 0)
                seed_at, rate_at = np.indices(level.shape)
                yield pd.DataFrame(
                    {
                        "dataset": f"problem{problem:02d}",
                        "optimizer": f"entrant{entrant}",
                        "lr": RATES[rate_at.ravel()],
                        "seed": np.array(tuning + held_out)[seed_at.ravel()],
                        "final_train_loss": np.exp(level.ravel()),
                    }
                )

    return said_of(parts(), blocks)


def pool(dataset: str, optimizer: str, n_seeds: int, epochs: int = 20) -> np.ndarray:
    """Final training losses of real runs, shape (n_seeds, n_rates); infinite where a run diverged."""
    import descent_lab as dl

    rates = ",".join(f"{rate:.4g}" for rate in RATES)
    words = f"backend=jax batching=minibatch dataset={dataset} optimizer={optimizer} lr={rates} record.points=2"
    runs = dl.sweep(f"{words} epochs={epochs} seed=range({n_seeds})", progress=False).runs
    losses = runs["final_train_loss"].where(runs["status"] == "finished", np.inf)
    return runs.assign(loss=losses).pivot(index="seed", columns="lr", values="loss").to_numpy()


def drawn(losses: np.ndarray, dataset: str, blocks: int, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
    """Two entrants of one study from the pool of one optimizer: tuning seeds of their own, held-out seeds in common."""
    n = blocks * (2 * TUNING + HELD_OUT)
    rows = rng.permutation(len(losses))[:n]
    first, second, held_out = np.split(rows, [blocks * TUNING, 2 * blocks * TUNING])
    plan = seeds_of(blocks)
    seeds = [seed for name in ("tuning_seeds", "held_out_seeds") for block in plan[name] for seed in block]
    for name, tuning in (("sgd", first), ("the_same", second)):
        values = losses[np.concatenate([tuning, held_out])]
        seed_at, rate_at = np.indices(values.shape)
        yield pd.DataFrame(
            {
                "dataset": dataset,
                "optimizer": name,
                "lr": RATES[rate_at.ravel()],
                "seed": np.array(seeds)[seed_at.ravel()],
                "final_train_loss": values.ravel(),
            }
        )


def rate_of(told: list[bool]) -> str:
    """A share with its 95 % interval (Clopper & Pearson 1934)."""
    interval = stats.binomtest(sum(told), len(told)).proportion_ci()
    return f"{np.mean(told):.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def table_of_simulations(n_studies: int) -> Iterator[str]:
    """False verdicts in simulated studies of equal entrants, and true ones where one is 1.5 times lower."""
    yield "| law | blocks | problems | entrants | studies | any winner | in words | 1.5 times lower, found |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for law in LAWS:
        for blocks, problems, entrants in ((5, 1, 2), (10, 1, 2), (5, 12, 2), (10, 12, 2), (5, 12, 4)):
            n = n_studies if problems == 1 else max(n_studies // 4, 1)
            aa = [simulated(law, blocks, problems, seed, entrants) for seed in range(n)]
            ab = [simulated(law, blocks, problems, seed, 2, 1.5) for seed in range(n)] if entrants == 2 else []
            power = rate_of([bool((said.pairs["winner"] == "entrant0").any()) for said in ab]) if ab else "–"
            cells = [law, blocks, problems, entrants, n, rate_of([s.table for s in aa]), rate_of([s.words for s in aa])]
            yield f"| {' | '.join(map(str, cells))} | {power} |"


def table_of_real_studies(n_studies: int, n_seeds: int) -> Iterator[str]:
    """False verdicts where real runs of one optimizer compete with themselves."""
    yield "| optimizer | data sets | blocks | studies | any winner |"
    yield "| --- | --- | --- | --- | --- |"
    for optimizer in ("sgd", "adam"):
        pools = {name: pool(name, optimizer, n_seeds) for name in ("iris", "wine", "diabetes")}
        together = [(name,) for name in pools] + [tuple(pools)]
        for blocks in (5, 10):
            for names in together:
                rng, told = np.random.default_rng(len(names)), []
                for _ in range(n_studies):
                    parts = [part for name in names for part in drawn(pools[name], name, blocks, rng)]
                    told.append(said_of(iter(parts), blocks).words)
                yield f"| {optimizer} | {', '.join(names)} | {blocks} | {n_studies} | {rate_of(told)} |"


def main() -> None:
    """Print both tables."""
    short = "short" in sys.argv
    for line in table_of_simulations(40 if short else 1000):
        print(line, flush=True)
    print()
    for line in table_of_real_studies(20 if short else 400, 120 if short else 400):
        print(line, flush=True)


if __name__ == "__main__":
    main()
