"""Training against the worst that changes of values can do: what is bounded, mixed, chosen, refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_ramps import classifier, fitted, ramps

from attractor.classification import NoiseSettings
from attractor.classification.classifier_verification import certified_cases
from attractor.classification.worst_case import WorstCase, worst_logits
from attractor.errors import ConfigError
from attractor.training import cross_entropy

# Of float32, for sums of a few dozen numbers of about one.
ROUNDING = 1e-4


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_no_change_of_the_values_gets_ahead_of_the_worst_logits(pooling, relaxed):
    model, within = fitted(readout__pooling=pooling), 0.2
    network, data = model.network(), model.prepare(ramps())
    worst = jax.jit(
        lambda values, length, label: worst_logits(network, values, length, label, within, relaxed=relaxed)
    )
    run = jax.jit(jax.vmap(lambda values, length: network(values, length), in_axes=(0, None)))
    generator = np.random.default_rng(0)
    for case in range(3):
        values, length, label = data.inputs[case], data.lengths[case], data.labels[case]
        changes = within * generator.choice([-1.0, 1.0], (300, *values.shape))
        logits = run(values + jnp.asarray(changes, jnp.float32), length)
        ahead = logits - logits[:, label][:, None]
        assert (ahead <= worst(values, length, label) + ROUNDING).all()


def test_without_a_change_the_worst_loss_is_the_loss():
    model = fitted()
    network, data = model.network(), model.prepare(ramps())
    for relaxed in (False, True):
        worst = WorstCase(0.0, 0.5, 0.6, relaxed)
        found = worst.losses(network, data.inputs, data.lengths, data.labels)
        plain = cross_entropy(data.all_logits(network, 8), data.labels)
        np.testing.assert_allclose(found, plain, atol=ROUNDING)


def test_radius_and_share_grow_together_and_then_stay():
    worst = WorstCase(0.3, 0.5, 0.4, relaxed=False)
    np.testing.assert_allclose([worst.grown(at) for at in (0.0, 0.2, 0.4, 1.0)], [0, 0.5, 1, 1])
    np.testing.assert_allclose(worst.mixed(jnp.ones(2), jnp.full(2, 3.0), 0.5), 1.5)
    assert np.isfinite(replace(worst, ramp=0.0).grown(0.0))


def test_more_cases_keep_their_class_for_certain_than_without():
    """Held-out cases; both networks have the same size, seed and number of updates."""
    data, options = ramps(40, seed=3), {"training__epochs": 30, "cell": "tanh"}
    plain = classifier(**options).fit(ramps(40))
    trained = classifier(**options, noise__within=0.8, noise__worst_bound="interval").fit(ramps(40))
    found = [certified_cases(model, data, 1.0) for model in (plain, trained)]
    assert found[1].certified_accuracy > found[0].certified_accuracy + 0.1
    assert found[1].clean_accuracy > 0.9


def test_validation_is_of_the_same_loss_fully_grown():
    model = classifier(noise__within=0.3, noise__worst_bound="interval").fit(ramps())
    plain = model.fit(ramps()).trained_
    assert plain.scores[0] > 0
    examples = model._examples(ramps(), ramps(seed=1))
    network = model.network()
    losses = cross_entropy(examples.checking.all_logits(network, 8), examples.checking.labels)
    checking = examples.checking
    worst = examples.worst_case.losses(network, checking.inputs, checking.lengths, checking.labels)
    np.testing.assert_allclose(examples.validation(network), (losses.mean() + worst.mean()) / 2, rtol=1e-4)
    assert worst.mean() > losses.mean()


def test_what_could_not_be_bounded_is_refused():
    with pytest.raises(ConfigError, match="readout__convolutions=0"):
        classifier(noise__within=0.1, readout__convolutions=84).fit(ramps())
    with pytest.raises(ConfigError, match="missing='forward\\+mask'"):
        classifier(noise__within=0.1, missing="forward+mask").fit(ramps())
    with pytest.raises(ConfigError, match="worst_bound"):
        NoiseSettings(within=0.1, worst_bound="zonotope")
