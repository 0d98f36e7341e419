"""What a user's own script would do under Hydra's basic launcher: every job builds, compiles and tracks its run.

The jobs share one process, and so the imports. Each job compiles its training step again, as a script does that
defines the step within the job: before every job the compiled programs are removed from memory. With
JAX_ENABLE_COMPILATION_CACHE=false none is read from disk either.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from descent_lab.paths import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(composed: DictConfig) -> None:
    """One job."""
    import jax

    from descent_lab.cli.session import run_one
    from descent_lab.loops import compiled as backend

    backend._compiled.clear()
    jax.clear_caches()
    run_one(composed, HydraConfig.get())  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.argv += ["hydra/launcher=basic", "hydra/sweeper=basic"]
    main()
