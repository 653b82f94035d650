"""Where one network sits in a phase diagram."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from attractor.errors import InputDataError

from .critical_lines import TheoryLine
from .diagram import PhaseDiagram
from .outcomes import Outcome
from .parameter_names import parameter_name


@dataclass(frozen=True)
class Placement:
    """A place in a diagram.

    Args:
        x: value on the horizontal axis.
        y: value on the vertical axis.
        inside: whether the diagram covers it.
        outcome: of the nearest simulated point; None outside.
        distances: by the name of a line of theory, how far to the right it lies at this height, in the unit
            of the horizontal axis; negative to the left; lines that do not reach this height are left out.
    """

    x: float
    y: float
    inside: bool
    outcome: Outcome | None
    distances: dict[str, float]

    @property
    def sentence(self) -> str:
        """The place in words."""
        if self.outcome is None:
            return f"({self.x:.4g}, {self.y:.4g}) lies outside the diagram."
        return f"At ({self.x:.4g}, {self.y:.4g}), by the nearest point: {self.outcome}."


def place_on(diagram: PhaseDiagram, parameters: Mapping[str, float]) -> Placement:
    """Where a network with these parameters sits.

    Args:
        diagram: of the same network but for the two axes.
        parameters: at least those of both axes, by name or letter; others are not used.

    Raises:
        InputDataError: one of the two is missing or not finite.
    """
    plan = diagram.plan
    given = {parameter_name(name): float(value) for name, value in parameters.items()}
    for axis in (plan.x, plan.y):
        if not np.isfinite(given.get(axis.name, np.nan)):
            message = (
                f"parameters: no finite {axis.name} among {', '.join(given) or 'none'}; the axes need it"
            )
            raise InputDataError(message)
    x, y = given[plan.x.name], given[plan.y.name]
    inside = plan.x.low <= x <= plan.x.high and plan.y.low <= y <= plan.y.high
    column, row = (int(np.argmin(np.abs(one.values - v))) for one, v in ((plan.x, x), (plan.y, y)))
    outcome = diagram.outcomes[row, column] if inside else None
    crossings = {line.name: _nearest_crossing(line, x, y) for line in diagram.theory.lines}
    distances = {name: at - x for name, at in crossings.items() if at is not None}
    return Placement(x, y, inside, outcome, distances)


def _nearest_crossing(line: TheoryLine, x: float, y: float) -> float | None:
    """Where a line crosses a height, next to a value."""
    with np.errstate(invalid="ignore"):
        low, high = line.y[:-1] - y, line.y[1:] - y
        at = np.flatnonzero((low * high <= 0) & (low != high) & np.isfinite(line.x[:-1] + line.x[1:]))
    if not len(at):
        return None
    crossings = line.x[at] - low[at] * (line.x[at + 1] - line.x[at]) / (high[at] - low[at])
    return float(crossings[np.argmin(np.abs(crossings - x))])
