"""Files: every table that was written, and what recomputes it."""

from collections.abc import Iterator

from markupsafe import Markup

from descent_lab.report.blocks import Block, Html, Rows
from descent_lab.report.report import Report
from descent_lab.report.section import SECTIONS, Section

SAID = Markup(
    '<p class="how">Every number on this page, and what recomputes it. Static figures: <code>figures/</code> (svg and '
    "png).</p>"
)


def content(report: Report) -> Iterator[Block]:
    """One row a file."""
    yield Html(SAID)
    body = [[report.files[name], report.declared[name].recipe] for name in report.declared if name in report.files]
    yield Rows(["file", "how it is made"], body)


SECTIONS.add("files", Section("Files", 110, content=content))
