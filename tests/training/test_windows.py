"""Windows: where they lie, how often each is drawn, and how short recordings are filled up."""

import jax
import numpy as np
import pytest

from attractor.errors import InputDataError
from attractor.training import Windows

LENGTHS = (7, 3, 12, 5)
LENGTH = 5


def recordings(lengths=LENGTHS):
    """Every value names its recording and its row, so that a window says where it came from."""
    return [
        np.column_stack([np.full(size, 100.0 * index), np.arange(1.0, size + 1)])
        for index, size in enumerate(lengths, start=1)
    ]


@pytest.fixture(scope="module")
def windows():
    signals = recordings()
    return Windows([one.sum(axis=1, keepdims=True) for one in signals], signals, LENGTH)


@pytest.fixture(scope="module")
def batch(windows):
    return windows.draw(jax.random.key(0), 2000)


def test_every_window_lies_inside_one_recording(batch):
    for outputs, valid in zip(np.asarray(batch.outputs), np.asarray(batch.valid), strict=True):
        inside = outputs[valid]
        assert len(set(inside[:, 0])) == 1
        np.testing.assert_array_equal(np.diff(inside[:, 1]), 1)


def test_inputs_and_outputs_of_a_window_are_the_same_rows(batch):
    np.testing.assert_array_equal(batch.inputs[..., 0], batch.outputs.sum(axis=-1))


def test_every_place_is_possible_once_and_no_other(windows):
    """The draw is uniform over starts, so this list is the distribution."""
    expected = []
    first = 0
    for size in LENGTHS:
        expected += range(first, first + max(size - LENGTH, 0) + 1)
        first += size
    assert windows._starts.tolist() == expected
    assert len(expected) == 3 + 1 + 8 + 1


def test_long_recordings_are_drawn_in_proportion_to_their_places(batch):
    names = np.asarray(batch.outputs)[:, 0, 0] // 100
    shares = np.array([np.mean(names == name) for name in (1, 2, 3, 4)])
    # Four standard deviations of a share of 2000 draws are at most 0.045.
    np.testing.assert_allclose(shares, np.array([3, 1, 8, 1]) / 13, atol=0.045)


def test_a_short_recording_is_padded_and_marked(batch):
    short = np.asarray(batch.outputs)[:, 0, 0] == 200
    assert short.any()
    np.testing.assert_array_equal(
        np.asarray(batch.valid)[short], np.tile([True, True, True, False, False], (short.sum(), 1))
    )
    assert np.asarray(batch.valid)[~short].all()


def test_a_last_recording_that_is_short_does_not_repeat_rows_of_others():
    signals = recordings((2,))
    batch = Windows(signals, signals, LENGTH).draw(jax.random.key(0), 3)
    np.testing.assert_array_equal(batch.outputs[0, :, 1], [1, 2, 0, 0, 0])


def test_the_same_key_draws_the_same_windows(windows):
    one, two = (windows.draw(jax.random.key(3), 4) for _ in range(2))
    np.testing.assert_array_equal(one.outputs, two.outputs)
    assert not np.array_equal(one.outputs, windows.draw(jax.random.key(4), 4).outputs)


def test_the_first_row_of_an_example_is_where_its_window_starts(windows):
    key = jax.random.key(5)
    drawn = windows.draw(key, 6)
    whole = np.concatenate(recordings())
    for example in range(6):
        np.testing.assert_array_equal(drawn.outputs[example, 0], whole[windows.first_row(key, 6, example)])


@pytest.mark.parametrize("lengths", [(), (4, 0)])
def test_no_rows_to_draw_from(lengths):
    signals = recordings(lengths)
    with pytest.raises(InputDataError, match="at least one row"):
        Windows(signals, signals, LENGTH)
