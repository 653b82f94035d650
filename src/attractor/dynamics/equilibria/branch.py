"""A fixed point followed in a parameter: the branch, and where its stability changes."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Complex, Float, Int

from .modes import PointKind, kind_of, unstable_directions


class BifurcationKind(Enum):
    """What happens where an eigenvalue crosses the unit circle; the value is the text that users see."""

    FOLD = "fold: the branch turns back, and two fixed points meet and vanish"
    CROSSING = "crossing at +1: another branch meets this one (pitchfork or transcritical)"
    PERIOD_DOUBLING = "crossing at -1: an orbit of period two is born"
    ROTATION = "a complex pair crosses: an invariant circle is born (Neimark-Sacker, or Hopf of a flow)"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


class BranchStatus(Enum):
    """Why a branch ends; the value is the text that users see."""

    REACHED_LAST = "reached the last value of the parameter"
    RETURNED = "turned at a fold and came back past the first value of the parameter"
    STEP_TOO_SMALL = "no point found for the smallest step: the branch may end, or turn too sharply"
    TOO_MANY_POINTS = "the number of points allowed is used up; follow on from the last one"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


@dataclass(frozen=True, eq=False)
class Bifurcation:
    """A point of a branch where stability changes.

    Args:
        kind: what happens there.
        parameter: where.
        state: the flat state there.
        eigenvalue: the one on the unit circle, of a pair that with positive imaginary part.
        unstable: how many directions grow at the points before and after.
        after: the place in the branch of the last point before it.
    """

    kind: BifurcationKind
    parameter: float
    state: Float[np.ndarray, " states"]
    eigenvalue: complex
    unstable: tuple[int, int]
    after: int


@dataclass(frozen=True, eq=False)
class Branch:
    """Fixed points along a curve, in the order in which they were followed.

    Args:
        parameters: the value of the parameter at each; it turns at folds.
        states: flat states.
        residuals: |step(x) - x|.
        eigenvalues: of the step's Jacobian, those of largest modulus first.
        bifurcations: where stability changes or the branch turns, in order.
        status: why it ends.
        seconds: wall time, compilation included.
    """

    parameters: Float[np.ndarray, " points"]
    states: Float[np.ndarray, "points states"]
    residuals: Float[np.ndarray, " points"]
    eigenvalues: Complex[np.ndarray, "points states"]
    bifurcations: tuple[Bifurcation, ...]
    status: BranchStatus
    seconds: float

    def __len__(self) -> int:
        """How many points."""
        return len(self.parameters)

    @property
    def unstable(self) -> Int[np.ndarray, " points"]:
        """How many directions surely grow at each point."""
        return unstable_directions(self.eigenvalues)

    @property
    def kinds(self) -> list[PointKind]:
        """Attracting, saddle, repelling, or marginal within rounding."""
        return [kind_of(values) for values in self.eigenvalues]

    def __str__(self) -> str:
        """How far it goes, why it ends, and a line for every bifurcation."""
        low, high = self.parameters.min(), self.parameters.max()
        lines = [f"{len(self)} points, parameter from {low:.6g} to {high:.6g}; {self.status}"]
        return "\n".join([*lines, *(f"{one.parameter:.6g}: {one.kind}" for one in self.bifurcations)])
