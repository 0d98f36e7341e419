"""Where a run comes from: the sweep, the commit, the versions of the libraries and the process that writes it."""

import os
import platform
import socket
import subprocess
from datetime import datetime
from functools import cache
from importlib.metadata import version
from uuid import uuid4

import psutil

from descent_lab.paths import ROOT


def tags(sweep: str | None) -> dict[str, str]:
    """The tags that all runs of a sweep share."""
    return {
        "sweep": sweep or sweep_name(),
        **commit(),
        "versions": versions(),
    }


def sweep_name() -> str:
    """The name of a sweep that was given none: the time and 4 random digits."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S} {uuid4().hex[:4]}"


@cache
def versions() -> str:
    """The versions of Python and of the libraries that compute."""
    libraries = [f"{name} {version(name)}" for name in ("numpy", "jax", "jaxlib")]
    return ", ".join([f"python {platform.python_version()}", *libraries])


@cache
def commit() -> dict[str, str]:
    """git.commit (40 hexadecimal digits) and git.dirty (true or false) of the repository; `unknown` outside one."""
    try:
        head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {"git.commit": "unknown", "git.dirty": "unknown"}
    return {"git.commit": head, "git.dirty": str(bool(changes)).lower()}


def writer() -> str:
    """This process, as the tag `writer` names it: host:process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(name: str) -> bool:
    """Whether a writer was a process of this machine that has ended. One with this process's number was an earlier one.

    name: as `writer` gives it.
    """
    host, _, pid = name.rpartition(":")
    return host == socket.gethostname() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid)))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
