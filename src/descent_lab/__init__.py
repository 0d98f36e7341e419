"""Descent-lab compares ways of training neural networks: same start, same batches, honest clocks.

    import descent_lab as dl

    problem = dl.problem("digits", hidden=[32], seed=0)
    result = dl.train(problem, dl.Adam(beta1=0.8), lr=0.01, epochs=20, batching=dl.Batching(size=32, shuffle=True))
    result.curves["train/loss"], result.theta["final"], result.frame()
    runs = dl.sweep(["dataset=digits", "optimizer=sgd,adam", "lr=0.1,0.01", "seed=range(5)"]).runs

Importing this package takes milliseconds: each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descent_lab import metrics
    from descent_lab.api.problem import Problem, problem
    from descent_lab.api.results import Result, Results
    from descent_lab.api.stored import load
    from descent_lab.api.sweeping import run, sweep
    from descent_lab.api.training import train
    from descent_lab.data import datasets
    from descent_lab.data.batching import Batching
    from descent_lab.data.datasets import Data, Dataset
    from descent_lab.data.memory import arrays
    from descent_lab.derivatives import backends
    from descent_lab.errors import ConfigError, DataError, DescentError, ModelError, StoreError
    from descent_lab.nn import activations, initialisers, losses
    from descent_lab.nn.initialisers import Initialiser
    from descent_lab.nn.models.base import Model
    from descent_lab.optim import (
        SGD,
        Adadelta,
        Adagrad,
        Adam,
        AdamW,
        AMSGrad,
        Lion,
        Momentum,
        NAdam,
        Nesterov,
        Newton,
        Optimizer,
        RMSprop,
        schedules,
    )
    from descent_lab.seeding import Seeds
    from descent_lab.training.run import Record, Stop

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Batching",
    "ConfigError",
    "Data",
    "DataError",
    "Dataset",
    "DescentError",
    "Initialiser",
    "Lion",
    "Model",
    "ModelError",
    "Momentum",
    "NAdam",
    "Nesterov",
    "Newton",
    "Optimizer",
    "Problem",
    "RMSprop",
    "Record",
    "Result",
    "Results",
    "Seeds",
    "Stop",
    "StoreError",
    "activations",
    "arrays",
    "backends",
    "datasets",
    "initialisers",
    "layers",
    "load",
    "losses",
    "metrics",
    "models",
    "problem",
    "run",
    "schedules",
    "sweep",
    "train",
]

_HOMES = {  # the module or the package that has these names; all others in __all__ are in descent_lab.optim
    "descent_lab": ["metrics"],
    "descent_lab.api.problem": ["Problem", "problem"],
    "descent_lab.api.results": ["Result", "Results"],
    "descent_lab.api.stored": ["load"],
    "descent_lab.api.sweeping": ["run", "sweep"],
    "descent_lab.api.training": ["train"],
    "descent_lab.data": ["datasets"],
    "descent_lab.data.batching": ["Batching"],
    "descent_lab.data.datasets": ["Data", "Dataset"],
    "descent_lab.data.memory": ["arrays"],
    "descent_lab.derivatives": ["backends"],
    "descent_lab.errors": ["ConfigError", "DataError", "DescentError", "ModelError", "StoreError"],
    "descent_lab.nn": ["activations", "initialisers", "layers", "losses", "models"],
    "descent_lab.nn.initialisers": ["Initialiser"],
    "descent_lab.nn.models.base": ["Model"],
    "descent_lab.seeding": ["Seeds"],
    "descent_lab.training.run": ["Record", "Stop"],
}
_MODULES = ("activations", "backends", "datasets", "initialisers", "layers", "losses", "metrics", "models", "schedules")
_HOME = dict.fromkeys(__all__, "descent_lab.optim") | {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for; `__version__` is that of the installed package."""
    if name == "__version__":
        return import_module("importlib.metadata").version("descent-lab")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOME[name])
    value = import_module(f"{_HOME[name]}.{name}") if name in _MODULES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
