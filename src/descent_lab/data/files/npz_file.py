"""A user's NumPy archive."""

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

UNIT = "row (from 0)"


@dataclass(frozen=True, kw_only=True)
class NpzFile(UserFile):
    """Array features_key of shape (n,) or (n, n_features), array target_key of shape (n,) or (n, n_targets).

    Features are numbers; class labels may be text. Columns go by names such as x0, x1 and y0.
    """

    kind = "npz"

    features_key: Text = "x"
    target_key: Text = "y"

    def read(self, path: str) -> Table:
        """The archive at `path`, read once for as long as it does not change."""
        return _read(path, self.features_key, self.target_key, stamp(path))


@lru_cache(maxsize=8)
def _read(path: str, features_key: str, target_key: str, stamp: Stamp) -> Table:
    x, labels = _arrays(path, features_key, target_key)
    return table_of(path, UNIT, {features_key: x, target_key: labels})


def _arrays(path: str, *keys: str) -> list[np.ndarray]:
    """The arrays of these names, as columns."""
    try:
        names, arrays = _contents(path, keys)
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an archive of numpy.savez: {error}") from None
    absent = [key for key in keys if key not in arrays]
    if absent:
        raise DataError(f"{path}: no array {absent[0]!r}; its arrays are {', '.join(names)}")
    return [arrays[key] for key in keys]


def _contents(path: str, keys: tuple[str, ...]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of all arrays in the archive, and those arrays that go by one of the keys."""
    with open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a single array")
        with archive:
            return archive.files, {key: archive[key] for key in keys if key in archive.files}
