r"""The distinct points among the ends of a search: made exact, confirmed, and counted.

A small |F| alone does not show that a zero is near. Where the gates of a network close far outside, F fades
as the state runs away, and |F| < 1e-12 holds on a whole region without a zero. With J = U S V^T the Newton
step is $-\sum_i v_i (u_i^T F) / \sigma_i$. There it stays long however small F becomes; at a zero it is
short. A component $u_i^T F$ that is only rounding asks for no step, so that lines of fixed points, with
$\sigma_i = 0$, are confirmed as well.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from attractor.program import HeldMap, compiled

from .descent import Descents, Outcome, drift, in_chunks, slots_for
from .points import SlowPoints

# Rounding of a component of F, relative to max(1, |x|).
_ROUNDING = 100 * np.finfo(float).eps
# A Newton step below this share of max(1, |x|) ends at a zero nearby; at a triple zero it is 3e-5.
_SHORT = 1e-3
# Two copies of a zero of multiplicity m lie up to 2 m Newton steps apart; 8 covers m = 4.
_REACH = 8.0
# No two points farther apart than this share of max(1, |x|) are taken for one.
_FARTHEST = 1e-3
# Directions with a smaller share of the largest singular value are left as they are.
_SINGULAR = 1e-10

_STEPS = 3
# A residual below this share of max(1, |x|) is rounding.
_EXACT = 4 * np.finfo(float).eps
# Stands for a singular value of 0; quotients by it are long and finite.
_TINY = 1e-100
# States for which all slots are filled.
_MANY = 10**6
# Ends nearer than this share of max(1, |x|) are one, even before they are made exact.
_SAME = 1e-9
# The same for slow points, which are known less exactly.
_SAME_SLOW = 1e-5

# Least singular value of I - J at a point that stands alone; see `MARGIN` of the spectrum.
_REGULAR = 1e-6


# Neighbours of a point between which and itself others are looked for.
_NEIGHBOURS = 8


def clustered(
    states: Float[np.ndarray, "solutions states"],
    radii: Float[np.ndarray, " solutions"],
    errors: Float[np.ndarray, " solutions"] | None = None,
) -> tuple[Int[np.ndarray, " clusters"], Int[np.ndarray, " solutions"]]:
    """Greedy clusters: the most exact solution that is left takes those that are the same one.

    Two solutions are the same where they are no farther apart than the larger of their radii. A radius says
    how far a solution may be from the truth, so that exact ones may lie close together and stay apart.

    Args:
        states: solutions, one a row.
        radii: how far each may be from the truth.
        errors: the solution with the least of them is the most exact one; None means the radii.

    Returns:
        Which solution stands for each cluster, and the cluster of every solution.
    """
    heads: list[int] = []
    order = np.argsort(radii if errors is None else errors, kind="stable")
    labels, left, reach = np.zeros(len(states), int), states[order], radii[order] ** 2
    while len(order):
        apart = left - left[0]
        same = np.einsum("ij,ij->i", apart, apart) <= np.maximum(reach, reach[0])
        labels[order[same]] = len(heads)
        heads.append(int(order[0]))
        order, left, reach = (part[~same] for part in (order, left, reach))
    return np.array(heads, int), labels


def in_order(
    states: Float[np.ndarray, "solutions states"], tolerance: float
) -> Int[np.ndarray, " solutions"]:
    """Lexicographic order in which entries that differ by less than the tolerance count as equal.

    Rounding then does not decide the order: 0 and -1e-17 have the same rank.
    """
    if len(states) < 2:
        return np.arange(len(states))
    order = np.argsort(states, axis=0, kind="stable")
    steps = np.diff(np.take_along_axis(states, order, 0), axis=0) > tolerance
    ranks = np.zeros(states.shape, int)
    np.put_along_axis(ranks, order[1:], np.cumsum(steps, axis=0), 0)
    return np.lexsort(ranks.T[::-1])


class Candidates(NamedTuple):
    """Points with their linearisation.

    Args:
        states: x.
        values: F(x).
        jacobians: of F.
        steps: Newton's step from x in the directions that are not singular.
        radii: how far x may be from a zero of F.
        confirmed: where Newton's step in all directions is short.
        regularity: the least singular value of J.
    """

    states: Float[np.ndarray, "points states"]
    values: Float[np.ndarray, "points states"]
    jacobians: Float[np.ndarray, "points states states"]
    steps: Float[np.ndarray, "points states"]
    radii: Float[np.ndarray, " points"]
    confirmed: Bool[np.ndarray, " points"]
    regularity: Float[np.ndarray, " points"]

    @property
    def residuals(self) -> Float[np.ndarray, " points"]:
        """|F|."""
        return np.linalg.norm(self.values, axis=1)


def sizes(states: Float[np.ndarray, "points states"]) -> Float[np.ndarray, " points"]:
    """max(1, |x|), what tolerances are relative to."""
    return np.maximum(1.0, np.linalg.norm(states, axis=1))


def polished(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> Candidates:
    """The states after Newton steps, as long as they lower |F|: none or one for nearly all."""
    here = _judged(np.array(states), *linearised(flat, states, rows))
    rough = np.arange(len(states))
    for _ in range(_STEPS):
        still = here.confirmed & (here.residuals > _EXACT * sizes(here.states))
        rough = rough[still[rough]]
        if len(rough) == 0:
            break
        there = here.states[rough] + here.steps[rough]
        new = _judged(there, *linearised(flat, there, rows[rough]))
        better = new.residuals < here.residuals[rough]
        rough = rough[better]
        for old, part in zip(here, new, strict=True):
            old[rough] = part[better]
    return here


def _judged(states: np.ndarray, values: np.ndarray, jacobians: np.ndarray) -> Candidates:
    finite = np.all(np.isfinite(jacobians), axis=(1, 2))
    left, singular, right = np.linalg.svd(np.where(finite[:, None, None], jacobians, 0.0))
    parts, size = np.einsum("pij,pi->pj", left, values), sizes(states)
    floor, safe = _ROUNDING * size, np.maximum(singular, _TINY)
    needed = np.where(np.abs(parts) > floor[:, None], np.abs(parts) / safe, 0.0)
    confirmed = finite & (np.linalg.norm(needed, axis=1) <= _SHORT * size)
    regular = singular > _SINGULAR * singular[:, :1]
    steps = -np.einsum("pji,pj->pi", right, np.where(regular, parts / safe, 0.0))
    radii = (_REACH * np.linalg.norm(values, axis=1) + floor) / safe[:, -1]
    return Candidates(
        states, values, jacobians, steps, np.minimum(radii, _FARTHEST * size), confirmed, singular[:, -1]
    )


def linearised(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F and its Jacobian at every state, a chunk at a time, in one shape however few there are."""
    values, jacobians = in_chunks(_linearised, flat, states, rows, slots_for(_MANY, states.shape[1]))
    return values, jacobians


