"""The exit code of a command, from what became of its runs."""

FINISHED = 0  # every run is where it belongs
FAILED = 1  # a run failed, or the harness itself did
REFUSED = 2  # bad input: nothing was run
UNDELIVERED = 3  # runs wait in the outbox
INTERRUPTED = 130

ORDER = (FINISHED, UNDELIVERED, FAILED, REFUSED, INTERRUPTED)  # of several, the last of these is the command's

_noted: set[int] = set()


def note(code: int) -> None:
    """Remember the code of a run or of a part of a sweep."""
    _noted.add(code)


def noted() -> int:
    """The code of the command so far; the next command of this process begins anew."""
    code = max(_noted, key=ORDER.index, default=FINISHED)
    _noted.clear()
    return code
