"""Which runs are trained together: grouped by program, without those that are finished, cut into stacks."""

import logging
from collections.abc import Collection, Iterable, Sequence
from math import ceil

import psutil

from descent_lab.errors import ConfigError, DescentError
from descent_lab.faults import failure_of, told
from descent_lab.problems.supervised import Problem
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.engines.base import Engine
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.summary import Failed
from descent_lab.sweeps.worker import Stack
from descent_lab.tracking.record import RunKey
from descent_lab.training.run import Run
from descent_lab.wording import counted

log = logging.getLogger(__name__)

STACK_BYTES = 2**30  # the memory in bytes that the arrays of one stack may take
STACK_RUNS = 1024  # the largest number of runs in a stack
FULL_FROM = 64  # a group of more runs is cut, so that its first runs are tracked while others train


def stacks_of(configs: Sequence[Config]) -> tuple[list[Stack], list[Failed]]:
    """The stacks in which configurations are trained where nothing is tracked, and those that cannot be trained."""
    groups, failed = by_program(configs)
    return [stack for group in groups for stack in cut(group, configs[0].engine)], failed


def by_program(configs: Iterable[Config]) -> tuple[list[Stack], list[Failed]]:
    """Groups of configurations that share a program, and the configurations whose parts do not fit together."""
    problems: dict[str, Problem] = {}
    groups: dict[object, tuple[Run, list[Config]]] = {}
    failed = []
    for config in configs:
        try:
            if config.problem_key not in problems:
                problems[config.problem_key] = config.problem()
            run = config.run(problems[config.problem_key])
            config.tuning.refuse_unrecorded(run.problem, config.optimizer)
            key = run.program, run.record, config.timing
            if key not in groups:  # all runs of a group need the same memory
                _refuse_size(config, run)
        except DescentError as error:
            failed.append(Failed(config.name, str(error), config, refused=True))
        except Exception as error:  # in somebody's own code, such as a data set
            reason = told(failure_of(error), config.debug)
            failed.append(Failed(config.name, reason, config))
        else:
            groups.setdefault(key, (run, []))[1].append(config)
    stacks = [Stack(group, run.program.n_steps, len(group) * run.bytes()) for run, group in groups.values()]
    log.info("%d configurations in %d groups that share a program", sum(len(s.configs) for s in stacks), len(stacks))
    return stacks, failed


def _refuse_size(config: Config, run: Run) -> None:
    needed, free = run.bytes(), psutil.virtual_memory().available
    if needed > 0.9 * free:
        raise ConfigError(
            f"backend={config.choices['backend']}: a step with {run.problem.objective.network.n_params} parameters on "
            f"{run.problem.batches.size} samples needs about {needed / 2**30:.1f} GiB of memory, "
            f"and {free / 2**30:.1f} GiB are free; choose a smaller network or batch, or another backend"
        )


def unfinished(group: Stack, finished: Collection[RunKey]) -> Stack:
    """The runs of a group that are still to be trained, each once; those with `force` although they are finished."""
    by_key = {config.key: config for config in group.configs}
    configs = [config for key, config in by_key.items() if config.force or key not in finished]
    return Stack(configs, group.n_steps, group.bytes * len(configs) // len(group.configs))


def cut(group: Stack, engine: Engine) -> list[Stack]:
    """Stacks that fit into memory, are no larger than is quicker, and keep every worker of the engine busy.

    Runs whose clocks are to be compared (timing=isolated) are trained one by one.
    """
    n = len(group.configs)
    if group.configs[0].timing == "isolated":
        n_stacks = n
    else:  # only the serial engine trains on the device of this process; workers have devices of their own
        enough = _full_stacks(group) if isinstance(engine, Serial) else _stacks_for_workers(n, engine.n_workers)
        n_stacks = max(ceil(group.bytes / STACK_BYTES), ceil(n / STACK_RUNS), enough)
    size = ceil(n / n_stacks)
    parts = [group.configs[i : i + size] for i in range(0, n, size)]
    return [Stack(part, group.n_steps, group.bytes * len(part) // n) for part in parts]


def _stacks_for_workers(n: int, n_workers: int) -> int:
    """Two stacks a worker, so that a worker which is done early gets another."""
    return min(n, 2 * n_workers) if n_workers > 1 else 1


def _full_stacks(group: Stack) -> int:
    """The number of stacks of one size, which share one compiled program; one is tracked while the next trains."""
    n = len(group.configs)
    if n <= FULL_FROM:
        return 1
    most = n // group.configs[0].backend.stack_runs
    return max((k for k in range(1, most + 1) if n % k == 0), default=1)


def described(stacks: Sequence[Stack], n_configs: int, skipped: int) -> str:
    """What would be trained, for `dry_run=true`."""
    rows = []
    for stack in stacks:
        n, size = len(stack.configs), stack.bytes / 2**20
        runs, more = ("runs", " ...") if n > 1 else ("run ", "")
        steps = counted(stack.n_steps, "step")
        rows.append(f"  {n:6d} {runs} x {steps}, {size:8.1f} MiB: {stack.configs[0].name}{more}")
    n_runs, in_stacks = sum(len(stack.configs) for stack in stacks), counted(len(stacks), "stack")
    head = f"{counted(n_configs, 'configuration')}: {skipped} finished or repeated, {n_runs} to run in {in_stacks}"
    return "\n".join([head, *rows])
