"""Every backend's class, by its name."""

from descent_lab.derivatives.numpy import Numpy
from descent_lab.derivatives.reverse import Jax
from descent_lab.derivatives.search import RandomSearch
from descent_lab.derivatives.taylor import TaylorAlgebra
from descent_lab.loops.base import Backend

__all__ = ["Backend", "Jax", "Numpy", "RandomSearch", "TaylorAlgebra"]
