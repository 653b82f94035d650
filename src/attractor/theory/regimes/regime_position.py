"""Where a cell, trained or not, sits among the regimes, and how far the lines between them are."""

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from jaxtyping import Float

from attractor.cells import CellLike
from attractor.dynamics.roots import bracketed_root
from attractor.errors import UnsupportedError
from attractor.shown import Shown
from attractor.theory.mean_field import GatedParameters, critical_gains, fold_threshold

from .couplings import Coupling, EffectiveParameters, RestingModes, effective_parameters, resting_modes
from .initialising import SHORT_LAG

# Largest change of a bias that is tried; a gate moved by it is open or shut for good.
_FARTHEST = 50.0

# A gain of zero, and a line at infinity, as numbers that a root finder can compare.
_LEAST_GAIN, _LARGEST_EXCESS = 1e-300, 1e3

# What each regime means for a network left without input.
REGIMES = {
    "contracting": "zero is stable, and small changes of the state are soon forgotten",
    "edge": "changes of the state live long beside a stable zero",
    "integrator": "the gates of some units hold for long, and zero is stable",
    "beyond the edge": "zero is unstable; fixed points, cycles or chaos follow, and the theory of the "
    "resting state does not say which",
}

LINES = ("zero loses stability", "fold of the reset gain")
_LINES = ("zero", "fold", "chaos")

# Gains of the reset gate at which lines are solved for; each takes some tenths of a second.
_NODES = 9


