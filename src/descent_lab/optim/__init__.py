"""Optimizers, one module a family, and learning rate schedules."""

from descent_lab.optim.adam import Adam, AdamW, AMSGrad, NAdam
from descent_lab.optim.adaptive import Adadelta, Adagrad, RMSprop
from descent_lab.optim.base import Optimizer
from descent_lab.optim.first_order import SGD, Lion, Momentum, Nesterov
from descent_lab.optim.second_order import Newton

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Momentum",
    "NAdam",
    "Nesterov",
    "Newton",
    "Optimizer",
    "RMSprop",
]
