"""Shapley values of games whose values are known."""

from itertools import permutations

import numpy as np
import pytest

from attractor.classification.group_memory import exact_shapley, sampled_shapley


class Game:
    """v(S) = sum of a_k, and a bonus where 0 and 1 come together."""

    def __init__(self, gains, bonus):
        self.gains, self.bonus, self.groups = np.array(gains), bonus, len(gains)

    def worth(self, present):
        together = self.bonus * (present[0] and present[1])
        return np.array([self.gains @ present + together, 0.0])


def testexact_shapley_share_a_bonus_between_those_who_earn_it():
    values, errors = exact_shapley(Game([1.0, 2.0, -0.5, 0.0], bonus=0.6))
    np.testing.assert_allclose(values, [1.3, 2.3, -0.5, 0.0], atol=1e-12)
    assert not errors.any()


def testexact_shapley_are_means_over_all_orders():
    rng = np.random.default_rng(0)
    game = Game(np.zeros(4), bonus=0.0)
    table = {tuple(bits): rng.standard_normal() for bits in np.ndindex(2, 2, 2, 2)}
    game.worth = lambda present: np.array([table[tuple(np.asarray(present, int).tolist())], 0.0])
    means = np.zeros(4)
    for order in permutations(range(4)):
        present = np.zeros(4, bool)
        for place in order:
            before = game.worth(present)[0]
            present[place] = True
            means[place] += (game.worth(present)[0] - before) / 24
    np.testing.assert_allclose(exact_shapley(game)[0], means, atol=1e-12)


def testsampled_shapley_add_up_and_are_near_the_exact_ones():
    game = Game(np.arange(10.0), bonus=1.0)
    values, errors = sampled_shapley(game, seed=0)
    assert values.sum() == pytest.approx(46.0)
    exact = np.arange(10.0) + np.array([0.5, 0.5] + [0.0] * 8)
    assert (np.abs(values - exact) <= 4 * errors + 1e-12).all()
    np.testing.assert_array_equal(values, sampled_shapley(game, seed=0)[0])
