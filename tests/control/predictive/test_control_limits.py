"""Weights, limits and horizons that make no sense are refused, and limits are carried into scaled units."""

import numpy as np
import pytest
from predictive_cases import card, linear_model

from attractor.control.predictive import ControlObjective, ControlProblem, Limits, PlanSolver
from attractor.errors import ConfigError, ShapeError


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: ControlObjective(output_weight=-1.0), "output_weight"),
        (lambda: ControlObjective(move_weight=[0.1, float("nan")]), "move_weight"),
        (lambda: ControlObjective(terminal_weight=float("inf")), "terminal_weight"),
        (lambda: Limits(1.0, 1.0), "input_low"),
        (lambda: Limits(-np.inf, 1.0), "input limits"),
        (lambda: Limits(rate=0.0), "rate"),
        (lambda: Limits(output_low=2.0, output_high=1.0), "output_low"),
        (lambda: Limits(quadratic_penalty=0.0), "quadratic_penalty"),
        (lambda: Limits(linear_penalty=-1.0), "linear_penalty"),
        (lambda: ControlProblem(0), "horizon"),
    ],
)
def test_values_that_make_no_sense_are_refused(build, name):
    with pytest.raises(ConfigError, match=name):
        build()


@pytest.mark.parametrize(
    ("objective", "limits", "name"),
    [
        (ControlObjective(output_weight=[1.0, 1.0, 1.0]), Limits(), "output_weight"),
        (ControlObjective(), Limits(rate=[0.1]), "rate"),
        (ControlObjective(), Limits(output_low=[0.1, 0.2, 0.3]), "output_low"),
    ],
)
def test_another_number_of_channels_is_refused(objective, limits, name):
    with pytest.raises(ShapeError, match=name):
        PlanSolver(linear_model()[0], ControlProblem(3, objective, limits))


def test_limits_in_scaled_units():
    units = card(linear_model()[0], scale=2.0, offset=10.0)
    limits = Limits([9.0, 0.0], 11.0, rate=0.5, output_high=[-4.0, 2.0]).scaled(units.inputs, units.outputs)
    low, high, rate = limits.input_box(2)
    np.testing.assert_allclose(low, [-0.5, -1.0])  # no further than the range of the training
    np.testing.assert_allclose(high, 0.5)
    np.testing.assert_allclose(rate, 0.25)
    np.testing.assert_allclose(limits.output_box(2)[1], [1.0, 2.0])
    np.testing.assert_array_equal(limits.output_box(2)[0], -np.inf)


def test_limits_outside_of_the_range_of_the_training_are_refused():
    units = card(linear_model()[0], scale=2.0, offset=10.0)
    with pytest.raises(ConfigError, match="range of the training"):
        Limits(13.0, 15.0).scaled(units.inputs, units.outputs)
