"""Properties of the test signals and of recorded experiments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.control import (
    PHNeutralisation,
    QuadrupleTank,
    add_noise,
    binary,
    multilevel,
    record_experiments,
)
from attractor.control.plants.experiments import hold_for, split_lengths
from attractor.errors import ConfigError


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 400), shortest=st.integers(1, 20))
def test_levels_are_held_within_limits(seed, samples, shortest):
    signal = multilevel(seed, samples, [1.0, -5.0], [2.0, 5.0], hold=(shortest, 2 * shortest))
    assert signal.shape == (samples, 2)
    assert np.all((signal >= [1.0, -5.0]) & (signal <= [2.0, 5.0]))
    for column in signal.T:
        changes = np.flatnonzero(np.diff(column)) + 1
        durations = np.diff(np.concatenate([[0], changes]))
        assert np.all((durations >= shortest) & (durations <= 2 * shortest))


def test_levels_cover_the_range_evenly():
    signal = multilevel(0, 200_000, 0.0, 1.0, hold=(1, 10))
    counts, _ = np.histogram(signal, bins=10, range=(0, 1))
    assert np.abs(counts / len(signal) - 0.1).max() < 0.01


def test_the_seed_decides():
    np.testing.assert_array_equal(multilevel(3, 50, 0, 1), multilevel(3, 50, 0, 1))
    assert not np.array_equal(multilevel(3, 50, 0, 1), multilevel(4, 50, 0, 1))


def test_channels_are_independent():
    signal = multilevel(0, 50_000, [0, 0], [1, 1], hold=(5, 15))
    assert abs(np.corrcoef(signal.T)[0, 1]) < 0.05


def test_jitter_shakes_but_stays_in_range():
    signal = multilevel(0, 500, 10.0, 20.0, jitter=0.1)
    assert np.all(np.diff(signal[:, 0]) != 0) or (signal == 10.0).any() or (signal == 20.0).any()
    assert signal.min() >= 10.0
    assert signal.max() <= 20.0


def test_a_binary_signal_has_two_levels():
    signal = binary(0, 5000, [-1.0, 3.0], [1.0, 4.0], hold=(2, 6))
    assert [np.unique(column).tolist() for column in signal.T] == [[-1.0, 1.0], [3.0, 4.0]]
    assert np.abs(signal.mean(axis=0) - [0.0, 3.5]).max() < 0.1


def test_noise_has_the_deviation_asked_for_and_leaves_its_input_alone():
    clean = np.zeros((20_000, 2))
    noisy = add_noise(0, clean, [0.5, 0.0])
    assert noisy.std(axis=0) == pytest.approx([0.5, 0.0], rel=0.02)
    assert not clean.any()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 0, 0.0, 1.0), "at least one"),
        ((0, 10, 1.0, 1.0), "range"),
        ((0, 10, [0.0, 2.0], [1.0, 1.0]), "range"),
    ],
)
def test_impossible_signals_are_refused(arguments, text):
    with pytest.raises(ConfigError, match=text):
        multilevel(*arguments)


@pytest.mark.parametrize("hold", [(0, 5), (6, 5)])
def test_impossible_holds_are_refused(hold):
    with pytest.raises(ConfigError, match="hold"):
        binary(0, 10, 0.0, 1.0, hold=hold)


def test_negative_noise_is_refused():
    with pytest.raises(ConfigError, match="at least 0"):
        add_noise(0, np.zeros((3, 1)), -1.0)


def test_a_recorded_plant_is_a_record():
    record = record_experiments(QuadrupleTank(), {"train": 100, "test": 100}, seed=1)
    assert [signal.label for signal in (*record.inputs, *record.outputs)] == [
        "v1 [V]",
        "v2 [V]",
        "h1 [cm]",
        "h2 [cm]",
    ]
    assert [(e.name, len(e)) for e in record.experiments] == [("train", 100), ("test", 100)]
    assert record.sampling_time == 5.0
    assert not np.array_equal(record.experiments[0].inputs, record.experiments[1].inputs)


def test_a_record_repeats_and_its_noise_is_measurement_noise():
    plant = PHNeutralisation()
    noisy = record_experiments(plant, 500, seed=5)
    again = record_experiments(plant, 500, seed=5)
    clean = record_experiments(plant, 500, seed=5, noise=0.0)
    for one, other, quiet in zip(noisy.experiments, again.experiments, clean.experiments, strict=True):
        np.testing.assert_array_equal(one.outputs, other.outputs)
        np.testing.assert_array_equal(one.inputs, quiet.inputs)
        assert (one.outputs - quiet.outputs).std() == pytest.approx(0.01, rel=0.25)


@pytest.mark.parametrize("samples", [5, 8000, 8001, 12345])
def test_split_lengths_add_up(samples):
    assert sum(split_lengths(samples).values()) == samples


def test_holds_follow_the_settling_time():
    assert hold_for(350.0, 10.0) == (7, 70)
    assert hold_for(1.0, 10.0) == (1, 1)
