"""Where a run comes from: the commit, and the sweep it belongs to."""

import platform
import subprocess
from datetime import datetime
from functools import cache
from importlib.metadata import version
from uuid import uuid4

from descent_lab.paths import ROOT


def tags(sweep: str | None) -> dict[str, str]:
    """Tags shared by all runs of a sweep."""
    return {
        "sweep": sweep or f"{datetime.now():%Y-%m-%d %H:%M:%S} {uuid4().hex[:4]}",
        **commit(),
        "versions": versions(),
    }


@cache
def versions() -> str:
    """Python and the libraries that compute."""
    found = {name: version(name) for name in ("numpy", "jax", "jaxlib")}
    return ", ".join([f"python {platform.python_version()}", *(f"{name} {number}" for name, number in found.items())])


@cache
def commit() -> dict[str, str]:
    """git.commit and git.dirty of the repository; `unknown` outside one."""
    try:
        found = [_git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")]
    except (OSError, subprocess.CalledProcessError):
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    return {"git.commit": found[0], "git.dirty": str(bool(found[1])).lower()}


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout.strip()
