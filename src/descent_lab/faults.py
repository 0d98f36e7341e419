"""Faults: exceptions that nobody raised on purpose, told in one line with their place, the traceback kept in a file.

The place is the line of the user's own code (a plug-in, a script, a notebook), where there is one in the traceback: not
the line of NumPy, JAX or this package that stumbled over what the user's code gave to it.
"""

import hashlib
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from traceback import FrameSummary, extract_tb, format_exception

from descent_lab import plugins
from descent_lab.errors import Failure
from descent_lab.paths import CACHE, IN_CLONE, PACKAGE

FOLDER = CACHE / "tracebacks"
LONGEST = 300  # characters of a message that are shown
HINTS = {  # what JAX says of code that it cannot trace is long, and of arrays that nobody wrote
    "TracerBoolConversionError": "no `if`, `and` or `while` may depend on values under JAX; choose with "
    "xp.where(condition, a, b), where xp = theta.__array_namespace__()",
    "TracerArrayConversionError": "NumPy's functions take no arrays of JAX that are traced; use those of "
    "xp = theta.__array_namespace__()",
    "ConcretizationTypeError": "a size or a Python number may not depend on values under JAX",
    "TracerIntegerConversionError": "an index or a size may not depend on values under JAX",
}
MACHINERY = ("loops", "training", "sweeps", "cli", "tracking", "components.py", "faults.py")  # never at fault first


def failure_of(error: BaseException) -> Failure:
    """The report of an exception: its type, message and place in one line, and its traceback.

    It can be sent between processes, which a traceback cannot.
    """
    message = (str(error).strip().splitlines() or [""])[0][:LONGEST]
    frame = place(error)
    where = f" ({Path(frame.filename).name}:{frame.lineno})" if frame else ""
    message = HINTS.get(type(error).__name__, message)
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return Failure(f"{what}{where}", "".join(format_exception(error)))


def told(failure: Failure, debug: bool = False) -> str:
    """The reason of a failure in one line, which names the file of its traceback; `debug` shows that on stderr too.

    The same traceback is kept in one file, however often it occurs.
    """
    if not failure.traceback:
        return failure.reason
    if debug:
        print(failure.traceback, file=sys.stderr)
    path = FOLDER / f"{hashlib.sha256(failure.traceback.encode()).hexdigest()[:12]}.txt"
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(failure.traceback, encoding="utf-8")
    except OSError:  # a disk that is full, or that cannot be written
        return failure.reason
    return f"{failure.reason}; traceback: {path}"


def place(error: BaseException) -> FrameSummary | None:
    """The frame that the exception is about: the innermost one of the user's own code, else of this package's
    mathematics, else the innermost of all."""
    frames = [frame for cause in _causes(error) for frame in extract_tb(cause.__traceback__)]
    for belongs in (_is_users, _is_mathematics):
        own = [frame for frame in frames if belongs(frame)]
        if own:
            return own[-1]
    return frames[-1] if frames else None


def _causes(error: BaseException) -> list[BaseException]:
    """The exception, after what it was raised from: the innermost frame of the first cause comes last."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _is_users(frame: FrameSummary) -> bool:
    """Whether a frame lies in code that is neither Python's, nor a library's, nor this package's."""
    path = Path(frame.filename)
    if frame.filename.startswith("<ipython") or "ipykernel" in frame.filename:
        return True
    if frame.filename.startswith("<") or path.is_relative_to(PACKAGE):
        return False
    if any(path.is_relative_to(place) for place in plugins.places()):
        return True
    return not any(path.is_relative_to(folder) for folder in _libraries())


def _is_mathematics(frame: FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).parts[0] not in MACHINERY


@cache
def _libraries() -> list[Path]:
    """The folders of Python, of installed packages and, in a clone, of this project's entry points."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | set(site.getsitepackages())
    entries = [PACKAGE.parent, PACKAGE.parents[1] / "reports", PACKAGE.parents[1] / "hydra_plugins"]
    return [*map(Path, folders), *(entries if IN_CLONE else ())]
