"""Observers with a proved rate for gated recurrent units of both layouts."""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.special import expit

from attractor.cells import GRU, ResetAfterGRU, name_of
from attractor.control.model import ControlModel
from attractor.control.observer import Convergence, RunningObserver
from attractor.errors import UnsupportedError
from attractor.program import double_precision

from .injection import SLACK, InjectionMap, best_weights, row_gains, slope_bound

Vector = Float[np.ndarray, " units"]
Square = Float[np.ndarray, "units units"]
Gain = Float[np.ndarray, "units outputs"]

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
    rate, weights, gains = _design(unit, largest_gain)
    size, outputs = unit.inner.shape[0], unit.readout.shape[0]
    order = [gains[0], gains[1], np.zeros((size, outputs))]
    if not unit.resets_first:
        order = [gains[1], gains[0], order[2]]
    reach = np.abs(unit.readout).sum(axis=1)
    with double_precision():
        update_map = InjectionMap(
            model,
            jnp.asarray(np.concatenate(order)),
            jnp.ones(size),
            jnp.asarray(unit.offset - reach),
            jnp.asarray(unit.offset + reach),
        )
    return RunningObserver(update_map, _statement(unit, rate, weights, gains, float(input_bound)), state)


@dataclass(frozen=True)
class _Unit:
    """Weights of the state by gate (keep z, reset f, candidate r) and bounds over all states and inputs."""

    resets_first: bool
    keep: Square
    reset: Square
    candidate: Square
    keep_bias: Vector
    reset_bias: Vector
    keep_radius: Vector
    reset_radius: Vector
    keep_driven: Vector
    reset_driven: Vector
    inner: Vector
    reach: Vector
    slope: Vector
    readout: Float[np.ndarray, "outputs units"]
    offset: Float[np.ndarray, " outputs"]


def _own_layout(model: ControlModel) -> ControlModel:
    """The model with an Equinox cell rewritten as the cell of the same layout, which always has biases."""
    cell = model.network.cell
    if type(cell) is not eqx.nn.GRUCell:
        return model
    twin = ResetAfterGRU(cell.input_size, cell.hidden_size, key=jax.random.key(0))
    with double_precision():
        zeros = jnp.zeros(3 * cell.hidden_size)
        bias = zeros if cell.bias is None else cell.bias
        inner = zeros[: cell.hidden_size] if cell.bias_n is None else cell.bias_n
        twin = eqx.tree_at(
            lambda one: (one.input_weight, one.state_weight, one.bias, one.candidate_bias),
            twin,
            (cell.weight_ih, cell.weight_hh, bias, inner),
        )
    return eqx.tree_at(lambda one: one.network.cell, model, twin, is_leaf=lambda leaf: leaf is cell)


def _unit(model: ControlModel, input_bound: float) -> _Unit:
    cell, readout = model.network.cell, model.network.readout
    if type(cell) not in (GRU, ResetAfterGRU) or readout is None:
        raise UnsupportedError(f"a GRU observer for the cell {name_of(cell)}: expected a GRU with a read-out")
    first = type(cell) is GRU
    given, biases = np.split(np.asarray(cell.input_weight), 3), np.split(np.asarray(cell.bias), 3)
    if first:
        state = [*np.split(np.asarray(cell.gate_weight), 2), np.asarray(cell.candidate_weight)]
        inner = np.zeros(cell.hidden_size)
    else:
        given, biases, state = (
            [part[1], part[0], part[2]]
            for part in (given, biases, np.split(np.asarray(cell.state_weight), 3))
        )
        inner = np.asarray(cell.candidate_bias)
    driven = [input_bound * np.abs(part).sum(axis=1) * SLACK for part in given]
    sums = [np.abs(part).sum(axis=1) * SLACK for part in state]
    # The reset gate lies in (0, 1): before the product it scales |x| <= 1, behind it U x + c.
    swing = sums[2] if first else sums[2] + np.abs(inner)
    radius = driven[2] + swing
    return _Unit(
        first,
        state[0],
        state[1],
        state[2],
        biases[0],
        biases[1],
        driven[0] + sums[0],
        driven[1] + sums[1],
        driven[0],
        driven[1],
        inner=swing,
        reach=np.tanh(np.abs(biases[2]) + radius),
        slope=slope_bound(lambda a: 1 - np.tanh(a) ** 2, biases[2], radius),
        readout=np.asarray(readout.weight),
        offset=np.asarray(readout.bias),
    )


