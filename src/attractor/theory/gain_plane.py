"""Where a network sits in the plane of its two gains, between the critical lines of mean-field theory."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import UnsupportedError

from .mean_field import GatedParameters, critical_gains
from .regimes import Position, regime_of

_LINES = ("zero", "fold", "chaos")

_NODES = 9
"""Gains of the reset gate at which lines are solved for; each takes some tenths of a second."""


@dataclass(frozen=True, eq=False)
class CriticalLines:
    """Critical gains over the gain of the reset gate, at the mean bias of the network's own gate.

    Args:
        reset_gains: where they are solved for.
        zero: above it zero is unstable.
        fold: above it other fixed points exist; NaN where they grow from zero.
        chaos: above it chaos exists; NaN where it grows from zero.
    """

    reset_gains: Float[np.ndarray, " nodes"]
    zero: Float[np.ndarray, " nodes"]
    fold: Float[np.ndarray, " nodes"]
    chaos: Float[np.ndarray, " nodes"]


@dataclass(frozen=True, eq=False)
class PlacedNetwork:
    """A network among the phases.

    Args:
        position: what theory says about its resting state.
        lines: beside it; None for a cell without a reset gate, which has the one line at the edge gain.
    """

    position: Position
    lines: CriticalLines | None


def placed(cell: Any) -> PlacedNetwork | None:
    """Where a cell sits; None for a cell that the theory does not know.

    The lines are those of the gated flow, whose mean-field fixed points a GRU shares: gain for gain, with its
    reset gate as the output gate. The line of chaos of a GRU lies elsewhere in detail, for its steps are no
    flow.

    Args:
        cell: any cell.
    """
    try:
        position = regime_of(cell)
    except UnsupportedError:
        return None
    reset = position.parameters.couplings.get("reset")
    if reset is None:
        return PlacedNetwork(position, None)
    bias = float(np.mean(np.asarray(reset.bias)))
    return PlacedNetwork(position, critical_lines(bias, max(20.0, 1.3 * float(reset.gain))))


def critical_lines(reset_bias: float, highest: float, nodes: int = _NODES) -> CriticalLines:
    """Critical gains from a reset gate of gain zero to one of the highest gain, the update gate open."""
    form = GatedParameters(reset_bias=reset_bias, open_update=True)
    gains = np.linspace(0.0, highest, nodes)
    found = [critical_gains(replace(form, reset_gain=float(gain))) for gain in gains]
    zero, fold, chaos = (np.array([getattr(one, name) for one in found], float) for name in _LINES)
    return CriticalLines(gains, zero, *(np.where(line < zero, line, np.nan) for line in (fold, chaos)))
