"""Observers with a proved rate for gated recurrent units of both layouts."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from scipy.special import expit

from attractor.cells import GRU, ResetAfterGRU, name_of
from attractor.control.model import ControlModel
from attractor.control.observer import RunningObserver
from attractor.errors import UnsupportedError
from attractor.program import double_precision

from .injection import (
    SLACK,
    Design,
    Gain,
    GatedWeights,
    Matrix,
    Vector,
    best_weights,
    injection_observer,
    row_gains,
    row_sums,
    with_own_cell,
)

_ROUNDS = 4


def gru_observer(
    model: ControlModel,
    input_bound: float | int = 1.0,
    largest_gain: float | None = None,
    state: ArrayLike | None = None,
) -> RunningObserver:
    r"""Add the output error to the arguments of keep and reset gate, with gains that speed up forgetting.

    $\hat z = \sigma(W_z u + U_z \hat x + b_z + L_z (y - \hat y))$, the reset gate f alike with $L_f$, and
    $\hat x^+ = \hat z \hat x + (1 - \hat z) \hat r$ (arXiv 2011.06806). The error $e = x - \hat x$ obeys,
    component by component,

    $$|e^+| \le z |e| + (1 - z) B |e| + d_z (1 + p_r) |U_z - L_z C| |e|, \quad
      B = d_r |U_r| (\bar f + d_f |U_f - L_f C|)$$

    with z anywhere within the bounds of the keep gate, d the largest slopes of gates and candidate, $\bar f$
    the largest reset gate and p_r the reach of the candidate. For the reset gate behind the product
    $B = d_r (\bar f |U_r| + d_f m |U_f - L_f C|)$ with $m = |U_r| 1 + |c|$. Both are derived here; the rate
    is the smallest of these bounds over weighted largest-component norms, never worse than the published
    $s_z + (1-s_z)|U_r|(s_f + |U_f - L_f C|/4) + (1+p_r)|U_z - L_z C|/4$ where that proves anything.

    Args:
        model: with a cell that is exactly `GRU`, `ResetAfterGRU` or `equinox.nn.GRUCell`.
        input_bound: largest component of a scaled input that the statement shall hold for.
        largest_gain: bound on the absolute sum of every row of the gains, against noise; None for none.
        state: the first estimate; rest by default.

    Raises:
        UnsupportedError: another cell, or no linear read-out.
    """
    model = _own_layout(model)
    unit = _unit(model, float(input_bound))
    design = _design(unit, largest_gain)
    keep, reset = design.gains
    gain = np.concatenate([*((keep, reset) if unit.resets_first else (reset, keep)), np.zeros_like(keep)])
    statement = design.statement("the error", float(input_bound))
    return injection_observer(model, gain, np.ones(len(keep)), row_sums(unit.readout), statement, state)


@dataclass(frozen=True)
class _Unit(GatedWeights):
    """Weights and bounds of keep gate z, reset gate f and candidate r, in this order.

    Args:
        resets_first: whether the reset gate acts before the product with the state.
        inner: largest size of what the reset gate scales: U x before the product, U x + c behind it.
    """

    resets_first: bool
    inner: Vector


def _own_layout(model: ControlModel) -> ControlModel:
    cell = model.network.cell
    if type(cell) is not eqx.nn.GRUCell:
        return model
    with double_precision():
        zeros = jnp.zeros(3 * cell.hidden_size)
        return with_own_cell(
            model,
            ResetAfterGRU,
            input_weight=cell.weight_ih,
            state_weight=cell.weight_hh,
            bias=zeros if cell.bias is None else cell.bias,
            candidate_bias=zeros[: cell.hidden_size] if cell.bias_n is None else cell.bias_n,
        )


def _unit(model: ControlModel, input_bound: float) -> _Unit:
    cell, readout = model.network.cell, model.network.readout
    if type(cell) not in (GRU, ResetAfterGRU) or readout is None:
        raise UnsupportedError(f"a GRU observer for the cell {name_of(cell)}: expected a GRU with a read-out")
    first = type(cell) is GRU
    weights, biases = np.split(np.asarray(cell.input_weight), 3), np.split(np.asarray(cell.bias), 3)
    if first:
        state = [*np.split(np.asarray(cell.gate_weight), 2), np.asarray(cell.candidate_weight)]
        inner = np.zeros(cell.hidden_size)
    else:
        weights, biases, state = (
            [part[1], part[0], part[2]]
            for part in (weights, biases, np.split(np.asarray(cell.state_weight), 3))
        )
        inner = np.abs(np.asarray(cell.candidate_bias))
    input_effect = [input_bound * row_sums(part) * SLACK for part in weights]
    # The reset gate lies in (0, 1), so that what it scales cannot grow.
    sums = [row_sums(part) * SLACK for part in state]
    sums[2] = sums[2] + inner
    radius = [one + other for one, other in zip(input_effect, sums, strict=True)]
    return _Unit(state, biases, input_effect, radius, np.asarray(readout.weight), first, sums[2])


@dataclass(frozen=True)
class _Bound:
    """The error bound for some gains: |e+| <= z|e| + (1 - z) through |e| + keep |e|, plus noise."""

    low: Vector
    high: Vector
    through: Matrix
    keep: Matrix
    noise: Vector

    def ratios(self, weights: Vector) -> Vector:
        """Largest growth of every component in units of its weight; linear in z, so at an end."""
        through, keep = self.through @ weights / weights, self.keep @ weights / weights
        ends = [z + (1 - z) * through for z in (self.low, self.high)]
        return (np.maximum(*ends) + keep) * SLACK


def _bound(unit: _Unit, gains: tuple[Gain, Gain]) -> _Bound:
    (keep_left, _, keep_slope), (reset_left, _, reset_slope) = map(unit.injected, (0, 1), gains)
    keep_noise, reset_noise = map(row_sums, gains)
    open_gate, candidate = expit(unit.bias[1] + unit.radius[1]), np.abs(unit.state[2])
    if unit.resets_first:
        through = candidate @ (np.diag(open_gate) + reset_slope[:, None] * reset_left)
        reset_noise = candidate @ (reset_slope * reset_noise)
    else:
        swing = reset_slope * unit.inner
        through = open_gate[:, None] * candidate + swing[:, None] * reset_left
        reset_noise = swing * reset_noise
    steep = unit.candidate_slope(2)
    change = keep_slope * (1 + np.tanh(np.abs(unit.bias[2]) + unit.radius[2]))
    low, high = (expit(unit.bias[0] + end) for end in (-unit.radius[0], unit.radius[0]))
    return _Bound(
        low,
        high,
        through=steep[:, None] * through,
        keep=change[:, None] * keep_left,
        noise=change * keep_noise + (1 - low) * (steep * reset_noise),
    )


def _design(unit: _Unit, largest_gain: float | None) -> Design:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    weights, found = np.ones(len(unit.inner)), []
    for _ in range(_ROUNDS):
        keep, reset = (row_gains(part, unit.readout, weights, largest_gain) for part in unit.state[:2])
        bound = _bound(unit, (keep, reset))
        rate, weights = best_weights(bound.ratios, len(weights))
        found.append(Design(rate, weights, (keep, reset), bound.noise))
    return min(found, key=lambda design: design.rate)