@compiled
def _linearised(flat: HeldMap, states: Array, rows: Array) -> tuple[Array, Array]:
    field = drift(flat)
    return jax.vmap(field)(states, rows), jax.vmap(jax.jacfwd(field))(states, rows)


class DistinctPoints(NamedTuple):
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
    flat: HeldMap, ended: Descents, conditions: Int[np.ndarray, " starts"], within: float
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
    more: Descents,
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
    known = known._replace(multiplicities=times)
    if not apart.any():
        return known
    new = distinct_points(flat, Descents(*(part[apart] for part in more)), conditions[apart], within)
    both = DistinctPoints(*(np.concatenate(pair) for pair in zip(known, new, strict=True)))
    kept, times = _gathered(both.states, both.conditions, both.radii, both.multiplicities)
    return DistinctPoints(*(part[kept] for part in both))._replace(multiplicities=times)


def _held(known: DistinctPoints, more: Descents, conditions: np.ndarray) -> np.ndarray:
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
    """Pairs of indices of which one is among the nearest of the other, or its farthest; each pair once."""
    if len(states) < 2:
        return np.zeros((0, 2), int)
    order = np.argsort(cdist(states, states), axis=1, kind="stable")
    others = np.concatenate([order[:, 1 : _NEIGHBOURS + 1], order[:, -1:]], axis=1)
    own = np.repeat(np.arange(len(states)), others.shape[1])
    return np.unique(np.sort(np.stack([own, others.ravel()], axis=1), axis=1), axis=0)


def _none(ended: Descents) -> Candidates:
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


def slow_points(ended: Descents, conditions: Int[np.ndarray, " starts"]) -> SlowPoints:
    """Ends at rest where the drift is not zero, slowest first within each condition."""
    resting = np.flatnonzero(ended.outcomes == Outcome.AT_REST)
    states = ended.states[resting]
    chosen, times = _gathered(states, conditions[resting], _SAME_SLOW * sizes(states))
    heads = resting[chosen]
    order = np.lexsort((ended.speeds[heads], conditions[heads]))
    heads, times = heads[order], times[order]
    return SlowPoints(ended.states[heads], ended.speeds[heads], times, conditions[heads])
