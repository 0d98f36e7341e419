"""Many runs, trained in memory: the command line's words in, frames out."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np

from descent_lab.api.problem import Problem
from descent_lab.api.results import Result, Results
from descent_lab.cli.composition import Sweep, compose, composer, configurations, sweep_of
from descent_lab.errors import ConfigError, Failure
from descent_lab.sweeps.config import Config
from descent_lab.sweeps.engines.serial import Serial
from descent_lab.sweeps.naming import named
from descent_lab.sweeps.objective import WORST, Score
from descent_lab.sweeps.plan import stacks_of
from descent_lab.sweeps.worker import Stack, TrainedStack, train_stack
from descent_lab.tracking.outbox import describe, summary_of
from descent_lab.tracking.reader.frames import curves_frame, runs_frame, with_length
from descent_lab.tracking.reader.source import About, Described, in_memory
from descent_lab.training.bar import Bar
from descent_lab.training.run import Outcome

DELAY = 0.5  # seconds of training before the progress bar appears


def run(overrides: Sequence[str] | str = (), *, progress: bool | None = None) -> Result:
    """One run, as `descent-lab run <overrides>` trains it, in memory. Raises ConfigError for what cannot be trained.

    >>> dl.run(["dataset=digits", "optimizer=adam", "lr=0.01"])
    """
    trained, failed = _train([compose(_words(overrides))], progress)
    if failed:
        raise ConfigError(failed[0][1])
    (member,) = trained.values()
    return member.result()


def sweep(
    overrides: Sequence[str] | str,
    *,
    tuned: str | Sequence[str] | None = None,
    blocks: int | None = None,
    progress: bool | None = None,
) -> Results:
    """Every combination, as `descent-lab run -m <overrides>` trains it: in the same stacks, but in memory.

    tuned: the hyperparameters to tune, such as ["lr"], or "space": all that the search space of each optimizer names.
    Settings are then chosen on some seeds, and the best is judged on others: `best` names for each entrant the one that
    was chosen in most blocks. blocks: into how many parts the seeds are cut, each of which tunes and judges anew. None:
    what the words say of hydra.sweeper.tuned and hydra.sweeper.blocks, as most studies do.

    Runs that cannot be made or trained are in `failed`. Raises ConfigError where no run can be trained at all.

    >>> dl.sweep(["dataset=digits,iris", "optimizer=sgd,adam", "lr=0.1,0.01", "seed=range(5)"])
    >>> dl.sweep("dataset=iris optimizer=sgd,adam", tuned="space", blocks=5).best
    """
    asked = sweep_of(_words(overrides)).given(tuned=tuned, blocks=blocks)
    memory = Memory(progress)
    best: Mapping[tuple[str, ...], Sequence[str]] = {}
    if asked.options["tuned"] is None:
        memory.launch(asked.jobs())
    else:
        best = _tuned(asked, memory)
    if memory.failed and not memory.members:
        raise ConfigError(memory.failed[0][1])
    members = memory.members
    curves = [member.outcome.curves for member in members.values()]
    runs = with_length(runs_frame(in_memory([member.described() for member in members.values()])), curves)
    params = tuple(sorted({name for member in members.values() for name in member.config.params}))
    made = partial(curves_frame, tuple(members), curves)
    return Results(runs, made, lambda run_id: members[run_id].result(), tuple(memory.failed), best, params)


def _words(overrides: Sequence[str] | str) -> Sequence[str]:
    """Overrides given one by one, or as a line that a shell would split."""
    return shlex.split(overrides) if isinstance(overrides, str) else overrides


def _tuned(asked: Sweep, memory: "Memory") -> Mapping[tuple[str, ...], Sequence[str]]:
    """Tune as the command line does; by entrant, the setting that was chosen in most blocks."""
    from descent_lab.cli.tuned import SweeperOptions, planned
    from descent_lab.sweeps.tuning import override, tally

    options = SweeperOptions(**{f.name: asked.options[f.name] for f in fields(SweeperOptions)})
    best = planned(asked.words, options, composer()).run(memory.launch)
    return {
        entrant: [override(name, value) for name, value in tally(chosen)[0][0].items()]
        for entrant, chosen in best.items()
    }


@dataclass
class Memory:
    """Trains jobs, and holds what came of them: members by identity, and the runs that failed: (name, why)."""

    progress: bool | None
    members: "dict[str, Member]" = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def launch(self, jobs: Sequence[Sequence[str]]) -> list[Score]:
        """Train the jobs that are not trained yet; the score of each, infinite if it diverged or failed."""
        made = named(list(configurations(jobs)))
        refused = [(job, why) for job, why in zip(jobs, made, strict=True) if isinstance(why, ConfigError)]
        self.failed += [(" ".join(job), str(why)) for job, why in refused]
        wanted = {config.identity: config for config in made if isinstance(config, Config)}
        new = [config for identity, config in wanted.items() if identity not in self.members]
        trained, failed = _train(new, self.progress)
        self.failed += failed
        self.members |= {config.identity: trained[config.identity] for config in new if config.identity in trained}
        return [self._score(config) for config in made]

    def _score(self, config: Config | ConfigError) -> Score:
        if isinstance(config, ConfigError):
            return WORST
        member = self.members.get(config.identity)
        if member is None or member.outcome.status != "finished":
            return config.tuning.score(None)
        outcome = member.outcome
        return config.tuning.score(config.tuning.results(summary_of(outcome), lambda: outcome.curves))


@dataclass(frozen=True)
class Member:
    """A trained run of a sweep."""

    config: Config
    outcome: Outcome
    started: float  # seconds since 1970
    wall: float  # seconds

    def result(self) -> Result:
        config = self.config
        problem = Problem(config.dataset, config.model, config.init, config.seed, config.stream, config.seeds)
        return Result.of(problem, self.outcome, config.name)

    def described(self) -> Described:
        """What a store would tell of this run; its id is its identity."""
        finished = describe(self.config.tracked, self.outcome, self.started, self.wall, _tags(self.config))
        about = About(self.config.identity, "", finished.experiment, finished.name, int(1000 * self.started))
        ledger = {f"ledger/{purpose}_seconds": seconds for purpose, seconds in finished.ledger.items()}
        return Described(about, finished.tags, finished.params, _last(self.outcome.curves) | finished.summary | ledger)


def _tags(config: Config) -> Mapping[str, str]:
    from descent_lab.tracking.provenance import versions

    return {"versions": versions()} | ({"sweep": config.tracking.sweep} if config.tracking.sweep else {})


def _last(curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The last finite value of each metric, as a store shows it."""
    finite = {name: values[np.isfinite(values)] for name, values in curves.items() if name not in ("step", "epoch")}
    return {name: float(values[-1]) for name, values in finite.items() if values.size}


