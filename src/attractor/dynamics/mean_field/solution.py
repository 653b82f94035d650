"""What mean-field theory says of a gated random network, in one call."""

from dataclasses import dataclass
from time import perf_counter

from .correlators import CorrelatorSolution, MeanFieldStatus, solve_correlators
from .critical import Phase, fold_gain
from .exponent import ExponentSolution, has_exponent, mean_field_exponent
from .fixed_points import MeanFieldFixedPoint, mean_field_fixed_points
from .marginal import LeadingEdge, leading_edge
from .parameters import GatedParameters
from .sampling import SamplingSettings, sample_correlators

_USUAL = SamplingSettings()


@dataclass(frozen=True, eq=False)
class MeanFieldSolution:
    """Statistics and stability of a network of infinitely many units.

    Args:
        correlators: the stationary state that a large start reaches.
        exponent: its largest Lyapunov exponent; None where theory gives none, for an update gate that
            changes and for equations that are not solved.
        fixed_points: all branches, whether stable or not.
        edge: the fastest growth at the largest fixed point; None under an input that changes.
        phase: what attractors there are.
        seconds: wall time.
    """

    correlators: CorrelatorSolution
    exponent: ExponentSolution | None
    fixed_points: tuple[MeanFieldFixedPoint, ...]
    edge: LeadingEdge | None
    phase: Phase
    seconds: float

    @property
    def status(self) -> MeanFieldStatus:
        """What kind of solution it is."""
        return self.correlators.status


def solve_mean_field(parameters: GatedParameters, sampling: SamplingSettings = _USUAL) -> MeanFieldSolution:
    """Correlators, exponent, fixed points and phase of a gated random network.

    With a constant update gate the equations are solved, in about a second; with one that changes they are
    sampled, in about half a minute. Under data, give their covariance: the sign of the exponent then says
    whether the data drive the network into chaos.

    Args:
        parameters: of the network.
        sampling: for an update gate that changes.

    Example:
        >>> found = solve_mean_field(GatedParameters(gain=2.0, open_update=True, open_reset=True))
        >>> round(found.correlators.variance, 4), round(found.exponent.value, 4)
        (0.4812, 0.1125)
    """
    begun = perf_counter()
    if parameters.constant_update:
        correlators = solve_correlators(parameters)
    else:
        correlators = sample_correlators(parameters, sampling)
    exponent = mean_field_exponent(correlators) if has_exponent(correlators) else None
    points = mean_field_fixed_points(parameters)
    edge = leading_edge(parameters, points[-1]) if points else None
    phase = _phase(correlators, exponent)
    return MeanFieldSolution(correlators, exponent, points, edge, phase, perf_counter() - begun)


def _phase(correlators: CorrelatorSolution, exponent: ExponentSolution | None) -> Phase:
    parameters, status = correlators.parameters, correlators.status
    if not parameters.autonomous:
        return _driven_phase(status, exponent)
    gain = float(parameters.gain)
    if gain * parameters.resting_reset > 1:
        return Phase.CHAOTIC
    if not status.solved:
        return Phase.UNKNOWN
    if status is not MeanFieldStatus.ZERO:
        return Phase.COEXISTENCE
    return Phase.TRANSIENT if gain > fold_gain(parameters) else Phase.STABLE


def _driven_phase(status: MeanFieldStatus, exponent: ExponentSolution | None) -> Phase:
    if exponent is not None:
        return Phase.DRIVEN_CHAOTIC if exponent.value > 0 else Phase.DRIVEN_STABLE
    known = {
        MeanFieldStatus.FIXED_POINT: Phase.DRIVEN_STABLE,
        MeanFieldStatus.CHAOTIC: Phase.DRIVEN_CHAOTIC,
    }
    return known.get(status, Phase.UNKNOWN)
