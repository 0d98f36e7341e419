"""The base class of data sets from a user's file."""

from abc import abstractmethod
from dataclasses import dataclass

from descent_lab.data.base import Text
from descent_lab.data.files.fingerprint import fingerprint
from descent_lab.data.files.tables import Table
from descent_lab.data.tabular import Tables, Tabular


@dataclass(frozen=True, kw_only=True)
class UserFile(Tabular):
    """A file of samples.

    path: of the file; a relative path starts at the current folder.
    test_path: of a second file, of test rows; None: a random test_fraction of the first file is the test set.
    validation_path: of a file of validation rows; None: a random validation_fraction of the first file.
    """

    outside_identity = frozenset({"path", "test_path", "validation_path"})  # the content counts, so that files may move

    path: Text
    test_path: Text | None = None
    validation_path: Text | None = None

    @abstractmethod
    def read(self, path: str) -> Table:
        """The table in a file of this kind. Raises DataError for what cannot be read or trained on."""

    def tables(self) -> Tables:
        validation, test = (None if p is None else self.read(p) for p in (self.validation_path, self.test_path))
        return Tables(self.read(self.path), validation, test)

    def source(self) -> str:
        """The path of the file of the training samples."""
        return self.path

    def fingerprint(self) -> str:
        """The SHA-256 (hexadecimal) of the contents of the files."""
        return fingerprint(self.path, self.validation_path, self.test_path)
