"""Which of many solutions are the same one, and in what order to list them."""

import numpy as np
from jaxtyping import Float, Int


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
    places = np.argsort(states, axis=0, kind="stable")
    steps = np.diff(np.take_along_axis(states, places, 0), axis=0) > tolerance
    ranks = np.zeros(states.shape, int)
    np.put_along_axis(ranks, places[1:], np.cumsum(steps, axis=0), 0)
    return np.lexsort(ranks.T[::-1])
