"""Runs many configurations: drops what is finished, stacks what shares a program, hands stacks to an engine."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import psutil

from descent_lab.child_processes import Leash
from descent_lab.errors import ConfigError, Failure
from descent_lab.faults import told
from descent_lab.loops.base import activation_bytes
from descent_lab.problems.supervised import Problem
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.engines.base import Engine
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.progress import Watcher
from descent_lab.sweeps.worker import Stack, Trained, train_stack
from descent_lab.tracking.outbox import undelivered_runs
from descent_lab.tracking.provenance import tags
from descent_lab.tracking.record import RunKey
from descent_lab.tracking.server import Store, Stores
from descent_lab.tracking.uploader import Uploader, deliver_abandoned
from descent_lab.tracking.writer_process import WriterProcess
from descent_lab.training.bar import Bar
from descent_lab.training.trainer import Outcome, Run

STACK_BYTES = 2**30  # what the arrays of one stack may take
STACK_RUNS = 1024
WRITER_PROCESS_FROM = 100  # runs to write from which on a second process gains more than it takes to start
FULL_FROM = 64  # runs from which on a group is cut so that tracking can begin early
Done = dict[RunKey, float | None]  # final train/loss of runs that are finished, where there is one


@dataclass(frozen=True)
class Failed:
    """A run that could not be made or trained, and why, in one line."""

    name: str
    reason: str


@dataclass
class Summary:
    """What became of the runs of a sweep."""

    finished: int = 0
    diverged: int = 0
    skipped: int = 0
    delivered: int = 0  # that an earlier start had left in the outbox
    undelivered: int = 0  # runs that stay in the outbox
    interrupted: bool = False
    failed: list[Failed] = field(default_factory=list)
    objective: dict[str, float] = field(default_factory=dict)  # final train/loss by identity of the finished runs

    @property
    def code(self) -> int:
        """Exit code: 0 if every run is where it belongs."""
        return 130 if self.interrupted else 1 if self.failed else 3 if self.undelivered else 0

    def __str__(self) -> str:
        lines = [f"failed: {failure.name}: {failure.reason}" for failure in self.failed]
        if self.delivered:
            lines.append(f"{self.delivered} runs that an earlier start had left in the outbox were delivered")
        if self.interrupted:
            lines.append("interrupted: finished runs are kept; the same command goes on with the rest")
        if self.undelivered:
            lines.append(
                f"{self.undelivered} runs wait in the outbox: python -m src.deliver, or the next start, delivers them"
            )
        counts = f"{self.finished} finished, {self.diverged} diverged, {len(self.failed)} failed"
        return "\n".join([*lines, f"{counts}, {self.skipped} skipped (finished before, or the same as another)"])


Entry = Config | Failed


def run_all(entries: Sequence[Entry], progress: bool) -> Summary:
    """Train and track every configuration that is not finished yet. Raises ConfigError if a store cannot be opened."""
    summary = Summary(failed=[entry for entry in entries if isinstance(entry, Failed)])
    groups, refused = _by_program([entry for entry in entries if isinstance(entry, Config)])
    summary.failed += refused
    configs = [config for group in groups for config in group.configs]
    if not configs:
        return summary
    stores = Stores()
    done = _finished(configs, stores, summary, configs[0].dry_run)
    pending = [stack for group in groups if (stack := _pending(group, done, summary)).configs]
    engine = configs[0].engine
    stacks = [stack for group in pending for stack in _cut(group, engine)]
    if configs[0].dry_run:
        print(_plan(stacks, len(configs), summary.skipped))
    elif stacks:
        _train(stacks, stores, summary, progress)
    return summary


def stacks_of(configs: Sequence[Config]) -> tuple[list[Stack], list[Failed]]:
    """The stacks in which configurations are trained where nothing is tracked; and those that cannot be trained."""
    groups, failed = _by_program(configs)
    return [stack for group in groups for stack in _cut(group, configs[0].engine)], failed


def _by_program(configs: Iterable[Config]) -> tuple[list[Stack], list[Failed]]:
    """Configurations that can be trained in one stack, grouped; and those whose parts do not fit together."""
    problems: dict[str, Problem] = {}
    groups: dict[object, tuple[Run, list[Config]]] = {}
    failed = []
    for config in configs:
        try:
            if config.problem_key not in problems:
                problems[config.problem_key] = config.problem()
            run = config.run(problems[config.problem_key])
            _refuse_size(config, run)
        except ConfigError as error:
            failed.append(Failed(config.name, str(error)))
            continue
        groups.setdefault((run.program, run.record, config.timing), (run, []))[1].append(config)
    stacks = [Stack(group, run.program.n_steps, len(group) * _bytes(run)) for run, group in groups.values()]
    return stacks, failed


def _bytes(run: Run) -> int:
    """What the arrays of one run take: data, theta with the optimizer's state, and what a step works on."""
    data, objective, itemsize = run.problem.data, run.problem.objective, np.dtype(run.dtype).itemsize
    numbers = sum(array.size for array in (data.x_train, data.y_train, data.x_test, data.y_test))
    numbers += 6 * objective.network.n_params
    evaluation = activation_bytes(objective, len(data.x_train), itemsize)
    step = run.backend.working_bytes(objective, run.problem.batches.size, itemsize)
    return numbers * itemsize + max(evaluation, step)


def _refuse_size(config: Config, run: Run) -> None:
    needed, free = _bytes(run), psutil.virtual_memory().available
    if needed > 0.9 * free:
        raise ConfigError(
            f"backend={config.choices['backend']}: a step with {run.problem.objective.network.n_params} parameters on "
            f"{run.problem.batches.size} samples needs about {needed / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} GiB are free; choose a smaller network or batch, or another backend"
        )


