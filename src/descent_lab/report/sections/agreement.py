"""Backends: whether those that are to follow the same trajectory do."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.analysis.measure import TRAINING
from descent_lab.analysis.statistics.agreement import FIRST, TOLERANCE
from descent_lab.report.blocks import Block, Files, Rows, Words, grouped
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section, Table
from descent_lab.report.words import listed

HEAD = ("problem", "optimizer", "backend", "against", "pairs", f"first {FIRST} steps", "all steps", "apart from step")
SAID = (
    "Largest relative difference of the training loss between runs that differ in their backend alone, and the first "
    f"step at which it is more than {TOLERANCE}."
)


def agreement(report: Report) -> pd.DataFrame:
    """Each backend against the reference, by problem and optimizer."""
    return st.agreement(report.study.curves_of(TRAINING.metric), report.study.runs, ["dataset", "without_backend"])


def in_words(table: pd.DataFrame) -> list[str]:
    """The backends that are the same trajectory, and those that are not."""
    lines = []
    for against, rows in grouped(table, "against"):
        same = rows.groupby("backend", sort=True).filter(lambda of_one: (of_one["first"] <= TOLERANCE).all())
        if len(same):
            most = f"{same['first'].max():.0e} (relative) over the first {FIRST} steps"
            lines.append(f"{listed(sorted(set(same['backend'])))} and {against}: training losses agree to {most}.")
        for row in rows[rows["first"] > TOLERANCE].itertuples():
            where = f"{row.dataset}, {row.without_backend}: from step {row.parts_at:.0f}, by {row.first:.0e} (relative)"
            lines.append(f"{row.backend} leaves the trajectory of {against} on {where} in the first {FIRST} steps.")
    return lines


def content(report: Report) -> Iterator[Block]:
    """The table, where several backends were run."""
    if not report.given("agreement"):
        return
    body = []
    for row in report.table("agreement").itertuples():
        parts_at = "never" if np.isnan(row.parts_at) else f"{row.parts_at:.0f}"
        named = [row.dataset, row.without_backend, row.backend, row.against, str(row.n)]
        body.append([*named, f"{row.first:.1e}", f"{row.all:.1e}", parts_at])
    yield Words(SAID)
    yield Rows(HEAD, body)
    yield Files(["agreement"])


RECIPE = "statistics.agreement of train/loss, each backend against numpy on the same seeds and lr"
SECTIONS.add(
    "agreement",
    Section("Agreement of backends", 36, tables={"agreement": Table(agreement, RECIPE)}, content=content),
)
