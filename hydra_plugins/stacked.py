"""Hydra's sweeper and launcher of descent-lab; the work is in descent_lab/cli/session.py and descent_lab/sweeps.

Hydra loads this file at every start, so its imports stay light.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StackedLauncher(Launcher):
    """Receives all jobs at once and trains those that share a program as one stack."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from descent_lab.cli.session import composer

        self.context, self.task, self.config = hydra_context, task_function, config
        self.compose = composer(hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from descent_lab.cli.run import shown
        from descent_lab.cli.session import run_jobs

        with shown():
            return run_jobs(job_overrides, initial_job_idx, self.context, self.config, self.task, self.compose)


class StackedSweeper(BasicSweeper):
    """Every combination, as Hydra's own sweeper; or, with `tuned`, each one's best setting found and then judged.

    Jobs are not composed on trial, as Hydra's does: the launcher composes each, and refuses the bad ones alone. A job
    that fails stops no other, whatever the launcher.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None,
        **options: Any,
    ):
        super().__init__(max_batch_size, params)
        self.options = options  # cli/tuned.py: SweeperOptions

    def sweep(self, arguments: list[str]) -> Any:
        from descent_lab.errors import ConfigError

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        for override in overrides:
            if override.is_sweep_override() and override.is_discrete_sweep() and not _values(override):
                raise ConfigError(f"{override.input_line}: is a sweep over no values")
        return self._every(overrides) if self.options["tuned"] is None else self._tuned(overrides)

    def _every(self, overrides: list[Override]) -> Any:
        from descent_lab.cli.run import shown
        from descent_lab.cli.session import note_elsewhere

        assert self.launcher is not None
        stacked = isinstance(self.launcher, StackedLauncher)
        batches = self.split_arguments(overrides, self.max_batch_size)
        together = [] if stacked else self._sweep_name(overrides)
        returns: list[Sequence[JobReturn]] = []
        for batch in batches:
            jobs = [[*job, *together] for job in batch]
            returns.append(self.launcher.launch(jobs, initial_job_idx=sum(map(len, returns))))
        if not stacked:
            with shown():
                note_elsewhere([job for batch in returns for job in batch])
        return returns

    def _sweep_name(self, overrides: list[Override]) -> list[str]:
        """An override that joins jobs of their own processes to one sweep, unless there is one."""
        from descent_lab.tracking.provenance import sweep_name

        assert self.config is not None
        named = any(override.key_or_group == "tracking.sweep" for override in overrides)
        return [] if named or self.config.tracking.sweep else [f"tracking.sweep='{sweep_name()}'"]

    def _tuned(self, overrides: list[Override]) -> Any:
        from descent_lab.cli.run import shown
        from descent_lab.cli.session import composer, note_elsewhere, tuned_sweep
        from descent_lab.cli.tuned import SweeperOptions

        assert self.launcher is not None and self.hydra_context is not None and self.config is not None
        if isinstance(self.launcher, StackedLauncher):
            compose = self.launcher.compose
        else:
            compose = composer(self.hydra_context, self.config)
        overrides += OverridesParser.create().parse_overrides(self._sweep_name(overrides))  # its rounds are one sweep
        returns = tuned_sweep(overrides, SweeperOptions(**self.options), self.launcher, compose)
        if not isinstance(self.launcher, StackedLauncher):
            with shown():
                note_elsewhere([job for jobs in returns for job in jobs])
        return returns


def _values(override: Override) -> list[str]:
    return list(override.sweep_string_iterator())
