"""How far simulated outcomes are those that theory expects of infinitely many units."""

import numpy as np

from .diagram import PhaseDiagram
from .outcomes import Outcome


def expected_outcomes(diagram: PhaseDiagram) -> np.ndarray:
    """What theory expects of every point, by the gains at which chaos appears and zero loses stability.

    Args:
        diagram: with the gain on an axis.

    Returns:
        An `Outcome` for every point, shape (rows, columns); None where theory has no lines, or gaps in them.
    """
    plan, lines = diagram.plan, {line.name: line for line in diagram.theory.lines}
    nothing = np.full(diagram.outcomes.shape, None, object)
    if "gain" not in (plan.x.name, plan.y.name) or "zero" not in lines:
        return nothing
    gain_is_x = plan.x.name == "gain"
    zero_line, other = lines["zero"], plan.y if gain_is_x else plan.x
    nodes, zeros = (zero_line.y, zero_line.x) if gain_is_x else (zero_line.x, zero_line.y)
    if plan.form.open_reset:
        onsets = zeros
    elif "chaos" in lines:
        onsets = lines["chaos"].x if gain_is_x else lines["chaos"].y
    else:
        return nothing
    zero, onset = (np.interp(other.values, nodes, gains) for gains in (zeros, onsets))
    gains = np.meshgrid(plan.x.values, plan.y.values)[0 if gain_is_x else 1]
    zero, onset = (np.broadcast_to(one[:, None] if gain_is_x else one, gains.shape) for one in (zero, onset))
    expected = nothing
    expected[np.isfinite(gains + zero + onset)] = Outcome.SETTLES
    expected[gains > onset] = Outcome.START_DECIDES
    expected[(gains > zero) & np.isfinite(onset)] = Outcome.CHAOTIC
    return expected


def agreement(diagram: PhaseDiagram) -> tuple[int, int]:
    """How many points do what theory expects, and of how many both are known.

    Args:
        diagram: simulated and solved.
    """
    outcomes, expected = diagram.outcomes, expected_outcomes(diagram)
    decided = np.all(np.abs(diagram.signs) == 1, axis=0)
    known = decided & np.vectorize(lambda one: one is not None, otypes=[bool])(expected)
    return int(np.sum(known & (outcomes == expected))), int(np.sum(known))
