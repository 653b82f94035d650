r"""The published spectral boundaries of gated random networks, in closed form.

Each function gives the level L of one architecture, from averages <.> over units, for matrices with
independent entries of variance gain^2 / units: the eigenvalues fill L >= 1.
`attractor.theory.spectral_curve` finds the same from the program of a cell; these need no network, only
samples of its units (from a mean-field theory, or from a formula).

Krishnamurthy, Can, Schwab 2022 (arXiv 2007.14823) for the gated flow; Can, Krishnamurthy, Schwab 2020
(arXiv 2002.00025) for GRU and LSTM. The formulas here were derived anew from the update equations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from attractor.cells.gated_flow import GatedForm, GatedState

Samples = Float[Array | np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class GRUUnits:
    """Units of a GRU at one state.

    Args:
        state: h.
        keep: z, the gate.
        reset: r, the gate.
        product: U_h (r * h) for `gru_level` and U_h h + c for `reset_after_gru_level`: what its matrix
            brings.
        candidate: the tanh.
    """

    state: Samples
    keep: Samples
    reset: Samples
    product: Samples
    candidate: Samples


@dataclass(frozen=True)
class GRUGains:
    """Standard deviations of the entries of the matrices, times sqrt(units).

    Args:
        candidate: a_h.
        keep: a_z.
        reset: a_r.
    """

    candidate: float | int
    keep: float | int
    reset: float | int


@dataclass(frozen=True, eq=False)
class LSTMUnits:
    """Units of an LSTM in one step.

    Args:
        memory: c before the step.
        after: c' after it.
        write: i, the gate.
        keep: f, the gate.
        candidate: g, the tanh.
        show: o, the gate.
    """

    memory: Samples
    after: Samples
    write: Samples
    keep: Samples
    candidate: Samples
    show: Samples


@dataclass(frozen=True)
class LSTMGains:
    """Standard deviations of the entries of the matrices, times sqrt(units): a_i, a_f, a_g, a_o."""

    write: float | int
    keep: float | int
    candidate: float | int
    show: float | int


def gru_level(values: Any, units: GRUUnits, gains: GRUGains) -> np.ndarray:
    r"""L of a GRU whose reset gate acts before the matrix product (`attractor.cells.GRU`).

    L is the largest eigenvalue of

    $$\begin{pmatrix} \langle r^2 \alpha \rangle & \langle r^2 \beta \rangle + c \\
    \langle \alpha \rangle & \langle \beta \rangle \end{pmatrix}, \quad
    \alpha = \frac{a_h^2 ((1-z) p')^2}{|\lambda - z|^2}, \;
    \beta = \frac{a_z^2 ((h-p) z')^2}{|\lambda - z|^2}, \; c = a_r^2 \langle h^2 r'^2 \rangle$$

    with p = tanh(y) and derivatives $p' = 1 - p^2$, $z' = z(1-z)$, $r' = r(1-r)$.

    Args:
        values: lambda, complex numbers of any shape.
        units: samples.
        gains: of the three matrices.
    """
    distance = _distances(values, units.keep)
    h, z, r, p = (np.asarray(part) for part in (units.state, units.keep, units.reset, units.candidate))
    alpha = gains.candidate**2 * np.square((1 - z) * (1 - p**2)) / distance
    beta = gains.keep**2 * np.square((h - p) * z * (1 - z)) / distance
    through_reset = gains.reset**2 * np.mean(np.square(h * r * (1 - r)))
    one, other = (r**2 * alpha).mean(-1), (r**2 * beta).mean(-1) + through_reset
    return _larger_eigenvalue(one, other, alpha.mean(-1), beta.mean(-1))


def reset_after_gru_level(values: Any, units: GRUUnits, gains: GRUGains) -> np.ndarray:
    r"""L of a GRU whose reset gate acts after the matrix product (torch, `attractor.cells.ResetAfterGRU`).

    $$L = \Big\langle
    \frac{((1-z) p')^2 (a_h^2 r^2 + a_r^2 m^2 r'^2) + a_z^2 (h-p)^2 z'^2}{|\lambda-z|^2} \Big\rangle$$

    with m = U_h h + c.

    Args:
        values: lambda, complex numbers of any shape.
        units: samples.
        gains: of the three matrices.
    """
    h, z, r, p = (np.asarray(part) for part in (units.state, units.keep, units.reset, units.candidate))
    m = np.asarray(units.product)
    through_candidate = np.square(gains.candidate * r) + np.square(gains.reset * m * r * (1 - r))
    total = np.square((1 - z) * (1 - p**2)) * through_candidate + np.square(
        gains.keep * (h - p) * z * (1 - z)
    )
    return np.asarray((total / _distances(values, z)).mean(-1))


def lstm_level(values: Any, units: LSTMUnits, gains: LSTMGains) -> np.ndarray:
    r"""L of an LSTM with state (h, c).

    $$L = \Big\langle \frac{(o t')^2 Q}{|\lambda - f|^2} \Big\rangle
    + \frac{a_o^2 \langle (t o')^2 \rangle}{|\lambda|^2},
    \qquad Q = (c f' a_f)^2 + (g i' a_i)^2 + (i g' a_g)^2$$

    with t = tanh(c') and derivatives $t' = 1 - t^2$, $f' = f(1-f)$ and so on, $g' = 1 - g^2$.

    Args:
        values: lambda, complex numbers of any shape.
        units: samples.
        gains: of the four matrices.
    """
    c, i, f = (np.asarray(part) for part in (units.memory, units.write, units.keep))
    g, o, t = np.asarray(units.candidate), np.asarray(units.show), np.tanh(np.asarray(units.after))
    brought = (
        np.square(c * f * (1 - f) * gains.keep)
        + np.square(g * i * (1 - i) * gains.write)
        + np.square(i * (1 - g**2) * gains.candidate)
    )
    shown = gains.show**2 * np.mean(np.square(t * o * (1 - o)))
    through_memory = (np.square(o * (1 - t**2)) * brought / _distances(values, f)).mean(-1)
    return np.asarray(through_memory + shown / np.square(np.abs(np.asarray(values, complex))))


def gated_flow_level(values: Any, form: GatedForm, state: GatedState, pull: Samples) -> np.ndarray:
    r"""L of the gated flow at any state, its matrices of variance 1 / units.

    L is the largest eigenvalue of

    $$\begin{pmatrix} \langle \phi'^2 s_r^2 \alpha \rangle & \langle \phi'^2 s_r^2 \beta \rangle + c \\
    \langle \phi'^2 \alpha \rangle & \langle \phi'^2 \beta \rangle \end{pmatrix}, \quad
    \alpha = \frac{s_z^2}{|\lambda + s_z|^2}, \;
    \beta = \frac{(s_z' d)^2}{|\lambda + s_z|^2 |1 + \tau_z \lambda|^2}, \;
    c = \frac{\langle \phi^2 s_r'^2 \rangle}{|1 + \tau_r \lambda|^2}$$

    Args:
        values: lambda, complex numbers of any shape.
        form: the parameters.
        state: samples of h, z and r of the same units; None for an open gate.
        pull: d = -h + J (phi s_r) + I of these units (without I where the input is additive), which s_z
            scales.
    """
    gates = _gates(form, state, np.asarray(pull))
    distance = _distances(values, -gates.update)
    alpha = gates.update**2 / distance
    beta = gates.update_push**2 / distance / _slow(values, form.update_time)[..., None]
    slope, reset = gates.slope**2, gates.reset**2
    through_reset = np.mean(gates.rate**2 * gates.reset_slope**2) / _slow(values, form.reset_time)
    one, other = (slope * reset * alpha).mean(-1), (slope * reset * beta).mean(-1) + through_reset
    return _larger_eigenvalue(one, other, (slope * alpha).mean(-1), (slope * beta).mean(-1))


def gated_flow_mean_field_level(values: Any, form: GatedForm, state: GatedState, pull: Samples) -> np.ndarray:
    r"""L of the gated flow where r is independent of h and z, as in its mean-field theory.

    $$L = \Big\langle \frac{\phi'^2 s_z^2}{|\lambda + s_z|^2} \Big\rangle
    \Big( \langle s_r^2 \rangle
    + \frac{\langle \phi^2 \rangle \langle s_r'^2 \rangle}{|1 + \tau_r \lambda|^2} \Big)
    + \Big\langle \frac{\phi'^2 (s_z' d)^2}{|\lambda + s_z|^2} \Big\rangle \frac{1}{|1 + \tau_z \lambda|^2}$$

    A region L >= 1 has the boundary of `gated_flow_level` where r is independent; L itself differs
    elsewhere. At a fixed point, L(0) < 1 says that it is stable.

    Args:
        values: lambda, complex numbers of any shape.
        form: the parameters.
        state: samples of h and z of the same units, and of r of any; None for an open gate.
        pull: d = -h + J (phi s_r) + I of the units of h, which s_z scales.
    """
    gates = _gates(form, state, np.asarray(pull))
    shown = gates.slope**2 / _distances(values, -gates.update)
    through_rate = np.mean(gates.reset**2)
    through_reset = np.mean(gates.rate**2) * np.mean(gates.reset_slope**2) / _slow(values, form.reset_time)
    through_update = (shown * gates.update_push**2).mean(-1) / _slow(values, form.update_time)
    return np.asarray((shown * gates.update**2).mean(-1) * (through_rate + through_reset) + through_update)


@dataclass(frozen=True, eq=False)
class _Gates:
    """phi, phi', s_z, s_z' d, s_r and s_r' of all units."""

    rate: np.ndarray
    slope: np.ndarray
    update: np.ndarray
    update_push: np.ndarray
    reset: np.ndarray
    reset_slope: np.ndarray


def _gates(form: GatedForm, state: GatedState, pull: np.ndarray) -> _Gates:
    rate = np.tanh(form.gain * np.asarray(state.activity) + form.bias)
    update, update_slope = _gate(state.update, form.update_gain, form.update_bias, rate)
    reset, reset_slope = _gate(state.reset, form.reset_gain, form.reset_bias, rate)
    return _Gates(rate, form.gain * (1 - rate**2), update, update_slope * pull, reset, reset_slope)


def _gate(state: Any, gain: float, bias: float, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A gate and its derivative in its state."""
    if state is None:
        return np.ones_like(like), np.zeros_like(like)
    opening = 1 / (1 + np.exp(-(gain * np.asarray(state) + bias)))
    return opening, gain * opening * (1 - opening)


def _distances(values: Any, centres: Samples) -> np.ndarray:
    """|lambda - centre|^2, with units on the last axis."""
    return np.square(np.abs(np.asarray(values, complex)[..., None] - np.asarray(centres)))


def _slow(values: Any, time: float) -> np.ndarray:
    """|1 + tau lambda|^2."""
    return np.asarray(np.square(np.abs(1 + time * np.asarray(values, complex))))


def _larger_eigenvalue(one: Any, right: Any, left: Any, other: Any) -> np.ndarray:
    """Of [[one, right], [left, other]] with entries of at least 0."""
    half, difference = (one + other) / 2, (one - other) / 2
    return np.asarray(half + np.sqrt(np.square(difference) + right * left))