def _finished(configs: list[Config], stores: Stores, summary: Summary, only_look: bool) -> Done:
    """Runs that need not be run again."""
    by_store: dict[Store, list[Config]] = {}
    for config in configs:
        if not config.tracking.offline:
            by_store.setdefault(stores.of(config.tracked), []).append(config)
    if not only_look:
        summary.delivered, _ = deliver_abandoned(stores, {store.uri for store in by_store})
    found: Done = {}
    if any(config.tracking.offline for config in configs):
        found |= {run.key: run.summary.get("final/train_loss") for run in undelivered_runs()}
    for store, members in by_store.items():
        if not only_look:
            store.delete_orphans()
        unforced = [config.tracked for config in members if not config.force]
        for identity, loss in (store.finished(unforced) if unforced else {}).items():
            found[RunKey(store.uri, store.experiment, identity)] = loss
    return found


def _pending(group: Stack, done: Done, summary: Summary) -> Stack:
    """Those of the group that are to be run: not finished yet, and each one once."""
    wanted = {config.tracked.key: config for config in group.configs}
    configs = [config for place, config in wanted.items() if config.force or place not in done]
    summary.skipped += len(group.configs) - len(configs)
    known = {config.identity: done.get(place) for place, config in wanted.items()}
    summary.objective |= {identity: loss for identity, loss in known.items() if loss is not None}
    return Stack(configs, group.n_steps, group.bytes * len(configs) // len(group.configs))


def _cut(group: Stack, engine: Engine) -> list[Stack]:
    """Stacks that fit into memory, are no larger than is of use, and keep every worker busy.

    One by one where clocks must be comparable.
    """
    n = len(group.configs)
    if group.configs[0].timing == "isolated":
        n_stacks = n
    else:  # only where training happens is this process's device asked for: other engines' workers have their own
        of_use = _full(group) if isinstance(engine, Serial) else _for_workers(n, engine.n_workers)
        n_stacks = max(ceil(group.bytes / STACK_BYTES), ceil(n / STACK_RUNS), of_use)
    size = ceil(n / n_stacks)
    parts = [group.configs[i : i + size] for i in range(0, n, size)]
    return [Stack(part, group.n_steps, group.bytes * len(part) // n) for part in parts]


def _for_workers(n: int, n_workers: int) -> int:
    return min(n, 2 * n_workers) if n_workers > 1 else 1


def _full(group: Stack) -> int:
    """How many full stacks of one size, so that one program does for all: while one trains, the last is tracked."""
    n = len(group.configs)
    if n <= FULL_FROM:
        return 1
    most = n // group.configs[0].backend.stack_runs
    return max((k for k in range(1, most + 1) if n % k == 0), default=1)


def _plan(stacks: list[Stack], n_configs: int, skipped: int) -> str:
    """What would be run."""
    rows = []
    for stack in stacks:
        n, more = len(stack.configs), " ..." if len(stack.configs) > 1 else ""
        size = stack.bytes / 2**20
        rows.append(f"  {n:6d} runs x {stack.n_steps} steps, {size:8.1f} MiB: {stack.configs[0].name}{more}")
    n_runs = sum(len(stack.configs) for stack in stacks)
    head = f"{n_configs} configurations: {skipped} finished or repeated, {n_runs} to run in {len(stacks)} stacks"
    return "\n".join([head, *rows])


def _train(stacks: list[Stack], stores: Stores, summary: Summary, progress: bool) -> None:
    """Hand the stacks to the engine, and every outcome to the uploader as it comes."""
    config = stacks[0].configs[0]
    n_runs = sum(len(stack.configs) for stack in stacks)
    with Leash() as leash:
        uploader = Uploader(stores, tags(config.tracking.sweep), _writer_process(leash, stacks, stores))
        try:
            with Bar(sum(stack.total_steps for stack in stacks), n_runs, None if progress else False) as bar:
                here = isinstance(config.engine, Serial)
                task = Watcher(bar, uploader).train_stack if here else train_stack
                for stack, trained in config.engine.run(task, stacks):
                    for member, outcome in _outcomes(stack, trained, summary):
                        uploader.take(member.tracked, outcome, trained.started, trained.wall)
                    bar.stack_done(stack.total_steps, len(stack.configs))
        except KeyboardInterrupt:
            summary.interrupted = True
        finally:
            uploader.close()
            summary.undelivered = uploader.undelivered


def _writer_process(leash: Leash, stacks: list[Stack], stores: Stores) -> WriterProcess | None:
    """One to write beside this process, where it gains more than it costs and disturbs no clock."""
    from joblib import cpu_count  # knows the limits of containers

    configs = [config for stack in stacks for config in stack.configs]
    written = [config for config in configs if not config.tracking.offline]
    disturbed = any(config.timing == "isolated" for config in configs)
    if len(written) < WRITER_PROCESS_FROM or disturbed or cpu_count() == 1:
        return None
    return WriterProcess(leash, stores.of(written[0].tracked))


def _outcomes(stack: Stack, trained: Trained | Failure, summary: Summary) -> Iterator[tuple[Config, Outcome]]:
    """What came of a stack, counted."""
    results = [trained] * len(stack.configs) if isinstance(trained, Failure) else trained.outcomes
    for config, result in zip(stack.configs, results, strict=True):
        if isinstance(result, Failure):  # one failing run never stops the others
            summary.failed.append(Failed(config.name, told(result, config.debug)))
            continue
        summary.finished += result.status == "finished"
        summary.diverged += result.status == "diverged"
        if result.status == "finished":
            summary.objective[config.identity] = float(result.curves["train/loss"][-1])
        yield config, result
