"""Tells whether a file has changed, and identifies files by their content."""

import hashlib
import os
import stat
from functools import lru_cache

from descent_lab.errors import DataError

Stamp = tuple[int, int, int]  # inode, time of the last change in nanoseconds, size in bytes
VALIDATION = b"validation"  # stands before the validation samples, so that they differ from test samples


def stamp(path: str) -> Stamp:
    """The stamp of a file, which is another one after each change. Raises DataError for what is no file."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(state.st_mode):
        raise DataError(f"{path}: not a file")
    return state.st_ino, state.st_mtime_ns, state.st_size


def fingerprint(path: str, validation_path: str | None, test_path: str | None) -> str:
    """The SHA-256 (hexadecimal) of the contents of the files that are given; their names and dates do not count."""
    digests = [_digest(part, stamp(part)) for part in (path, test_path) if part is not None]
    if validation_path is not None:
        digests += [VALIDATION, _digest(validation_path, stamp(validation_path))]
    return hashlib.sha256(b"".join(digests)).hexdigest()


@lru_cache(maxsize=64)
def _digest(path: str, stamp: Stamp) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
