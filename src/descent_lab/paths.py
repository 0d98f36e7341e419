"""The folders in which the harness reads and writes, and the names that its commands go by."""

import sys
from pathlib import Path

from platformdirs import user_cache_path

PACKAGE = Path(__file__).resolve().parent
_CLONE = PACKAGE.parents[1]
IN_CLONE = (_CLONE / "conf" / "config.yaml").is_file()

# In a clone everything stays inside it. When installed, configurations come with the package, results go to the current
# folder, and what can be made again goes to the user's cache.
ROOT = _CLONE if IN_CLONE else Path.cwd()
CONF = _CLONE / "conf" if IN_CLONE else PACKAGE / "conf"
PUBLISHED = _CLONE / "experiments" if IN_CLONE else PACKAGE / "experiments"
CACHE = _CLONE / ".cache" if IN_CLONE else user_cache_path("descent-lab")

MODULES = {"report": "reports.build", "replication": "reports.replication"}  # others are src.<command>


def command(name: str) -> str:
    """A command as it is called here: `descent-lab run` when installed or so begun, else `python -m src.run`."""
    if not IN_CLONE or sys.argv[0].startswith("descent-lab "):
        return f"descent-lab {name}"
    return module_of(name)


def module_of(name: str) -> str:
    """A command as it is called in a clone."""
    return f"python -m {MODULES.get(name, f'src.{name}')}"


def installing(extra: str) -> str:
    """The command that installs an optional dependency, such as `pip install '.[dask]'` in a clone."""
    return f"pip install '{'.' if IN_CLONE else 'descent-lab'}[{extra}]'"
