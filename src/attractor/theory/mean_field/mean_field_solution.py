"""What mean-field theory says of a gated random network, in one call."""

from dataclasses import dataclass
from time import perf_counter

from attractor.progress import Reporter

from .correlators import CorrelatorSolution, MeanFieldStatus, solve_correlators
from .critical import Phase, fold_gain
from .gated_parameters import GatedParameters
from .mean_field_exponent import ExponentSolution, has_exponent, mean_field_exponent, sample_exponent
from .mean_field_fixed_points import LeadingEdge, MeanFieldFixedPoint, leading_edge, mean_field_fixed_points
from .sampling import SamplingSettings, sample_correlators

_USUAL = SamplingSettings()
# Standard errors from zero of an exponent whose sign is told.
_SURE = 3.0


@dataclass(frozen=True, eq=False)
class MeanFieldSolution:
    """Statistics and stability of a network of infinitely many units.

    Args:
        correlators: the stationary state that a large start reaches.
        exponent: its largest Lyapunov exponent; None for equations that are not solved, and at a fixed point
            of a network whose update gate changes (see `edge`).
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


def solve_mean_field(
    parameters: GatedParameters, sampling: SamplingSettings = _USUAL, reporter: Reporter | None = None
) -> MeanFieldSolution:
    """Correlators, exponent, fixed points and phase of a gated random network.

    With a constant update gate the equations are solved, in about a second; with one that changes they are
    sampled, in about a minute. Under data, give their covariance: the sign of the exponent then says
    whether the data drive the network into chaos.

    Args:
        parameters: of the network.
        sampling: for an update gate that changes.
        reporter: hears of the sweeps of sampling.

    Example:
        >>> found = solve_mean_field(GatedParameters(gain=2.0, open_update=True, open_reset=True))
        >>> round(found.correlators.variance, 4), round(found.exponent.value, 4)
        (0.4812, 0.1125)
    """
    begun = perf_counter()
    if parameters.constant_update:
        correlators = solve_correlators(parameters)
    else:
        correlators = sample_correlators(parameters, sampling, reporter)
    exponent = _exponent(correlators, sampling, reporter)
    points = mean_field_fixed_points(parameters)
    edge = leading_edge(parameters, points[-1]) if points else None
    phase = _phase(correlators, exponent)
    return MeanFieldSolution(correlators, exponent, points, edge, phase, perf_counter() - begun)


def _exponent(
    correlators: CorrelatorSolution, sampling: SamplingSettings, reporter: Reporter | None
) -> ExponentSolution | None:
    if has_exponent(correlators):
        return mean_field_exponent(correlators)
    if correlators.status in {MeanFieldStatus.CHAOTIC, MeanFieldStatus.DRIVEN}:
        return sample_exponent(correlators, sampling, reporter)
    return None


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
        if abs(exponent.value) < _SURE * exponent.standard_error:
            return Phase.UNKNOWN
        return Phase.DRIVEN_CHAOTIC if exponent.value > 0 else Phase.DRIVEN_STABLE
    known = {MeanFieldStatus.FIXED_POINT: Phase.DRIVEN_STABLE, MeanFieldStatus.CHAOTIC: Phase.DRIVEN_CHAOTIC}
    return known.get(status, Phase.UNKNOWN)
