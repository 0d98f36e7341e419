"""An optimizer: conf/optimizer/sign_sgd.yaml makes `optimizer=sign_sgd`."""

from dataclasses import dataclass
from typing import Any

from descent_lab.optim.base import Array, Fraction, Optimizer, State


@dataclass(frozen=True, kw_only=True)
class SignSGD(Optimizer):
    """Steps of one size in every component, in the direction of the sign of the gradients' running mean."""

    suggested_lr = 0.003

    beta: Fraction = 0.9

    def init(self, theta: Array) -> State:
        return (theta.__array_namespace__().zeros_like(theta),)

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        # Bernstein et al. 2018, algorithm 2 (signum)
        # m = beta m + (1 - beta) g
        # step = -lr sign(m)
        (m,) = state
        m = self.beta * m + (1 - self.beta) * g
        return -lr * g.__array_namespace__().sign(m), (m,)
