"""The console script `descent-lab`: a sub-command for each `python -m src.<command>`, and completion for shells."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

COMMANDS = {
    "run": ("descent_lab.cli.run", "train one run, or a sweep with -m; every configuration value is name=value"),
    "predict": ("descent_lab.cli.predict", "apply a saved model to new points"),
    "replay": ("descent_lab.cli.replay", "recompute a stored run and compare its curves"),
    "export": ("descent_lab.cli.export", "write a run as an MLflow model, or curves as a parquet or csv file"),
    "deliver": ("descent_lab.cli.deliver", "take finished runs from the outbox to their tracking stores"),
    "report": ("descent_lab.report.build", "write every figure and table of a store"),
    "replication": ("descent_lab.replication.build", "rerun the published systems, against their figures"),
    "completion": ("descent_lab.cli.completion", "print a script for completion in bash or zsh"),
}
HIDDEN = {"complete": ("descent_lab.cli.completion", "")}  # what the printed scripts call
HELP = ("-h", "--help", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand the words after the sub-command to it; the exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or HELP[1:2]
    if command in HELP:
        print(_help())
        return 0
    if command == "--version":
        print(f"descent-lab {version('descent-lab')}")
        return 0
    known = COMMANDS | HIDDEN
    if command not in known:
        near = get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"{command}: no such command; there are {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        return 2
    module, _ = known[command]
    if command in HIDDEN:
        return int(import_module(module).complete(rest))
    program, sys.argv[:1] = sys.argv[:1], [f"descent-lab {command}"]  # the name that help and errors go by
    try:
        return int(import_module(module).main(rest))
    finally:
        sys.argv[:1] = program


def _help() -> str:
    """The text of --help, for which nothing is imported."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "descent-lab compares ways of training neural networks: same start, same batches, honest clocks.",
            "",
            "usage: descent-lab COMMAND ...",
            "",
            *lines,
            "",
            "descent-lab COMMAND --help says more. For completion: source <(descent-lab completion bash)",
        ]
    )
