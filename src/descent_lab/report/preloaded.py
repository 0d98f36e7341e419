"""What the processes that draw figures have in common: imported once, in the process that they are copied from."""

import gc

import matplotlib.backends.backend_agg
import matplotlib.backends.backend_svg

import descent_lab.report.drawing

__all__ = ["descent_lab", "matplotlib"]

gc.freeze()  # modules stay: no search for garbage looks through them, in this process or in its copies
gc.set_threshold(500_000)  # figures are many objects and little garbage
