"""Estimates of the memory that training takes, and how many runs are worth training together."""

from descent_lab.problems.objective import Objective

CPU_RUNS = 32  # measured: a processor gains nothing from more runs that train together


def activation_bytes(objective: Objective, n: int, itemsize: int) -> int:
    """Bytes of the activations of n samples and of their derivatives, twice."""
    return 4 * n * sum(objective.network.sizes) * itemsize
