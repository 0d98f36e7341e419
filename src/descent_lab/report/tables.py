"""Frames as the page shows them: few columns, three digits, intervals in brackets."""

import json
from typing import Any

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.agreement import FIRST
from descent_lab.report.numbers import PAIR, Numbers
from descent_lab.report.sentences import interval, number

RUN_COLUMNS = {
    "name": "run", "dataset": "problem", "entrant": "entrant", "lr": "lr", "seed": "seed", "status": "status",
    "final_train_loss": "training loss", "test": "test", "steps": "steps", "step_seconds": "step seconds",
    "timing": "timing", "sweep": "sweep",
}  # fmt: skip


def shown(head: list[str], body: list[list[str]]) -> dict[str, Any]:
    return {"head": head, "body": body}


def results(table: pd.DataFrame, short: bool = False) -> dict[str, Any]:
    """short: the entrant alone says what its backend and optimizer are."""
    head = ["problem", "backend", "optimizer", "entrant", "lr", "seeds", "training loss", "test", "diverged", "note"]
    body = []
    for row in table.itertuples():
        test = "–"
        if isinstance(row.test_metric, str):
            test = f"{row.test_metric} {interval(row.test, row.test_low, row.test_high)}"
        lr = f"{row.lr:g}" if row.share == 1 else f"{row.lr:g} (on {row.share:.0%} of seeds)"
        loss = interval(row.loss, row.loss_low, row.loss_high)
        named = [row.dataset, row.backend, row.optimizer, row.entrant]
        body.append([*named, lr, str(row.seeds), loss, test, str(row.diverged), row.note])
    left_out = {"backend", "optimizer"} if short else set()
    left_out |= set() if any(row[-1] for row in body) else {"note"}
    kept = [i for i, name in enumerate(head) if name not in left_out]
    return shown([head[i] for i in kept], [[row[i] for i in kept] for row in body])


def pairs(table: pd.DataFrame) -> dict[str, Any]:
    head = ["problem", "a", "b", "pairs", "a better", "a / b (or a - b)", "p (Holm)", "verdict", "note"]
    body = []
    for row in table.itertuples():
        better = f"{row.improvement:.0%} [{row.improvement_low:.0%}, {row.improvement_high:.0%}]"
        effect = interval(row.effect, row.effect_low, row.effect_high, "∞")
        said = [row.dataset, row.a, row.b, str(row.n), better, effect, number(row.p_holm), row.verdict, row.note]
        body.append(said)
    return shown(head, body)


def times(table: pd.DataFrame) -> dict[str, Any]:
    head = ["clock", "problem", "target level", "entrant", "reached", "median time", "expected running time"]
    body = []
    for row in table.itertuples():
        median = interval(row.median, row.low, row.high, "not reached")
        ert = interval(row.ert, row.ert_low, row.ert_high, "∞")
        named = [row.clock.replace("_", " "), row.dataset, f"{row.level:g}", row.entrant]
        body.append([*named, f"{row.reached} of {row.n}", median, ert])
    return shown(head, body)


def plain(table: pd.DataFrame, columns: dict[str, str]) -> dict[str, Any]:
    """Chosen columns under other names; numbers with three digits."""
    kept = [name for name in columns if name in table]
    body = [[_say(value) for value in row] for row in table[kept].itertuples(index=False)]
    return shown([columns[name] for name in kept], body)


def _say(value: Any) -> str:
    if isinstance(value, float | np.floating):
        x = float(value)
        return f"{x:g}" if x.is_integer() and abs(x) < 1e6 else number(x, "∞")
    return str(value)


def ledger(table: pd.DataFrame) -> dict[str, Any]:
    names = {
        "dataset": "problem", "phase": "phase", "entrant": "entrant", "trials": "lr tried", "seeds": "seeds",
        "runs": "runs", "diverged": "diverged", "steps": "steps", "gradients": "gradient-equivalents",
        "seconds": "step seconds", "unequal": "unequal in",
    }  # fmt: skip
    return plain(table, names)


def step_cost(table: pd.DataFrame) -> dict[str, Any]:
    body = [
        [row.dataset, row.entrant, str(row.n), interval(1e6 * row.estimate, 1e6 * row.low, 1e6 * row.high)]
        for row in table.itertuples()
    ]
    return shown(["problem", "entrant", "runs", "microseconds per step"], body)


def agreement(table: pd.DataFrame) -> dict[str, Any]:
    head = [
        "problem",
        "optimizer",
        "backend",
        "against",
        "pairs",
        f"first {FIRST} steps",
        "all steps",
        "apart from step",
    ]
    body = []
    for row in table.itertuples():
        parts_at = "never" if np.isnan(row.parts_at) else f"{row.parts_at:.0f}"
        named = [row.dataset, row.rule, row.backend, row.against, str(row.n)]
        body.append([*named, f"{row.first:.1e}", f"{row.all:.1e}", parts_at])
    return shown(head, body)


def confusions(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for key, group in table.groupby(PAIR, sort=True) if len(table) else ():
        counts = group.pivot_table(index="truth", columns="prediction", values="count", aggfunc="sum").to_numpy()
        share = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).round(3)
        rows = [
            [{"count": int(n), "share": float(s)} for n, s in zip(line, shares, strict=True)]
            for line, shares in zip(counts, share, strict=True)
        ]
        found.append({"title": f"{key[0]}: {key[1]}", "classes": range(len(counts)), "rows": rows})
    return found


def every_run(found: Numbers) -> pd.DataFrame:
    """All runs that are compared, with their test metric in one column."""
    runs = found.study.runs
    scores = [runs[name] for name in ("final_test_accuracy", "final_test_rmse") if name in runs]
    test = scores[0] if scores else pd.Series(np.nan, index=runs.index)
    for other in scores[1:]:
        test = test.fillna(other)
    return runs.assign(test=test)


def run_data(found: Numbers, link: str) -> str:
    """The runs as JSON, for the page's own table."""
    runs = every_run(found)
    kept = [name for name in RUN_COLUMNS if name in runs]
    rows = [[_plain(value) for value in row] for row in runs[kept].itertuples(index=False)]
    data = {"head": [RUN_COLUMNS[name] for name in kept], "rows": rows, "links": link.rstrip("/")}
    data |= {"ids": list(runs["run_id"]), "experiments": list(runs["experiment_id"])}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return None if value is None else str(value)
