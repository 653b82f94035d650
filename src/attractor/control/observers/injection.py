"""What observers with a proved rate share: injection of the output error, gains, rates of error bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.optimize import linprog
from scipy.special import expit

from attractor.cells import CellLike
from attractor.certify.stability.weighted_norms import best_weights
from attractor.control.model import ControlModel, InputArray, OutputArray, StateArray
from attractor.control.observer import Convergence, ObserverMap, RunningObserver, filled
from attractor.errors import ConfigError
from attractor.program import double_precision

Vector = Float[np.ndarray, " _"]
Matrix = Float[np.ndarray, "_ _"]
Gain = Float[np.ndarray, "units outputs"]

SLACK = 1 + 1e-12
"""Covers the rounding of the sums in a bound many times over."""

# With 200 a rate is up to 2e-4 larger.
_ITERATIONS = 600


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
    state_bound: StateArray
    output_low: OutputArray
    output_high: OutputArray

    def begin(self, state: StateArray) -> StateArray:
        """The nearest possible state."""
        return jnp.clip(state, -self.state_bound, self.state_bound)

    def __call__(self, memory: StateArray, input: InputArray, measured: OutputArray) -> StateArray:
        """One sample."""
        predicted = self.model.output(memory)
        seen = jnp.clip(filled(measured, predicted), self.output_low, self.output_high)
        cell: Any = self.model.network.cell  # one with a bias, see `injection`
        shifted = eqx.tree_at(lambda one: one.bias, cell, cell.bias + self.gain @ (seen - predicted))
        moved = eqx.tree_at(lambda model: model.network.cell, self.model, shifted)
        return moved.step(memory, input)


def injection_observer(
    model: ControlModel,
    gain: Matrix,
    state_bound: Vector,
    outputs: tuple[Vector, Vector],
    statement: Convergence,
    state: ArrayLike | None = None,
) -> RunningObserver:
    """The observer with these gains.

    Args:
        model: with a cell that has a `bias`.
        gain: L, shape (arguments, outputs).
        state_bound: largest absolute value of each state.
        outputs: smallest and largest outputs that the read-out can show.
        statement: what is proved.
        state: the first estimate; rest by default.
    """
    with double_precision():
        arrays = (jnp.asarray(one) for one in (gain, state_bound, *outputs))
        return RunningObserver(InjectionMap(model, *arrays), statement, state)


def with_own_cell(model: ControlModel, kind: Callable[..., CellLike], **arrays: Array) -> ControlModel:
    """The model with a cell of ours, which always has a bias, in the place of one of the same layout.

    Args:
        model: the model.
        kind: class of the cell.
        arrays: all its arrays by name.
    """
    cell: Any = model.network.cell
    own = kind(cell.input_size, cell.hidden_size, key=jax.random.key(0))
    own = eqx.tree_at(lambda one: [getattr(one, name) for name in arrays], own, list(arrays.values()))
    return eqx.tree_at(lambda one: one.network.cell, model, own, is_leaf=lambda leaf: leaf is cell)


def row_sums(matrix: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """Largest size of the product of each row with numbers in [-1, 1]."""
    return np.abs(matrix).sum(axis=1)


@dataclass(frozen=True)
class GatedWeights:
    """Weights of a gated cell, one entry per gate, with bounds over all states and all inputs in a box.

    Args:
        state: weights of the state, each (units, units).
        bias: biases, each (units,).
        input_effect: largest effect of the inputs on each argument.
        radius: largest distance of each argument from its bias.
        readout: C of the read-out.
        offset: its bias.
    """

    state: list[Matrix]
    bias: list[Vector]
    input_effect: list[Vector]
    radius: list[Vector]
    readout: Float[np.ndarray, "outputs units"]
    offset: Float[np.ndarray, " outputs"]

    @property
    def outputs(self) -> tuple[Vector, Vector]:
        """Smallest and largest outputs for exposed states within 1."""
        reach = row_sums(self.readout)
        return self.offset - reach, self.offset + reach

    def injected(self, gate: int, gain: Gain) -> tuple[Matrix, Vector, Vector]:
        r"""What a gain does to a gate.

        Returns:
            $|U - L C|$; the largest distance of the observer's argument from its bias; and the largest slope
            of the gate over the arguments of the model and of the observer.
        """
        left = np.abs(self.state[gate] - gain @ self.readout)
        argument = row_sums(left) + np.abs(gain) @ row_sums(self.readout)
        observed = self.input_effect[gate] + argument * SLACK
        radius = np.maximum(observed, self.radius[gate])
        return left, observed, _slope_bound(lambda a: expit(a) * expit(-a), self.bias[gate], radius)

    def candidate_slope(self, gate: int) -> Vector:
        """Largest slope of tanh over the arguments of the candidate of the model."""
        return _slope_bound(lambda a: 1 - np.tanh(a) ** 2, self.bias[gate], self.radius[gate])


def _slope_bound(derivative: Callable[[Vector], Vector], centre: Vector, radius: Vector) -> Vector:
    """Largest derivative of a logistic function or of tanh within centre +- radius: that nearest to zero."""
    return derivative(np.maximum(np.abs(centre) - radius, 0.0)) * SLACK


@dataclass(frozen=True)
class Design:
    """Gains, and the bound on the error that they give in the norm max |e_i| / w_i.

    Args:
        rate: bound on the growth of the error per sample.
        weights: w.
        gains: L of each gate that is injected.
        noise: largest effect of a unit of measurement error on each component of the error.
    """

    rate: float
    weights: Vector
    gains: tuple[Gain, ...]
    noise: Vector

    @classmethod
    def of(cls, row_sums: Callable[[Vector], Vector], gains: tuple[Gain, ...], noise: Vector) -> "Design":
        """The rate of some gains in the norm in which it is smallest.

        Args:
            row_sums: bounds on |e(k+1)|, shape (states,), for all |e(k)| <= w.
            gains: L of each gate that is injected.
            noise: largest effect of a unit of measurement error, shape (states,).
        """
        rate, weights = best_weights(row_sums, np.ones(len(noise)), _ITERATIONS)
        return cls(float(rate) * SLACK, weights, gains, noise)

    def statement(self, error: str, input_bound: float) -> Convergence:
        """What is proved.

        Args:
            error: what it is the error of, in words.
            input_bound: largest component of an input for which the bound holds.
        """
        if not self.rate < 1:
            return unproved_rate(self.rate)
        noise = np.max(self.noise / self.weights) * SLACK
        return Convergence(
            self.rate,
            True,
            f"{error} shrinks to at most {self.rate:.6g} times its size per sample for inputs within "
            f"{input_bound:g} (scaled), if the plant is the model",
            gain_from_noise=float(np.max(self.weights) * noise / (1 - self.rate)),
            amplification=float(np.max(self.weights) / np.min(self.weights)),
            weights=tuple(self.weights.tolist()),
        )


def unproved_rate(rate: float) -> Convergence:
    """The statement for a bound that does not contract."""
    return Convergence.unproved(
        f"none proved: the bound on the growth of the error is {rate:.6g} per sample, not below 1"
    )


def row_gains(
    state_weight: Matrix, readout: Matrix, weights: Vector, largest: float | None = None
) -> Float[np.ndarray, "units outputs"]:
    r"""L whose rows l minimise $\sum_j w_j |U_{ij} - (l C)_j|$: one small linear programme per row.

    Args:
        state_weight: U, shape (units, states).
        readout: C, shape (outputs, states).
        weights: w, positive, shape (states,).
        largest: bound on the sum of |l| of every row, which limits the effect of noise; None for none.

    Raises:
        ConfigError: a negative `largest`.
    """
    check_largest_gain(largest)
    return np.stack([_row_gain(row, readout, weights, largest) for row in state_weight])


def check_largest_gain(largest: float | None) -> None:
    """Refuse a bound on a gain that no gain can keep.

    Raises:
        ConfigError: it is negative or not a number.
    """
    if largest is not None and not largest >= 0:
        raise ConfigError(f"largest_gain={largest}: expected a number of at least 0")


def _row_gain(row: Vector, readout: np.ndarray, weights: Vector, largest: float | None) -> np.ndarray:
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
