"""The audit of a fitted classifier: every part, or why there is none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from labelled_ramps import fitted, ramps

from attractor.audit import PERTURBATIONS, StabilityVerdict
from attractor.classification.robustness_study import (
    GAPS,
    PLAIN_SCALE,
    SCALE,
    Fragility,
    RobustnessPlan,
    robustness_study,
)
from attractor.errors import ConfigError

pytestmark = pytest.mark.slow  # the command line runs the same study in a fast test
QUICK = RobustnessPlan(seeds=1, fragility_cases=5, time_budget=1.0)


@pytest.fixture(scope="module")
def data():
    return ramps(cases=21, seed=1)


@pytest.fixture(scope="module")
def study(data):
    """A Lipschitz cell, of which everything can be had."""
    model = fitted(cell="lipschitz")
    limits = np.full(3, -3.0), np.full(3, 3.0)
    return model, robustness_study(model, data, QUICK, limits)


def test_curves_margins_and_clean_accuracy_agree_with_the_model(study, data):
    model, found = study
    assert [curve.name for curve in found.curves.curves] == list(PERTURBATIONS)
    assert found.curves.clean == model.score(data) == np.mean(found.margins > 0)
    assert found.curves.seeds == (0,)
    scores = model.logits(data)
    own, other = scores[np.arange(21), data.labels], scores[np.arange(21), 1 - data.labels]
    np.testing.assert_allclose(found.margins, own - other, atol=1e-5)
    assert found.remarks == (SCALE,)


def test_fragility_has_one_value_a_state_and_an_example(study):
    fragility = study[1].fragility
    assert isinstance(fragility, Fragility)
    assert fragility.trace.shape[0] == 5
    length = len(fragility.values)
    own = fragility.trace[fragility.example]
    assert np.isfinite(own[: length + 1]).all()
    assert np.isnan(own[length + 1 :]).all()
    peaks = np.nanmax(fragility.trace, axis=1)
    assert np.sort(peaks)[2] == peaks[fragility.example]


def test_a_lipschitz_cell_has_radii_an_exponent_and_a_verdict(study):
    found = study[1]
    assert found.radii.shape == (21,)
    np.testing.assert_array_equal(found.radii > 0, found.margins > 0)
    assert np.isfinite(found.exponent)
    assert found.drive > 0
    assert isinstance(found.stability.verdict, StabilityVerdict)


def test_it_is_plain_json(study):
    plain = json.loads(json.dumps(study[1].to_dict(), allow_nan=False))
    assert plain["lyapunov_exponent"] == study[1].exponent
    assert plain["stability"]["verdict"] == study[1].stability.verdict.name.lower()
    assert plain["fragility"]["trace"][0][-1] is None or np.isfinite(plain["fragility"]["trace"][0][-1])
    assert len(plain["curves"]["curves"]) == len(PERTURBATIONS)


@pytest.mark.slow
def test_what_cannot_be_had_says_why():
    """Mean pooling has no last state to bend, gaps have no certified radius, NaN has no exponent."""
    options = {
        "cell": "mgrn",
        "hidden_size": 2,
        "missing": "cell",
        "readout__pooling": "mean",
        "standardise": False,
    }
    model = fitted(0.3, **options)
    plan = replace(QUICK, time_budget=0.0)
    found = robustness_study(model, ramps(cases=12, seed=1, missing=0.3), plan)
    assert "pooling='last'" in found.fragility
    assert "pooling='last'" in found.radii
    assert "not finite" in found.exponent
    assert found.drive == 0
    assert found.remarks[:2] == (PLAIN_SCALE, GAPS)
    assert "not known" in found.remarks[2]
    assert json.loads(json.dumps(found.to_dict()))["fragility"] == found.fragility


@pytest.mark.parametrize("name", ["seeds", "fragility_cases", "time_budget"])
def test_impossible_plans_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}=-1"):
        RobustnessPlan(**{name: -1})
