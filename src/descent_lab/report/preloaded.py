"""What the processes that draw figures have in common: imported once, in the process that they are copied from."""

import gc
import sys

SPARED = ("scipy.stats", "scipy.cluster")  # most of what seaborn takes to import, for figures that no section draws
for name in SPARED:  # as if they were not installed; a figure that needs them after all is drawn elsewhere
    sys.modules[name] = None  # type: ignore[assignment]

import matplotlib.backends.backend_agg  # noqa: E402
import matplotlib.backends.backend_svg  # noqa: E402
import seaborn  # noqa: E402

import descent_lab.report.build  # noqa: E402
import descent_lab.report.drawing  # noqa: E402
from descent_lab.report.section import ordered  # noqa: E402

__all__ = ["descent_lab", "matplotlib", "seaborn"]

ordered()  # the sections, whose functions draw
for name in SPARED:
    del sys.modules[name]
gc.freeze()  # modules stay: no search for garbage looks through them, in this process or in its copies
gc.set_threshold(500_000)  # figures are many objects and little garbage
