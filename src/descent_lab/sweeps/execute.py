"""Trains and tracks the runs of a sweep: skips finished ones, hands stacks to the engine, counts outcomes."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from descent_lab.errors import Failure
from descent_lab.faults import told
from descent_lab.sweeps import plan
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.live import train_watched
from descent_lab.sweeps.summary import Failed, Part, Summary
from descent_lab.sweeps.worker import Stack, TrainedStack, train_stack
from descent_lab.tracking.address import is_folder
from descent_lab.tracking.outbox import summary_of, undelivered_runs
from descent_lab.tracking.provenance import tags
from descent_lab.tracking.record import KnownRun, RunKey, SweepKey
from descent_lab.tracking.stores import Store, Stores
from descent_lab.tracking.uploader import Uploader, deliver_abandoned
from descent_lab.training.bar import Bar
from descent_lab.training.run import Outcome
from descent_lab.wording import counted

log = logging.getLogger(__name__)

Finished = dict[RunKey, KnownRun]


def run_all(configs: Sequence[Config | Failed], progress: bool) -> Summary:
    """Train and track every configuration that is not finished yet; count the ones that were refused before as failed.

    progress: show a progress bar on a terminal. Raises ConfigError if a tracking store cannot be opened.
    """
    summary = Summary(failed=[config for config in configs if isinstance(config, Failed)])
    groups, refused = plan.by_program([config for config in configs if isinstance(config, Config)])
    summary.failed += refused
    valid = [config for group in groups for config in group.configs]
    if not valid:
        return summary
    stores = Stores()
    finished = _finished(valid, stores, summary)
    pending = [plan.unfinished(group, finished.keys()) for group in groups]
    summary.skipped = len(valid) - sum(len(group.configs) for group in pending)
    for config in valid:
        known = finished.get(config.key)
        if known is not None and not known.diverged:
            summary.results[config.identity] = config.tuning.results(known.summary, known.curves)
    stacks = [stack for group in pending if group.configs for stack in plan.cut(group, valid[0].engine)]
    log.info("%s skipped, %s to train", counted(summary.skipped, "run"), counted(len(stacks), "stack"))
    if valid[0].dry_run:
        print(plan.described(stacks, len(valid), summary.skipped))
    elif stacks:
        _train(stacks, stores, summary, progress)
    if not valid[0].dry_run and not summary.interrupted and not summary.undelivered:
        refused_ones = [failure.config for failure in refused if isinstance(failure.config, Config)]
        summary.parts = parts_of([*valid, *refused_ones], finished, summary)
    return summary


def parts_of(configs: Iterable[Config], finished: Finished, summary: Summary) -> dict[SweepKey, Part]:
    """What was done to each sweep. finished: the runs that were so before."""
    failed = {id(failure.config) for failure in summary.failed}
    parts: dict[SweepKey, Part] = {}
    for config in configs:
        tracking, key = config.tracking, config.key
        sweep = summary.sweep or tracking.sweep
        if sweep is None or tracking.offline or is_folder(key.uri):
            continue
        part = Part(new=summary.delivered > 0, summarised=tracking.summary)
        part = parts.setdefault(SweepKey(key.uri, key.experiment, sweep), part)
        if id(config) in failed:
            part.failed.append(config.choices)
        elif key in finished and not config.force:
            part.skipped.append(config.identity)
            if tracking.sweep:  # else it came with another sweep, as this one got its name just now
                part.configs.append(config)
        else:
            part.new = True
            part.configs.append(config)
    return parts


def _finished(configs: Sequence[Config], stores: Stores, summary: Summary) -> Finished:
    """The runs that stores, or the outbox for runs that stay there, hold finished.

    Before that, except for `dry_run`, runs that earlier processes left in the outbox are delivered to these stores.
    """
    by_store: dict[Store, list[Config]] = {}
    for config in configs:
        if not config.tracking.offline:
            by_store.setdefault(stores.at(config.key.uri, config.key.experiment), []).append(config)
    if not configs[0].dry_run:
        summary.delivered, _ = deliver_abandoned(stores, {store.uri for store in by_store})
    finished: Finished = {}
    if any(config.tracking.offline for config in configs):
        finished |= undelivered_runs()
    for store, members in by_store.items():
        if not configs[0].dry_run:
            store.delete_orphans()
        unforced = [config for config in members if not config.force]
        there = store.finished(config.tracked for config in unforced) if unforced else {}
        for identity, known in there.items():
            finished[RunKey(store.uri, store.experiment, identity)] = known
    return finished


def _train(stacks: Sequence[Stack], stores: Stores, summary: Summary, progress: bool) -> None:
    """Hand the stacks to the engine, and every outcome to the uploader as it comes."""
    engine, tracking = stacks[0].configs[0].engine, stacks[0].configs[0].tracking
    n_steps, n_runs = sum(stack.total_steps for stack in stacks), sum(len(stack.configs) for stack in stacks)
    common = tags(tracking.sweep)
    summary.sweep = common["sweep"]
    uploader = Uploader(stores, common)
    try:
        with Bar(n_steps, n_runs, None if progress else False) as bar:
            here = isinstance(engine, Serial)
            task = partial(train_watched, bar=bar, uploader=uploader) if here else train_stack
            for stack, trained in engine.run(task, stacks):
                log.info("trained: %s, such as %s", counted(len(stack.configs), "run"), stack.configs[0].name)
                for config, outcome in _outcomes(stack, trained, summary):
                    uploader.take(config.tracked, outcome, trained.started, trained.wall)
                bar.stack_done(stack.total_steps, len(stack.configs))
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        uploader.close()
        summary.undelivered = uploader.undelivered


def _outcomes(stack: Stack, trained: TrainedStack | Failure, summary: Summary) -> Iterator[tuple[Config, Outcome]]:
    """The outcome of each run of a stack, counted in the summary. A run that failed stops no other."""
    results = [trained] * len(stack.configs) if isinstance(trained, Failure) else trained.outcomes
    for config, result in zip(stack.configs, results, strict=True):
        if isinstance(result, Failure):
            summary.failed.append(Failed(config.name, told(result, config.debug), config))
            continue
        summary.finished += result.status == "finished"
        summary.diverged += result.status == "diverged"
        if result.status == "finished":
            summary.results[config.identity] = config.tuning.results(summary_of(result), partial(_curves, result))
        yield config, result


def _curves(outcome: Outcome) -> Mapping[str, np.ndarray]:
    return outcome.curves
