"""What a search for fixed points found."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Int

from attractor.cells import State
from attractor.program import HeldMap, double_precision

from .modes import PointKind, Spectrum, index_sum, kind_of, spectrum, time_constants, unstable_directions

_LINES = 20
"""Points that are shown in words."""


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
class SlowPoints:
    """Minima of the drift that are no zeros: trajectories linger near them if the speed is small.

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


@dataclass(frozen=True, eq=False)
class FixedPoints:
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
        """Of every mode, in steps, or in units of time where the cell has a `step`; see `time_constants`."""
        return time_constants(self.eigenvalues, self.time_step or 1.0)

    def modes(self, place: int) -> Spectrum:
        """Eigenvalues of one point with their right and left vectors."""
        return spectrum(self.jacobians[place])

    def state(self, place: int) -> State:
        """A fixed point in the form of the cell's state, with NumPy arrays for leaves."""
        with double_precision():
            return jax.tree.map(np.asarray, self.flat.restore(jnp.asarray(self.states[place])))

    def __str__(self) -> str:
        """A line for each of the first points."""
        slow = f", {len(self.slow)} slow points" if len(self.slow) else ""
        lines = [f"{len(self)} fixed points from {self.counts.starts} starts{slow}"]
        for place, kind in enumerate(self.kinds[:_LINES]):
            largest = abs(self.eigenvalues[place, 0])
            lines.append(
                f"{place}: {kind.name.lower()}, {self.unstable[place]} unstable directions, largest modulus "
                f"{largest:.6g}, residual {self.residuals[place]:.1e}, reached "
                f"{self.multiplicities[place]} times"
            )
        more = [f"and {len(self) - _LINES} more"] if len(self) > _LINES else []
        return "\n".join(lines + more)
