"""What observers with a proved rate share: injection of the output error, gains, rates of error bounds."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import linprog

from attractor.control.model import ControlModel
from attractor.control.observer import ObserverMap, filled
from attractor.errors import ConfigError


class InjectionMap(ObserverMap):
    """x(k+1) = cell(u, x) with bias b + L (y - C x - c) in the place of b.

    The update equation is that of the cell itself. Estimates that start outside the set of possible states,
    and measurements outside the range of the read-out, are moved to its edge, which only brings them nearer.

    Args:
        model: the model.
        gain: L, zero for gates that are left alone.
        state_bound: largest absolute value of each state.
        output_low: smallest outputs that the read-out can show.
        output_high: largest ones.
    """

    model: ControlModel
    gain: Float[Array, "arguments outputs"]
    state_bound: Float[Array, " states"]
    output_low: Float[Array, " outputs"]
    output_high: Float[Array, " outputs"]

    def begin(self, state: Float[Array, " states"]) -> Float[Array, " states"]:
        """The nearest possible state."""
        return jnp.clip(state, -self.state_bound, self.state_bound)

    def __call__(
        self,
        memory: Float[Array, " states"],
        given: Float[Array, " inputs"],
        measured: Float[Array, " outputs"],
    ) -> Float[Array, " states"]:
        """One sample."""
        predicted = self.model.output(memory)
        seen = jnp.clip(filled(measured, predicted), self.output_low, self.output_high)
        cell = self.model.network.cell
        shifted = eqx.tree_at(lambda one: one.bias, cell, cell.bias + self.gain @ (seen - predicted))
        moved = eqx.tree_at(lambda model: model.network.cell, self.model, shifted)
        return moved.step(memory, given)


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


Vector = Float[np.ndarray, " size"]

SLACK = 1 + 1e-12
"""Covers the rounding of the sums in a bound many times over."""

_FLOOR = 1e-9


def best_weights(
    ratios: Callable[[Vector], Vector], size: int, iterations: int = 300
) -> tuple[float, Vector]:
    """Weights w for which the largest of `ratios(w)` is smallest; it is the rate in the norm max |e_i| / w_i.

    The map w -> w * ratios(w) is monotone and homogeneous, so its powers tend to the nonlinear Perron vector.
    Every iterate gives a valid rate; the smallest is kept, and equal weights are tried first.

    Args:
        ratios: ratios(w)_i = bound on |e_i(k+1)| / w_i for all |e(k)| <= w.
        size: length of w.
        iterations: how often the map is applied.
    """
    weights = np.ones(size)
    best, chosen = np.inf, weights
    for _ in range(iterations):
        now = ratios(weights)
        largest = float(np.max(now))
        if largest < best:
            best, chosen = largest, weights
        if not np.isfinite(largest):
            break
        weights = weights * now + 1e-12
        weights = np.maximum(weights / weights.max(), _FLOOR)
    return best * SLACK, chosen


def slope_bound(
    derivative: Callable[[Vector], Vector], centre: Vector, radius: Vector
) -> Float[np.ndarray, " size"]:
    """Largest derivative of a logistic function or of tanh within centre +- radius: that nearest to zero."""
    nearest = np.maximum(np.abs(centre) - radius, 0.0)
    return derivative(nearest) * SLACK