def _train(configs: Sequence[Config], progress: bool | None) -> tuple[dict[str, Member], list[tuple[str, str]]]:
    """The results of the runs by identity, and the runs that failed: (name, reason)."""
    if not configs:
        return {}, []
    stacks, refused = stacks_of(configs)
    failed = [(failure.name, failure.reason) for failure in refused]
    members: dict[str, Member] = {}
    n_runs = sum(len(stack.configs) for stack in stacks)
    with Bar(sum(stack.total_steps for stack in stacks), n_runs, progress, DELAY) as bar:

        def here(stack: Stack) -> TrainedStack:
            return train_stack(stack, lambda recorder, _: bar.steps(recorder.steps[-1] * len(stack.configs)), False)

        engine = configs[0].engine
        task = here if isinstance(engine, Serial) else partial(train_stack, keep=False)
        for stack, trained in engine.run(task, stacks):
            bar.stack_done(stack.total_steps, len(stack.configs))
            if isinstance(trained, Failure):
                failed += [(config.name, trained.reason) for config in stack.configs]
                continue
            for config, outcome in zip(stack.configs, trained.outcomes, strict=True):
                if isinstance(outcome, Failure):
                    failed.append((config.name, outcome.reason))
                else:
                    members[config.identity] = Member(config, outcome, trained.started, trained.wall)
    return members, failed
