"""Writes the files of the report: tables (csv, md), pictures (svg, png) and one self-contained page (html)."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from descent_lab.replication.verdicts import Finding, Picture, Section, table
from descent_lab.report.drawing import save

HEAD = ("system", "figure", "published", "ours", "seeds below it", "verdict")
DEFECTS = (  # tests/test_replication.py writes each of them out, and shows that a gradient check catches it
    ("S2", "its bias update reads leaked loop indices: only the output bias moves, three times a step"),
    ("S4", "its mini-batch averages the output gradient, then back-propagates it through the last sample only"),
    ("S4", "its cross-entropy gradient has the opposite sign of descent"),
    ("S4", "an earlier version took the input gradient after the weights had been updated"),
)
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}th,td{padding:.3em .6em;border-bottom:1px solid #ddd;text-align:left;
vertical-align:top}img{max-width:100%}figcaption,.note{color:#555;font-size:13px}figure{margin:1.5em 0}
code{background:#f3f3f3}.wide{overflow-x:auto}"""
EXPLAINED = (
    "Where the source was not seeded, ours are many seeds: the median, in brackets the central 99 % (of fewer than "
    "100 seeds the range), and how many of them lie below the published figure. Everything is run by the harness "
    "itself, from conf/experiment."
)


def write(folder: Path, studies: Mapping[str, Mapping[str, Any]], sections: Sequence[Section]) -> list[Path]:
    """Write all files into the folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    findings = [finding for section in sections for finding in section.findings]
    written = [folder / name for name in ("findings.csv", "replication.md", "index.html")]
    table(findings).to_csv(written[0], index=False)
    written[1].write_text(markdown(studies, sections))
    written[2].write_text(_html(studies, sections))
    for section in sections:
        for name, picture in section.pictures.items():
            written += save(picture.figure, folder / name)
    return written


def markdown(studies: Mapping[str, Mapping[str, Any]], sections: Sequence[Section]) -> str:
    """The report as Markdown, without pictures."""
    parts = ["# Published / ours", "Written by `python -m reports.replication`.", EXPLAINED, _table(sections)]
    for section in sections:
        study = studies[section.name]
        parts += [f"## {study['title']}", f"Source: {study['source']}. {study['question']}"]
        parts += [f"- {remark}" for remark in section.remarks]
        notes = [f"- {finding.figure}: {finding.note}." for finding in section.findings if finding.note]
        parts += ["Notes:", "\n".join(notes)] if notes else []
        parts += ["```\n" + "\n".join(study["runs"]) + "\n```"]
    lines = [f"- {system}: {defect}." for system, defect in DEFECTS]
    return "\n\n".join([*parts, "## Defects in the sources", _DEFECTS_SAID, "\n".join(lines)]) + "\n"


_DEFECTS_SAID = (
    "None of these is in src/. `tests/test_replication.py` writes each defective rule out, and shows that the "
    "comparison with central differences, which every backend passes, refuses it."
)


def _table(sections: Sequence[Section]) -> str:
    rows = [_row(finding) for section in sections for finding in section.findings]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(finding: Finding) -> tuple[str, ...]:
    percentile = "" if finding.percentile is None else f"{finding.percentile:.0f} % of {finding.seeds}"
    return finding.study, finding.figure, finding.published, finding.ours, percentile, finding.verdict


def _html(studies: Mapping[str, Mapping[str, Any]], sections: Sequence[Section]) -> str:
    body = [f"<h1>Published / ours</h1><p>{escape(EXPLAINED)}</p>"]
    for section in sections:
        study = studies[section.name]
        body.append(f"<h2>{escape(study['title'])}</h2>")
        body.append(f"<p class=note>{escape(study['source'])}. {escape(study['question'])}</p>")
        body.append(_html_table([*HEAD[1:], "note"], [(*_row(f)[1:], f.note) for f in section.findings]))
        body += [f"<p>{escape(remark)}</p>" for remark in section.remarks]
        body += [_html_picture(picture) for picture in section.pictures.values()]
        body.append("<pre>" + escape("\n".join(study["runs"])) + "</pre>")
    body.append(
        f"<h2>Defects in the sources</h2><p>{escape(_DEFECTS_SAID)}</p>" + _html_table(["system", "defect"], DEFECTS)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Published / ours</title><style>{STYLE}</style>\n" + "\n".join(body) + "\n</html>\n"
    )


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<div class=wide><table>" + "\n".join(lines) + "</table></div>"


def _html_picture(picture: Picture) -> str:
    image = BytesIO()
    picture.figure.savefig(image, format="png", dpi=150, metadata={"Software": None})
    data = base64.b64encode(image.getvalue()).decode()
    shown, caption = f"data:image/png;base64,{data}", escape(picture.caption, quote=True)
    return f"<figure><img alt='{caption}' src='{shown}'><figcaption>{caption}</figcaption></figure>"
