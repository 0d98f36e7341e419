"""Every error that the harness raises on purpose; the message of each is one line that a user can act on."""

import re


class DescentError(ValueError):
    """Says in one line what went wrong. Passwords in addresses are hidden."""

    def __init__(self, message: str) -> None:
        super().__init__(without_password(message))


class ConfigError(DescentError):
    """A configuration that is refused: field, value, what is allowed."""


class DataError(DescentError):
    """Data that cannot be used: file, row, column and what is wrong."""


class StoreError(DescentError):
    """A tracking store that cannot be read."""


class ModelError(DescentError):
    """A trained model that is not there or does not fit."""


class NotGiven(DescentError):
    """These runs lack something that a table or a figure needs. A report goes on without it, and says why."""


class RunError(DescentError):
    """A run that was started and failed."""


class ComponentError(RunError, TypeError):
    """A component, such as somebody's optimizer, that gives what a loop cannot use."""


class Failure(Exception):
    """Why a run or a stack has no result. It is a value that engines hand on, and is not raised.

    traceback: that of the exception, as text; empty where the reason says all.
    """

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason, traceback)
        self.reason, self.traceback = reason, traceback

    def __str__(self) -> str:
        return self.reason


def without_password(text: str) -> str:
    """The addresses in a text as they may be shown: postgresql://user:***@host/mlflow."""
    return re.sub(r"(?<=://)([^:/@\s]*):[^@/\s]*@", r"\1:***@", text)
