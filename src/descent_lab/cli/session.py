"""From Hydra's hands to the sweep's and back: composed overrides in, exit code and job returns out."""

import math
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from descent_lab.cli.compose import Composed, Composer, plain
from descent_lab.errors import ConfigError
from descent_lab.sweeps.config import Config, parse, refuse_optimizer
from descent_lab.sweeps.plan import Entry, Failed, Summary, run_all
from descent_lab.sweeps.tuning import Budget, Interval, tune


def single(composed: DictConfig, hydra: DictConfig) -> int:
    """One run from one composed configuration; its exit code."""
    try:
        config = parse(*_plain_with_hydra(composed, hydra))
        refuse_optimizer(config, hydra.overrides.task)
        summary = run_all([config], progress=False)
    except (ConfigError, OmegaConfBaseException) as error:
        print(one_line(str(error)), file=sys.stderr)
        return 2
    if summary.failed:
        print(summary.failed[0].reason, file=sys.stderr)
        return summary.code
    if config.identity in summary.objective:
        print(f"{config.name}: final train/loss {summary.objective[config.identity]:.6g}")
    print(summary)
    return summary.code


def multi(jobs: Sequence[Sequence[str]], loader: ConfigLoader, master: DictConfig) -> tuple[list[JobReturn], int]:
    """All jobs of a sweep, and its exit code. Raises SystemExit if no run can be made at all."""
    sys.stderr = sys.__stderr__  # run.py holds it back while Hydra may complain
    try:
        entries = _entries(jobs, _composer(loader, master))
        summary = run_all(entries, progress=True)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(summary)
    if summary.interrupted:
        raise SystemExit(summary.code)
    return [_returned(job, entry, summary) for job, entry in zip(jobs, entries, strict=True)], summary.code


def tuned_sweep(
    overrides: Sequence[Override],
    tuned: Sequence[str],
    seeds: tuple[str, str],
    trials: int | None,
    batch: int,
    launcher: Launcher,
) -> list[Sequence[JobReturn]]:
    """Tune on some seeds and evaluate on others (src/search.py): prints the winners, returns the jobs."""
    axes = {override.get_key_element(): axis(override) for override in overrides}
    compared: dict[str, list[Any]] = {}
    searched: dict[str, list[Any] | Interval] = {}
    for key, values in axes.items():
        if key in tuned or isinstance(values, Interval):
            searched[key] = values
        else:
            compared[key] = values

    rounds: list[Sequence[JobReturn]] = []

    def launch(jobs: list[list[str]]) -> list[float]:
        rounds.append(launcher.launch(jobs, initial_job_idx=0))
        return [job.return_value for job in rounds[-1]]

    try:
        if "seed" in axes:
            raise ValueError("seed: is given by hydra.sweeper.tuning_seeds and held_out_seeds; leave it out")
        if not searched:
            raise ValueError(f"hydra.sweeper.tuned={list(tuned)}: give the values to choose from, such as lr=0.1,0.01")
        winners = tune(compared, searched, Budget(_integers(seeds[0]), _integers(seeds[1]), trials, batch), launch)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    shared = {f"{key}={values[0]}" for key, values in compared.items() if len(values) == 1}
    for entrant, chosen in winners.items():
        said = (f"{key}={value}" for key, value in chosen.items()) if chosen else ["(every setting diverged or failed)"]
        print("best:", *(part for part in entrant if part not in shared), *said)
    return rounds


def axis(override: Override) -> list[Any] | Interval:
    """The values that an override sweeps over."""
    if override.is_sweep_override() and not override.is_discrete_sweep():
        swept: Any = override.value()
        return Interval(float(swept.start), float(swept.end), "log" in swept.tags)
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _integers(text: str) -> list[int]:
    override = OverridesParser.create().parse_override(f"seed={text}")
    return [int(value) for value in axis(override)]  # type: ignore[union-attr]


def _plain_with_hydra(composed: DictConfig, hydra: DictConfig) -> Composed:
    """Hydra keeps its own node out of what it gives to a task."""
    return plain(DictConfig({**composed, "hydra": {"runtime": {"choices": hydra.runtime.choices}}}))


def _composer(loader: ConfigLoader, master: DictConfig) -> Composer:
    return Composer(lambda overrides: loader.load_sweep_config(master, overrides), _groups(loader))


def _groups(loader: ConfigLoader) -> Any:
    known: dict[str, bool] = {}

    def is_group(name: str) -> bool:
        if name not in known:
            known[name] = bool(loader.get_group_options(name))
        return known[name]

    return is_group


def _entries(jobs: Sequence[Sequence[str]], compose: Composer) -> list[Entry]:
    entries = [_entry(overrides, compose) for overrides in jobs]
    configs = [entry for entry in entries if isinstance(entry, Config)]
    asked = {o for overrides in jobs for o in overrides if o.startswith("optimizer=")}
    if len(asked) == 1 and configs and all(config.optimizer is None for config in configs):
        refuse_optimizer(configs[0], asked)  # not a sweep over backends or optimizers, where it would be left out
    return entries


def _entry(overrides: Sequence[str], compose: Composer) -> Entry:
    try:
        return parse(*compose(overrides))
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        return Failed(" ".join(overrides), one_line(str(error)))


def _returned(job: Sequence[str], entry: Entry, summary: Summary) -> JobReturn:
    """What a sweeper that searches needs: the final training loss, infinite where the run diverged at the start."""
    done = JobReturn(overrides=list(job), status=JobStatus.COMPLETED)
    done.return_value = summary.objective.get(entry.identity, math.inf) if isinstance(entry, Config) else math.inf
    return done


def one_line(text: str) -> str:
    """Hydra's complaint, which may take many lines, as one."""
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith("Set the environment variable")]
    return told[-1] if any(line.startswith("Traceback") for line in told) else " ".join(told)
