"""The array namespace of Taylor numbers. Its functions have NumPy's names and also take plain arrays.

Formulas written for any namespace (`xp = x.__array_namespace__()`) work with it. Names that are not defined here (`pi`,
`float64`, `asarray`, `arange`, ...) are NumPy's own. Floating-point warnings are those of NumPy.
"""

from typing import Any

import numpy as np

from descent_lab.taylor.arithmetic import *  # noqa: F403
from descent_lab.taylor.shapes import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(np, name)
