"""Rank correlations against hand-made ranks and the permutation distribution."""

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr

from attractor.audit import trend
from attractor.errors import InputDataError, ShapeError


def test_a_monotone_measure_has_correlation_one_whatever_its_shape():
    levels = np.array([0.0, 0.1, 0.5, 2.0])
    assert trend(levels, np.exp(levels)).correlation == pytest.approx(1.0)
    assert trend(levels, -(levels**3)).correlation == pytest.approx(-1.0)


def test_seeds_count_as_points():
    """Ranks by hand: levels (1.5, 1.5, 3.5, 3.5), values (1, 3, 2, 4)."""
    found = trend([0.0, 1.0], [[10.0, 30.0], [20.0, 40.0]])
    level, value = np.array([1.5, 1.5, 3.5, 3.5]), np.array([1, 3, 2, 4])
    assert found.correlation == pytest.approx(np.corrcoef(level, value)[0, 1])
    assert found.points == 4


def test_the_p_value_is_close_to_that_of_permutations():
    levels = np.repeat(np.arange(5.0), 3)
    values = levels + np.random.default_rng(1).normal(size=15) * 2
    found = trend(np.arange(5.0), values.reshape(5, 3))

    def statistic(one):
        return spearmanr(levels, one).statistic

    exact = permutation_test((values,), statistic, permutation_type="pairings", n_resamples=1000, rng=0)
    assert found.correlation == pytest.approx(exact.statistic)
    assert abs(found.p_value - exact.pvalue) < 0.02  # three standard errors of a share of 1000


@pytest.mark.parametrize(
    ("levels", "values", "error"),
    [
        ([0.0, 1.0], [1.0, 2.0], ShapeError),
        ([0.0, 1.0, 2.0], [1.0, 2.0], ShapeError),
        ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], InputDataError),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], InputDataError),
        ([0.0, 1.0, 2.0], [1.0, np.nan, 3.0], InputDataError),
    ],
)
def test_what_cannot_be_ranked_is_refused(levels, values, error):
    with pytest.raises(error):
        trend(levels, values)
