r"""Candidates made exact: Newton's last step in singular directions, and a proof that it was the last one.

A small |F| alone does not show that a zero is near. Where the gates of a network close far outside, F fades
as the state runs away, and |F| < 1e-12 holds on a whole region without a zero. With J = U S V^T the Newton
step is $-\sum_i v_i (u_i^T F) / \sigma_i$. There it stays long however small F becomes, while at a zero it is
short; a component $u_i^T F$ that is nothing but rounding asks for no step, so that lines of fixed points,
with $\sigma_i = 0$, pass as well.
"""

from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from attractor.program import HeldMap, compiled

from .descent import drift, places_for

_ROUNDING = 100 * np.finfo(float).eps
"""Rounding of a component of F, relative to max(1, |x|)."""
_SHORT = 1e-3
"""A Newton step below this share of max(1, |x|) ends at a zero nearby; at a triple zero it is 3e-5."""
_REACH = 8.0
"""Two copies of a zero of multiplicity m lie up to 2 m Newton steps apart; 8 covers m = 4."""
_FARTHEST = 1e-3
"""No two points farther apart than this share of max(1, |x|) are taken for one."""
_SINGULAR = 1e-10
"""Directions with a smaller share of the largest singular value are left as they are."""

_STEPS = 3
_EXACT = 4 * np.finfo(float).eps
"""A residual below this share of max(1, |x|) is rounding."""
_TINY = 1e-100
"""In the place of a singular value of 0; quotients by it are long and finite."""
_MANY = 10**6
"""States for which all places are filled."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Points with their linearisation.

    Args:
        states: x.
        values: F(x).
        jacobians: of F.
        steps: Newton's step from x in the directions that are not singular.
        radii: how far x may be from a zero of F.
        confirmed: where Newton's step in all directions is short.
        regularity: the least singular value of J.
    """

    states: Float[np.ndarray, "points states"]
    values: Float[np.ndarray, "points states"]
    jacobians: Float[np.ndarray, "points states states"]
    steps: Float[np.ndarray, "points states"]
    radii: Float[np.ndarray, " points"]
    confirmed: Bool[np.ndarray, " points"]
    regularity: Float[np.ndarray, " points"]

    @property
    def residuals(self) -> Float[np.ndarray, " points"]:
        """|F|."""
        return np.linalg.norm(self.values, axis=1)


def sizes(states: Float[np.ndarray, "points states"]) -> Float[np.ndarray, " points"]:
    """max(1, |x|), what tolerances are relative to."""
    return np.maximum(1.0, np.linalg.norm(states, axis=1))


def polished(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> Candidates:
    """The states after Newton steps, as long as they lower |F|: none or one for nearly all."""
    here = _judged(np.array(states), *linearised(flat, states, rows))
    rough = np.arange(len(states))
    for _ in range(_STEPS):
        still = here.confirmed & (here.residuals > _EXACT * sizes(here.states))
        rough = rough[still[rough]]
        if len(rough) == 0:
            break
        there = here.states[rough] + here.steps[rough]
        new = _judged(there, *linearised(flat, there, rows[rough]))
        better = new.residuals < here.residuals[rough]
        rough = rough[better]
        for one in fields(Candidates):
            getattr(here, one.name)[rough] = getattr(new, one.name)[better]
    return here


def _judged(states: np.ndarray, values: np.ndarray, jacobians: np.ndarray) -> Candidates:
    finite = np.all(np.isfinite(jacobians), axis=(1, 2))
    left, singular, right = np.linalg.svd(np.where(finite[:, None, None], jacobians, 0.0))
    parts, size = np.einsum("pij,pi->pj", left, values), sizes(states)
    floor, safe = _ROUNDING * size, np.maximum(singular, _TINY)
    needed = np.where(np.abs(parts) > floor[:, None], np.abs(parts) / safe, 0.0)
    confirmed = finite & (np.linalg.norm(needed, axis=1) <= _SHORT * size)
    regular = singular > _SINGULAR * singular[:, :1]
    steps = -np.einsum("pji,pj->pi", right, np.where(regular, parts / safe, 0.0))
    radii = (_REACH * np.linalg.norm(values, axis=1) + floor) / safe[:, -1]
    return Candidates(
        states, values, jacobians, steps, np.minimum(radii, _FARTHEST * size), confirmed, singular[:, -1]
    )


def linearised(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F and its Jacobian at every state, a chunk at a time, in one shape however few there are."""
    places = places_for(_MANY, states.shape[1])
    values, jacobians = [], []
    for first in range(0, len(states), places):
        some = np.arange(first, first + places).clip(max=len(states) - 1)
        part = _linearised(flat, states[some], rows[some])
        count = min(places, len(states) - first)
        values.append(np.asarray(part[0])[:count])
        jacobians.append(np.asarray(part[1])[:count])
    return np.concatenate(values), np.concatenate(jacobians)


@compiled
def _linearised(flat: HeldMap, states: Any, rows: Any) -> tuple[Array, Array]:
    field = drift(flat)
    return jax.vmap(field)(states, rows), jax.vmap(jax.jacfwd(field))(states, rows)
