r"""Slow points made exact: Newton's method for a minimum of q(x) = |F(x)|^2 / 2 that is no zero.

Levenberg-Marquardt leaves out the curvature of F, and comes to rest slowly where q is not zero. Here the
whole Hessian of q is used, with the moduli of its eigenvalues, so that steps lead down also where it is not
positive. What still moves after the last step is on its way to nowhere and is no slow point.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.program import HeldMap, compiled

from .descent import drift, places_for

_STEPS = 20
_LONGEST = 0.1
"""Of one step, as a share of max(1, |x|)."""
_SETTLED = 1e-7
"""Length of the last step, as a share of max(1, |x|)."""
_NOISE = 1e-12
"""Rounding of an entry of the gradient of q, as a share of |F| |J|."""
_NEGATIVE = 1e-8
"""An eigenvalue of the Hessian may be this far below zero, as a share of the largest, at a minimum."""


def settled(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where Newton's method for a minimum of q leads, the |F| there, and whether it is a minimum.

    Args:
        flat: the map, in float64.
        states: flat states near minima.
        rows: the constant input of each.
    """
    places = places_for(len(states), states.shape[1])
    found = []
    for first in range(0, len(states), places):
        some = np.arange(first, first + places).clip(max=len(states) - 1)
        part = _settled(flat, states[some], rows[some])
        found.append([np.asarray(piece)[: len(states) - first] for piece in part])
    ends, speeds, minima = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
    return ends, speeds, minima


@compiled
def _settled(flat: HeldMap, states: Any, rows: Any) -> tuple[Array, Array, Array]:
    field = drift(flat)

    def one(state: Array, row: Array) -> tuple[Array, Array, Array]:
        def body(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            state = carry[0]
            move, convex = _newton(lambda state: field(state, row), state)
            size = jnp.maximum(1.0, jnp.linalg.norm(state))
            length = jnp.linalg.norm(move) / size
            move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(length, 1e-300))
            return (state + move, length, convex), None

        start = (state, jnp.asarray(jnp.inf), jnp.asarray(False))
        (end, length, convex), _ = jax.lax.scan(body, start, None, length=_STEPS)
        return end, jnp.linalg.norm(field(end, row)), (length <= _SETTLED) & convex

    return jax.vmap(one)(states, rows)


def _gradient(field: Any, state: Array) -> Array:
    """That of |F|^2 / 2, forwards: a loop whose length depends on values has no derivative backwards."""
    return jax.jacfwd(field)(state).T @ field(state)


def _newton(field: Any, state: Array) -> tuple[Array, Array]:
    """The step -H^+ g with the moduli of the eigenvalues of H, and whether none of them is negative."""
    value, jacobian = field(state), jax.jacfwd(field)(state)
    values, vectors = jnp.linalg.eigh(jax.jacfwd(lambda state: _gradient(field, state))(state))
    parts = vectors.T @ (jacobian.T @ value)
    noise = _NOISE * jnp.linalg.norm(value) * jnp.linalg.norm(jacobian)
    scaled = jnp.where(jnp.abs(parts) > noise, parts / jnp.abs(values), 0.0)
    return -vectors @ scaled, values[0] >= -_NEGATIVE * values[-1]
