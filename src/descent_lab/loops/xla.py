"""How JAX and its compiler XLA are set up, and what they compute on. Importing this module imports no JAX."""

import os
import sys

from descent_lab.loops.memory import CPU_RUNS

ACCELERATOR_RUNS = 1024

if "jax" in sys.modules:  # double precision, from here on or from when it is imported
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:
    os.environ["JAX_ENABLE_X64"] = "true"

# XLA makes a loop over small steps one kernel of one thread, where it would otherwise call each part of each step and
# wake threads for some. Measured: 1.3 to 3 times faster where a step takes a few microseconds; a step of 20 us may take
# a fifth longer than on two idle cores, but takes only one. JAX reads this option when it first compiles. XLA passes
# over loops that hold what such a kernel cannot, such as matrix products.
if "xla_backend_extra_options" not in (flags := os.environ.get("XLA_FLAGS", "")):
    small = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1048576"
    os.environ["XLA_FLAGS"] = f"{flags} {small}".strip()


def device_runs() -> int:
    """The number of runs of a full stack of a compiled loop: an accelerator takes all that there are."""
    import jax

    return CPU_RUNS if jax.default_backend() == "cpu" else ACCELERATOR_RUNS
