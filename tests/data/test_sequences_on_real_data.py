"""The real labelled series: shapes, classes and findings as the folder's own description has them."""

from dataclasses import replace

import numpy as np
import pytest

from attractor.data import Sequences, compare_sequences, examine_sequences, read_sequences


@pytest.mark.parametrize(
    ("name", "shape", "test_counts"),
    [
        ("JapaneseVowels", (270, 29, 12), [31, 35, 88, 44, 29, 24, 40, 50, 29]),
        ("PenDigits", (7494, 8, 2), [363, 364, 364, 336, 364, 335, 336, 364, 336, 336]),
        ("ECG5000", (401, 140, 1), [2626, 1590, 86, 175, 22]),
        ("RacketSports", (151, 30, 6), [43, 40, 34, 35]),
    ],
)
def test_training_and_test_files_agree(series_data, name, shape, test_counts):
    train = read_sequences(series_data / f"{name}_train.npz")
    test = read_sequences(series_data / f"{name}_test.npz", like=train)
    assert train.values.shape == shape
    assert (test.names, test.classes) == (train.names, train.classes)
    assert list(test.counts().values()) == test_counts
    assert not train.has_missing
    assert "leak" not in [finding.code for finding in compare_sequences(train, test)]


def test_unequal_lengths(series_data):
    data = read_sequences(series_data / "JapaneseVowels_train.npz")
    assert (data.lengths.min(), data.lengths.max()) == (7, 26)
    assert data.classes == tuple("123456789")


def test_images_read_row_by_row(series_data):
    data = read_sequences(series_data / "MNIST_train.npz")
    assert data.values.shape == (5000, 28, 28)
    assert (data.values.min(), data.values.max()) == (0, 255)
    assert set(data.counts().values()) == {500}


def test_intensive_care(series_data):
    data = read_sequences(series_data / "PhysioNet2012_train.npz")
    test = read_sequences(series_data / "PhysioNet2012_test.npz", like=data)
    assert data.names[0] == test.names[0] == "ALP"
    assert data.counts() == {"0": 3446, "1": 554}
    findings = {finding.code: finding for finding in examine_sequences(data)}
    assert np.mean(list(findings["missing"].numbers.values())) == pytest.approx(0.808, abs=1e-3)
    assert findings["empty-cases"].numbers == {"cases": 3}
    assert findings["constant"].signal == "MechVent"
    wild = {finding.signal for finding in examine_sequences(data) if finding.code == "wild-values"}
    assert wild == {"Temp", "Urine", "pH"}, "among them 0 degrees Fahrenheit, and an acidity of 735"
    (far,) = compare_sequences(data, test)
    assert "case 2661, step 1, variable 'pH': 99" in far.message


def test_a_rare_class_and_a_repeated_recording(series_data):
    findings = examine_sequences(read_sequences(series_data / "ECG5000_train.npz"))
    assert {finding.code for finding in findings} == {"few-cases", "imbalance", "repeated-cases"}


@pytest.mark.parametrize(
    "name", ["BasicMotions", "NATOPS", "SpokenDigitsMFCC", "WatchExercises", "HAR_subset"]
)
def test_axes_are_right_and_swapped_ones_are_named(series_data, name):
    data = read_sequences(series_data / f"{name}_train.npz")
    assert not {"axes", "counter"} & {finding.code for finding in examine_sequences(data)}
    turned = Sequences.from_arrays(np.nan_to_num(data.values[:300]).swapaxes(1, 2))
    assert "axes" in {finding.code for finding in examine_sequences(turned)}


@pytest.mark.parametrize("name", ["MNIST", "PenDigits", "PhysioNet2012", "GunPoint", "ItalyPowerDemand"])
def test_other_axes_are_right_too(series_data, name):
    data = read_sequences(series_data / f"{name}_train.npz")
    plain = replace(data, names=tuple(f"v{position + 1}" for position in range(len(data.names))))
    assert not {"axes", "counter"} & {finding.code for finding in examine_sequences(plain)}
