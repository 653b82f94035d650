r"""Exponents of a path that comes to rest: there they are known exactly.

Where the input stands still and the state comes to a point $x^*$, the exponents are $\log |\lambda|$ of the
eigenvalues of the step's Jacobian at $x^*$. The growth of single vectors, turned by a complex pair of
eigenvalues, never settles to a constant: the two exponents of a pair come out apart, and what their series
show of the error is not what is left of it.
"""

from typing import Any

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from attractor.program import FlatMap, compiled

# A movement in one step, relative to 1 + |x|, from which on Newton's method decides whether there is a point.
_SLOW, _NEAR, _RESIDUAL = 1e-6, 1e-2, 1e-11
_STEPS_OF_NEWTON = 4
# Entries of all Jacobians together; beyond it their eigenvalues cost more than the measurement.
_MOST = 2_000_000
# An error of a logarithm that rounding may make of an eigenvalue and leaves it exact.
_EXACT = 2e-10
# How far a measured growth may be from the logarithm: a bounded difference, over all steps.
_BOUNDED = 40.0


def growth_at_rest(
    flat: FlatMap,
    before: Float[np.ndarray, "runs states"],
    after: Float[np.ndarray, "runs states"],
    inputs: Float[np.ndarray, "runs time inputs"],
) -> list[np.ndarray]:
    """For every run the logarithms of the moduli that are known exactly, from the largest down.

    The list of a run ends before the first one that is not: zeros, and eigenvalues that rounding disturbs.
    It is empty where the run does not come to rest.

    Args:
        flat: the cell; nothing is said of one with counters or keys in its state.
        before: flat states at the end of the measurement.
        after: the same one step later, under the first input.
        inputs: that drove the runs from the first step that counts; nothing is said of one that changes.
    """
    runs, states = before.shape
    known = [np.zeros(0)] * runs
    with np.errstate(invalid="ignore", over="ignore"):  # runs that have left the finite numbers
        size = 1 + np.abs(before).max(axis=1)
        slow = np.isfinite(size) & (np.abs(after - before).max(axis=1) <= _SLOW * size)
    held = np.all(inputs == inputs[:, :1], axis=(1, 2))
    chosen = np.flatnonzero(slow & held)
    if flat.layout.discrete or not len(chosen) or len(chosen) * states**2 > _MOST:
        return known
    points, jacobians, arrived = _solved(flat, before[chosen], inputs[chosen, 0])
    for run, point, jacobian, good in zip(chosen, points, jacobians, arrived, strict=True):
        still = np.array_equal(before[run], after[run])
        near = np.abs(point - before[run]).max() <= _NEAR * size[run]
        if good and near:
            known[run] = _logarithms(jacobian, attracting=not still)
    return known


def _solved(flat: FlatMap, states: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, Jacobians there, and whether they are points: Newton's method from states that hardly move."""
    driven = jax.device_put(rows)
    moves, jacobians, rest = _at(flat, states, driven)
    for _ in range(_STEPS_OF_NEWTON):
        if rest.all():
            break
        states = states + np.stack([_newton(*pair) for pair in zip(jacobians, moves, strict=True)])
        moves, jacobians, rest = _at(flat, states, driven)
    return states, jacobians, rest & np.isfinite(jacobians).all(axis=(1, 2))


def _at(flat: FlatMap, states: np.ndarray, driven: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How states move in a step, the Jacobians there, and whether they stand still to rounding."""
    new, jacobians = _linearised(flat, jax.device_put(states), driven)
    moves = np.asarray(new) - states
    rest = np.abs(moves).max(axis=1) <= _RESIDUAL * (1 + np.abs(states).max(axis=1))
    return moves, np.asarray(jacobians), rest


def _newton(jacobian: np.ndarray, move: np.ndarray) -> np.ndarray:
    """A step to where the linear map rests; none where it has no such point."""
    try:
        return np.linalg.solve(np.eye(len(move)) - jacobian, move)
    except np.linalg.LinAlgError:
        return np.zeros_like(move)


@compiled
def _linearised(flat: FlatMap, states: Array, rows: Array) -> tuple[Array, Array]:
    return jax.vmap(lambda state, row: (flat.step(state, row), flat.jacobian(state, row)))(states, rows)


def _logarithms(jacobian: np.ndarray, *, attracting: bool) -> np.ndarray:
    """Of the moduli of the eigenvalues, as far as rounding leaves them.

    None where the point should attract and does not: the path is only passing by.
    """
    found: Any = scipy.linalg.eig(jacobian, left=True, right=True)
    values, left, right = found
    sizes = np.abs(values)
    order = np.argsort(-sizes, kind="stable")
    if attracting and not sizes.max() < 1:
        return np.zeros(0)
    products = np.maximum(np.abs(np.sum(left.conj() * right, axis=0)), np.finfo(float).tiny)
    errors = len(values) * np.finfo(float).eps * np.linalg.norm(jacobian) / products
    exact = (errors <= _EXACT * sizes) & (sizes > 0)
    return np.log(sizes[order][np.logical_and.accumulate(exact[order])])


def with_growth(
    sums: Float[np.ndarray, "marks count"],
    marks: Float[np.ndarray, " marks"],
    known: Float[np.ndarray, " exact"],
) -> Float[np.ndarray, "marks count"] | None:
    """The sums of a run with the growth that is known, or None where the measured one contradicts it.

    Args:
        sums: measured growth until every mark.
        marks: steps until every mark.
        known: of `growth_at_rest`.
    """
    order = np.argsort(-sums[-1], kind="stable")
    finite = int(np.sum(np.isfinite(sums[-1])))
    count = min(len(known), finite)
    columns = order[:count]
    if not count or np.any(np.abs(sums[-1, columns] - marks[-1] * known[:count]) > _BOUNDED):
        return None
    made = sums.copy()
    made[:, columns] = marks[:, None] * known[:count]
    return made
