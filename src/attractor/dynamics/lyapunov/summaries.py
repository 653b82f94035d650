"""What a spectrum of Lyapunov exponents says about the attractor."""

import numpy as np
from jaxtyping import Array, Float

Exponents = Float[np.ndarray, " count"]


def kaplan_yorke_dimension(exponents: Exponents, states: int | None = None) -> float | None:
    """Dimension of the attractor, j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}| (Kaplan and Yorke 1979).

    j is the last place where the sum is not negative; 0 if already lambda_1 is negative.

    Args:
        exponents: from the largest down; in any unit of time.
        states: entries of the state; None means that these are all exponents.

    Returns:
        The dimension; None where exponents are missing that decide it.

    Example:
        >>> kaplan_yorke_dimension(np.array([1.0, 0.0, -2.0]))
        2.5
    """
    sums = np.cumsum(exponents)
    falling = np.flatnonzero(sums < 0)
    if len(falling):
        last = int(falling[0])
        return float(last + (sums[last - 1] / -exponents[last] if last else 0.0))
    return float(len(exponents)) if states is None or len(exponents) == states else None


def entropy_rate_bound(exponents: Exponents) -> float:
    """Sum of the positive exponents, an upper bound on the entropy rate in nats a unit of time (Ruelle 1978).

    Exponents that were not measured are taken as not positive.
    """
    return float(np.sum(exponents, where=exponents > 0))


def participation_ratio(states: Float[Array | np.ndarray, "samples states"]) -> float:
    """Number of directions in which states vary, tr(C)^2 / tr(C^2) of their covariance C.

    It is k for k equal variances, and 0 where nothing varies.
    """
    centred = np.asarray(states, np.float64)
    # of any size: squares of scaled entries do not overflow
    centred = centred / (float(np.abs(centred).max(initial=0.0)) or 1.0)
    centred = centred - centred.mean(axis=0)
    # tr(C^2) from the smaller of the two Gram matrices
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    trace, square = np.trace(gram), np.sum(gram**2)
    return float(trace**2 / square) if square > 0 else 0.0
