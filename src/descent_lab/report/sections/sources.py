"""Sources of variance: how much of the spread is the split, the start, the order of batches, and the tuning."""

from collections.abc import Iterator
from dataclasses import fields

import pandas as pd

from descent_lab.analysis import statistics as st
from descent_lab.errors import NotGiven
from descent_lab.report.blocks import Block, Files, Heading, Words, plain
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section, Table
from descent_lab.seeding import Seeds

STREAMS = {
    "dataset": "problem", "entrant": "entrant", "setting": "setting", "source": "source", "n": "runs",
    "deviation": "standard deviation", "share": "share of the variance", "low": "from", "high": "to",
}  # fmt: skip
TUNING = {
    "dataset": "problem", "a": "a", "b": "b", "blocks": "blocks", "variance": "variance between blocks",
    "seeds": "of which seeds", "tuning": "of which tuning", "share": "share of tuning",
}  # fmt: skip


def streams(report: Report) -> pd.DataFrame:
    """The part of each stream in the variance, where single streams were given seeds of their own."""
    runs = report.study.sources
    streams = [f"seeds.{stream.name}" for stream in fields(Seeds)]
    named = [name for name in streams if name in runs and (runs[name].fillna("None") != "None").any()]
    if not named:
        raise NotGiven("no stream was given seeds of its own, as by seeds.split='range(10)'")
    return st.variance_components(report.as_compared(runs), named, ["dataset", "entrant", "setting"])


def tuning(report: Report) -> pd.DataFrame:
    """How much of the variance of the difference between two entrants over blocks is tuning, and how much is seeds."""
    if max(report.selection.blocks.values(), default=1) < 2:
        raise NotGiven("settings were not chosen in several blocks of seeds")
    return st.tuning_share(st.blocks(st.differences(report.comparable)))


def content(report: Report) -> Iterator[Block]:
    """The tables that there are."""
    if report.given("variance_of_tuning"):
        yield Heading("Tuning and seeds")
        yield Words(
            "In each block every entrant is tuned anew. The variance over blocks of the difference between two "
            "entrants has two parts: the seeds that the settings are judged on, and the luck of tuning. With few "
            "blocks both are rough."
        )
        yield plain(report.table("variance_of_tuning"), TUNING, "Variance of each pair")
    if report.given("variance_of_streams"):
        yield Heading("Streams")
        yield Words(
            "Each stream was varied alone, with the others fixed. The share is its part of the variance where all vary "
            "together, with a 95 % interval."
        )
        yield plain(report.table("variance_of_streams"), STREAMS)
    if report.given("variance_of_tuning") or report.given("variance_of_streams"):
        yield Files(["variance_of_tuning", "variance_of_streams"])


SECTIONS.add(
    "sources",
    Section(
        "Sources of variance",
        85,
        tables={
            "variance_of_tuning": Table(tuning, "statistics.tuning_share of statistics.blocks of the reported runs"),
            "variance_of_streams": Table(
                streams, "statistics.variance_components of runs with seeds of single streams"
            ),
        },
        content=content,
    ),
)
