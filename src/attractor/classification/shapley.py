"""Shapley values: what every player of a cooperative game contributes, shared fairly (Shapley 1953)."""

from itertools import combinations
from math import comb
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float


@runtime_checkable
class Game(Protocol):
    """What a coalition is worth."""

    @property
    def groups(self) -> int:
        """How many players there are."""
        ...

    def worth(self, present: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " figures"]:
        """Value of the coalition of those present; the first figure is the one that is shared."""
        ...


Values = tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]
"""Shapley values and their standard errors."""


def exact_shapley(game: Game) -> Values:
    """From all coalitions S: phi_k = sum of |S|! (n - |S| - 1)! / n! (v(S + k) - v(S)) over S without k.

    Args:
        game: of n players; its worth is asked for n 2^n times, 2^n of them different.

    Returns:
        The values, and zeros for their errors.
    """
    count = game.groups
    values, everyone = np.zeros(count), np.arange(count)
    for place in everyone:
        others = np.delete(everyone, place)
        for size in range(count):
            weight = 1 / (count * comb(count - 1, size))
            for chosen in combinations(others, size):
                present = np.isin(everyone, chosen)
                gained = game.worth(present | (everyone == place))[0] - game.worth(present)[0]
                values[place] += weight * gained
    return values, np.zeros(count)


def sampled_shapley(game: Game, seed: int = 0, orders: int = 20) -> Values:
    """Means of what every player adds when the players come in random orders; unbiased.

    Args:
        game: of n players; its worth is asked for (n + 1) times an order.
        seed: of the orders.
        orders: how many, at least 2.

    Returns:
        The values, which add up to the worth of all exactly, and the standard errors of the means.
    """
    rng, gains = np.random.default_rng(seed), np.zeros((orders, game.groups))
    for row in gains:
        present = np.zeros(game.groups, bool)
        before = game.worth(present)[0]
        for place in rng.permutation(game.groups):
            present[place] = True
            after = game.worth(present)[0]
            row[place], before = after - before, after
    return gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(orders)
