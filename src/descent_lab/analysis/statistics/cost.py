"""Estimates the cost of a run by a rule of thumb, for runs that were stored before runs counted their own cost.

The unit is one gradient-equivalent: the loss and its gradient over the whole training set, by one forward pass and one
reverse sweep. Today a run counts the multiplications of its own network (`Run.gradient_equivalents`) and stores the
count as cost/gradient_equivalents. Where that is missing, this rule is used: a forward pass costs `forward_cost` of a
gradient, 1/3 as deep and wide networks do (a network 30-10-1 takes 0.49); and carrying one directional derivative along
costs `tangent_cost` times the program that it is carried through, 1.5 by the bound of Griewank & Walther (2008,
chapter 4: p tangents cost 1 + 1.5 p).

| step | gradient-equivalents for each pass over the data |
| --- | --- |
| hill climbing (`random_search`) | c_f |
| reverse mode (`numpy`, `jax`) | 1 |
| Taylor, order 1 | c_f (1 + t p) |
| Taylor, order 2 (`newton`) | c_f (1 + t p + t^2 p (p + 1) / 2) |
| `newton` by reverse mode | 1 + t p (the gradient, and p tangents through it) |

with c_f the forward cost, t the tangent cost, p the number of parameters.
"""

from typing import NamedTuple

from descent_lab.analysis.statistics.frames import one_of

BACKENDS = ("numpy", "jax", "taylor", "random_search")  # those whose runs may have been stored without a count


class Cost(NamedTuple):
    """The cost of a run, in passes over the whole training set."""

    forward_passes: float
    gradients: float
    gradient_equivalents: float


def gradient_equivalents(
    backend: str,
    optimizer: str | None,
    n_steps: int,
    n_params: int,
    batch_fraction: float = 1.0,
    forward_cost: float = 1 / 3,
    tangent_cost: float = 1.5,
) -> Cost:
    """The cost of n_steps steps, each over batch_fraction of the training set, without that of the metrics.

    forward_passes: passes without a reverse sweep, plain (hill climbing) or carrying Taylor coefficients.
    gradients: passes with a reverse sweep. n_params and tangent_cost matter to Taylor and newton only.
    Raises ValueError for a backend that the rule does not know, and for numbers out of range.
    """
    one_of("backend", backend, BACKENDS)
    if n_steps < 0:
        raise ValueError(f"n_steps {n_steps}: must be 0 or more")
    _positive(n_params=n_params, batch_fraction=batch_fraction, forward_cost=forward_cost)
    if batch_fraction > 1:
        raise ValueError(f"batch_fraction {batch_fraction}: must be at most 1")
    passes = n_steps * batch_fraction
    forward = passes if backend in ("taylor", "random_search") else 0.0
    per_pass = _per_pass(backend, optimizer == "newton", n_params, forward_cost, tangent_cost)
    return Cost(forward, passes - forward, passes * per_pass)


def _per_pass(backend: str, newton: bool, p: int, c_f: float, t: float) -> float:
    if backend == "random_search":
        return c_f
    if backend == "taylor":
        return c_f * (1 + t * p + (t**2 * p * (p + 1) / 2 if newton else 0.0))
    return 1 + t * p if newton else 1.0


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if number <= 0:
            raise ValueError(f"{name} {number}: must be above 0")
