"""The theory of a gated random network about its resting state: which modes it has, and when they grow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import expit

from attractor.cells import CellLike
from attractor.dynamics.eigenvalues import time_scale

from .couplings import CANDIDATE, Couplings, flow_of

_ROUNDING = 1e-9

# At which time scales are reported and compared.
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, eq=False)
class RestingModes:
    r"""Eigenvalues of the Jacobian at zero, of a large network: where $L(\lambda) \ge 1$.

    At zero the step (for a flow: the change) of a small state x is $D x + W U V x$ with diagonal D, W and V
    and a random U of gain a, and

    $$L(\lambda) = a^2 \Big\langle \frac{w_i^2 v_i^2}{|\lambda - d_i|^2} \Big\rangle$$

    A GRU has d = z, w = 1 - z, v = r; an LSTM d = f, w = i, v = o; a gated flow d = -s_z, w = s_z, v = s_r;
    an Elman cell d = 0, w = v = 1. Gains of gates do not matter at zero. Sources: arXiv 2007.14823,
    2002.00025.

    Args:
        centres: d, of every unit.
        leaks: how far d is from a mode that stays, 1 - d (for a flow -d), without the cancellation of a gate
            that is open but for 1e-17.
        weights: w v, of every unit.
        gain: a.
        continuous: whether eigenvalues are rates of a flow, not factors of a step.
        strangers: further eigenvalues, as many of each as there are units, which have nothing to do with U:
            those of h in an LSTM (0), of gates in a flow (-1 / tau).
    """

    centres: Float[np.ndarray, " hidden"]
    leaks: Float[np.ndarray, " hidden"]
    weights: Float[np.ndarray, " hidden"]
    gain: float
    continuous: bool
    strangers: tuple[float, ...] = ()

    @property
    def marginal(self) -> float:
        """The eigenvalue of a mode that neither grows nor decays."""
        return 0.0 if self.continuous else 1.0

    @property
    def edge_gain(self) -> float:
        r"""The gain at which zero loses stability, $L(1) = 1$ (for a flow $L(0) = 1$); 1 / r of a GRU."""
        return _edge_gain(self.leaks, self.weights)

    @property
    def unit_times(self) -> tuple[float, ...]:
        """Memories of units by their gates alone, -1/ln z steps, or 1/s_z for a flow, at the `QUANTILES`."""
        return time_quantiles(self.centres, continuous=self.continuous)

    @property
    def leading(self) -> float:
        """The largest eigenvalue, where L = 1 to the right of all centres."""
        start, beyond = float(self.centres.max()), self.leaks - self.leaks.min()
        slowest = np.abs(self.gain * self.weights[beyond == 0]).max()
        if slowest == 0:
            return start

        def excess(distance: float) -> float:
            return float(np.mean(np.square(self.gain * self.weights / (distance + beyond)))) - 1

        nearest = 0.5 * float(slowest) / len(self.centres) ** 0.5  # L >= 4 there
        farthest = (1 + 1e-9) * self.gain * float(np.abs(self.weights).max())  # L < 1 there
        distance: Any = brentq(excess, nearest, farthest)
        return start + distance

    @property
    def slowest_time(self) -> float:
        """Of the leading mode; infinite at the edge, negative where it grows."""
        leading = self.leading
        at_edge = abs(leading - self.marginal) < _ROUNDING
        return np.inf if at_edge else float(time_scale(leading, continuous=self.continuous))

    def level(self, value: complex | float) -> float:
        """L at an eigenvalue."""
        return float(np.mean(np.square(self.gain * self.weights / np.abs(value - self.centres))))

    @property
    def tolerance(self) -> float:
        r"""How far from `leading` the leading eigenvalue of a finite network may be by chance.

        $3 / (\sqrt{N} \langle 1 / |1 - d_i| \rangle)$, the mean over units that of their memories; of 150
        random networks of 24 to 192 units with memories of 2 to 400 steps the largest difference was 2.3
        instead of 3.
        """
        if self.leaks.min() == 0:
            return 0.0
        return 3.0 / len(self.centres) ** 0.5 / float(np.mean(1 / self.leaks))

    def own(self, values: np.ndarray) -> np.ndarray:
        """Eigenvalues of a measured Jacobian without the strangers."""
        for stranger in self.strangers:
            nearest = np.argsort(np.abs(values - stranger), kind="stable")[: len(self.centres)]
            values = np.delete(values, nearest)
        return values


def resting_modes(cell: CellLike, couplings: Couplings) -> RestingModes:
    """The modes of a cell with these parameters at zero, without input.

    Args:
        cell: one that the theory knows; only its kind matters.
        couplings: gains and biases of its couplings.
    """
    flow = flow_of(cell)
    rates = [] if flow is None else [gate for gate in (flow.update_gate, flow.reset_gate) if gate is not None]
    strangers = tuple(-float(np.exp(-gate.log_time)) for gate in rates)
    return RestingModes(
        *_at_zero(cell, couplings),
        gain=float(couplings[CANDIDATE].gain),
        continuous=flow is not None,
        strangers=(0.0,) if "show" in couplings else strangers,
    )


def edge_gain(cell: CellLike, couplings: Couplings) -> float:
    """The gain of the candidate at which zero loses stability; it can be asked while the cell is traced.

    Args:
        cell: one that the theory knows; only its kind matters.
        couplings: of which the biases matter.
    """
    _, leaks, weights = _at_zero(cell, couplings)
    return _edge_gain(leaks, weights)


def _edge_gain(leaks: np.ndarray, weights: np.ndarray) -> float:
    """Infinite where no unit hears another, 0 where one that does never leaks."""
    heard = weights != 0
    if np.any(leaks[heard] == 0):
        return 0.0
    total = np.sum(np.square(weights[heard] / leaks[heard]))
    return float((total / len(weights)) ** -0.5) if total > 0 else np.inf


def _at_zero(cell: CellLike, couplings: Couplings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The centres d, the leaks and the weights w v of all units."""
    ones = np.ones(len(couplings[CANDIDATE].bias))
    gates = {name: opening(coupling.bias) for name, coupling in couplings.items() if name != CANDIDATE}
    if flow_of(cell) is not None:
        update = gates.get("update", ones)
        return -update, update, update * gates.get("reset", ones)
    if "keep" not in gates:
        return 0 * ones, ones, ones
    leaks = opening(-np.asarray(couplings["keep"].bias, np.float64))  # 1 - keep would be 0 from a bias of 37
    if "show" in gates:
        return gates["keep"], leaks, gates["write"] * gates["show"]
    return gates["keep"], leaks, leaks * gates["reset"]


def time_quantiles(values: np.ndarray, *, continuous: bool) -> tuple[float, ...]:
    """Time scales of eigenvalues at the `QUANTILES`; growing modes count as infinitely long.

    Args:
        values: eigenvalues, or memories of units.
        continuous: whether they are rates.
    """
    times = time_scale(values, continuous=continuous)
    return tuple(map(float, np.quantile(np.where(times < 0, np.inf, times), QUANTILES, method="lower")))


def opening(bias: ArrayLike) -> Float[np.ndarray, " hidden"]:
    """1 / (1 + exp(-b)) of every unit."""
    return expit(np.asarray(bias, np.float64))
