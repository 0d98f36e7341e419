"""A cache on disk of the programs that JAX compiles, so that later processes need not compile them again."""

import os
import sys
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def keep_programs(folder: Path) -> None:
    """Keep what JAX compiles from now on in `folder`, or in the folder that the environment variable names.

    The command line calls this. Python's API does not, because it writes nothing to disk.
    """
    settings = {
        VARIABLE: os.environ.get(VARIABLE, str(folder)),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    os.environ |= settings  # read when JAX is imported, here or in another process
    if "jax" in sys.modules:
        update = sys.modules["jax"].config.update
        update("jax_compilation_cache_dir", settings[VARIABLE])
        update("jax_persistent_cache_min_compile_time_secs", 0.0)
        update("jax_persistent_cache_min_entry_size_bytes", -1)
