"""`python -m reports.replication` trains the runs that are missing, and writes the replication report."""

import argparse
import sys
from pathlib import Path

from descent_lab.cli.entry import Parser
from descent_lab.errors import DescentError
from descent_lab.paths import ROOT

OUTPUT = ROOT / "reports" / "output" / "replication"
STUDIES = ("gaussian_curve", "taylor_network", "which_polynomial", "layers_from_scratch")


def main(arguments: list[str]) -> int:
    """Write the report; the exit code. 0: written. 2: a bad option, or a run or a store failed. 130: interrupted."""
    options = _options(arguments)
    from descent_lab.replication import gaussian, layers, page, polynomials, taylor  # too slow for --help
    from descent_lab.replication.studies import study

    studies = {name: study(name) for name in STUDIES}
    if options.seeds:
        studies = {name: values | {"seeds": options.seeds} for name, values in studies.items()}
    try:
        sections = [
            gaussian.section(studies["gaussian_curve"]),
            taylor.section(studies["taylor_network"]),
            polynomials.section(studies["which_polynomial"], options.long),
            layers.section(studies["layers_from_scratch"]),
        ]
    except DescentError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: finished runs are kept; the same command goes on with the rest", file=sys.stderr)
        return 130
    written = page.write(options.output, studies, sections)
    if options.table:
        options.table.write_text(page.markdown(studies, sections))
        written.append(options.table)
    print("\n".join(str(path) for path in written))
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser("replication", description=__doc__ or "")
    parser.add_argument("--long", action="store_true", help="also make a million random-search iterations (minutes)")
    parser.add_argument("--seeds", type=_positive, help="number of seeds, in place of that of each study")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the report")
    parser.add_argument("--table", type=Path, help="also write the Markdown here, e.g. experiments/REPLICATION.md")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, at least 2")
    return int(text)
