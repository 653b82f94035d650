"""The distinct points among the ends of a search, with how often each was reached."""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from attractor.program import HeldMap

from .clusters import clustered
from .descent import Outcome, Walkers
from .exact import Candidates, polished, sizes
from .points import SlowPoints

_SAME = 1e-9
"""Ends nearer than this share of max(1, |x|) are one, even before they are made exact."""
_SAME_SLOW = 1e-5
"""The same for slow points, which are known less exactly."""

_REGULAR = 1e-6
"""Least singular value of I - J at a point that stands alone; see `MARGIN` of the spectrum."""


_NEIGHBOURS = 8
"""Neighbours of a point between which and itself others are looked for."""


@dataclass(frozen=True, eq=False)
class DistinctPoints:
    """Fixed points, each once.

    Args:
        states: flat states.
        residuals: |F|.
        jacobians: of the step.
        regularity: least singular values of I - J.
        radii: how far each may be from the truth.
        multiplicities: how many starts ended at each.
        conditions: the number of the constant input of each.
    """

    states: Float[np.ndarray, "points states"]
    residuals: Float[np.ndarray, " points"]
    jacobians: Float[np.ndarray, "points states states"]
    regularity: Float[np.ndarray, " points"]
    radii: Float[np.ndarray, " points"]
    multiplicities: Int[np.ndarray, " points"]
    conditions: Int[np.ndarray, " points"]


def distinct_points(
    flat: HeldMap, ended: Walkers, conditions: Int[np.ndarray, " starts"], within: float
) -> DistinctPoints:
    """Ends that converged, first gathered roughly, then made exact, confirmed, and gathered again.

    How near two of them must be to be one follows from their linearisation: ends at a point where 1 is nearly
    an eigenvalue scatter, and points that are well conditioned may lie close to each other.

    Args:
        flat: the map, in float64.
        ended: the ends of all starts.
        conditions: the number of the constant input of each.
        within: a point farther out than this norm counts only if it is regular. Where gates are closed to the
            last digit, every state is fixed in floating-point arithmetic, and none of them says anything.
    """
    reached = np.flatnonzero(ended.outcomes == Outcome.CONVERGED)
    ends = ended.states[reached]
    size = sizes(ends)
    heads, times = _gathered(ends, conditions[reached], _SAME * size, errors=ended.speeds[reached] / size)
    heads = reached[heads]
    points = polished(flat, ended.states[heads], ended.inputs[heads]) if len(heads) else _none(ended)
    near = np.linalg.norm(points.states, axis=1) <= within
    good = np.flatnonzero(points.confirmed & (near | (points.regularity > _REGULAR)))
    which = conditions[heads][good]
    reach = np.maximum(points.radii, _SAME * sizes(points.states))[good]
    final, times = _gathered(points.states[good], which, reach, times[good])
    kept = good[final]
    return DistinctPoints(
        points.states[kept],
        points.residuals[kept],
        points.jacobians[kept] + np.eye(ended.states.shape[1]),
        points.regularity[kept],
        reach[final],
        times,
        which[final],
    )


def joined(
    flat: HeldMap,
    known: DistinctPoints,
    more: Walkers,
    conditions: Int[np.ndarray, " starts"],
    within: float,
) -> DistinctPoints:
    """Known points and those of further ends; an end at a known point only adds to how often it was reached.

    Args:
        flat: the map, in float64.
        known: what earlier starts found.
        more: the ends of further starts.
        conditions: the number of the constant input of each of these.
        within: as in `distinct_points`.
    """
    held = _held(known, more, conditions)
    apart = held < 0
    times = known.multiplicities + np.bincount(held[~apart], minlength=len(known.states))
    known = replace(known, multiplicities=times)
    if not apart.any():
        return known
    new = distinct_points(flat, Walkers(*(part[apart] for part in more)), conditions[apart], within)
    pairs = ((getattr(known, one.name), getattr(new, one.name)) for one in fields(DistinctPoints))
    both = DistinctPoints(*(np.concatenate(pair) for pair in pairs))
    kept, times = _gathered(both.states, both.conditions, both.radii, both.multiplicities)
    chosen = DistinctPoints(*(getattr(both, one.name)[kept] for one in fields(DistinctPoints)))
    return replace(chosen, multiplicities=times)


