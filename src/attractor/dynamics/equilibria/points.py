r"""Fixed points and slow points, and the eigenvalues that say what trajectories near them do.

Near a fixed point $x^*$ differences follow $\delta' = J \delta$. Along an eigenvector of $\lambda$ they are
multiplied by $\lambda$ in every step, so that they shrink by 1/e in $-1 / \ln |\lambda|$ steps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Complex, Float, Int

from attractor.cells import State
from attractor.errors import ConfigError
from attractor.program import HeldMap, double_precision
from attractor.report.drawn import Drawn
from attractor.shown import Rows, Shown, counted

from ..jacobians import time_scale

# How near to 1 a modulus decides nothing: where 1 is an eigenvalue of J, the point itself, and with it
# the eigenvalue, is known only to the root of the tolerance 1e-12.
MARGIN = 1e-6
# Below this product of unit vectors a left and a right eigenvector belong to a defective eigenvalue.
_PARALLEL = 1e-12
# Points that are shown in words, and entries of each.
_LINES, _ENTRIES = 20, 4
# A speed, relative to max(1, |x|), up to which trajectories linger near a minimum of the drift.
_LINGERS = 0.1


class PointKind(StrEnum):
    """What trajectories near a fixed point do; the value is the text that users see."""

    ATTRACTING = "attracting: trajectories that start near it come to it"
    SADDLE = "saddle: trajectories come along some directions and leave along others"
    REPELLING = "repelling: trajectories that start near it leave it in every direction"
    MARGINAL = (
        "marginal: some direction neither grows nor shrinks within rounding, so linear terms cannot tell"
    )


@dataclass(frozen=True, eq=False)
class Spectrum(Shown):
    """Eigenvalues of one Jacobian, those of largest modulus first, and their vectors.

    Args:
        values: lambda.
        right: unit columns v with J v = lambda v; how the state moves in this mode.
        left: columns w with w^H J = lambda w^H, scaled to w^H v = 1: w^H (x - x*) is how much of the mode a
            state holds. Unit columns where the eigenvalue is defective and no such scale exists.
    """

    values: Complex[np.ndarray, " states"]
    right: Complex[np.ndarray, "states states"]
    left: Complex[np.ndarray, "states states"]


def eigenvalues(jacobians: Float[np.ndarray, "points states states"]) -> Complex[np.ndarray, "points states"]:
    """Eigenvalues of several Jacobians, of each those of largest modulus first."""
    values = np.linalg.eigvals(jacobians).astype(complex)
    return np.stack([one[descending(one)] for one in values]) if len(values) else values


def spectrum(jacobian: Float[np.ndarray, "states states"]) -> Spectrum:
    """All eigenvalues of a Jacobian with their right and left vectors."""
    found: Any = scipy.linalg.eig(jacobian, left=True, right=True)
    values, left, right = found
    order = descending(values)
    right, left = (part[:, order].astype(complex) for part in (right, left))
    products = np.sum(left.conj() * right, axis=0)
    scale = np.where(np.abs(products) > _PARALLEL, products, 1.0)
    return Spectrum(values[order].astype(complex), right, left / scale.conj())


def descending(values: np.ndarray) -> np.ndarray:
    """Indices by falling modulus; of a pair, the one with positive imaginary part first."""
    size = np.abs(values)
    return np.lexsort((-np.imag(values), -np.real(values), -np.round(size, 12)))


def unstable_directions(values: Complex[np.ndarray, "*points states"]) -> np.ndarray:
    """How many directions surely grow: the index of the point."""
    return np.asarray(np.sum(np.abs(values) > 1 + MARGIN, axis=-1))


def kind_of(values: Complex[np.ndarray, " states"]) -> PointKind:
    """The kind of a point, from its eigenvalues."""
    size = np.abs(values)
    if np.any(np.abs(size - 1) <= MARGIN):
        return PointKind.MARGINAL
    growing = int(unstable_directions(values))
    if growing == 0:
        return PointKind.ATTRACTING
    return PointKind.REPELLING if growing == len(values) else PointKind.SADDLE


def index_sum(values: Complex[np.ndarray, "points states"]) -> float:
    r"""The sum of $\mathrm{sign} \det(I - J)$ over points: 1 if a bounded cell has no others.

    A continuous map of a ball into itself has degree one (Brouwer; Lefschetz), and the states of cells with
    saturating units stay in a ball. There any other sum proves that points are missing; 1 does not prove that
    none are. Where states run away, as those of a Henon map do from outside, the sum proves nothing:
    `comes_back` tests that.

    Returns:
        The sum, NaN where an eigenvalue is 1 within rounding, so that its point has no sign.
    """
    if np.any(np.abs(values - 1) <= MARGIN):
        return float("nan")
    real = np.imag(values) == 0  # exactly so for a real matrix; a pair has a positive product
    beyond = np.sum(real & (np.real(values) > 1), axis=-1)
    return float(np.sum(1 - 2 * (beyond % 2)))


@dataclass(frozen=True)
class SearchCounts:
    """What became of the starts.

    Args:
        starts: how many ways were begun: starts times constant inputs, and midpoints.
        converged: ended at a fixed point.
        slow: ended at a slow point.
        unfinished: came to no rest in the trials allowed, among them those that run away for ever.
        not_finite: the step was not finite where they started.
        trials: steps that all of them tried.
    """

    starts: int
    converged: int
    slow: int
    unfinished: int
    not_finite: int
    trials: int


@dataclass(frozen=True, eq=False)
class SlowPoints(Shown):
    """Minima of the drift that are no zeros: trajectories linger near those where the speed is small.

    Args:
        states: flat states, slowest first.
        speeds: |step(x) - x|.
        multiplicities: how many starts ended there.
        conditions: which row of the constant inputs each belongs to.
    """

    states: Float[np.ndarray, "points states"]
    speeds: Float[np.ndarray, " points"]
    multiplicities: Int[np.ndarray, " points"]
    conditions: Int[np.ndarray, " points"]

    def __len__(self) -> int:
        """How many."""
        return len(self.states)

    @property
    def lingering(self) -> int:
        """At how many the speed is at most a tenth of max(1, |x|) a step: the slow points."""
        sizes = np.maximum(1.0, np.linalg.norm(self.states, axis=1))
        return int(np.sum(self.speeds <= _LINGERS * sizes))

    def __str__(self) -> str:
        """How many are slow, and how fast the others are."""
        slow, fast = self.lingering, len(self) - self.lingering
        said = [counted(slow, "slow point")] if slow else []
        if fast:
            least = float(np.sort(self.speeds)[slow])
            said.append(
                f"{counted(fast, 'minimum', 'minima')} of the drift that are not slow, {least:.3g} a step"
            )
        return ", ".join(said) or "no slow points"


def place(state: Float[np.ndarray, " states"]) -> str:
    """A flat state in words, its first entries.

    Example:
        >>> place(np.array([0.5, -1.0]))
        '(0.5, -1)'
    """
    entries = [f"{value:.4g}" for value in state[:_ENTRIES]]
    return f"({', '.join([*entries, *(['...'] if len(state) > _ENTRIES else [])])})"


@dataclass(frozen=True, eq=False)
class FixedPoints(
    Drawn,
    picture="attractor.dynamics.dynamics_pictures:draw_points",
    next_call=".plot(), .state(0), .modes(0)",
):
    """Fixed points of a cell at constant inputs, in float64.

    They are sorted by constant input, then by the number of unstable directions, then by their entries, so
    that the order does not depend on the starts.

    Args:
        states: flat states, one a row.
        residuals: |step(x) - x|.
        multiplicities: how many starts ended there.
        conditions: which row of `inputs` each belongs to.
        eigenvalues: of the step's Jacobian, those of largest modulus first.
        jacobians: of the step; `modes` takes one apart.
        slow: slow points.
        inputs: the constant inputs.
        counts: what became of the starts.
        seconds: wall time, compilation included.
        time_step: time of one step, None for a cell without one.
        flat: the map of the cell, which knows the form of its state.

    Example:
        >>> import jax
        >>> from attractor.cells import Elman
        >>> from attractor.dynamics import fixed_points
        >>> found = fixed_points(Elman(1, 3, key=jax.random.key(0)))
        >>> len(found), found.kinds[0].name
        (1, 'ATTRACTING')
    """

    states: Float[np.ndarray, "points states"]
    residuals: Float[np.ndarray, " points"]
    multiplicities: Int[np.ndarray, " points"]
    conditions: Int[np.ndarray, " points"]
    eigenvalues: Complex[np.ndarray, "points states"]
    jacobians: Float[np.ndarray, "points states states"]
    slow: SlowPoints
    inputs: Float[np.ndarray, "conditions inputs"]
    counts: SearchCounts
    seconds: float
    time_step: float | None
    flat: HeldMap

    def __len__(self) -> int:
        """How many distinct fixed points."""
        return len(self.states)

    @property
    def unstable(self) -> Int[np.ndarray, " points"]:
        """The index of every point: how many directions surely grow."""
        return unstable_directions(self.eigenvalues)

    @property
    def index_sums(self) -> Float[np.ndarray, " conditions"]:
        """For every constant input the sum that is 1 where no point of a bounded cell is missing.

        See `index_sum`; it says nothing about a cell whose states run away from far outside.
        """
        every = range(len(self.inputs))
        return np.array([index_sum(self.eigenvalues[self.conditions == one]) for one in every])

    @property
    def kinds(self) -> list[PointKind]:
        """Attracting, saddle, repelling, or marginal within rounding."""
        return [kind_of(values) for values in self.eigenvalues]

    @property
    def time_constants(self) -> Float[np.ndarray, "points states"]:
        """Of every mode, in steps, or in units of time where the cell has a `step`; see `time_scale`."""
        return time_scale(self.eigenvalues, continuous=False, time_step=self.time_step)

    def modes(self, index: int) -> Spectrum:
        """Eigenvalues of one point with their right and left vectors.

        Raises:
            ConfigError: there is no such point.
        """
        self._check(index)
        return spectrum(self.jacobians[index])

    def state(self, index: int) -> State:
        """A fixed point in the form of the cell's state, with NumPy arrays for leaves.

        Raises:
            ConfigError: there is no such point.
        """
        self._check(index)
        with double_precision():
            return jax.tree.map(np.asarray, self.flat.restore(jnp.asarray(self.states[index])))

    def called_next(self) -> str:
        """There is no first point where none was found."""
        return self.next_call if len(self) else ".slow.states, .counts, fixed_points(cell, starts=...)"

    def _check(self, index: int) -> None:
        if not -len(self) <= index < len(self):
            found = counted(len(self), "fixed point")
            there = (
                f"there {'is' if len(self) == 1 else 'are'} {found}"
                if len(self)
                else "no fixed point was found"
            )
            raise ConfigError(f"index={index}: {there}; the places of least drift are in `.slow.states`")

    def __str__(self) -> str:
        """A line for each of the first points."""
        slow = f", {self.slow}" if len(self.slow) else ""
        starts = counted(self.counts.starts, "start")
        lines = [f"{counted(len(self), 'fixed point')} from {starts}{slow}"]
        for index, kind in enumerate(self.kinds[:_LINES]):
            largest = abs(self.eigenvalues[index, 0])
            lines.append(
                f"{index}: {kind.name.lower()} at {place(self.states[index])}, "
                f"{counted(int(self.unstable[index]), 'unstable direction')}, largest modulus {largest:.6g}, "
                f"residual {self.residuals[index]:.1e}, reached "
                f"{counted(int(self.multiplicities[index]), 'time')}"
            )
        more = [f"and {len(self) - _LINES} more"] if len(self) > _LINES else []
        return "\n".join(lines + more)

    def rows_shown(self) -> Rows:
        """A line for each point."""
        largest = np.abs(self.eigenvalues[:, :1]).sum(axis=1)
        where = map(place, self.states)
        measured = self.unstable, largest, self.residuals, self.multiplicities
        columns = zip(self.kinds, where, *measured, strict=True)
        header = ("kind", "state", "unstable directions", "largest modulus", "residual", "reached")
        return Rows(
            header,
            tuple(
                (kind.name.lower(), at, str(unstable), f"{size:.6g}", f"{rest:.1e}", str(times))
                for kind, at, unstable, size, rest, times in columns
            ),
        )
