"""An observer with a proved rate for long short-term memory."""

from dataclasses import dataclass
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.special import expit

from attractor.cells import LSTM, name_of
from attractor.control.model import ControlModel
from attractor.control.observer import Convergence, RunningObserver
from attractor.errors import UnsupportedError
from attractor.program import double_precision

from .injection import SLACK, InjectionMap, best_weights, row_gains, slope_bound

Vector = Float[np.ndarray, " units"]
Gains = tuple[np.ndarray, np.ndarray, np.ndarray]

_ROUNDS = 2
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
    model = _with_bias(model)
    unit = _unit(model, float(input_bound))
    rate, weights, gains = _design(unit, largest_gain)
    size, reach = len(unit.memory), np.abs(unit.readout).sum(axis=1)
    gain = np.concatenate([gains[0], gains[1], np.zeros_like(gains[0]), gains[2]])
    with double_precision():
        update_map = InjectionMap(
            model,
            jnp.asarray(gain),
            jnp.concatenate([jnp.ones(size), jnp.asarray(unit.memory)]),
            jnp.asarray(unit.offset - reach),
            jnp.asarray(unit.offset + reach),
        )
    return RunningObserver(update_map, _statement(unit, rate, weights, gains, float(input_bound)), state)


@dataclass(frozen=True)
class _Unit:
    """Weights by gate in the order i, f, g, o, and bounds over all states and inputs."""

    state: list[np.ndarray]
    bias: list[np.ndarray]
    driven: list[np.ndarray]
    radius: list[np.ndarray]
    memory: Vector
    readout: Float[np.ndarray, "outputs units"]
    offset: Float[np.ndarray, " outputs"]


def _with_bias(model: ControlModel) -> ControlModel:
    """The model with an Equinox cell rewritten as our own, which always has a bias."""
    cell = model.network.cell
    if type(cell) is not eqx.nn.LSTMCell:
        return model
    twin = LSTM(cell.input_size, cell.hidden_size, key=jax.random.key(0))
    with double_precision():
        bias = jnp.zeros(4 * cell.hidden_size) if cell.bias is None else cell.bias
        arrays = cell.weight_ih, cell.weight_hh, bias
        twin = eqx.tree_at(lambda one: (one.input_weight, one.state_weight, one.bias), twin, arrays)
    return eqx.tree_at(lambda one: one.network.cell, model, twin, is_leaf=lambda leaf: leaf is cell)


def _unit(model: ControlModel, input_bound: float) -> _Unit:
    cell, readout = model.network.cell, model.network.readout
    if type(cell) is not LSTM or readout is None:
        raise UnsupportedError(
            f"an LSTM observer for the cell {name_of(cell)}: expected an LSTM with a read-out"
        )
    given, state, bias = (
        np.split(np.asarray(array), 4) for array in (cell.input_weight, cell.state_weight, cell.bias)
    )
    driven = [input_bound * np.abs(part).sum(axis=1) * SLACK for part in given]
    radius = [one + np.abs(part).sum(axis=1) * SLACK for one, part in zip(driven, state, strict=True)]
    candidate = np.tanh(np.abs(bias[2]) + radius[2])
    forgets = np.maximum(expit(-bias[1] - radius[1]), np.finfo(float).tiny)
    memory = expit(bias[0] + radius[0]) * candidate / forgets * SLACK
    return _Unit(state, bias, driven, radius, memory, np.asarray(readout.weight), np.asarray(readout.bias))


@dataclass(frozen=True)
class _Bound:
    """The comparison matrix for the error (h, c) and the effect of measurement errors on it."""

    matrix: Float[np.ndarray, "states states"]
    noise: Float[np.ndarray, " states"]

    def ratios(self, weights: np.ndarray) -> np.ndarray:
        """Largest growth of every component in units of its weight."""
        return self.matrix @ weights / weights * SLACK


def _bound(unit: _Unit, gains: Gains) -> _Bound:
    injected = dict(zip((0, 1, 3), gains, strict=True))
    left, high, slope = {}, {}, {}
    for gate, gain in injected.items():
        left[gate] = np.abs(unit.state[gate] - gain @ unit.readout)
        argument = left[gate].sum(axis=1) + np.abs(gain) @ np.abs(unit.readout).sum(axis=1)
        observed = unit.driven[gate] + argument * SLACK
        high[gate] = expit(unit.bias[gate] + observed)
        radius = np.maximum(observed, unit.radius[gate])
        slope[gate] = slope_bound(lambda a: expit(a) * expit(-a), unit.bias[gate], radius)
    write = expit(unit.bias[0] + unit.radius[0])  # of the model: the candidate is not injected
    candidate = np.tanh(np.abs(unit.bias[2]) + unit.radius[2])
    steep = slope_bound(lambda a: 1 - np.tanh(a) ** 2, unit.bias[2], unit.radius[2])
    by_keep, by_write, by_show = unit.memory * slope[1], candidate * slope[0], np.tanh(unit.memory) * slope[3]
    on_memory = by_keep[:, None] * left[1] + by_write[:, None] * left[0]
    on_memory += (write * steep)[:, None] * np.abs(unit.state[2])
    direct, keep = by_show[:, None] * left[3], np.diag(high[1])
    show = high[3][:, None]
    amount = [np.abs(gain).sum(axis=1) for gain in gains]
    memory_noise = by_keep * amount[1] + by_write * amount[0]
    return _Bound(
        matrix=np.block([[show * on_memory + direct, show * keep], [on_memory, keep]]),
        noise=np.concatenate([high[3] * memory_noise + by_show * amount[2], memory_noise]),
    )


def _design(unit: _Unit, largest_gain: float | None) -> tuple[float, np.ndarray, Gains]:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    size, found = len(unit.memory), []
    weights = np.ones(2 * size)
    for _ in range(_ROUNDS):
        full = [row_gains(unit.state[g], unit.readout, weights[:size], largest_gain) for g in (0, 1, 3)]
        tried = []
        for keep, show in product(_SHARES, _SHARES):
            gains = full[0], keep * full[1], show * full[2]
            tried.append((*best_weights(_bound(unit, gains).ratios, 2 * size), gains))
        found.append(min(tried, key=lambda design: design[0]))
        weights = found[-1][1]
    return min(found, key=lambda design: design[0])


def _statement(
    unit: _Unit, rate: float, weights: np.ndarray, gains: Gains, input_bound: float
) -> Convergence:
    if not rate < 1:
        text = f"none proved: the bound on the growth of the error is {rate:.6g} a sample, not below 1"
        return Convergence(None, guaranteed=False, text=text, amplification=None)
    noise = np.max(_bound(unit, gains).noise / weights) * SLACK
    text = (
        f"the error of (h, c) shrinks to at most {rate:.6g} times a sample for inputs within {input_bound:g} "
        "(scaled), if the plant is the model"
    )
    return Convergence(
        rate=rate,
        guaranteed=True,
        text=text,
        gain_from_noise=float(np.max(weights) * noise / (1 - rate)),
        amplification=float(np.max(weights) / np.min(weights)),
        weights=tuple(weights.tolist()),
    )
