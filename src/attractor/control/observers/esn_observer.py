"""An observer with a proved rate for echo state networks."""

import numpy as np
from jaxtyping import ArrayLike

from attractor.cells import EchoState, name_of
from attractor.control.model import ControlModel
from attractor.control.observer import Convergence, RunningObserver
from attractor.errors import UnsupportedError

from .injection import SLACK, Gain, Matrix, check_largest_gain, injection_observer, unproved_rate


def esn_observer(
    model: ControlModel, largest_gain: float | None = None, state: ArrayLike | None = None
) -> RunningObserver:
    r"""Add L (y - C_x x - C_u u_prev - c) to the argument of the reservoir.

    $|e^+|_2 \le ((1 - a) + a |W_x - L C_x|_2) |e|_2$ for any input. The smallest spectral norm is reached by
    $L = W_x C_x^+$: on the null space of C_x no gain has an effect, and on its complement nothing is left.
    With a bound on $|L|_2$ the pseudo-inverse is damped, $L = W_x C_x^T (C_x C_x^T + \mu I)^{-1}$ (the
    condition is that of arXiv 1902.01618 and 2111.13557; this solution was derived here).

    Args:
        model: with a cell that is exactly `EchoState`.
        largest_gain: bound on the spectral norm of L, against noise; None for none.
        state: the first estimate (x, last input); rest by default.

    Raises:
        UnsupportedError: another cell, or no linear read-out.
        ConfigError: a negative `largest_gain`.
    """
    cell, readout = model.network.cell, model.network.readout
    if type(cell) is not EchoState or readout is None:
        raise UnsupportedError(
            f"a reservoir observer for a model with the cell {name_of(cell)}: expected an EchoState "
            "with a read-out"
        )
    check_largest_gain(largest_gain)
    reservoir = np.asarray(cell.reservoir)
    seen = np.asarray(readout.weight)[:, : cell.hidden_size]
    gain = _gain(reservoir, seen, largest_gain)
    bound = np.concatenate([np.ones(cell.hidden_size), np.full(cell.input_size, np.inf)])
    left = float(np.linalg.norm(reservoir - gain @ seen, 2)) * SLACK
    statement = _statement((1 - cell.leak + cell.leak * left) * SLACK, cell.leak, gain)
    unlimited = np.full(len(seen), np.inf)
    return injection_observer(model, gain, bound, (-unlimited, unlimited), statement, state)


def _gain(reservoir: Matrix, seen: Matrix, largest: float | None) -> Gain:
    best = reservoir @ np.linalg.pinv(seen)
    if largest is None or np.linalg.norm(best, 2) <= largest:
        return best
    if largest == 0:
        return np.zeros_like(best)
    square = seen @ seen.T
    low, high = 0.0, 1.0

    def damped(mu: float) -> Gain:
        return np.linalg.solve(square + mu * np.eye(len(square)), seen @ reservoir.T).T

    while np.linalg.norm(damped(high), 2) > largest:
        low, high = high, 4 * high
    for _ in range(60):  # |L| falls with mu
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(damped(middle), 2) > largest else (low, middle)
    return damped(high)


def _statement(rate: float, leak: float, gain: Gain) -> Convergence:
    if not rate < 1:
        return unproved_rate(rate)
    units, outputs = gain.shape
    noise = leak * float(np.linalg.norm(gain, 2)) * outputs**0.5
    return Convergence(
        rate,
        True,
        f"the error of the reservoir shrinks to at most {rate:.6g} times its size per sample for any input, "
        "if the plant is the model and the last input before the start is known",
        gain_from_noise=noise * SLACK / (1 - rate),
        amplification=units**0.5,
    )
