r"""Global bounds on the drift of a Lipschitz cell, in float64 and rounded outward.

Two states under the same input differ in the drift $F = \alpha A h + \tanh(W h + U u + b)$ by
$(\alpha A + S W) \Delta$ with a diagonal S whose entries, divided differences of tanh, lie in [0, 1]. Written
around the middle, $\alpha A + W/2 + E W$ with $|E| \le 1/2$, this bounds growth never worse, and often much
better, than the published $\alpha \lambda_{max}(A_{sym}) + \sigma_{max}(W)$.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from attractor.cells import CellLike, Lipschitz, name_of
from attractor.errors import InputDataError, UnsupportedError
from attractor.program import double_precision, in_double_precision

SLACK = 1 + 1e-12
"""Covers the rounding of a sum or of a singular value many times over."""


@dataclass(frozen=True)
class DriftBounds:
    r"""What holds for any two states under the same input. Rates are per unit of time.

    Where units have steps of their own, the flow is that of $D F / \bar d$, so that one step takes the mean
    step $\bar d$.

    Args:
        one_sided: mu with (F(h) - F(h'))'(h - h') <= mu |h - h'|^2.
        one_sided_low: the same from below.
        size: L with |F(h) - F(h')| <= L |h - h'|.
        step_factor: q with |h_1 - h_1'| <= q |h - h'| after one Euler step.
        input_gain: g, how far one step moves for inputs that differ by 1.
        time_step: mean step.
        slowest: sqrt of mean step over smallest step; 1 where all units share one step.
        states: number of units.
    """

    one_sided: float
    one_sided_low: float
    size: float
    step_factor: float
    input_gain: float
    time_step: float
    slowest: float
    states: int


def drift_bounds(cell: CellLike) -> DriftBounds:
    """Bounds of one Lipschitz cell.

    Raises:
        UnsupportedError: a cell of another kind.
        InputDataError: weights that are not finite.
    """
    if not isinstance(cell, Lipschitz):
        raise UnsupportedError(
            f"{name_of(cell)} is no Lipschitz cell, the only one whose structure is known here"
        )
    with double_precision():
        exact = in_double_precision(cell)
        linear, coupling, steps, inputs = map(np.asarray, (*exact.matrices, exact.step, exact.input_weight))
    if not all(np.isfinite(part).all() for part in (linear, coupling, steps, inputs)):
        raise InputDataError("the Lipschitz cell has weights that are not finite; no bound holds")
    mean = float(steps.mean())
    each = np.broadcast_to(steps, (cell.hidden_size,))[:, None]
    scaled = each / mean * coupling
    middle = each / mean * (cell.form.linear * linear) + scaled / 2
    half = norm(scaled) / 2
    low, high = symmetric_range(middle)
    return DriftBounds(
        one_sided=outward(high + half),
        one_sided_low=-outward(half - low),
        size=norm(middle) + half,
        step_factor=norm(np.eye(len(middle)) + mean * middle) + mean * half,
        input_gain=norm(each * inputs),
        time_step=mean,
        slowest=1.0 if np.ptp(steps) == 0 else outward(float(np.sqrt(mean / steps.min()))),
        states=cell.hidden_size,
    )


def norm(matrix: Float[np.ndarray, "rows columns"]) -> float:
    """The largest singular value, rounded upward."""
    return float(np.linalg.norm(matrix, 2)) * SLACK if matrix.size else 0.0


def symmetric_range(matrix: Float[np.ndarray, "states states"]) -> tuple[float, float]:
    """Smallest and largest eigenvalue of the symmetric part, rounded outward."""
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    room = (SLACK - 1) * float(np.linalg.norm(matrix))
    return float(values[0]) - room, float(values[-1]) + room


def outward(value: float) -> float:
    """A number moved up by the rounding of its computation, so that it bounds from above."""
    return value + (SLACK - 1) * abs(value)