def _slope(
    bias: Vector, driven: Vector, plain: Vector, weight: Square, gain: Gain, readout: np.ndarray
) -> Vector:
    """Largest slope of a gate over the arguments of the model and of the observer."""
    injected = np.abs(weight - gain @ readout).sum(axis=1) + np.abs(gain) @ np.abs(readout).sum(axis=1)
    radius = np.maximum(plain, driven + injected * SLACK)
    return slope_bound(lambda a: expit(a) * expit(-a), bias, radius)


@dataclass(frozen=True)
class _Bound:
    """The error bound for given gains: |e+| <= z|e| + (1 - z) through |e| + keep |e|, plus noise."""

    low: Vector
    high: Vector
    through: Square
    keep: Square
    keep_noise: Vector
    reset_noise: Vector

    def ratios(self, weights: Vector) -> Vector:
        """Largest growth of every component in units of its weight; linear in z, so at an end."""
        through, keep = self.through @ weights / weights, self.keep @ weights / weights
        ends = [z + (1 - z) * through for z in (self.low, self.high)]
        return (np.maximum(*ends) + keep) * SLACK


def _bound(unit: _Unit, gains: tuple[Gain, Gain]) -> _Bound:
    keep_left, reset_left = (
        np.abs(weight - gain @ unit.readout)
        for weight, gain in zip((unit.keep, unit.reset), gains, strict=True)
    )
    keep_slope = _slope(unit.keep_bias, unit.keep_driven, unit.keep_radius, unit.keep, gains[0], unit.readout)
    reset_slope = _slope(
        unit.reset_bias, unit.reset_driven, unit.reset_radius, unit.reset, gains[1], unit.readout
    )
    open_gate = expit(unit.reset_bias + unit.reset_radius)
    candidate = np.abs(unit.candidate)
    noise = [np.abs(gain).sum(axis=1) for gain in gains]
    if unit.resets_first:
        through = candidate @ (np.diag(open_gate) + reset_slope[:, None] * reset_left)
        reset_noise = candidate @ (reset_slope * noise[1])
    else:
        swing = reset_slope * unit.inner
        through = open_gate[:, None] * candidate + swing[:, None] * reset_left
        reset_noise = swing * noise[1]
    change = keep_slope * (1 + unit.reach)
    return _Bound(
        low=expit(unit.keep_bias - unit.keep_radius),
        high=expit(unit.keep_bias + unit.keep_radius),
        through=unit.slope[:, None] * through,
        keep=change[:, None] * keep_left,
        keep_noise=change * noise[0],
        reset_noise=unit.slope * reset_noise,
    )


def _design(unit: _Unit, largest_gain: float | None) -> tuple[float, Vector, tuple[Gain, Gain]]:
    """Gains for the weights of the norm and weights for the gains, in turn; the best pair is kept."""
    weights, found = np.ones(len(unit.keep)), []
    for _ in range(_ROUNDS):
        choose = partial(row_gains, readout=unit.readout, weights=weights, largest=largest_gain)
        gains = choose(unit.keep), choose(unit.reset)
        rate, weights = best_weights(_bound(unit, gains).ratios, len(weights))
        found.append((rate, weights, gains))
    return min(found, key=lambda design: design[0])


def _statement(
    unit: _Unit, rate: float, weights: Vector, gains: tuple[Gain, Gain], input_bound: float
) -> Convergence:
    if not rate < 1:
        text = f"none proved: the bound on the growth of the error is {rate:.6g} a sample, not below 1"
        return Convergence(None, guaranteed=False, text=text, amplification=None)
    bound = _bound(unit, gains)
    noise = np.max((bound.keep_noise + (1 - bound.low) * bound.reset_noise) / weights) * SLACK
    text = (
        f"the error shrinks to at most {rate:.6g} times a sample for inputs within {input_bound:g} (scaled), "
        "if the plant is the model"
    )
    return Convergence(
        rate=rate,
        guaranteed=True,
        text=text,
        gain_from_noise=float(np.max(weights) * noise / (1 - rate)),
        amplification=float(np.max(weights) / np.min(weights)),
        weights=tuple(weights.tolist()),
    )
