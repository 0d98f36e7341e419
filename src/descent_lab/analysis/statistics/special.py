"""Functions of scipy.special, which is imported when the first is used: that takes a fifth of a second.

Processes that only draw figures use none. scipy.stats, with the same functions by other names, takes longer still.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """A function of scipy.special by its name there."""
    from scipy import special

    return getattr(special, name)
