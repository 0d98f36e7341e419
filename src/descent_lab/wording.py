"""Words that all parts of the harness use in what they tell."""

import re


def counted(n: int, what: str) -> str:
    """1 run, 2 runs"""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def slug(text: str) -> str:
    """A file name for a label."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")
