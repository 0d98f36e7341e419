"""The folders in which the harness reads and writes."""

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


def installing(extra: str) -> str:
    """The command that installs an optional dependency, such as `pip install '.[dask]'` in a clone."""
    return f"pip install '{'.' if IN_CLONE else 'descent-lab'}[{extra}]'"
