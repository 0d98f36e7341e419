"""The workloads of the benchmarks, composed from conf/ as on the command line, and given to peers as plain arrays."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from hydra import compose, initialize_config_dir

import descent_lab.derivatives.reverse  # noqa: F401 - double precision for all contestants
from benchmarks.measuring import Clock, Contestant, Disagreement, Lap
from descent_lab.cli.compose import Composer
from descent_lab.data.batching import orders
from descent_lab.nn.layers.activate import Activate
from descent_lab.nn.layers.conv1d import Conv1d
from descent_lab.paths import ROOT
from descent_lab.sweeps.config import Config, parse
from descent_lab.training.run import Outcome, Run
from descent_lab.training.trainer import train

CONF = ROOT / "conf"


@cache
def _composer() -> Composer:
    def load(overrides: list[str]) -> Any:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides, return_hydra_config=True)

    return Composer(load, lambda name: (CONF / name).is_dir())


def configured(*overrides: str) -> Config:
    """The configuration that `python -m src.run <overrides>` would have."""
    return parse(*_composer()(overrides))


def made(*overrides: str) -> Run:
    """The run of these overrides; nothing has been drawn from its random streams."""
    config = configured(*overrides)
    return config.run(config.problem())


@dataclass(frozen=True)
class Work:
    """A problem and the length of its training. Only the first and last step are recorded, as peers record nothing."""

    name: str
    overrides: tuple[str, ...]
    epochs: int

    def run(self, *more: str) -> Run:
        return made(*self.overrides, f"epochs={self.epochs}", "record.points=2", *more)

    def but(self, *more: str, name: str = "", epochs: int = 0) -> "Work":
        """The same workload with further overrides."""
        return Work(name or self.name, (*self.overrides, *more), epochs or self.epochs)


S1 = Work("S1 full batch", ("dataset=gaussian", "init=normal"), 1000)
S2 = Work("S2 online", ("dataset=product", "batching=online", "init=normal", "init.bias=1", "lr=0.001"), 1000)
S3 = Work(
    "S3 hill climbing",
    ("backend=random_search", "dataset=polynomials", "init=normal", "init.std=0.1", "lr=0.0005"),
    2000,
)
DIGITS = Work(
    "digits 64-64-10, adam, minibatch 32",
    (
        "dataset=digits",
        "model.hidden=[64]",
        "optimizer=adam",
        "lr=0.001",
        "batching=minibatch",
        "batching.size=32",
        "batching.shuffle=false",
    ),
    10,
)

CONV1D = Work(
    "conv1d on mnist1d, the authors' 3 layers of 25 channels, adam, minibatch 100",
    (
        "dataset=mnist1d",
        "model=layers",
        "model.layers=[{conv1d: {channels: 25, width: 5, stride: 2, padding: 1}}, relu, "
        "{conv1d: {channels: 25, width: 3, stride: 2, padding: 1}}, relu, "
        "{conv1d: {channels: 25, width: 3, stride: 2, padding: 1}}, relu, flatten, {dense: 10}]",
        "optimizer=adam",
        "lr=0.001",
        "batching=minibatch",
        "batching.size=100",
        "batching.shuffle=false",
    ),
    5,
)


class PlainRun(NamedTuple):
    """A run as plain arrays of its dtype: all that a script needs to do the same work."""

    x: np.ndarray  # (n, n_features)
    y: np.ndarray  # (n, n_outputs)
    weights: list[tuple[np.ndarray, np.ndarray | None]]  # W (fan_in, fan_out) and b (fan_out,) of each layer
    size: int  # of a batch
    order: np.ndarray | None  # (epochs, n); None: data order
    epochs: int
    lr: float
    search: Any  # the generator of search directions
    run: Run

    @property
    def n_steps(self) -> int:
        return self.epochs * -(-len(self.x) // self.size)

    @property
    def activation(self) -> str:
        return activation(self.run)

    @property
    def convolutions(self) -> list[Conv1d]:
        """The convolutions, to which the first weights belong."""
        return [layer for layer in self.run.problem.objective.network.layers if isinstance(layer, Conv1d)]

    @property
    def multiclass(self) -> bool:
        return self.run.problem.objective.task == "multiclass"


def plain_run(run: Run) -> PlainRun:
    """The arrays from which a run starts. The run itself must not be trained after that, as its streams are used."""
    problem, dtype = run.problem, np.dtype(run.dtype)
    batches = problem.batches
    order = orders(problem.streams.order, batches.n, run.epochs) if batches.shuffle else None
    weights = [
        (block["W"].astype(dtype), block["b"][:, 0].astype(dtype) if "b" in block else None)
        for block in problem.objective.network.blocks(problem.theta)
    ]
    x, y = problem.data.x_train.astype(dtype), problem.data.y_train.astype(dtype)
    return PlainRun(x, y, weights, batches.size, order, run.epochs, run.lr, problem.streams.search, run)


def activation(run: Run) -> str:
    """The name of the activation of the hidden layers of a perceptron; identity where it has none."""
    return next((layer.f for layer in run.problem.objective.network.layers if isinstance(layer, Activate)), "identity")


def flat(weights: Any) -> np.ndarray:
    """The weights and biases of each layer as theta: layer by layer, W in C order, then b."""
    pieces = [np.ravel(piece) for layer in weights for piece in layer if piece is not None]
    return np.concatenate(pieces).astype(np.float64)


def ours(work: Work, *more: str, n_runs: int = 1, threads: int = 1) -> Contestant:
    """A contestant that trains the workload with this harness. Its seconds are those of one step of one run.

    They come from the ledger, and include the random numbers that the host draws for steps. Several runs are trained
    as one stack, or as one stack for each thread, as with `engine=processes`.
    """

    def lap() -> Lap:
        runs = [work.run(*more, f"seed={seed}") for seed in range(n_runs)]
        with ThreadPoolExecutor(threads) as pool:
            trained = list(pool.map(train, (runs[i::threads] for i in range(threads))))
        longest = max(stepping(runs[0], outcomes) for outcomes in trained)
        return Lap(longest / (runs[0].program.n_steps * n_runs), trained[0][0].theta["final"])

    return lap


def stepping(run: Run, outcomes: list[Outcome]) -> float:
    """The seconds of all steps of a stack, with set-up where steps need draws, because the first are drawn there."""
    ledger = outcomes[0].ledger
    draws = run.program.batches.shuffle or run.backend.draws_directions
    return len(outcomes) * (ledger["step"] + (ledger["setup"] if draws else 0.0))


def peer(work: Work, script: Callable[[PlainRun], Callable[[], Any]], *more: str) -> Contestant:
    """A contestant that runs a script. script(plain_run) prepares, and the function that it returns trains.

    That function returns the weights. Only its call is timed.
    """

    def lap() -> Lap:
        problem = plain_run(work.run(*more))
        training = script(problem)
        begin = Clock.now()
        weights = training()
        return Lap((Clock.now() - begin) / problem.n_steps, flat(weights))

    return lap


def same_loss(work: Work, tolerance: float, *more: str) -> Callable[[Mapping[str, Lap]], None]:
    """A check that all laps end at the same loss on the whole training set, and that it is lower than at the start."""
    run = work.run(*more)
    data, objective, theta_0 = run.problem.data, run.problem.objective, run.problem.theta

    def loss(theta: np.ndarray) -> float:
        return float(objective.value(theta.astype(np.float64), data.x_train, data.y_train)[0])

    def check(laps: Mapping[str, Lap]) -> None:
        losses = {name: loss(lap.theta) for name, lap in laps.items() if lap.theta is not None}
        start = loss(theta_0)
        print(f"  {work.name}: from loss {start:.6g} to", losses, flush=True)
        lowest, highest = min(losses.values()), max(losses.values())
        if not highest - lowest <= tolerance * abs(lowest) or not highest < start:
            raise Disagreement(f"{work.name}: losses {losses} differ by more than {tolerance:g} relative")

    return check