def _held(known: DistinctPoints, more: Walkers, conditions: np.ndarray) -> np.ndarray:
    """At which known point each end lies, -1 for those at none and those that did not converge."""
    held = np.full(len(conditions), -1)
    for condition in np.unique(known.conditions):
        points = np.flatnonzero(known.conditions == condition)
        some = np.flatnonzero((conditions == condition) & (more.outcomes == Outcome.CONVERGED))
        ends = more.states[some]
        reach = _SAME * sizes(ends)
        tree = KDTree(known.states[points])
        found = tree.query(ends, distance_upper_bound=2 * reach.max(initial=0.0))
        distances, nearest = map(np.asarray, found)
        near = distances <= reach
        held[some[near]] = points[nearest[near]]
    return held


def midpoints(
    points: DistinctPoints, most: int, seed: int
) -> tuple[Float[np.ndarray, "pairs states"], Int[np.ndarray, " pairs"]]:
    """States halfway from fixed points to their nearest neighbours and to the farthest one, and whose.

    Between neighbours lies the saddle that parts them; halfway to the farthest lies the middle of all, around
    which stand points that are no neighbours. Only points of the same condition are paired, and points on a
    line of fixed points take no part: halfway between them is another of the same kind.

    Args:
        points: fixed points.
        most: pairs of a condition at most; more are drawn from.
        seed: of the draw.
    """
    source = np.random.default_rng(seed)
    regular = points.regularity > _REGULAR
    pairs = [np.zeros((0, 2), int)]
    for condition in np.unique(points.conditions):
        some = np.flatnonzero(regular & (points.conditions == condition))
        every = _paired(points.states[some])
        pairs.append(some[every if len(every) <= most else source.choice(every, most, replace=False)])
    first, second = np.concatenate(pairs).T
    return (points.states[first] + points.states[second]) / 2, points.conditions[first]


def _paired(states: np.ndarray) -> np.ndarray:
    """Pairs of places of which one is among the nearest of the other, or its farthest; each pair once."""
    if len(states) < 2:
        return np.zeros((0, 2), int)
    order = np.argsort(cdist(states, states), axis=1, kind="stable")
    others = np.concatenate([order[:, 1 : _NEIGHBOURS + 1], order[:, -1:]], axis=1)
    own = np.repeat(np.arange(len(states)), others.shape[1])
    return np.unique(np.sort(np.stack([own, others.ravel()], axis=1), axis=1), axis=0)


def _none(ended: Walkers) -> Candidates:
    states = ended.states.shape[1]
    nothing, empty = np.zeros((0, states)), np.zeros(0)
    return Candidates(
        nothing, nothing, np.zeros((0, states, states)), nothing, empty, np.zeros(0, bool), empty
    )


def _gathered(
    states: np.ndarray,
    conditions: np.ndarray,
    reach: np.ndarray,
    times: np.ndarray | None = None,
    errors: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Who stands for each cluster, condition by condition, and the sum of `times` (or ones) over it."""
    times = np.ones(len(states), int) if times is None else times
    heads, sums = [np.zeros(0, int)], [np.zeros(0, int)]
    for condition in np.unique(conditions):
        some = np.flatnonzero(conditions == condition)
        chosen, labels = clustered(states[some], reach[some], None if errors is None else errors[some])
        heads.append(some[chosen])
        sums.append(np.bincount(labels, times[some], len(chosen)).astype(int))
    return np.concatenate(heads), np.concatenate(sums)


def slow_points(ended: Walkers, conditions: Int[np.ndarray, " starts"]) -> SlowPoints:
    """Ends at rest where the drift is not zero, slowest first within each condition."""
    resting = np.flatnonzero(ended.outcomes == Outcome.AT_REST)
    states = ended.states[resting]
    chosen, times = _gathered(states, conditions[resting], _SAME_SLOW * sizes(states))
    heads = resting[chosen]
    order = np.lexsort((ended.speeds[heads], conditions[heads]))
    heads, times = heads[order], times[order]
    return SlowPoints(ended.states[heads], ended.speeds[heads], times, conditions[heads])
