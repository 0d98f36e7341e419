"""A user's file as a data set."""

from abc import abstractmethod
from dataclasses import dataclass

from descent_lab.data.base import Text
from descent_lab.data.files.fingerprint import fingerprint
from descent_lab.data.files.tables import Table
from descent_lab.data.tabular import Tabular


@dataclass(frozen=True, kw_only=True)
class UserFile(Tabular):
    """A file of samples; relative paths start at the current directory.

    test_path: a second file, of test rows, instead of a random test_fraction of the first.
    """

    outside_identity = frozenset({"path", "test_path"})  # the content counts, wherever it lies

    path: Text
    test_path: Text | None = None

    @abstractmethod
    def read(self, path: str) -> Table:
        """The checked contents of a file of this kind."""

    def tables(self) -> tuple[Table, Table | None]:
        return self.read(self.path), None if self.test_path is None else self.read(self.test_path)

    def fingerprint(self) -> str:
        """sha256 of the contents of the file and of the test file."""
        return fingerprint([path for path in (self.path, self.test_path) if path is not None])
