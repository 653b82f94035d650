"""An observer with a proved rate for echo state networks."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from attractor.cells import EchoState, name_of
from attractor.control.model import ControlModel
from attractor.control.observer import Convergence, RunningObserver
from attractor.errors import ConfigError, UnsupportedError
from attractor.program import double_precision

from .injection import SLACK, InjectionMap

Gain = Float[np.ndarray, "units outputs"]


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
    if largest_gain is not None and not largest_gain >= 0:
        raise ConfigError(f"largest_gain={largest_gain}: expected a number of at least 0")
    reservoir = np.asarray(cell.reservoir)
    seen = np.asarray(readout.weight)[:, : cell.hidden_size]
    gain = _gain(reservoir, seen, largest_gain)
    outputs = len(seen)
    with double_precision():
        bound = jnp.concatenate([jnp.ones(cell.hidden_size), jnp.full(cell.input_size, jnp.inf)])
        unlimited = jnp.full(outputs, jnp.inf)
        update_map = InjectionMap(model, jnp.asarray(gain), bound, -unlimited, unlimited)
    return RunningObserver(update_map, _statement(_Error(reservoir, seen, gain, cell.leak)), state)


@dataclass(frozen=True)
class _Error:
    """What decides how the error evolves: W_x, C_x, L and the leak a."""

    reservoir: Float[np.ndarray, "units units"]
    seen: Float[np.ndarray, "outputs units"]
    gain: Gain
    leak: float


def _gain(
    reservoir: Float[np.ndarray, "units units"],
    seen: Float[np.ndarray, "outputs units"],
    largest: float | None,
) -> Gain:
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


def _statement(error: _Error) -> Convergence:
    left = float(np.linalg.norm(error.reservoir - error.gain @ error.seen, 2)) * SLACK
    rate = (1 - error.leak + error.leak * left) * SLACK
    if not rate < 1:
        text = f"none proved: the bound on the growth of the error is {rate:.6g} a sample, not below 1"
        return Convergence(None, guaranteed=False, text=text, amplification=None)
    text = (
        f"the error of the reservoir shrinks to at most {rate:.6g} times a sample for any input, if the "
        "plant is the model and the last input before the start is known"
    )
    noise = error.leak * float(np.linalg.norm(error.gain, 2)) * len(error.seen) ** 0.5
    return Convergence(
        rate=rate,
        guaranteed=True,
        text=text,
        gain_from_noise=noise * SLACK / (1 - rate),
        amplification=len(error.reservoir) ** 0.5,
    )
