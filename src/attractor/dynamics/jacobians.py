"""Jacobians along a driven trajectory: of every step, and of the last state in every earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, State
from attractor.errors import InputDataError
from attractor.program import FlatMap, compiled, double_precision

from .trajectory import check_finite, checked, prepared

# Steps whose Jacobians are kept at a time.
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class JacobianNorms:
    """Spectral norms of Jacobians along one trajectory.

    Args:
        norms: one for every step, shape (time,).
    """

    norms: Float[np.ndarray, " time"]

    @property
    def mean(self) -> float:
        """Mean along the path."""
        return float(self.norms.mean())

    @property
    def largest(self) -> float:
        """The largest along the path."""
        return float(self.norms.max())


def jacobian_norms(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "time inputs"],
    state: State | None = None,
    *,
    key: PRNGKeyArray | None = None,
) -> JacobianNorms:
    """Norms of the Jacobian of every step along the trajectory that inputs drive, in float64.

    Where the largest is below 1, nearby trajectories approach each other in every step.

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: one sequence.
        state: where to start; the cell's own initial state when None.
        key: noise of the steps; None means no noise.

    Raises:
        ShapeError: inputs that do not fit the cell.
        InputDataError: no step, or inputs that are not finite.
        DivergedError: the state or a Jacobian left the finite numbers; the step is named.
    """
    parts = [_spectral_norms(*part) for part in _along(cell, inputs, state, key)]
    return JacobianNorms(np.concatenate(parts))


def flow_norms(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "time inputs"],
    state: State | None = None,
    *,
    key: PRNGKeyArray | None = None,
) -> JacobianNorms:
    """Norms of the Jacobian of the last state in the state before every step, in float64.

    The norm of the product of all step Jacobians from a step on: how much a small change of the state before
    it may have grown by the end. Noise in the state costs a training what these products carry
    to the end (Lim et al. 2021, arXiv 2102.04877), so that training with it should make them smaller. The
    Jacobians of all steps are kept, time x states x states numbers.

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: one sequence.
        state: where to start; the cell's own initial state when None.
        key: noise of the steps; None means no noise.

    Raises:
        ShapeError: inputs that do not fit the cell.
        InputDataError: no step, or inputs that are not finite.
        DivergedError: the state, a Jacobian or a product of them left the finite numbers.
    """
    parts = list(_along(cell, inputs, state, key))
    for jacobians, sizes, first in parts:  # in the order of time, so that the first broken step is named
        check_finite(sizes, np.abs(jacobians).max(axis=(1, 2))[:, None], first)
    flow, norms = np.eye(parts[0][0].shape[1]), []
    for jacobians, sizes, first in reversed(parts):
        flows = np.empty_like(jacobians)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is named below
            for index in reversed(range(len(jacobians))):
                flows[index] = flow = flow @ jacobians[index]
        norms.append(_spectral_norms(flows, sizes, first))
    return JacobianNorms(np.concatenate(norms[::-1]))


def _along(
    cell: CellLike, inputs: Array | np.ndarray, state: State | None, key: PRNGKeyArray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """A part of the path at a time.

    Yields:
        Jacobians (steps, states, states), sizes of the states (steps,) and the number of the first step.
    """
    values = checked(cell, inputs)
    if len(values) == 0:
        raise InputDataError("inputs without a step have no Jacobian")
    with double_precision():
        flat, start, keys = prepared(cell, state, len(values), key)
    for first in range(0, len(values), _CHUNK):
        some = None if keys is None else keys[first : first + _CHUNK]
        with double_precision():  # left before the caller goes on, who may raise
            driven = jnp.asarray(values[first : first + _CHUNK]), some
            start, jacobians, sizes = _jacobians(flat, start, driven)
        yield np.asarray(jacobians), np.asarray(sizes), first


def _spectral_norms(jacobians: np.ndarray, sizes: np.ndarray, first: int) -> np.ndarray:
    """Largest singular values, by NumPy: XLA on a CPU computes all singular vectors to find one value."""
    largest = np.abs(jacobians).max(axis=(1, 2))
    check_finite(sizes, largest[:, None], first)
    scale = np.where(largest > 0, largest, 1.0)  # squares of scaled entries do not overflow
    scaled = jacobians / scale[:, None, None]
    squares = np.linalg.eigvalsh(np.swapaxes(scaled, 1, 2) @ scaled)[:, -1]
    return scale * np.sqrt(squares)


@compiled
def _jacobians(flat: FlatMap, start: Array, driven: tuple[Array, Array | None]) -> tuple[Array, Array, Array]:
    """Last state, Jacobians (time, states, states), and the size of the state after every step."""

    def body(state: Array, row: tuple[Array, Array | None]) -> tuple[Array, tuple[Array, Array]]:
        new, jacobian = flat.step(state, *row), flat.jacobian(state, *row)
        return new, (jacobian, jnp.max(jnp.abs(new)))

    last, (jacobians, sizes) = jax.lax.scan(body, start, driven)
    return last, jacobians, sizes
