"""The console script `descent-lab` and its completion, in real shells where they are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from descent_lab.cli.completion import completions
from descent_lab.cli.main import COMMANDS, main

SCRIPTS = Path(sys.executable).parent


def test_help_names_every_command_without_importing_any(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in COMMANDS)
    heavy = ("hydra", "numpy", "jax", "mlflow", "pandas")
    code = (
        f"import sys; from descent_lab.cli.main import main; main([]); sys.exit(any(m in sys.modules for m in {heavy}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_an_unknown_command_is_refused_in_one_line_with_the_nearest(capsys):
    assert main(["rnu"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"rnu: no such command; there are {', '.join(COMMANDS)}; did you mean run?"
    ]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("deliver", "replication")])
def test_every_command_helps(command, capfd):
    try:
        code = main([command, "--help"])
    except SystemExit as end:  # argparse's
        code = end.code or 0
    told = capfd.readouterr().out
    assert code == 0 and "python -m src" not in told and "python -m reports" not in told
    assert command == "completion" or f"descent-lab {command}" in told


@pytest.mark.parametrize(
    ("line", "among", "not_among"),
    [
        ("descent-lab r", {"run", "replay", "report", "replication"}, {"predict"}),
        ("descent-lab run optimizer=ad", {"optimizer=adam", "optimizer=adagrad"}, {"optimizer=sgd"}),
        ("descent-lab run -m optimizer=sgd,ad", {"optimizer=sgd,adam"}, set()),
        ("descent-lab run +experiment=comp", {"+experiment=compare"}, set()),
        ("descent-lab run optimizer=adam optimizer.b", {"optimizer.beta1=", "optimizer.beta2="}, {"optimizer.mu="}),
        ("descent-lab run stop.", {"stop.target=", "stop.max_seconds="}, {"seed="}),
        ("descent-lab run nonsense=1 see", {"seed="}, set()),
        ("descent-lab replay ", {"run="}, set()),
        ("descent-lab completion ", {"bash", "zsh"}, set()),
    ],
)
def test_words_are_completed(line, among, not_among):
    words = set(completions(line))
    assert among <= words and not not_among & words


BASH = """
source <(descent-lab completion bash)
ask() { COMP_LINE="$1"; COMP_POINT=${#1}; COMPREPLY=(); _descent_lab; printf '%s|' "${COMPREPLY[@]}"; echo; }
complete -p descent-lab
ask "descent-lab pre"
ask "descent-lab run dataset=dig"
ask "descent-lab run optimizer=ada"
"""


def test_completion_works_in_bash():
    words = ["bash", "--norc", "-c", BASH]
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == [
        "complete -o nospace -F _descent_lab descent-lab",
        "predict |",
        "digits |",  # bash has taken dataset= for a word of its own
        "adadelta|adagrad|adam|adamw|",
    ], done.stderr


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell $'PS1=READY; unsetopt zle_bracketed_paste 2>/dev/null; source <(descent-lab completion zsh)\\n'
zpty -w shell $'descent-lab run dataset=dig\\t epochs=0 #\\n'
repeat 100; do
    zpty -r -t shell more && output+=$more
    [[ $output == *dataset=digits* ]] && break
    sleep 0.1
done
print -r -- "$output"
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_works_in_zsh():
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"}
    done = subprocess.run(["zsh", "-f", "-c", ZSH], capture_output=True, text=True, check=True, env=environment)
    assert "dataset=digits" in done.stdout, done.stdout
