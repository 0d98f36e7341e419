"""Opens a tracking store for reading: a database by SQL, everything else through MLflow's client."""

from pathlib import Path
from urllib.parse import unquote, urlparse

from descent_lab.errors import StoreError
from descent_lab.paths import command
from descent_lab.tracking import schema
from descent_lab.tracking.address import SQLITE
from descent_lab.tracking.reader.client import Client
from descent_lab.tracking.reader.database import Database
from descent_lab.tracking.reader.source import Source

DATABASES = ("sqlite", "postgresql", "mysql")


def connect(uri: str) -> Source:
    """An existing store; none is created. Raises StoreError where there is none or it cannot be read."""
    _refuse_missing(uri)
    if urlparse(uri).scheme.partition("+")[0] not in DATABASES:
        return Client(uri)
    database = Database(uri)
    revision = database.revision()
    if revision is None:
        raise StoreError(f"uri={uri}: {uri.removeprefix(SQLITE)} is not an MLflow store")
    return database if revision in schema.TESTED else Client(uri)


def _refuse_missing(uri: str) -> None:
    """Raise StoreError where the SQLite file or the folder is missing, because MLflow would create it."""
    if uri.startswith(SQLITE):
        if not Path(uri.removeprefix(SQLITE).partition("?")[0]).is_file():
            raise StoreError(f"uri={uri}: there is no such store; {command('run')} creates one")
    elif "://" not in uri or uri.startswith("file:"):
        path = Path(unquote(urlparse(uri).path)) if uri.startswith("file:") else Path(uri)
        if not path.is_dir():
            raise StoreError(f"uri={uri}: there is no such folder")
