"""What a user's own script would do under Hydra's basic launcher: every job builds, compiles and tracks its run.

The jobs share one process, hence imports and the opened store; as a script that defines its training step within
the job, each compiles it anew: what this harness keeps in memory is forgotten before every job. With
JAX_ENABLE_COMPILATION_CACHE=false nothing is kept on disk either.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from descent_lab.cli.run import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(composed: DictConfig) -> None:
    """One job."""
    import jax

    from descent_lab.cli.session import single
    from descent_lab.loops import compiled as backend

    backend._compiled.clear()
    jax.clear_caches()
    if single(composed, HydraConfig.get()):  # type: ignore[arg-type]
        raise SystemExit(1)


if __name__ == "__main__":
    sys.argv += ["hydra/launcher=basic", "hydra/sweeper=basic"]
    main()
