"""Figures of many experiments in one number."""

import numpy as np
import pytest

from attractor.control.identification.assessment import mean_metric

NAN, INF = float("nan"), float("inf")


def assessment(*experiments):
    """Each experiment: one pair of lists (FIT, RMSE over outputs) a member."""
    test = {
        str(index): [{"fit": fit, "rmse": rmse} for fit, rmse in members]
        for index, members in enumerate(experiments)
    }
    return {"metrics": {"test": test}}


GOOD, BAD = ([90.0, 80.0], [1.0, 1.0]), ([50.0, 30.0], [2.0, 2.0])
STILL, HALF_STILL = ([NAN, NAN], [0.5, 0.5]), ([NAN, 60.0], [0.5, 1.0])


@pytest.mark.parametrize(
    ("experiments", "expected"),
    [
        ([[GOOD, BAD]], [85.0, 40.0]),
        ([[GOOD, BAD], [BAD, GOOD]], [62.5, 62.5]),
        ([[GOOD, BAD], [STILL, STILL]], [85.0, 40.0]),
        ([[GOOD, BAD], [HALF_STILL, HALF_STILL]], [72.5, 50.0]),
        ([[STILL, STILL]], [NAN, NAN]),
    ],
    ids=["one", "two", "one does not move", "one output does not move", "nothing moves"],
)
def test_fit_is_averaged_where_it_is_defined(experiments, expected):
    np.testing.assert_allclose(mean_metric(assessment(*experiments), "fit"), expected)


@pytest.mark.parametrize("failed", [([NAN, NAN], [NAN, NAN]), ([-INF, 50.0], [INF, 1.0])], ids=["NaN", "Inf"])
def test_an_experiment_on_which_the_model_runs_away_is_not_left_out(failed):
    both = assessment([GOOD, GOOD], [failed, GOOD])
    for figure in ("fit", "rmse"):
        assert np.isfinite(mean_metric(both, figure)).tolist() == [False, True]
