"""The base class of data sets from a user's file."""

from abc import abstractmethod
from dataclasses import dataclass

from descent_lab.data.base import Text
from descent_lab.data.files.fingerprint import fingerprint
from descent_lab.data.files.tables import Table
from descent_lab.data.tabular import Tabular


@dataclass(frozen=True, kw_only=True)
class UserFile(Tabular):
    """A file of samples.

    path: of the file; a relative path starts at the current folder.
    test_path: of a second file, of test rows; None: a random test_fraction of the first file is the test set.
    """

    outside_identity = frozenset({"path", "test_path"})  # the content counts instead, so that a file may move

    path: Text
    test_path: Text | None = None

    @abstractmethod
    def read(self, path: str) -> Table:
        """The table in a file of this kind. Raises DataError for what cannot be read or trained on."""

    def tables(self) -> tuple[Table, Table | None]:
        return self.read(self.path), None if self.test_path is None else self.read(self.test_path)

    def fingerprint(self) -> str:
        """The SHA-256 (hexadecimal) of the contents of the file and of the test file."""
        return fingerprint([path for path in (self.path, self.test_path) if path is not None])
