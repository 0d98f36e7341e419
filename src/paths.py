"""Where things lie, and how that is said."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"


def without_password(text: str) -> str:
    """The addresses in a text as they may be shown: postgresql://user:***@host/mlflow."""
    return re.sub(r"(?<=://)([^:/@\s]*):[^@/\s]*@", r"\1:***@", text)
