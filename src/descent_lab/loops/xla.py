"""Sets up JAX and its compiler XLA. Importing this module does not import JAX."""

import os
import sys

from descent_lab.loops.memory import CPU_RUNS

ACCELERATOR_RUNS = 1024  # runs that train together on an accelerator

if "jax" in sys.modules:  # switch double precision on: now, or when JAX is imported
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:
    os.environ["JAX_ENABLE_X64"] = "true"

# With this option XLA compiles a loop over small steps to one kernel of one thread. Without it, XLA calls each part of
# each step and wakes threads for some parts. Measured: training is 1.3 to 3 times faster where a step takes a few
# microseconds. A step of 20 microseconds may take a fifth longer than on two idle cores, but it uses one core only. JAX
# reads this option when it first compiles. XLA leaves loops as they are that hold matrix products, for example, because
# such a kernel cannot make them.
if "xla_backend_extra_options" not in (flags := os.environ.get("XLA_FLAGS", "")):
    small = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1048576"
    os.environ["XLA_FLAGS"] = f"{flags} {small}".strip()


def device_runs() -> int:
    """The number of runs that a compiled loop trains together at most."""
    import jax

    return CPU_RUNS if jax.default_backend() == "cpu" else ACCELERATOR_RUNS
