"""A classifier as the audit reads it: the same answers, and gaps that no disturbance touches."""

import jax.numpy as jnp
import numpy as np
import pytest
from labelled_ramps import fitted, ramps

from attractor.audit import perturbed
from attractor.classification.reading import bare_cell, filled, scaled_cases, some_of, value_logits
from attractor.data import MISSING, channel_blocks, fill
from attractor.errors import InputDataError


def with_gaps(seed=0, shape=(4, 7, 2)):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    values[rng.random(shape) < 0.4] = np.nan
    values[0, 0] = np.nan  # before the first value nothing is known
    return values.astype(np.float32)


@pytest.mark.parametrize("policy", [name for name in MISSING if name != "error"])
def test_gaps_are_filled_as_the_data_are(policy):
    values = with_gaps()
    expected = fill(values, np.full(4, 7), policy)
    found = np.stack([np.asarray(filled(jnp.asarray(case), policy)) for case in values])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_the_audit_sees_the_logits_of_the_model():
    data = ramps(missing=0.2)
    model = fitted(0.2, missing="forward+mask+age", noise__additive=0.1)
    cases, logits = scaled_cases(model, data), value_logits(model)
    found = [
        logits(jnp.asarray(x), jnp.asarray(n)) for x, n in zip(cases.inputs[:6], cases.lengths, strict=False)
    ]
    np.testing.assert_allclose(np.stack(found), model.logits(data)[:6], atol=1e-5)
    np.testing.assert_array_equal(cases.labels, data.labels)
    network = model.network()
    assert bare_cell(network) is network.cell.cell


@pytest.mark.parametrize("name", ["white", "dropped samples", "time jitter", "drift"])
def test_a_perturbation_changes_values_and_leaves_masks_and_ages(name):
    values = with_gaps()
    changed = perturbed(name, 0.5, values)
    before, after = (
        np.stack([np.asarray(filled(jnp.asarray(case), "forward+mask+age")) for case in part])
        for part in (values, changed)
    )
    size = values.shape[2]
    assert channel_blocks("forward+mask+age") * size == after.shape[2]
    np.testing.assert_array_equal(after[:, :, size:], before[:, :, size:])
    assert not np.array_equal(after[:, :, :size], before[:, :, :size])


def test_gaps_that_the_model_refuses_are_refused_here():
    model = fitted()
    with pytest.raises(InputDataError, match="missing"):
        scaled_cases(model, ramps(missing=0.2))


def test_some_cases_are_spread_over_the_classes():
    data = ramps(cases=40)
    some = some_of(data, 10)
    assert len(some) == 10
    assert len(set(some.ids)) == 10
    assert set(some.counts().values()) == {5}
    assert some_of(data, 40) is data
