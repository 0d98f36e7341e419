"""Programs that JAX compiled, kept on disk: one compiled once is compiled for every later process too."""

import os
import sys
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def keep_programs(folder: Path) -> None:
    """Keep what JAX compiles from now on in `folder`, or where the environment variable says.

    The command line does so; Python's API, which writes nothing to disk, does not.
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
