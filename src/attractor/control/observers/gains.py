"""Gains that bring U - L C, the effect of an estimation error on a gate, as close to zero as possible."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from attractor.errors import ConfigError


def row_gains(
    state_weight: Float[np.ndarray, "units states"],
    readout: Float[np.ndarray, "outputs states"],
    weights: Float[np.ndarray, " states"],
    largest: float | None = None,
) -> Float[np.ndarray, "units outputs"]:
    r"""L whose rows l minimise $\sum_j w_j |U_{ij} - (l C)_j|$: one small linear programme a row.

    Args:
        state_weight: U.
        readout: C.
        weights: w, positive.
        largest: bound on the sum of |l| of every row, which limits the effect of noise; None for none.

    Raises:
        ConfigError: a negative `largest`.
    """
    if largest is not None and not largest >= 0:
        raise ConfigError(f"largest_gain={largest}: expected a number of at least 0")
    return np.stack([_row(row, readout, weights, largest) for row in state_weight])


def _row(
    row: Float[np.ndarray, " states"],
    readout: Float[np.ndarray, "outputs states"],
    weights: Float[np.ndarray, " states"],
    largest: float | None,
) -> Float[np.ndarray, " outputs"]:
    """Minimise w t subject to -t <= row - (p - q) C <= t and sum(p + q) <= largest; l = p - q."""
    outputs, states = readout.shape
    slack = -np.eye(states)
    above = np.hstack([-readout.T, readout.T, slack])
    below = np.hstack([readout.T, -readout.T, slack])
    matrix, limits = np.vstack([above, below]), np.concatenate([-row, row])
    if largest is not None:
        cap = np.concatenate([np.ones(2 * outputs), np.zeros(states)])
        matrix, limits = np.vstack([matrix, cap]), np.append(limits, largest)
    tiny = 1e-9  # a positive price on the gain itself: the smallest of equally good ones
    cost = np.concatenate([np.full(2 * outputs, tiny), weights])
    found = linprog(cost, A_ub=matrix, b_ub=limits, bounds=(0, None), method="highs")
    if found.x is None:  # cannot happen for finite weights: p = q = 0 is feasible; no gain is always sound
        return np.zeros(outputs)
    return found.x[:outputs] - found.x[outputs : 2 * outputs]
