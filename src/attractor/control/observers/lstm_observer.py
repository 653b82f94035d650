"""An observer with a proved rate for long short-term memory."""

from dataclasses import dataclass
from itertools import product

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from scipy.special import expit

from attractor.cells import LSTM, name_of
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

_ROUNDS = 2
_GATES = 0, 1, 3
"""Gates that are injected: write i, keep f and show o; 2 is the candidate g."""
_SHARES = (0.0, 0.5, 1.0)
"""Parts of the gains of keep and show gate that are tried: a gain also raises the bounds of these gates."""


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
    model = _own_layout(model)
    unit = _unit(model, float(input_bound))
    design = _design(unit, largest_gain)
    write, keep, show = design.gains
    gain = np.concatenate([write, keep, np.zeros_like(write), show])
    bound = np.concatenate([np.ones(len(unit.memory)), unit.memory])
    statement = design.statement("the error of (h, c)", float(input_bound))
    return injection_observer(model, gain, bound, row_sums(unit.readout), statement, state)


@dataclass(frozen=True)
class _Unit(GatedWeights):
    """Weights and bounds by gate in the order i, f, g, o, and the largest size of the memory c."""

    memory: Vector


def _own_layout(model: ControlModel) -> ControlModel:
    cell = model.network.cell
    if type(cell) is not eqx.nn.LSTMCell:
        return model
    with double_precision():
        bias = jnp.zeros(4 * cell.hidden_size) if cell.bias is None else cell.bias
        weights = {"input_weight": cell.weight_ih, "state_weight": cell.weight_hh}
        return with_own_cell(model, LSTM, **weights, bias=bias)


def _unit(model: ControlModel, input_bound: float) -> _Unit:
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
    return _Unit(state, bias, input_effect, radius, np.asarray(readout.weight), memory)


@dataclass(frozen=True)
class _Bound:
    """The comparison matrix for the error (h, c) and the effect of measurement errors on it."""

    matrix: Matrix
    noise: Vector

    def ratios(self, weights: Vector) -> Vector:
        """Largest growth of every component in units of its weight."""
        return self.matrix @ weights / weights * SLACK


def _bound(unit: _Unit, gains: tuple[Gain, ...]) -> _Bound:
    injected = map(unit.injected, _GATES, gains)
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
    return _Bound(
        matrix=np.block([
            [show[:, None] * on_memory + direct, show[:, None] * np.diag(keep)],
            [on_memory, np.diag(keep)],
        ]),
        noise=np.concatenate([show * memory_noise + by_show * noise_show, memory_noise]),
    )


def _design(unit: _Unit, largest_gain: float | None) -> Design:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    size, found = len(unit.memory), []
    weights = np.ones(2 * size)
    for _ in range(_ROUNDS):
        write, keep, show = (
            row_gains(unit.state[gate], unit.readout, weights[:size], largest_gain) for gate in _GATES
        )
        tried = [
            _tried(unit, (write, keeps * keep, shows * show)) for keeps, shows in product(_SHARES, _SHARES)
        ]
        found.append(min(tried, key=lambda design: design.rate))
        weights = found[-1].weights
    return min(found, key=lambda design: design.rate)


def _tried(unit: _Unit, gains: tuple[Gain, ...]) -> Design:
    bound = _bound(unit, gains)
    rate, weights = best_weights(bound.ratios, len(bound.matrix))
    return Design(rate, weights, gains, bound.noise)
