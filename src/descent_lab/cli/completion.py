"""Completion for bash and zsh: `source <(descent-lab completion bash)`.

The shell calls `descent-lab complete <the line up to the cursor>`, which prints the words that the last one may become.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from descent_lab.cli.export import OPTIONS as EXPORT_OPTIONS
from descent_lab.cli.main import COMMANDS

BASH = r"""# Completion of descent-lab for bash: source <(descent-lab completion bash)
_descent_lab() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n' word
    COMPREPLY=($(descent-lab complete "$line" 2>/dev/null))
    word="${line##* }"
    # bash breaks words at = and :, and replaces only what follows the last of these
    local before="${word%"${word##*[=:]}"}"
    [[ -n "$before" ]] && COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" != *[=./] ]] && COMPREPLY[0]+=" "
    return 0
}
complete -o nospace -F _descent_lab descent-lab
"""
ZSH = r"""#compdef descent-lab
# Completion of descent-lab for zsh: source <(descent-lab completion zsh)
_descent_lab() {
    local -a replies
    replies=("${(@f)$(descent-lab complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    compadd -Q -S '' -- ${replies:#}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _descent_lab descent-lab
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH}
OPTIONS = {
    "predict": ("run=", "x=", "file=", "output=", "which=", "uri=", "experiment="),
    "export": ("run=", "best", "curves", *(f"{name}=" for name in EXPORT_OPTIONS if name != "run")),
    "replay": ("run=", "--uri="),
    "replication": ("--long", "--seeds=", "--output=", "--table="),
    "completion": tuple(SCRIPTS),
}


def main(arguments: Sequence[str]) -> int:
    """Print the script for a shell."""
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        stream = sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr
        print("usage: descent-lab completion bash|zsh, e.g. source <(descent-lab completion bash)", file=stream)
        return 0 if stream is sys.stdout else 2
    print(SCRIPTS[arguments[0]], end="")
    return 0


def complete(arguments: Sequence[str]) -> int:
    """Print what the last word of a line may become, one a line."""
    print("\n".join(completions(arguments[0] if arguments else "")))
    return 0


def completions(line: str) -> list[str]:
    """The words that the last word of `line`, such as "descent-lab run optimizer=ad", may become."""
    _, *words = line.split(" ")
    if len(words) < 2:
        return sorted(name for name in COMMANDS if name.startswith(words[-1] if words else ""))
    command, *given, word = words
    if command == "run":
        return _of_run([one for one in given if one], word)
    return [option for option in options_of(command) if option.startswith(word)]


def options_of(command: str) -> tuple[str, ...]:
    """The options of a command other than run; none of one that there is not."""
    if command == "report":
        parser = import_module(COMMANDS[command][0]).parser()
        named = (action.option_strings[-1] for action in parser._actions)
        return tuple(f"{name.removeprefix('--')}=" for name in named if name != "--help")
    return OPTIONS.get(command, ())


def _of_run(given: Sequence[str], word: str) -> list[str]:
    """Choices of groups, names of groups and names of values; with the choices that earlier words make."""
    from descent_lab.cli.composition import group_choices, written_values
    from descent_lab.errors import ConfigError
    from descent_lab.sweeps.config import GROUPS
    from descent_lab.sweeps.identity import flat

    groups = (*(group for group in GROUPS if group_choices(group)), "experiment")
    sign = "+" if word.startswith("+") else ""
    key, equals, value = word.removeprefix("+").partition("=")
    if equals:
        *earlier, last = value.split(",")  # of a sweep over choices
        before = f"{sign}{key}={''.join(f'{one},' for one in earlier)}"
        return [f"{before}{name}" for name in (group_choices(key) if key in groups else ()) if name.startswith(last)]
    chosen = [one for one in given if one.partition("=")[0] in groups and "," not in one]
    try:
        values = flat(written_values(chosen))
    except ConfigError:
        values = flat(written_values([]))
    names = [f"{group}=" for group in groups] + [f"{name}=" for name in values if not name.endswith("_target_")]
    return sorted(f"{sign}{name}" for name in set(names) if name.startswith(key))
