"""From Hydra's hands to the sweep's and back: composed overrides in, objectives and job returns out."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobRuntime, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from descent_lab.cli import exit_code, summaries
from descent_lab.cli.complaints import explained
from descent_lab.cli.compose import Composed, Composer, plain
from descent_lab.cli.tuned import SweeperOptions, TunedSweep, planned
from descent_lab.errors import ConfigError
from descent_lab.paths import command
from descent_lab.sweeps.config import Config, parse, refuse_optimizer
from descent_lab.sweeps.execute import parts_of, run_all
from descent_lab.sweeps.naming import named
from descent_lab.sweeps.objective import WORST, Score
from descent_lab.sweeps.summary import Failed, Part, Summary
from descent_lab.sweeps.tuning import Chosen, override, tally
from descent_lab.tracking.record import SweepKey


def run_one(composed: DictConfig, hydra: DictConfig) -> float | tuple[float, ...]:
    """Train and track one run, and print what became of it; the objective for sweepers that search.

    Raises ConfigError (or OmegaConf's own) for bad input, RunError if the run fails, SystemExit if it is interrupted.
    """
    config = parse(*_with_choices(composed, hydra))
    refuse_optimizer(config, hydra.overrides.task)
    _refuse_export(config)
    summary = run_all([config], progress=False)
    for failed in summary.failed:
        raise failed.error
    if config.identity in summary.results:
        print(f"{config.name}: final train/loss {summary.results[config.identity]['final/train_loss']:.6g}")
    print(summary)
    if summary.interrupted:
        raise SystemExit(summary.code)
    exit_code.note(summary.code)
    return _objective(config, summary)


def composer(context: HydraContext, master: DictConfig) -> Composer:
    """Composes the jobs of a sweep; it remembers the combinations of choices that it has composed."""
    return Composer(_loading(context.config_loader, master), _groups(context.config_loader))


def run_jobs(
    jobs: Sequence[Sequence[str]],
    first: int,
    context: HydraContext,
    master: DictConfig,
    task: TaskFunction,
    compose: Composer,
) -> list[JobReturn]:
    """Train and track all jobs of a sweep, stacked, and print what became of them; one return a job.

    Hydra's callbacks hear of every job: first that each begins, then, when all are done, that each has ended.
    """
    configs = _configs(jobs, compose)
    watched = [_Watched(context, master, job, first + i, task) for i, job in enumerate(jobs)] if _heard(context) else []
    for job in watched:
        job.start()
    summary = run_all(configs, progress=True)
    print(summary, file=sys.stderr if summary.code == exit_code.REFUSED else sys.stdout)
    if summary.interrupted:
        raise SystemExit(summary.code)
    exit_code.note(summary.code)
    summaries.note(summary.parts)
    failures = {id(failed.config): failed for failed in summary.failed}
    returns = [_returned(job, config, summary, failures) for job, config in zip(jobs, configs, strict=True)]
    for job, returned in zip(watched, returns, strict=False):
        job.end(returned)
    return returns


def tuned_sweep(
    overrides: Sequence[Override], options: SweeperOptions, launcher: Launcher, compose: Composer
) -> list[Sequence[JobReturn]]:
    """Tune on some seeds and evaluate on others: prints the winners, returns the jobs."""
    rounds: list[Sequence[JobReturn]] = []

    def launch(jobs: list[list[str]]) -> list[Score]:
        rounds.append(launcher.launch(jobs, initial_job_idx=sum(map(len, rounds))))
        return [_score(job) for job in rounds[-1]]

    sweep = planned(overrides, options, compose)
    exported = _exported(sweep)
    dry_run = any(word.key_or_group == "dry_run" and word.value() is True for word in overrides)
    print(sweep.plan(), *(sweep.spaces() if dry_run else ()), sep="\n")
    if dry_run:
        sweep.design = replace(sweep.design, batch=sweep.design.trials)
    best = sweep.run(launch)
    if not dry_run:  # where nothing was trained, no setting is the best
        print(*map(_said, best.items()), *(f"caution: {line}" for line in sweep.cautions(best)), sep="\n")
        if exported:
            _export(sweep, best, compose)
    return rounds


def _exported(sweep: TunedSweep) -> bool:
    """Whether models are to be logged at the end. Raises ConfigError where they could not be."""
    asked = [config.tracking for config in sweep.configs.values() if config.tracking.export]
    if any(tracking.offline for tracking in asked):
        raise ConfigError("tracking.export=true: the store must be there; leave out tracking.offline")
    if not all(tracking.save_theta for tracking in asked):
        raise ConfigError("tracking.export=true: needs tracking.save_theta=true")
    return bool(asked)


def _export(sweep: TunedSweep, best: Mapping[tuple[str, ...], Sequence[Chosen]], compose: Composer) -> None:
    """Log the model of each entrant's chosen setting to its first run on a held-out seed, and say so."""
    from descent_lab.cli.export import write
    from descent_lab.exports.model import Exported
    from descent_lab.exports.winners import finished_run

    for name, jobs in sweep.judged(best):
        configs = [parse(*compose(job)) for job in jobs]
        winner = finished_run([config.key for config in configs], " ".join(name))
        if winner is None:
            print(
                f"not exported: {' '.join(name)}: no run of its setting on a held-out seed in the store",
                file=sys.stderr,
            )
        else:
            write(Exported.of(winner.run_id, uri=configs[0].key.uri), winner, {})


def _refuse_export(config: Config) -> None:
    if config.tracking.export and config.tracking.phase is None:
        raise ConfigError(
            f"tracking.export=true: goes with hydra.sweeper.tuned; see {command('export')} for other runs"
        )


def _said(best: tuple[Sequence[str], Sequence[Chosen]]) -> str:
    """The setting that was chosen for an entrant in most blocks, and in how many, in one line."""
    entrant, chosen = best
    setting, n = tally(chosen)[0]
    words = [override(name, value) for name, value in setting.items()] or ["(every setting diverged or failed)"]
    blocks = f" ({n} of {len(chosen)} blocks)" if len(chosen) > 1 else ""
    return f"best: {' '.join([*entrant, *words])}{blocks}"


def _score(job: JobReturn) -> Score:
    if job.status != JobStatus.COMPLETED:
        return WORST
    value = job.return_value
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _with_choices(composed: DictConfig, hydra: DictConfig) -> Composed:
    """The values of a composed run with the choices made; Hydra keeps these out of what it gives to a task."""
    return plain(DictConfig({**composed, "hydra": {"runtime": {"choices": hydra.runtime.choices}}}))


def _loading(loader: ConfigLoader, master: DictConfig) -> Callable[[list[str]], DictConfig]:
    return lambda overrides: loader.load_sweep_config(master, overrides)


def _groups(loader: ConfigLoader) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def is_group(name: str) -> bool:
        if name not in known:
            known[name] = bool(loader.get_group_options(name))
        return known[name]

    return is_group


def _configs(jobs: Sequence[Sequence[str]], compose: Composer) -> list[Config | Failed]:
    """The configuration of each job, or why it is refused."""
    configs = named([_config(overrides, compose) for overrides in jobs])
    valid = [config for config in configs if isinstance(config, Config)]
    for config in valid[:1]:
        _refuse_export(config)
    asked = {o for overrides in jobs for o in overrides if o.startswith("optimizer=")}
    if len(asked) == 1 and valid and all(config.optimizer is None for config in valid):
        refuse_optimizer(valid[0], asked)  # a sweep over backends or optimizers leaves the optimizer out where need be
    return configs


def _config(overrides: Sequence[str], compose: Composer) -> Config | Failed:
    try:
        return parse(*compose(overrides))
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        return Failed(" ".join(overrides), explained(error)[0], refused=True)


def _objective(config: Config, summary: Summary) -> float | tuple[float, ...]:
    """What a searching sweeper minimises (sweeps/objective.py), infinite if the run diverged."""
    score = config.tuning.score(summary.results.get(config.identity))
    return score if len(score) > 1 else score[0]


def _returned(
    job: Sequence[str], config: Config | Failed, summary: Summary, failures: Mapping[int, Failed]
) -> JobReturn:
    """The result of a job for Hydra: its objective, or, if it failed, an exception as its value.

    failures: the runs of the sweep that failed, by the id of their configuration.
    """
    failed = config if isinstance(config, Failed) else failures.get(id(config))
    returned = JobReturn(overrides=list(job), task_name=JobRuntime.instance().get("name"), working_dir=os.getcwd())
    if failed:
        returned.status = JobStatus.FAILED
        returned.return_value = failed.error
    elif isinstance(config, Config):
        returned.status, returned.return_value = JobStatus.COMPLETED, _objective(config, summary)
    return returned


def _heard(context: HydraContext) -> bool:
    """Whether anybody listens: composing each job for callbacks takes 100 ms."""
    return bool(context.callbacks.callbacks)


class _Watched:
    """A job whose beginning and end Hydra's callbacks hear of, with the configuration that Hydra would compose."""

    def __init__(self, context: HydraContext, master: DictConfig, job: Sequence[str], number: int, task: TaskFunction):
        self.context, self.task = context, task
        self.config: DictConfig | None = None
        try:
            self.config = context.config_loader.load_sweep_config(master, list(job))
        except (HydraException, OmegaConfBaseException):  # it is refused, and never begins
            return
        with open_dict(self.config):
            self.config.hydra.job.id, self.config.hydra.job.num = str(number), number

    def start(self) -> None:
        if self.config is not None:
            self._tell(self.context.callbacks.on_job_start, task_function=self.task)

    def end(self, returned: JobReturn) -> None:
        if self.config is not None:
            returned.cfg = OmegaConf.masked_copy(self.config, [str(key) for key in self.config if key != "hydra"])
            returned.hydra_cfg = OmegaConf.masked_copy(self.config, ["hydra"])
            self._tell(self.context.callbacks.on_job_end, job_return=returned)

    def _tell(self, callback: Callable[..., None], **about: Any) -> None:
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(cast(DictConfig, self.config))
        try:
            callback(config=self.config, **about)
        finally:
            HydraConfig.instance().cfg = before


def note_elsewhere(returns: Sequence[JobReturn]) -> None:
    """For jobs that another launcher ran: say which failed and why, a line each; note the exit code and the sweeps."""
    failed = [job for job in returns if job.status == JobStatus.FAILED]
    causes = [explained(job._return_value) for job in failed]
    for job, (reason, _) in zip(failed, causes, strict=True):
        print(f"failed: {' '.join(job.overrides or ())}: {reason}", file=sys.stderr)
    if failed:
        all_refused = len(failed) == len(returns) and all(code == exit_code.REFUSED for _, code in causes)
        exit_code.note(exit_code.REFUSED if all_refused else exit_code.FAILED)
    summaries.note(_parts_elsewhere(returns))


def _parts_elsewhere(returns: Sequence[JobReturn]) -> Mapping[SweepKey, Part]:
    """What was done to each sweep, as far as the jobs tell: runs that they skipped count as new."""
    configs, failed = [], []
    for job in returns:
        if job.cfg is None or job.hydra_cfg is None:
            continue
        with suppress(ConfigError):  # it was refused, and its launcher has said so
            config = parse(*_with_choices(job.cfg, job.hydra_cfg.hydra))
            configs += [] if config.dry_run else [config]
            if job.status == JobStatus.FAILED:
                failed.append(Failed(config.name, "", config))
    return parts_of(configs, {}, Summary(failed=failed))
