"""Every backend's class, by its name."""

from descent_lab.derivatives.backprop import Numpy
from descent_lab.derivatives.base import Backend, NumpyBackend
from descent_lab.derivatives.reverse import Jax
from descent_lab.derivatives.search import RandomSearch
from descent_lab.derivatives.taylor import TaylorAlgebra

__all__ = ["Backend", "Jax", "Numpy", "NumpyBackend", "RandomSearch", "TaylorAlgebra"]
