"""The largest Lyapunov exponent of a gated random network, from its correlation functions."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigs

from attractor.errors import UnsupportedError

from .correlators import CorrelatorSolution, MeanFieldStatus
from .gated_parameters import GatedParameters
from .roots import bracketed_root
from .self_consistency import SelfConsistency
from .window import LagWindow

_LOWEST = 0.999
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ExponentSolution:
    """The largest Lyapunov exponent.

    Args:
        value: kappa, per unit of time; positive in chaos.
        residual: distance of the largest eigenvalue from one.
        evaluations: eigenvalue problems solved, or sweeps.
        seconds: wall time.
        standard_error: from sampling, zero for a solution of the equations.
    """

    value: float
    residual: float
    evaluations: int
    seconds: float
    standard_error: float = 0.0


def mean_field_exponent(solution: CorrelatorSolution) -> ExponentSolution:
    r"""The largest Lyapunov exponent kappa of a network with a constant update gate, under the same input.

    The covariance of a small difference of two runs grows as $e^{2 \kappa t}$ where the largest eigenvalue,
    over functions of the lag, is one for

    $$G_h(\kappa) \left[ C_{\phi'} C_{s_r} + C_\phi C_{s_r'} G_r(\kappa) C_{\phi'} \right]$$

    with $G_a(\kappa) = 1 / ((1 + \kappa \tau_a)^2 + \tau_a^2 \omega^2)$ acting on frequencies, $\tau_h = 1 /
    s_z$, and the other factors on lags. Gates that the network has but that decide nothing decay with rates
    $1 / \tau_a$, and the exponent is not below those.

    Args:
        solution: of `solve_correlators`, or one that is zero.

    Raises:
        UnsupportedError: a sampled solution that is not zero, or one that is not solved.
    """
    if not has_exponent(solution):
        message = (
            f"update_gain={solution.parameters.update_gain}, status '{solution.status}': the exponent is "
            "solved for where the update gate is constant and the correlators are solved; see "
            "`sample_exponent` for an update gate that changes"
        )
        raise UnsupportedError(message)
    parameters = solution.parameters
    begun = perf_counter()
    growth = _Growth(solution)
    low, high = -_LOWEST * growth.slowest, 1.0
    while growth.excess(high) > 0:
        high *= 2
    value = bracketed_root(growth.excess, (low, high), _TOLERANCE) if growth.excess(low) > 0 else -np.inf
    residual = abs(growth.excess(value)) if np.isfinite(value) else 0.0
    value = max(value, gate_decay(parameters), -parameters.resting_update)
    return ExponentSolution(value, residual, growth.evaluations, perf_counter() - begun)


def gate_decay(parameters: GatedParameters) -> float:
    """The slowest rate at which gates decay by themselves, -1 / tau; -inf without gates.

    No exponent lies below it, not even where the gates decide nothing.
    """
    times = [parameters.update_time] if not parameters.open_update else []
    times += [parameters.reset_time] if not parameters.open_reset else []
    return max((-1 / float(time) for time in times), default=-np.inf)


def has_exponent(solution: CorrelatorSolution) -> bool:
    """Whether theory gives the exponent of a solution."""
    constant = solution.parameters.constant_update or solution.status is MeanFieldStatus.ZERO
    return constant and solution.status.solved


class _Growth:
    """The operator whose largest eigenvalue is one at the exponent."""

    def __init__(self, solution: CorrelatorSolution) -> None:
        parameters = solution.parameters
        self.window = LagWindow(float(solution.lags[-1]), len(solution.lags) - 1)
        square = float(parameters.gain) ** 2
        found = SelfConsistency(parameters, self.window)(square * solution.state)
        self.slope = square * found.activity.slope
        self.openness, self.opening = found.openness.value, found.activity.value * found.openness.slope
        self.state_time = 1 / parameters.resting_update
        self.reset_time = 0.0 if parameters.constant_reset else float(parameters.reset_time)
        self.vector = np.ones(len(solution.lags))
        self.evaluations = 0

    @property
    def slowest(self) -> float:
        """The smallest decay rate of the two filters, below minus which they have no meaning."""
        return 1 / max(self.state_time, self.reset_time)

    def excess(self, growth: float) -> float:
        """The largest eigenvalue minus one, at kappa; it falls with kappa."""
        if not np.any(self.slope):
            return -1.0
        state, reset = (self.window.low_pass(time, growth) for time in (self.state_time, self.reset_time))

        def apply(values: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " lags"]:
            difference = self.slope * np.ravel(values)
            opened = self.opening * self.window.filtered(difference, reset)
            return self.window.filtered(self.openness * difference + opened, state)

        size = len(self.vector)
        operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)  # pyright: ignore
        found: Any = eigs(operator, k=1, which="LR", v0=self.vector, tol=_TOLERANCE)  # pyright: ignore
        self.vector = np.abs(np.real(found[1][:, 0]))
        self.evaluations += 1
        return float(np.real(found[0][0])) - 1
