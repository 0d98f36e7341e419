"""Where a run comes from: the sweep, the commit, the versions of the libraries and the process that writes it."""

import getpass
import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
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
        **{f"version.{name}": number for name, number in _numbers().items()},
        **_shown_by_mlflow(),
    }


def sweep_name() -> str:
    """The name of a sweep that was given none: the time and 4 random digits."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S} {uuid4().hex[:4]}"


def versions() -> str:
    """The versions of Python and of the libraries that compute."""
    return ", ".join(f"{name} {number}" for name, number in _numbers().items())


@cache
def _numbers() -> dict[str, str]:
    """The versions by name."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "jax", "jaxlib")}


@cache
def _shown_by_mlflow() -> dict[str, str]:
    """Who began the runs, and in which branch of which repository, as far as it is known here."""
    ways = {"user": getpass.getuser, "source.git.branch": _branch, "source.git.repoURL": _remote}
    shown = {}
    for tag, ask in ways.items():
        with suppress(OSError, KeyError, subprocess.CalledProcessError):  # no such user, no git, no repository
            shown[f"mlflow.{tag}"] = ask()
    return {tag: value for tag, value in shown.items() if value}


@cache
def commit() -> dict[str, str]:
    """git.commit (40 hexadecimal digits) and git.dirty (true or false) of the repository; `unknown` outside one."""
    try:
        (head, _), changes = _head(), _git("status", "--porcelain", "--untracked-files=no")
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


@cache
def _head() -> tuple[str, str]:
    """The commit and the branch, which is called HEAD where there is none."""
    commit, branch = _git("rev-parse", "HEAD", "--abbrev-ref", "HEAD").splitlines()
    return commit, branch


def _branch() -> str:
    return _head()[1].replace("HEAD", "")


def _remote() -> str:
    """The address of the repository, without a user or a password in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", _git("config", "--get", "remote.origin.url"))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
