"""The regimes, and the gains and biases that the theory gives for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from attractor.cells.initial import memory_bias
from attractor.errors import ConfigError, UnsupportedError

from .couplings import CANDIDATE, Coupling, Couplings, coupling_names, flow_of
from .resting import edge_gain

Timescales = tuple[float | int, float | int]

SHORT_LAG = 20
"""Steps over which the gated cells of this library remember when no time scales are asked for."""


@dataclass(frozen=True)
class Goal:
    """What a regime asks for.

    Args:
        criticality: gain of the candidate over the gain at which zero loses stability.
        gate_gain: gain of all gates.
        needs_timescales: whether the regime is made of the memories of single units.
    """

    criticality: float
    gate_gain: float
    needs_timescales: bool = False


GOALS = {
    "contracting": Goal(criticality=0.5, gate_gain=0.2),
    "edge": Goal(criticality=1.0, gate_gain=1.0),
    "integrator": Goal(criticality=1.0, gate_gain=0.2, needs_timescales=True),
}
"""A gate gain of 1 is well below the fold (sqrt(8) for a gate that rests half open): one resting state.

The theory has a second way to long memories, an update gate of gain 20 that rests half open and pins states.
It makes switches of the gates, through which gradients hardly pass, so here an integrator is held by biases.
"""


def goal_of(regime: str, timescales: Timescales | None) -> Goal:
    """What a regime asks for.

    Raises:
        ConfigError: an unknown regime, or an integrator without time scales.
    """
    if regime not in GOALS:
        message = f"regime={regime!r}: expected one of {', '.join(GOALS)}"
        raise ConfigError(message)
    if GOALS[regime].needs_timescales and timescales is None:
        message = (
            f'regime="{regime}" needs timescales=(shortest, longest), in steps; '
            "for a task with lags up to T take (2, T)"
        )
        raise ConfigError(message)
    return GOALS[regime]


def couplings_for(cell: Any, regime: str, timescales: Timescales | None) -> Couplings:
    r"""Gains and biases that bring a cell into a regime.

    Biases first: the keep (forget) gate of unit i rests at $1 - 1/\tau_i$ with $\tau$ spread geometrically
    over the time scales, or half open without them; the update gate of a flow, which is a rate, at
    $1/\tau_i$; the input gate of an LSTM at 1 - f, so that its memory stays bounded; all other gates half
    open. Then the gain of the candidate, from $L(1) = \text{criticality}^2$; for a GRU that is $a_h
    \sigma(b_r) = \text{criticality}$.

    Args:
        cell: one that the theory knows; its weights do not matter.
        regime: "contracting", "edge" or "integrator".
        timescales: shortest and longest memory of the units.

    Raises:
        ConfigError: an unknown regime, or time scales that are missing, in the wrong order or too short.
        UnsupportedError: time scales for a cell without a gate that keeps its state.
    """
    goal, names = goal_of(regime, timescales), coupling_names(cell)
    size = cell.hidden_size
    memory = np.zeros(size) if timescales is None else _memory_bias(cell, size, timescales, names)
    biases = {"keep": memory, "update": -memory}
    if "show" in names:
        biases["write"] = -memory
    half_open = np.zeros(size)
    gates = {
        name: Coupling(goal.gate_gain, biases.get(name, half_open)) for name in names if name != CANDIDATE
    }
    unit = {CANDIDATE: Coupling(1.0, half_open), **gates}
    gain = goal.criticality * edge_gain(cell, unit)
    return {CANDIDATE: Coupling(gain, half_open), **gates}


def _memory_bias(cell: Any, size: int, timescales: Timescales, names: tuple[str, ...]) -> np.ndarray:
    if not {"keep", "update"} & set(names):
        kind = type(flow_of(cell) or cell).__name__
        message = (
            f"timescales={timescales}: no gate of {kind} keeps its state, so its units have no time scale of "
            "their own. Take a GRU, an LSTM or a gated flow with an update gate, or another regime"
        )
        raise UnsupportedError(message)
    shortest, longest = map(float, timescales)
    return memory_bias(size, (shortest, longest))
