"""The part that all commands share: how they refuse options, tell errors in one line, and allow packages."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn

from descent_lab import plugins
from descent_lab.cli import exit_code
from descent_lab.paths import command, module_of

Main = Callable[[Sequence[str]], int]


class Parser(argparse.ArgumentParser):
    """Options of a command, which are refused in one line. Help names the command as it was called."""

    def __init__(self, name: str, description: str, **more: Any) -> None:
        """name: of the command. description: in which it goes by its name in a clone."""
        super().__init__(command(name), description=description.replace(module_of(name), command(name)), **more)

    def error(self, message: str) -> NoReturn:
        self.exit(exit_code.REFUSED, f"{message}; --help lists what there is\n")


def reported(command: Main) -> Main:
    """A command that says in one line what went wrong: bad input exits with 2, an error in somebody's code with 1.

    Words such as plugins.allow=[my_package] are taken out of what the command is given.
    """

    @wraps(command)
    def main(arguments: Sequence[str] = ()) -> int:
        try:
            plugins.allow_from(arguments)
            return command([word for word in arguments if not word.lstrip("+").startswith(f"{plugins.KEY}=")])
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return exit_code.INTERRUPTED
        except BrokenPipeError:
            return no_reader()
        except Exception as error:
            from descent_lab.cli.complaints import explained

            line, code = explained(error, arguments)
            print(line, file=sys.stderr)
            return code

    return main


def no_reader() -> int:
    """What is left to do when nobody reads stdout any more, as in `... --help | head -1`: end quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes stdout
    return exit_code.FINISHED
