"""Robustness curves against probabilities in closed form, and their bookkeeping."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import Weighted, tanh_classifier
from scipy.stats import norm

from attractor.audit import ATTACKS, PERTURBATIONS, RobustnessSettings, labelled_sequences, robustness_curves
from attractor.audit.perturbations import channel_range
from attractor.errors import ConfigError, InputDataError, ShapeError

SIGN = Weighted(jnp.array([1.0, -1.0]).reshape(2, 1, 1))
"""Class 0 where the only sample is positive."""
ONES = labelled_sequences(np.ones((1000, 1, 1)), np.zeros(1000, int))
RANDOM = np.random.default_rng(0)
SMALL = labelled_sequences(
    RANDOM.normal(size=(10, 5, 2)), RANDOM.integers(0, 3, 10), RANDOM.integers(1, 6, 10)
)


class Ear:
    """Remembers what it was told."""

    def __init__(self):
        self.told, self.closed = [], False

    def update(self, done, total, message=""):
        self.told.append((done, total))

    def close(self):
        self.closed = True


def test_accuracy_under_white_noise_is_a_normal_probability():
    """P(1 + s z > 0) = Phi(1 / s); five standard errors of 5000 draws at most."""
    suite = [PERTURBATIONS["white"].at(0.5, 1.0, 2.0)]
    found = robustness_curves(SIGN, ONES, suite).curve("white")
    expected = norm.cdf(1 / np.array([0.5, 1.0, 2.0]))
    assert (np.abs(found.mean - expected) < 4 * np.sqrt(expected * (1 - expected) / 5000)).all()
    # Seeds are independent: their spread is that of a share of 1000.
    np.testing.assert_allclose(found.standard_deviation, np.sqrt(expected * (1 - expected) / 1000), rtol=1.0)
    assert (found.standard_deviation > 0).all()


def test_an_attack_is_a_perturbation_with_levels():
    suite = [ATTACKS["fgsm"].at(0.5, 1.5)]
    ear = Ear()
    curves = robustness_curves(SIGN, ONES, suite, RobustnessSettings(batch=300), ear)
    assert curves.clean == 1.0
    np.testing.assert_array_equal(curves.curves[0].accuracies, [[1.0] * 5, [0.0] * 5])
    assert ear.told == [(done, 8) for done in range(1, 9)]  # without draws one seed is enough
    assert ear.closed


def test_results_do_not_depend_on_the_size_of_pieces():
    limits = channel_range(SMALL.inputs, SMALL.lengths)
    suite = [PERTURBATIONS["salt and pepper"]]
    found = [
        robustness_curves(tanh_classifier(), SMALL, suite, RobustnessSettings((0, 1), batch, limits))
        for batch in (4, 100)
    ]
    assert found[0].to_dict() == found[1].to_dict()
    assert found[0].cases == 10


def test_the_result_is_plain_and_tells_the_scale():
    settings = RobustnessSettings((3,), limits=channel_range(SMALL.inputs, clip=True))
    curves = robustness_curves(tanh_classifier(), SMALL, [PERTURBATIONS["white"]], settings)
    told = json.loads(json.dumps(curves.to_dict(), allow_nan=False))
    assert told["curves"][0]["levels"] == [0.1, 0.2, 0.3]
    assert told["curves"][0]["standard_deviation"] is None
    assert told["clipped"] is True
    assert told["seeds"] == [3]
    valid = np.concatenate([SMALL.inputs[case, :length] for case, length in enumerate(SMALL.lengths)])
    np.testing.assert_allclose(told["scale"]["mean"], valid.mean(axis=0))
    np.testing.assert_allclose(told["scale"]["standard_deviation"], valid.std(axis=0))
    np.testing.assert_allclose(told["scale"]["high"], valid.max(axis=0))


def test_missing_samples_are_welcome_where_the_classifier_takes_them():
    holed = np.ones((3, 4, 1))
    holed[1, 2] = np.nan
    data = labelled_sequences(holed, np.zeros(3, int))
    suite = [PERTURBATIONS["white"].at(0.0)]

    def tolerant(inputs, length):
        return jnp.nanmean(inputs) * jnp.array([1.0, -1.0])

    assert robustness_curves(tolerant, data, suite).curve("white").mean == 1.0
    with pytest.raises(InputDataError, match="case 1 are not finite; its step 2, channel 0, is missing"):
        robustness_curves(lambda inputs, length: jnp.mean(inputs) * jnp.array([1.0, -1.0]), data, suite)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: robustness_curves(SIGN, ONES, []), ConfigError, "suite"),
        (lambda: robustness_curves(SIGN, ONES, [PERTURBATIONS["white"]] * 2), ConfigError, "different names"),
        (lambda: robustness_curves(SIGN, ONES), ConfigError, "channel_range"),
        (lambda: RobustnessSettings(()), ConfigError, "seeds"),
        (lambda: RobustnessSettings((1, 1)), ConfigError, "different seeds"),
        (lambda: RobustnessSettings(batch=0), ConfigError, "batch=0"),
        (lambda: robustness_curves(lambda inputs, length: inputs[0], ONES), ShapeError, "two or more"),
        (
            lambda: robustness_curves(SIGN, labelled_sequences(np.ones((2, 1, 1)), [0, 2])),
            InputDataError,
            "case 1 has the label 2, but there are 2 classes",
        ),
        (lambda: labelled_sequences(np.ones((2, 1, 1)), [0.0, 1.0]), InputDataError, "whole numbers"),
        (lambda: labelled_sequences(np.ones((2, 1, 1)), [0, -1]), InputDataError, "case 1"),
        (lambda: labelled_sequences(np.ones((2, 1, 1)), [0]), ShapeError, "labels"),
        (lambda: labelled_sequences(np.ones((2, 1, 1)), [0, 0], [1]), ShapeError, "lengths"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_curve_that_was_not_measured_is_named():
    curves = robustness_curves(SIGN, ONES, [PERTURBATIONS["white"].at(0.0)], RobustnessSettings((0,)))
    with pytest.raises(ConfigError, match="no curve 'drift'; measured: white"):
        curves.curve("drift")
