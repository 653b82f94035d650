"""Figures of many experiments in one number."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel
from attractor.cells import Linear
from attractor.control.identification.assessment import mean_metric, steady_maps
from attractor.control.identification.plant_network import PlantNetwork
from attractor.control.identification.recordings import Signals
from attractor.data import Scaling, Signal

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


def linear(decay):
    """y = x1 + x2 of a linear model with these decays, in units of its own."""
    cell = eqx.tree_at(
        lambda one: (one.transition, one.input_weight),
        Linear(1, 2, key=jax.random.key(0)),
        (jnp.diag(jnp.array(decay)), jnp.array([[0.001], [0.5]])),
    )
    readout = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    readout = eqx.tree_at(lambda one: (one.weight, one.bias), readout, (jnp.ones((1, 2)), jnp.zeros(1)))
    model = PlantModel("linear")
    model.network = lambda: PlantNetwork(cell, readout, None, feedthrough=False)
    model.signals_ = Signals((Signal("u"),), (Signal("y"),), 1.0)
    model.input_scaling_ = Scaling(np.zeros(1), np.ones(1))
    model.output_scaling_ = Scaling(np.ones(1), 2.0 * np.ones(1))
    return model


def test_a_slow_stable_model_has_a_rest_at_every_level():
    """It was sought by 2000 steps alone, which a decay of as many does not end; the rest of f is exact."""
    (found,) = steady_maps(linear([1 - 2.0**-11, 0.5]))
    gain = 0.001 * 2**11 + 1.0
    np.testing.assert_allclose(found.outputs[:, 0], 1 + 2 * gain * found.levels, rtol=1e-5, atol=1e-5)


def test_a_rest_to_which_a_model_does_not_come_back_is_none():
    (found,) = steady_maps(linear([1 + 2.0**-11, 0.5]))
    assert np.isnan(found.outputs[np.abs(found.levels) > 0.01]).all()
