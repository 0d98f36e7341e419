"""Explains in one line what is wrong with a command, for errors of Hydra, of OmegaConf and of the harness."""

import re
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from descent_lab.cli import exit_code
from descent_lab.components import suggestion
from descent_lab.errors import DescentError, NotGiven, RunError, without_password
from descent_lab.faults import failure_of, told

REFUSALS = (DescentError, HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)


def explained(error: BaseException, arguments: Sequence[str] = ()) -> tuple[str, int]:
    """One line, and the exit code, for an exception that ended a command of these words."""
    if isinstance(error, RunError | NotGiven):
        return str(error), exit_code.FAILED
    if isinstance(error, REFUSALS):
        return without_password(_refusal(error, arguments)), exit_code.REFUSED
    if isinstance(error, ValueError) and "Only one of --" in str(error):  # Hydra's word on its own options
        return str(error), exit_code.REFUSED
    debug = any(word.lstrip("+").lower() == "debug=true" for word in arguments)
    return told(failure_of(error), debug), exit_code.FAILED


def _refusal(error: BaseException, arguments: Sequence[str]) -> str:
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = sorted(error.options)
        if group:
            return (
                f"{group}={choice}: there is no '{group}/{choice}'; must be one of {', '.join(options)}"
                f"{suggestion(choice, options)}"
            )
    if unknown := re.match(r"Could not override '([^']+)'", text):
        key = unknown.group(1)
        near = [name for name in _keys(arguments) if ("." in name) == ("." in key)]
        return f"{key}: no such field{suggestion(key, near)}"
    if several := re.match(r"Ambiguous value for argument '(.+)'\n", text):
        return f"{several.group(1)}: several values; -m sweeps over them, and a list is written in brackets"
    if missing := re.match(r"Missing mandatory value: .*\n\s*full_key: (\S+)", text):
        return f"{missing.group(1)}: must be given"
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and str(cause) not in text:
        text = f"{text} {cause}"
    return one_line(text)


def one_line(text: str) -> str:
    """A complaint that may take many lines, as one, without advice on environment variables and types of nodes."""
    lines = [line.strip() for line in text.splitlines()]
    idle = ("Set the environment variable", "object_type=", "reference_type=")
    told_lines = [line for line in lines if line and not line.startswith(idle)]
    wrong_option = re.search(r"(?m)^\S+: error: (.*)$", text)  # argparse's, after its usage
    if wrong_option:
        return f"{wrong_option.group(1)}; --help lists what there is"
    return told_lines[-1] if any(line.startswith("Traceback") for line in told_lines) else " ".join(told_lines)


def _keys(arguments: Sequence[str]) -> list[str]:
    """The dotted names of all values of a run, and of its groups, with the choices that these words make."""
    from descent_lab.cli.composition import written_values
    from descent_lab.sweeps.config import GROUPS
    from descent_lab.sweeps.identity import flat

    try:
        chosen = [word for word in arguments if word.partition("=")[0] in GROUPS and re.fullmatch(r"[a-z]+=\w+", word)]
        values = written_values(chosen)
    except Exception:  # the configuration itself cannot be composed: then there is nothing to suggest
        return []
    return [name for name in (*values, *flat(values)) if not name.endswith("_target_")]
