"""Estimates of the memory that training takes, and how many runs are worth training together."""

from descent_lab.problems.objective import Objective

CPU_RUNS = 32  # runs that train together on a processor; by measurement, more of them are not faster


def activation_bytes(objective: Objective, n: int, itemsize: int) -> int:
    """An estimate of the bytes of activations and their derivatives: 4 numbers for each unit and each of n samples."""
    return 4 * n * objective.network.units * itemsize
