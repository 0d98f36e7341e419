"""Hydra's sweepers and launcher; the work is in src/session.py, src/search.py and src/sweep.py.

Imports stay light: Hydra loads this file at every start.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StackedLauncher(Launcher):
    """Receives all jobs at once and trains those that share a program as one stack."""

    code = 0  # exit code of the worst launch so far

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader, self.config = hydra_context.config_loader, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from descent_lab.cli.session import multi

        jobs: Any = [list(overrides) for overrides in job_overrides]
        returns, code = multi(jobs, self.loader, self.config)
        self.code = max(self.code, code)
        return returns


class StackedSweeper(BasicSweeper):
    """Every combination, as Hydra's own sweeper; or, with `tuned`, each one's best setting found and then judged.

    Jobs are not composed on trial, as Hydra's does: the launcher composes each, and refuses the bad ones alone.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None,
        tuned: list[str] | None,
        tuning_seeds: str,
        held_out_seeds: str,
        trials: int | None,
        batch: int,
    ):
        super().__init__(max_batch_size, params)
        self.tuned, self.seeds, self.trials, self.batch = tuned, (tuning_seeds, held_out_seeds), trials, batch

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Left to the launcher."""

    def sweep(self, arguments: list[str]) -> Any:
        returns = super().sweep(arguments) if self.tuned is None else self._tune(arguments)
        code = getattr(self.launcher, "code", 0)
        if code:
            raise SystemExit(code)
        return returns

    def _tune(self, arguments: list[str]) -> Any:
        from descent_lab.cli.session import tuned_sweep

        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        return tuned_sweep(overrides, self.tuned or [], self.seeds, self.trials, self.batch, self.launcher)
