"""The array namespace of Taylor numbers: NumPy's names, for numbers and plain arrays alike.

Mathematics written for any namespace (`xp = x.__array_namespace__()`) runs on it. Names not defined here
(`pi`, `float64`, `asarray`, `arange`, ...) are NumPy's own. Floating-point warnings are those of NumPy.
"""

import numpy as np

from descent_lab.taylor.arithmetic import *  # noqa: F403
from descent_lab.taylor.shapes import *  # noqa: F403


def __getattr__(name):
    return getattr(np, name)
