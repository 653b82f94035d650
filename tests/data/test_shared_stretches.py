"""Windows of one recording: found whatever their hop, type and variables, and never invented."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from attractor.data import (
    Sequences,
    common_stretches,
    compare_sequences,
    examine_sequences,
    hold_out_recordings,
    read_sequences,
    shared_stretches,
)

RECORDINGS = 6


def windows(size=40, hop=20, variables=2, kind="walk", seed=0):
    """Windows of recordings that have nothing in common, in a random order, and whose they are."""
    rng = np.random.default_rng(seed)
    cases, owners = [], []
    for owner in range(RECORDINGS):
        values = rng.normal(size=(5 * size, variables))
        if kind != "noise":
            values = values.cumsum(axis=0)
        if kind == "coarse":
            values = values.round(1)
        cases.append(sliding_window_view(values, size, axis=0)[::hop].swapaxes(1, 2))
        owners += [owner] * len(cases[-1])
    order = rng.permutation(len(owners))
    return np.concatenate(cases)[order], np.array(owners)[order]


def agrees(found, owners):
    """Whether two numberings of groups divide the cases alike."""
    pairs = set(zip(found.tolist(), owners.tolist(), strict=True))
    return len(pairs) == len(set(found.tolist())) == len(set(owners.tolist()))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("size", "hop", "variables", "shape"),
    [
        (40, 20, 2, "walk"),
        (40, 1, 1, "walk"),
        (40, 31, 3, "noise"),
        (60, 13, 1, "coarse"),
        (12, 6, 1, "noise"),
        (12, 6, 2, "walk"),
        (300, 150, 1, "coarse"),
    ],
)
def test_windows_are_put_together(size, hop, variables, shape, kind):
    values, owners = windows(size, hop, variables, shape)
    scaled = (1e-3 * values).astype(kind)
    assert agrees(shared_stretches(Sequences.from_arrays(scaled)).recordings, owners)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("by", ["deviation", "range"])
def test_windows_that_were_scaled_one_by_one(by, kind):
    values, owners = windows(kind="noise")
    ends = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    if by == "range":
        scaled = (values - ends[0]) / (ends[1] - ends[0])
    else:
        scaled = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, ddof=1, keepdims=True)
    assert agrees(shared_stretches(Sequences.from_arrays(scaled.astype(kind))).recordings, owners)


def test_windows_of_unequal_lengths_with_gaps_and_parts_of_others():
    rng = np.random.default_rng(0)
    long, other = rng.normal(size=(2, 200, 2)).cumsum(axis=1)
    long[rng.random(long.shape) < 0.1] = np.nan
    cases = [long[:90], other, long[70:130], long[20:50], long[150:]]
    assert shared_stretches(Sequences.from_arrays(cases)).recordings.tolist() == [0, 1, 0, 0, 2]


def test_one_of_two_variables_may_differ():
    values, owners = windows()
    values[:, :, 1] = np.random.default_rng(1).normal(size=values.shape[:2])
    assert agrees(shared_stretches(Sequences.from_arrays(values)).recordings, owners)


def steps(rng):
    """Levels that are held, of a handful of values, as digital signals have."""
    return np.repeat(rng.integers(0, 3, (80, 12)), 5, axis=1)


def scaled_alone(rng):
    walks = rng.normal(size=(80, 50)).cumsum(axis=1)
    return (walks - walks.mean(axis=1, keepdims=True)) / walks.std(axis=1, keepdims=True)


SOUND = {
    "scaled alone": scaled_alone,
    "constant and little else": lambda rng: np.where(np.arange(60) < 55, 0.0, rng.normal(size=(80, 60))),
    "steps": steps,
    "digits": lambda rng: rng.integers(0, 10, (200, 8)),
    "sines": lambda rng: np.sin(0.3 * np.arange(50) + rng.uniform(0, 6, (80, 1))),
    "noise": lambda rng: rng.normal(size=(80, 30, 3)),
    "ramps of one slope": lambda rng: np.arange(50.0) + rng.normal(size=(80, 1)),
    "missing": lambda rng: np.where(rng.random((80, 40, 3)) < 0.9, np.nan, rng.integers(50, 90, (80, 40, 3))),
}


@pytest.mark.parametrize("name", SOUND)
def test_no_recording_is_invented(name):
    data = Sequences.from_arrays(SOUND[name](np.random.default_rng(0)).astype(float))
    assert not shared_stretches(data).sharing.any()
    assert "shared-stretches" not in [one.code for one in examine_sequences(data)]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_test_file_that_holds_windows_of_the_training_recordings(kind):
    values, owners = windows(hop=10)
    train = Sequences.from_arrays(values[owners < 4])
    # The test file has two of the four recordings as well, saved in another type, and one of its own.
    values, owners = windows(hop=7)
    test = Sequences.from_arrays(values[owners > 1, 1:].astype(kind))
    found = common_stretches(train, test)
    np.testing.assert_array_equal(found, owners[owners > 1] < 4)
    (finding,) = [one for one in compare_sequences(train, test) if one.code == "common-stretches"]
    assert finding.message.startswith(f"{found.sum()} of {len(test)} test cases share stretches of values")


def test_whole_recordings_are_held_out_and_it_is_said():
    values, owners = windows()
    data = Sequences.from_arrays(values, owners % 2)
    parts = hold_out_recordings(data, 0.2)
    assert not {*owners[parts.kept]} & {*owners[parts.held]}
    assert {*(owners[parts.held] % 2)} == {0, 1}
    assert parts.recordings == (
        f"{len(data)} of {len(data)} cases share stretches of values with others, as windows of {RECORDINGS} "
        "recording(s) do; they stay on one side."
    )
    assert not parts.objection
    (finding,) = [one for one in examine_sequences(data) if one.code == "shared-stretches"]
    assert finding.numbers == {"cases": len(data), "recordings": RECORDINGS}


@pytest.mark.parametrize("labels", [lambda owners: owners == 0, lambda owners: owners < 0])
def test_a_class_of_one_recording_is_divided_with_an_objection(labels):
    values, owners = windows()
    data = Sequences.from_arrays(values, np.where(labels(owners), "rare", "usual"))
    parts = hold_out_recordings(data, 0.2)
    rare = np.flatnonzero(owners == 0)
    is_rare = bool(labels(owners).any())
    assert bool({*parts.kept} & {*rare} and {*parts.held} & {*rare}) == is_rare
    assert ("All cases of class 'rare' are of one recording" in parts.objection) == is_rare
    others = owners != 0
    assert not {*owners[parts.kept][others[parts.kept]]} & {*owners[parts.held][others[parts.held]]}


def test_cases_that_share_nothing_are_held_out_one_by_one():
    values = np.random.default_rng(0).normal(size=(50, 20, 1))
    parts = hold_out_recordings(Sequences.from_arrays(values, np.arange(50) % 2), 0.2)
    assert len(parts.held) == 10
    assert not parts.recordings + parts.objection


REAL = {
    "WatchExercises": (1043, 70),
    "HAR_subset": (1229, 513),
    "MNIST": (0, 0),
    "NATOPS": (0, 0),
    "PenDigits": (0, 0),
    "PhysioNet2012": (0, 0),
    "SpokenDigitsMFCC": (0, 0),
    "JapaneseVowels": (0, 0),
    "ECG5000": (2, 1),
}


@pytest.mark.parametrize("name", REAL)
def test_real_windows_are_found_and_real_cases_are_left_alone(series_data, name):
    data = read_sequences(series_data / f"{name}_train.npz")
    found = shared_stretches(data)
    assert (np.count_nonzero(found.sharing), found.recording_count) == REAL[name]
    if name == "WatchExercises":
        # Ten subjects did seven exercises.
        kinds = {(one, label) for one, label in zip(found.recordings, data.labels, strict=True)}
        assert len(kinds) == 70
