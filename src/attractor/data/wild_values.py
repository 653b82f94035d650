"""Values far from all others: one of them decides the scale of its variable, and hides the others."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from attractor.errors import InputDataError

from .finding import Finding, warning
from .labelled_sequences import Sequences, name_some

FAR = 20.0
"""How many times as far from the middle of a variable as nearly all values a wild one lies."""
# Of the values of a variable at most so many are wild, and of fewer values none is.
_MOST, _FEWEST = 0.02, 20


class Wild(NamedTuple):
    """Values of one variable that lie far from all others.

    Args:
        places: rows (case, step), in the order of the data.
        low: the smallest of the other values.
        high: the largest of them.
    """

    places: np.ndarray
    low: float
    high: float


def usual_reach(distances: Float[np.ndarray, " values"]) -> float:
    """The largest of some distances from a middle, without those twenty times as large as 98 % of them.

    Where 98 % are zero, as of an alarm, only what lies so far beyond all others is left out.

    Example:
        >>> import numpy as np
        >>> usual_reach(np.array([*range(99), 1e8]))
        98.0
    """
    few = max(int(_MOST * len(distances)), 1) if len(distances) >= _FEWEST else 0
    first = len(distances) - few - 1
    tail = np.sort(np.partition(distances, first)[first:])
    wild = tail / FAR > (tail[0] if tail[0] else np.inf)
    if not tail[0]:
        wild[1:] = (tail[:-1] > 0) & (tail[1:] / FAR > tail[:-1])
    return float(tail[wild.argmax() - 1] if wild.any() else tail[-1])


_CODES = (99.0, 999.0, 9999.0, 99999.0, 999999.0)
"""Numbers that people write, mostly with a minus, where a value is missing."""


def _reach(values: Float[np.ndarray, " values"], distances: Float[np.ndarray, " values"]) -> float:
    """`usual_reach` of the distances; codes of missing values far out do not count, however many."""
    coded = np.isin(np.abs(values), _CODES)
    if coded.any() and not coded.all():
        own = usual_reach(distances[~coded])
        if 0 < own < distances[coded].min() / FAR:
            return own
    return usual_reach(distances)


def wild_values(data: Sequences) -> dict[str, Wild]:
    """The variables with values far from nearly all others, by name; missing values and padding do not count.

    Tails as heavy as those of Student's t, pulses, switches and alarms have none.
    """
    found = {}
    for position, name in enumerate(data.names):
        channel = data.values[:, :, position]
        known = channel[~np.isnan(channel)]
        if not len(known):
            continue
        half = channel / 2  # a difference of large values leaves the numbers
        distances = np.abs(half - np.median(known / 2))
        places = np.argwhere(distances > _reach(known, distances[~np.isnan(distances)]))
        if len(places):
            others = _without(channel, places)
            found[name] = Wild(places, float(np.nanmin(others)), float(np.nanmax(others)))
    return found


def _without(channel: Float[np.ndarray, "cases time"], places: np.ndarray) -> Float[np.ndarray, "cases time"]:
    others = channel.copy()
    others[tuple(places.T)] = np.nan
    return others


def tame(data: Sequences) -> Bool[np.ndarray, "cases time variables"]:
    """Which values are measured and not wild."""
    known = ~np.isnan(data.values)
    for name, one in wild_values(data).items():
        known[(*one.places.T, data.names.index(name))] = False
    return known


def check_wild(data: Sequences) -> list[Finding]:
    """Wild values by their places, a finding for each variable."""
    findings = []
    for name, one in wild_values(data).items():
        position, count = data.names.index(name), len(one.places)
        shown = name_some([
            f"{data.where(case, step, position)}: {data.values[case, step, position]:g}"
            for case, step in one.places
        ])
        message = (
            f"{count} value(s) of '{name}' lie more than {FAR:g} times as far from the middle as "
            f"{1 - _MOST:.0%} of the others, which are between {one.low:g} and {one.high:g} ({shown})"
        )
        advice = (
            "Correct a faulty value, or make it NaN, which means missing (-999 and its like are codes for "
            "that): such a value decides the scale of its variable, in which all others are alike. If it was "
            "measured so, give the logarithm of the variable, or clip it."
        )
        findings.append(warning("wild-values", name, message, advice, count=count))
    return findings


@dataclass(frozen=True, eq=False)
class UsualRange:
    """What values of each variable are known.

    Args:
        middle: their median.
        reach: how far from it the others lie, wild ones left out.
    """

    middle: Float[np.ndarray, " variables"]
    reach: Float[np.ndarray, " variables"]

    @classmethod
    def of(cls, data: Sequences) -> "UsualRange":
        """That of some cases; a variable without a value may take any, one at rest has its own size."""
        middle, reach = np.zeros(len(data.names)), np.full(len(data.names), np.inf)
        for position in range(len(data.names)):
            column = data.values[:, :, position]
            known = column[~np.isnan(column)]
            if len(known):
                middle[position] = 2 * np.median(known / 2)
                own = _reach(known, np.abs(known - middle[position]))
                reach[position] = own or max(abs(middle[position]), 1.0)
        return cls(middle, reach)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON."""
        return {"middle": self.middle.tolist(), "reach": self.reach.tolist()}

    @classmethod
    def from_dict(cls, facts: object, variables: int) -> "UsualRange":
        """Back from plain lists; None of a run that kept nothing allows every value.

        Raises:
            InputDataError: it is something else.
        """
        if facts is None:
            return cls(np.zeros(variables), np.full(variables, np.inf))
        try:
            middle, reach = (np.asarray(facts[name], float) for name in ("middle", "reach"))  # type: ignore
        except (KeyError, TypeError, ValueError):
            raise InputDataError(f"a usual range needs two lists of numbers, not {str(facts)[:80]}") from None
        if middle.shape != (variables,) or reach.shape != (variables,) or not (reach > 0).all():
            raise InputDataError(f"a usual range of {variables} variables, not {str(facts)[:80]}")
        return cls(middle, reach)

    def exceeded(self, values: Float[np.ndarray, "*shape variables"]) -> Bool[np.ndarray, "*shape variables"]:
        """Which values lie twenty times as far out as any that is known."""
        with np.errstate(over="ignore"):
            return np.abs(values - self.middle) / FAR > self.reach


def check_far(data: Sequences, known: UsualRange) -> list[Finding]:
    """Values of new cases that lie far beyond all that a model has learned from.

    Args:
        data: the cases, with the variables of the model in its order.
        known: of the training cases.
    """
    places = np.argwhere(known.exceeded(data.values))
    if not len(places):
        return []
    shown = name_some([f"{data.where(*place)}: {data.values[tuple(place)]:g}" for place in places])
    message = f"{len(places)} value(s) lie more than {FAR:g} times as far out as any in training: {shown}"
    advice = (
        "Correct faulty values, or make them NaN where the model takes missing values; what it says of these "
        "cases is a guess."
    )
    return [warning("far-values", "", message, advice, count=len(places))]
