"""Observers with a proved rate for gated recurrent units of both layouts and long short-term memory."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from scipy.special import expit

from attractor.cells import GRU, LSTM, ResetAfterGRU, name_of
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
    injection_observer,
    row_gains,
    row_sums,
    with_own_cell,
)

_GRU_ROUNDS = 4
_LSTM_ROUNDS = 2
_LSTM_GATES = 0, 1, 3
"""Gates that are injected: write i, keep f and show o; 2 is the candidate g."""
_LSTM_SHARES = (0.0, 0.5, 1.0)
"""Parts of the gains of keep and show gate that are tried: a gain also raises the bounds of these gates."""


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
    model = _with_own_gru(model)
    unit = _gru(model, float(input_bound))
    design = _gru_design(unit, largest_gain)
    keep, reset = design.gains
    gain = np.concatenate([*((keep, reset) if unit.resets_first else (reset, keep)), np.zeros_like(keep)])
    statement = design.statement("the error", float(input_bound))
    return injection_observer(model, gain, np.ones(len(keep)), unit.outputs, statement, state)


@dataclass(frozen=True)
class _GRU(GatedWeights):
    """Weights and bounds of keep gate z, reset gate f and candidate r, in this order.

    Args:
        resets_first: whether the reset gate acts before the product with the state.
        inner: largest size of what the reset gate scales: U x before the product, U x + c behind it.
    """

    resets_first: bool
    inner: Vector


def _with_own_gru(model: ControlModel) -> ControlModel:
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


def _gru(model: ControlModel, input_bound: float) -> _GRU:
    cell: Any = model.network.cell
    readout = model.network.readout
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
    shown = np.asarray(readout.weight), np.asarray(readout.bias)
    return _GRU(state, biases, input_effect, radius, *shown, first, sums[2])


@dataclass(frozen=True)
class _GRUBound:
    """The error bound for some gains: |e+| <= z|e| + (1 - z) through |e| + keep |e|, plus noise."""

    low: Vector
    high: Vector
    through: Matrix
    keep: Matrix
    noise: Vector

    def row_sums(self, weights: Vector) -> Vector:
        """Largest size of every component after errors of these sizes; linear in z, so at an end."""
        through = self.through @ weights
        ends = [z * weights + (1 - z) * through for z in (self.low, self.high)]
        return (np.maximum(*ends) + self.keep @ weights) * SLACK


def _gru_bound(unit: _GRU, gains: tuple[Gain, Gain]) -> _GRUBound:
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
    return _GRUBound(
        low,
        high,
        through=steep[:, None] * through,
        keep=change[:, None] * keep_left,
        noise=change * keep_noise + (1 - low) * (steep * reset_noise),
    )


def _gru_design(unit: _GRU, largest_gain: float | None) -> Design:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    weights, found = np.ones(len(unit.inner)), []
    for _ in range(_GRU_ROUNDS):
        keep, reset = (row_gains(part, unit.readout, weights, largest_gain) for part in unit.state[:2])
        bound = _gru_bound(unit, (keep, reset))
        found.append(Design.of(bound.row_sums, (keep, reset), bound.noise))
        weights = found[-1].weights
    return min(found, key=lambda design: design.rate)


def lstm_observer(
    model: ControlModel,
    input_bound: float | int = 1.0,
    largest_gain: float | None = None,
    state: ArrayLike | None = None,
) -> RunningObserver:
    r"""Add the output error to the arguments of the gates i, f and o; the candidate is left alone.

    With the errors $e_c = c - \hat c$, $e_h = h - \hat h$, and component by component (arXiv 1910.04024)

    $$|e_c^+| \le \hat f |e_c| + A |e_h|, \quad
      |e_h^+| \le \hat o |e_c^+| + \tanh(\bar c) d_o |U_o - L_o C| |e_h|,$$
    $$A = \bar c d_f |U_f - L_f C| + \bar\imath d_g |U_g| + \bar g d_i |U_i - L_i C|$$

    where $\hat f, \hat o$ bound the gates of the observer, $\bar\imath, \bar g$ gate and candidate of the
    model, $\bar c$ its memory, and d are the largest slopes. The rate is the spectral radius of this
    comparison matrix, in the norm max |e_i| / w_i of its Perron vector (componentwise form derived here).

    Args:
        model: with a cell that is exactly `LSTM` or `equinox.nn.LSTMCell`.
        input_bound: largest component of a scaled input that the statement shall hold for.
        largest_gain: bound on the absolute sum of every row of the gains, against noise; None for none.
        state: the first estimate (h, c); rest by default.

    Raises:
        UnsupportedError: another cell, or no linear read-out.
    """
    model = _with_own_lstm(model)
    unit = _lstm(model, float(input_bound))
    design = _lstm_design(unit, largest_gain)
    write, keep, show = design.gains
    gain = np.concatenate([write, keep, np.zeros_like(write), show])
    bound = np.concatenate([np.ones(len(unit.memory)), unit.memory])
    statement = design.statement("the error of (h, c)", float(input_bound))
    return injection_observer(model, gain, bound, unit.outputs, statement, state)


@dataclass(frozen=True)
class _LSTM(GatedWeights):
    """Weights and bounds by gate in the order i, f, g, o, and the largest size of the memory c."""

    memory: Vector


def _with_own_lstm(model: ControlModel) -> ControlModel:
    cell = model.network.cell
    if type(cell) is not eqx.nn.LSTMCell:
        return model
    with double_precision():
        bias = jnp.zeros(4 * cell.hidden_size) if cell.bias is None else cell.bias
        weights = {"input_weight": cell.weight_ih, "state_weight": cell.weight_hh}
        return with_own_cell(model, LSTM, **weights, bias=bias)


def _lstm(model: ControlModel, input_bound: float) -> _LSTM:
    cell, readout = model.network.cell, model.network.readout
    if type(cell) is not LSTM or readout is None:
        raise UnsupportedError(
            f"an LSTM observer for the cell {name_of(cell)}: expected an LSTM with a read-out"
        )
    weights, state, bias = (
        np.split(np.asarray(array), 4) for array in (cell.input_weight, cell.state_weight, cell.bias)
    )
    input_effect = [input_bound * row_sums(part) * SLACK for part in weights]
    radius = [one + row_sums(part) * SLACK for one, part in zip(input_effect, state, strict=True)]
    candidate = np.tanh(np.abs(bias[2]) + radius[2])
    forgets = np.maximum(expit(-bias[1] - radius[1]), np.finfo(float).tiny)
    memory = expit(bias[0] + radius[0]) * candidate / forgets * SLACK
    shown = np.asarray(readout.weight), np.asarray(readout.bias)
    return _LSTM(state, bias, input_effect, radius, *shown, memory)


@dataclass(frozen=True)
class _LSTMBound:
    """The comparison matrix for the error (h, c) and the effect of measurement errors on it."""

    matrix: Matrix
    noise: Vector

    def row_sums(self, weights: Vector) -> Vector:
        """Largest size of every component after errors of these sizes."""
        return self.matrix @ weights * SLACK


def _lstm_bound(unit: _LSTM, gains: tuple[Gain, ...]) -> _LSTMBound:
    injected = map(unit.injected, _LSTM_GATES, gains)
    (write_left, _, write_slope), (keep_left, kept, keep_slope), (show_left, shown, show_slope) = injected
    write = expit(unit.bias[0] + unit.radius[0])  # of the model: the candidate is not injected
    candidate = np.tanh(np.abs(unit.bias[2]) + unit.radius[2])
    by_keep, by_write = unit.memory * keep_slope, candidate * write_slope
    by_show = np.tanh(unit.memory) * show_slope
    on_memory = by_keep[:, None] * keep_left + by_write[:, None] * write_left
    on_memory += (write * unit.candidate_slope(2))[:, None] * np.abs(unit.state[2])
    keep, show = (expit(unit.bias[gate] + end) for gate, end in ((1, kept), (3, shown)))
    direct = by_show[:, None] * show_left
    noise_write, noise_keep, noise_show = map(row_sums, gains)
    memory_noise = by_keep * noise_keep + by_write * noise_write
    return _LSTMBound(
        matrix=np.block([
            [show[:, None] * on_memory + direct, show[:, None] * np.diag(keep)],
            [on_memory, np.diag(keep)],
        ]),
        noise=np.concatenate([show * memory_noise + by_show * noise_show, memory_noise]),
    )


def _lstm_design(unit: _LSTM, largest_gain: float | None) -> Design:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    size, found = len(unit.memory), []
    weights = np.ones(2 * size)
    for _ in range(_LSTM_ROUNDS):
        full = [
            row_gains(unit.state[gate], unit.readout, weights[:size], largest_gain) for gate in _LSTM_GATES
        ]
        tried = [
            _lstm_tried(unit, tuple(share * gain for share, gain in zip((1.0, *shares), full, strict=True)))
            for shares in product(_LSTM_SHARES, repeat=2)
        ]
        found.append(min(tried, key=lambda design: design.rate))
        weights = found[-1].weights
    return min(found, key=lambda design: design.rate)


def _lstm_tried(unit: _LSTM, gains: tuple[Gain, ...]) -> Design:
    bound = _lstm_bound(unit, gains)
    return Design.of(bound.row_sums, gains, bound.noise)
