"""Jacobians of a cell or flow: eigenvalues and time scales at a state, norms along a driven trajectory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, PRNGKeyArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from attractor.cells import CellLike, FlowLike, State, initial_state, input_shape, input_size, name_of
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.program import FlatMap, compiled, double_precision, in_double_precision, plain
from attractor.report.drawn import Drawn
from attractor.shown import counted

from .trajectory import (
    analysed,
    check_finite,
    check_has_steps,
    checked,
    flat_inputs,
    is_flow,
    prepared,
    time_step,
    visited,
)

# Steps whose Jacobians are kept at a time.
_CHUNK = 64


class _Rates(eqx.Module):
    """A flow read as a map: from a state to its change per unit of time."""

    flow: FlowLike

    @property
    def input_size(self) -> int:
        return self.flow.input_size

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return getattr(self.flow, "input_shape", None)

    def initial_state(self) -> State:
        return initial_state(self.flow)

    def __call__(self, input: Array, state: State) -> State:
        return self.flow.vector_field(input, state)


@dataclass(frozen=True, eq=False)
class Point:
    """Where a cell is linearised.

    Args:
        flat: the map of the cell, of a flow that to its change per unit of time, in float64.
        input: of the step, shape (inputs,).
        vector: the flat state.
        time_step: time of one step of a cell that has one.
    """

    flat: FlatMap
    input: Float[Array, " inputs"]
    vector: Float[Array, " states"]
    time_step: float | None

    @property
    def state(self) -> State:
        """The state in the form of the cell's."""
        return self.flat.restore(self.vector)

    @property
    def name(self) -> str:
        """What the cell is called."""
        return self.flat.layout.owner

    @property
    def continuous(self) -> bool:
        """Whether eigenvalues are rates of a flow, and not factors of a step."""
        return isinstance(plain(self.flat.cell), _Rates)


def point(cell: Any, state: State, input: ArrayLike | None = None) -> Point:
    """The cell, its input and its state in float64; call it inside `jax.enable_x64(True)`.

    Raises:
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: a state or an input that is not finite.
        ConfigError: a cell without `input_size`.
    """
    _check_like(cell, state)
    flat = analysed(_Rates(cell) if is_flow(cell) else cell)
    size = input_size(cell)
    given = np.zeros(size) if input is None else flat_inputs(cell, np.asarray(input, np.float64))
    if given.shape != (size,):
        raise ShapeError(
            f"input of shape {given.shape} given to {name_of(cell)}, expected {input_shape(cell)}"
        )
    vector = flat.flatten(jax.tree.map(jnp.asarray, state))
    for name, numbers in (("input", given), ("state", np.asarray(vector))):
        if not np.all(np.isfinite(numbers)):
            raise InputDataError(f"the {name} has entries that are not finite")
    step = None if is_flow(cell) else time_step(in_double_precision(cell))
    return Point(flat, jnp.asarray(given), vector, step)


def _check_like(cell: CellLike, state: State) -> None:
    def shapes(tree: State) -> tuple[object, object]:
        return jax.tree.map(np.shape, tree), jax.tree.structure(tree)

    expected = shapes(initial_state(cell))
    if shapes(state) != expected:
        raise ShapeError(
            f"a state of shapes {shapes(state)[0]} given to {name_of(cell)}, expected {expected[0]}; "
            "give one state, like that of `initial_state()`"
        )


def jacobian(here: Point) -> Float[np.ndarray, "states states"]:
    """Derivative of the flat next state (of a flow: of the change) in the flat state.

    Raises:
        DivergedError: it is not finite.
    """
    matrix = np.asarray(_jacobian(here.flat, here.vector, here.input))
    if not np.all(np.isfinite(matrix)):
        raise DivergedError(f"the Jacobian of {here.name} is not finite at this state")
    return matrix


@compiled
def _jacobian(flat: FlatMap, vector: Array, input: Array) -> Array:
    return flat.jacobian(vector, input)


@compiled
def _push(flat: FlatMap, vector: Array, input: Array, tangent: Array) -> Array:
    return flat.linearize(vector, input)[1](tangent)


@dataclass(frozen=True, eq=False)
class JacobianSpectrum(
    Drawn,
    picture="attractor.dynamics.dynamics_pictures:draw_spectrum",
    next_call=".plot(), .radius, .time_scales",
):
    """Eigenvalues of Jacobians at one or more states.

    Args:
        values: one row for every state, the slowest first: by absolute value, for a flow by real part.
        continuous: whether they are rates of a flow; else they are factors of a step.
        time_step: time of one step of a cell that has one.
    """

    values: Complex[np.ndarray, "points count"]
    continuous: bool
    time_step: float | None = None

    @property
    def radius(self) -> Float[np.ndarray, " points"]:
        """Largest absolute value at every state: below 1 a small change of a step's state dies out."""
        return np.abs(self.values).max(axis=1)

    @property
    def right_edge(self) -> Float[np.ndarray, " points"]:
        """Largest real part at every state: below 0 a small change of a flow's state dies out."""
        return np.real(self.values).max(axis=1)

    @property
    def time_scales(self) -> Float[np.ndarray, "points count"]:
        """In the unit of time of the cell, or in steps where it has none; see `time_scale`."""
        return time_scale(self.values, continuous=self.continuous, time_step=self.time_step)

    def __str__(self) -> str:
        """Where the eigenvalues lie, and whether small changes die out."""
        what, edge = ("rates of a flow", self.right_edge) if self.continuous else ("of a step", self.radius)
        name, limit = ("largest real part", 0.0) if self.continuous else ("largest modulus", 1.0)
        calm = int(np.sum(edge < limit))
        return "\n".join([
            f"{counted(self.values.shape[1], 'eigenvalue')} {what} at {counted(len(self.values), 'state')}",
            f"{name} {edge.min():.4g} to {edge.max():.4g}; below {limit:g} at {calm} of {len(edge)}",
        ])


