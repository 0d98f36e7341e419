"""The console script `descent-lab`: one sub-command for each `python -m src.<command>`."""

import sys
from importlib import import_module

COMMANDS = {
    "run": "descent_lab.cli.run",
    "predict": "descent_lab.cli.predict",
    "replay": "descent_lab.cli.replay",
    "deliver": "descent_lab.cli.deliver",
    "report": "descent_lab.report.build",
    "replication": "descent_lab.replication.build",
}


def main() -> int:
    """Hand the words after the sub-command to it; returns the exit code."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command not in COMMANDS:
        print(f"usage: descent-lab {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 0 if command in ("-h", "--help") else 2
    return int(import_module(COMMANDS[command]).main(arguments))
