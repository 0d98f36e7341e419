"""Optimizers that use the Hessian."""

from dataclasses import dataclass
from typing import Any, ClassVar

from descent_lab.optim.base import Array, NonNegative, Optimizer, State


@dataclass(frozen=True, kw_only=True)
class Newton(Optimizer):
    """Damped Newton steps with the exact Hessian; a step follows the gradient where Newton's would not lead downhill.

    damping: is added to the eigenvalues of the Hessian; with less damping more steps follow the gradient. The backends
    that give the Hessian are `jax`, and `taylor` with order 2.
    """

    kind = "newton"

    order = 2
    suggested_lr = 1.0
    space: ClassVar = {"lr": {"low": 1e-3, "high": 10.0, "scale": "log"}}

    damping: NonNegative = 1.0

    def init(self, theta: Array) -> State:
        return (theta.__array_namespace__().zeros_like(theta[..., 0]),)  # number of steps along the gradient so far

    def update(self, g: Array, state: State, theta: Array, lr: Any) -> tuple[Array, State]:
        raise TypeError("Newton needs the Hessian: call step with H")

    def step(self, g: Array, state: State, theta: Array, lr: Any, H: Array | None = None) -> tuple[Array, State]:
        """The step and the next state. H: the Hessian, (..., n_params, n_params)."""
        # Nocedal & Wright 2006, section 3.4: A = H + damping I = Q diag(l) Q^T
        # step = -lr A^-1 g   if all l > 0, else   -lr g / max |l|
        if H is None:
            return self.update(g, state, theta, lr)
        xp = g.__array_namespace__()
        g = self.clip(g) + self.weight_decay * theta
        shift = self.damping + self.weight_decay + xp.zeros_like(g[..., :1])
        identity = xp.eye(g.shape[-1], dtype=g.dtype)
        A = H + shift[..., None] * identity
        finite = xp.all(xp.isfinite(A), axis=(-2, -1), keepdims=True)  # eigh raises for infinite values
        lam, Q = xp.linalg.eigh(xp.where(finite, A, identity))
        downhill = lam[..., :1] > 0
        newton = (Q @ ((Q.mT @ g[..., None]) / xp.where(downhill, lam, 1)[..., None]))[..., 0]
        gradient = g / xp.max(xp.abs(lam), axis=-1, keepdims=True)
        (fallbacks,) = state
        return -lr * xp.where(downhill, newton, gradient), (fallbacks + ~downhill[..., 0],)

    def multiplications(self, n_params: int) -> float:
        """The number of multiplications that the eigenvectors take.

        It is half of the 9 p^3 operations of the symmetric QR algorithm (Golub & Van Loan, Matrix Computations, 4th ed.
        2013, section 8.3).
        """
        return 4.5 * n_params**3

    def metrics(self, state: State) -> dict[str, Array]:
        return {"newton_fallbacks": state[0]}
