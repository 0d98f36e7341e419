"""A data set from a user's NumPy archive."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from zipfile import BadZipFile

import numpy as np

from descent_lab.data.base import Text
from descent_lab.data.files.fingerprint import Stamp, stamp
from descent_lab.data.files.tables import Table, table_of
from descent_lab.data.files.user_file import UserFile
from descent_lab.errors import DataError

UNIT = "row (from 0)"  # how error messages count the rows of an array


@dataclass(frozen=True, kw_only=True)
class NpzFile(UserFile):
    """A file of numpy.savez with two arrays.

    features_key: the name of the array of features, which must be numbers: of shape (n,) or (n, n_features), or of more
    axes for sequences (n, channels, length) and pictures (n, channels, rows, columns) or (n, rows, columns).
    target_key: the name of the array of labels, of shape (n,) or (n, n_targets); class labels may be text.
    The columns are named x0, x1, ... and y0, y1, ...
    """

    kind = "npz"

    features_key: Text = "x"
    target_key: Text = "y"

    def read(self, path: str) -> Table:
        """The table in the archive at `path`, which is read again only when it has changed."""
        return _read(path, self.features_key, self.target_key, stamp(path))


@lru_cache(maxsize=8)
def _read(path: str, features_key: str, target_key: str, stamp: Stamp) -> Table:
    x, labels = _arrays(path, features_key, target_key)
    return table_of(path, UNIT, {features_key: x, target_key: labels})


def _arrays(path: str, *keys: str) -> list[np.ndarray]:
    """The arrays of these names. Raises DataError where the archive cannot be read or lacks one."""
    try:
        names, arrays = _contents(path, keys)
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an archive of numpy.savez: {error}") from None
    absent = [key for key in keys if key not in arrays]
    if absent:
        raise DataError(f"{path}: no array {absent[0]!r}; its arrays are {', '.join(names)}")
    return [arrays[key] for key in keys]


def _contents(path: str, keys: tuple[str, ...]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of all arrays in the archive, and the arrays that are named by one of the keys."""
    with open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a single array")
        with archive:
            return archive.files, {key: archive[key] for key in keys if key in archive.files}