@dataclass(frozen=True, eq=False)
class Position(Shown, next_call=".regime, .criticality"):
    r"""Where a cell sits, by the theory of its resting state (arXiv 2007.14823, 2002.00025).

    Distances are positive on the calm side of a line and negative beyond it. The theory takes zero as the
    resting state and the matrices as random; what training put into them beyond their size is not seen
    (`attractor.theory.random_matrices.spectral_curve` shows that).

    Args:
        parameters: gains and biases.
        modes: the modes at zero.
        gain_distance: by how much the gain of the candidate may grow until zero loses stability,
            $1/\sigma(b_r) - a_h$ for a GRU.
        bias_distance: by how much all biases of the reset (of an LSTM: the output) gate may grow until then;
            infinite where they can do so without end, None where there is no such gate.
        reset_distance: by how much the gain of the reset gate may grow until fixed points appear beside a
            stable zero; infinite where the gate rests so open that they never do, None without a reset gate.
    """

    parameters: EffectiveParameters
    modes: RestingModes
    gain_distance: float
    bias_distance: float | None
    reset_distance: float | None

    @property
    def criticality(self) -> float:
        """Gain of the candidate over the gain at which zero loses stability."""
        edge = self.modes.edge_gain
        return self.modes.gain / edge if edge > 0 else inf

    @property
    def chance(self) -> float:
        """What a network of this size may differ by from 1 in criticality and still be at the edge."""
        return 3 / len(self.modes.centres) ** 0.5 / 2

    @property
    def unit_times(self) -> tuple[float, ...]:
        """Memory of the units by their gates alone: the shortest tenth, the middle, the longest tenth."""
        return self.modes.unit_times

    @property
    def regime(self) -> str:
        """As for `initialise`, or "beyond the edge" where zero has lost stability without input.

        In an integrator a tenth of the units remembers for more than 20 steps, and zero is stable. Beyond the
        edge a network goes to other fixed points, to cycles or to chaos; which of them the theory of the
        resting state does not say, and inputs may calm it again: `lyapunov_exponents` measures that.
        """
        if self.criticality > 1 + self.chance:
            return "beyond the edge"
        if self.unit_times[-1] > SHORT_LAG:
            return "integrator"
        return "edge" if self.criticality > 1 - self.chance else "contracting"

    @property
    def nearest_line(self) -> str:
        """The line that is reached by the smaller change, relative to the gain that changes."""
        gain, reset = self.modes.gain, self.parameters.reset_gain
        to_edge = abs(self.gain_distance) / max(gain, 1e-12)
        distance = inf if reset is None or self.reset_distance is None else self.reset_distance
        to_fold = abs(distance) / max(reset or 0.0, 1e-12)
        return LINES[int(to_fold < to_edge)]

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for a log, one entry per step of a training."""
        shortest, middle, longest = self.unit_times
        return {
            **self.parameters.to_dict(),
            "criticality": self.criticality,
            "gain_distance": self.gain_distance,
            "unit_time_short": shortest,
            "unit_time_middle": middle,
            "unit_time_long": longest,
            "slowest_time": self.modes.slowest_time,
        }

    def __str__(self) -> str:
        """The regime, and how far its edges are; all of it theory."""
        times = ", ".join(f"{one:.3g}" for one in self.unit_times)
        return "\n".join([
            f"by theory: {self.regime}, criticality {self.criticality:.4g} (edge: 1 ± {self.chance:.2g})",
            f"zero loses stability at a gain {self.gain_distance:+.4g} away; nearest: {self.nearest_line}",
            f"memory of the units by their gates: {times} steps (shortest tenth, middle, longest tenth)",
        ])


def regime_of(cell: CellLike) -> Position:
    """Where a cell sits among the regimes; takes no run of it, so that it can be asked at every validation.

    A training is followed by `[regime_of(model.cell).to_dict() for model in models]`.

    Args:
        cell: a GRU (both layouts), LSTM, gated flow or its map, or Elman cell.

    Raises:
        UnsupportedError: a cell of another kind.

    Example:
        >>> import jax
        >>> from attractor.cells import GRU
        >>> regime_of(GRU(1, 64, key=jax.random.key(0))).regime
        'contracting'
    """
    parameters = effective_parameters(cell)
    modes = resting_modes(cell, parameters.couplings)
    return Position(
        parameters=parameters,
        modes=modes,
        gain_distance=modes.edge_gain - modes.gain,
        bias_distance=_bias_distance(cell, parameters),
        reset_distance=_reset_distance(parameters),
    )


def _bias_distance(cell: CellLike, parameters: EffectiveParameters) -> float | None:
    couplings = parameters.couplings
    name = next((name for name in ("reset", "show") if name in couplings), None)
    if name is None:
        return None

    def excess(shift: float) -> float:
        moved = Coupling(couplings[name].gain, couplings[name].bias + shift)
        modes = resting_modes(cell, {**couplings, name: moved})
        logarithms = [float(np.log(max(one, _LEAST_GAIN))) for one in (modes.gain, modes.edge_gain)]
        return min(max(logarithms[0] - logarithms[1], -_LARGEST_EXCESS), _LARGEST_EXCESS)

    if excess(_FARTHEST) <= 0:
        return inf
    return -inf if excess(-_FARTHEST) >= 0 else bracketed_root(excess, (-_FARTHEST, _FARTHEST), 2e-12)


def _reset_distance(parameters: EffectiveParameters) -> float | None:
    gain = parameters.reset_gain
    if gain is None:
        return None
    threshold = fold_threshold(float(np.mean(parameters.couplings["reset"].bias)))
    return inf if threshold is None else threshold - gain


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
class NetworkPosition:
    """A network among the phases.

    Args:
        position: what theory says about its resting state.
        lines: beside it; None for a cell without a reset gate, which has the one line at the edge gain.
    """

    position: Position
    lines: CriticalLines | None


def network_position(cell: CellLike) -> NetworkPosition | None:
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
        return NetworkPosition(position, None)
    bias = float(np.mean(np.asarray(reset.bias)))
    return NetworkPosition(position, critical_lines(bias, max(20.0, 1.3 * float(reset.gain))))


def critical_lines(reset_bias: float, highest: float, nodes: int = _NODES) -> CriticalLines:
    """Critical gains from a reset gate of gain zero to one of the highest gain, the update gate open."""
    form = GatedParameters(reset_bias=reset_bias, open_update=True)
    gains = np.linspace(0.0, highest, nodes)
    found = [critical_gains(replace(form, reset_gain=float(gain))) for gain in gains]
    zero, fold, chaos = (np.array([getattr(one, name) for one in found], float) for name in _LINES)
    return CriticalLines(gains, zero, *(np.where(line < zero, line, np.nan) for line in (fold, chaos)))