def time_scale(
    values: ArrayLike | Sequence[complex | float], *, continuous: bool, time_step: float | int | None = None
) -> Float[np.ndarray, "..."]:
    """The time after which a mode has fallen by a factor e: -1/ln|lambda| steps, for a flow -1/Re lambda.

    It is negative where a mode grows by that factor, infinite where it does neither, and 0 where one step
    forgets it.

    Args:
        values: eigenvalues of any shape.
        continuous: whether they are rates of a flow.
        time_step: time of one step; None counts in steps.
    """
    given = np.asarray(values, complex)
    with np.errstate(divide="ignore"):
        rates = np.real(given) if continuous else np.log(np.abs(given)) / (time_step or 1.0)
        return np.where(rates == 0, np.inf, -1 / np.where(rates == 0, 1.0, rates))


def jacobian_spectrum(
    cell: CellLike | FlowLike, state: State, input: ArrayLike | None = None, *, count: int | None = None
) -> JacobianSpectrum:
    """Eigenvalues of the Jacobian of a cell, or of a flow, at one state, in float64.

    Args:
        cell: any cell; or a flow, whose Jacobian is that of its vector field.
        state: where; a pytree like the initial state.
        input: of the step; zeros when None.
        count: only the slowest ones, by Arnoldi iteration on products with the Jacobian (large networks);
            None means all.

    Raises:
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: a state or an input that is not finite.
        ConfigError: a count that is not below the number of states less one.
        DivergedError: a Jacobian that is not finite, or an iteration that did not converge.
    """
    with double_precision():
        here = point(cell, state, input)
        values = _all(here) if count is None else _slowest(here, count)
    return JacobianSpectrum(values[None], here.continuous, here.time_step)


def spectra_along(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "time inputs"],
    state: State | None = None,
    *,
    points: int = 20,
) -> JacobianSpectrum:
    """Eigenvalues of the Jacobians of single steps along the trajectory that inputs drive, in float64.

    The Jacobian of a step is that before it: at the state that the step starts from, with its input.

    Args:
        cell: any cell; of a flow, its `discretise`d map.
        inputs: one sequence.
        state: where to start; the cell's own initial state when None.
        points: how many steps, spread evenly over the sequence.

    Raises:
        ConfigError: less than one point, or a flow.
        ShapeError: inputs that do not fit the cell.
        InputDataError: no step, or inputs that are not finite.
        DivergedError: a state or a Jacobian that is not finite.
    """
    check_has_steps(cell)
    if points < 1:
        raise ConfigError(f"points={points}: expected at least 1")
    rows = _steps_of(cell, inputs)
    steps = np.unique(np.linspace(0, len(rows) - 1, points).round().astype(int))
    with double_precision():
        flat, start, _ = prepared(cell, state, 0, None)
        after = np.asarray(visited(flat, start, jnp.asarray(rows)))
        check_finite(np.abs(after).max(axis=1), np.zeros((len(rows), 1)))
        vectors = jnp.concatenate([start[None], after])
        own = time_step(in_double_precision(cell))
        values = np.stack([_all(Point(flat, jnp.asarray(rows[k]), vectors[k], own)) for k in steps])
    return JacobianSpectrum(values, False, own)


def _steps_of(cell: CellLike, inputs: Float[Array | np.ndarray, "time inputs"]) -> np.ndarray:
    """The checked inputs; at least one."""
    values = checked(cell, inputs)
    if len(values) == 0:
        raise InputDataError("inputs without a step have no Jacobian")
    return values


def eigenvalues_of(matrix: np.ndarray, *, continuous: bool) -> np.ndarray:
    """All eigenvalues, the slowest first."""
    return _slowest_first(np.linalg.eigvals(matrix).astype(complex), continuous)


def _all(here: Point) -> np.ndarray:
    return eigenvalues_of(jacobian(here), continuous=here.continuous)


def _slowest_first(values: np.ndarray, continuous: bool) -> np.ndarray:
    slowness = np.real(values) if continuous else np.abs(values)
    return values[np.argsort(-slowness, kind="stable")]


def _slowest(here: Point, count: int) -> np.ndarray:
    size = here.flat.real_size
    if not 1 <= count < size - 1:
        raise ConfigError(f"count={count}: expected 1 to {size - 2} for {size} states; None computes all")

    def act(vector: np.ndarray) -> np.ndarray:
        return np.asarray(_push(here.flat, here.vector, here.input, jnp.asarray(vector).reshape(-1)))

    kind: Any = LinearOperator  # its stubs know only the constructor of a subclass
    operator = kind((size, size), matvec=act, dtype=np.dtype(float))
    start = np.random.default_rng(0).normal(size=size)  # ARPACK's own would differ from run to run
    try:
        values: Any = eigs(
            operator, count, which="LR" if here.continuous else "LM", v0=start, return_eigenvectors=False
        )
    except ArpackNoConvergence as error:
        raise DivergedError(
            f"only {len(error.eigenvalues)} of {count} eigenvalues converged; give count=None for all"
        ) from error
    return _slowest_first(values, here.continuous)


@dataclass(frozen=True, eq=False)
class JacobianNorms(
    Drawn, picture="attractor.dynamics.dynamics_pictures:draw_norms", next_call=".plot(), .mean"
):
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

    def __str__(self) -> str:
        """How large they are, and where nearby trajectories approach each other."""
        calm = int(np.sum(self.norms < 1))
        return (
            f"norms of {len(self.norms)} Jacobians: mean {self.mean:.4g}, largest {self.largest:.4g}; below "
            f"1 in {calm} steps"
        )


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
    values = _steps_of(cell, inputs)
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
