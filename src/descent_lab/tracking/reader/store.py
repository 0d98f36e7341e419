"""Opens a tracking store for reading: a database by SQL, a folder of runs, everything else through MLflow's client."""

from pathlib import Path

from descent_lab.errors import StoreError
from descent_lab.paths import command
from descent_lab.tracking import schema
from descent_lab.tracking.address import FOLDER, SQLITE, is_database, is_folder, local_path, sqlite_file
from descent_lab.tracking.reader.client import Client
from descent_lab.tracking.reader.database import Database
from descent_lab.tracking.reader.folder import Folder
from descent_lab.tracking.reader.source import Source


def connect(uri: str) -> Source:
    """An existing store; none is created. Raises StoreError where there is none or it cannot be read."""
    _refuse_missing(uri)
    if is_folder(uri):
        return Folder(uri)
    if not is_database(uri):
        return Client(uri)
    database = Database(uri)
    revision = database.revision()
    if revision is None:
        raise StoreError(f"uri={uri}: {uri.removeprefix(SQLITE)} is not an MLflow store")
    return database if revision in schema.TESTED else Client(uri)


def _refuse_missing(uri: str) -> None:
    """Raise StoreError where the SQLite file or the folder is missing, because MLflow would create it."""
    file, folder = sqlite_file(uri), local_path(uri)
    if is_folder(uri) and not Path(uri.removeprefix(FOLDER)).is_dir():
        raise StoreError(f"uri={uri}: there is no such folder; {command('run')} tracking=none creates one")
    if file and not file.is_file():
        raise StoreError(f"uri={uri}: there is no such store; {command('run')} creates one")
    if folder and not folder.is_dir():
        raise StoreError(f"uri={uri}: there is no such folder")
