"""The regimes, the gains and biases that theory gives for them, and which of them a task needs."""

from dataclasses import dataclass

import numpy as np

from attractor.cells import CellLike
from attractor.cells.initial import memory_bias
from attractor.errors import ConfigError, UnsupportedError

from .couplings import CANDIDATE, Coupling, Couplings, coupling_names, edge_gain, flow_of

Timescales = tuple[float | int, float | int]

# Steps over which the gated cells of this library remember when no time scales are asked for.
SHORT_LAG = 20


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


# A gate gain of 1 is well below the fold (sqrt(8) for a gate that rests half open): one resting state.
#
# The theory has a second way to long memories, an update gate of gain 20 that rests half open and pins
# states. It makes switches of the gates, through which gradients hardly pass, so here an integrator is
# held by biases.
GOALS = {
    "contracting": Goal(criticality=0.5, gate_gain=0.2),
    "edge": Goal(criticality=1.0, gate_gain=1.0),
    "integrator": Goal(criticality=1.0, gate_gain=0.2, needs_timescales=True),
}


def goal_of(regime: str, timescales: Timescales | None) -> Goal:
    """What a regime asks for.

    Raises:
        ConfigError: an unknown regime, or an integrator without time scales.
    """
    if regime not in GOALS:
        raise ConfigError(f"regime={regime!r}: expected one of {', '.join(GOALS)}")
    if GOALS[regime].needs_timescales and timescales is None:
        raise ConfigError(
            f'regime="{regime}" needs timescales=(shortest, longest), in steps; '
            "for a task with lags up to T take (2, T)"
        )
    return GOALS[regime]


def couplings_for(cell: CellLike, regime: str, timescales: Timescales | None) -> Couplings:
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


def _memory_bias(cell: CellLike, size: int, timescales: Timescales, names: tuple[str, ...]) -> np.ndarray:
    if not {"keep", "update"} & set(names):
        kind = type(flow_of(cell) or cell).__name__
        raise UnsupportedError(
            f"timescales={timescales}: no gate of {kind} keeps its state, so its units have no time scale of "
            "their own. Take a GRU, an LSTM or a gated flow with an update gate, or another regime"
        )
    shortest, longest = map(float, timescales)
    return memory_bias(size, (shortest, longest))


@dataclass(frozen=True)
class Recommendation:
    """A regime for a task.

    Args:
        regime: for `initialise` and `builder`.
        timescales: for them, too.
        matters: whether another start is expected to train worse.
        reason: why, in a sentence for users.
    """

    regime: str
    timescales: Timescales | None
    matters: bool
    reason: str


def recommended_regime(longest_lag: float | int, shortest_lag: float | int = 2) -> Recommendation:
    """The regime for a task whose output depends on inputs up to so many steps ago.

    Always the contracting one. Up to 20 steps without time scales: any start trains there. Beyond, the gates
    of units must hold for the lag: time scales from the shortest to the longest one, log-uniform because the
    lags in between are not known (Tallec and Ollivier 2018, arXiv 1804.11188). The coupling stays at half of
    its edge: at the edge (an integrator) training took up to twice the steps.

    `python -m experiments.regimes` measures what the rule is worth: much for an LSTM, little for a
    GRU, which the start of this library already serves.

    Args:
        longest_lag: in steps, at least 1.
        shortest_lag: in steps; below 2 it counts as 2, the memory of a gate that is half open.

    Raises:
        ConfigError: lags below 1, or in the wrong order.
    """
    if not 1 <= shortest_lag <= longest_lag:
        raise ConfigError(
            f"longest_lag={longest_lag}, shortest_lag={shortest_lag}: expected 1 <= shortest <= longest"
        )
    if longest_lag <= SHORT_LAG:
        reason = (
            f"a lag of {longest_lag:g} steps is within reach of any start; a contracting one forgets the rest"
        )
        return Recommendation("contracting", None, False, reason)
    times = (max(float(shortest_lag), 2.0), float(longest_lag))
    reason = (
        f"over {longest_lag:g} steps the coupling alone forgets; the gates of some units must hold that long"
    )
    return Recommendation("contracting", times, True, reason)
