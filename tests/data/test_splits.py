"""Held-out data are blocks, and every sample is in exactly one part."""

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import Experiment, Record, Signal, hold_out
from attractor.errors import ConfigError, InputDataError


def record_of_lengths(*lengths):
    ends = np.cumsum([0, *lengths])
    blocks = [np.arange(a, b, dtype=np.float64)[:, None] for a, b in pairwise(ends)]
    experiments = tuple(Experiment(f"e{k}", block, block) for k, block in enumerate(blocks))
    return Record((Signal("u"),), (Signal("y"),), experiments)


def values(record):
    return [experiment.inputs[:, 0].tolist() for experiment in record.experiments]


def test_the_end_of_one_experiment():
    split = hold_out(record_of_lengths(100), 0.25)
    assert values(split.training) == [list(range(75))]
    assert values(split.validation) == [list(range(75, 100))]
    assert split.description == "Held out the last 25% of the record as one block: 25 of 100 samples."


def test_whole_experiments_when_there_are_five():
    split = hold_out(record_of_lengths(50, 50, 50, 50, 50), 0.2)
    assert [e.name for e in split.validation.experiments] == ["e4"]
    assert split.description == "Held out 1 of 5 experiments (e4) with 50 of 250 samples."


def test_short_experiments_stay_for_training():
    split = hold_out(record_of_lengths(100, 12), 0.2)
    assert [len(e) for e in split.training.experiments] == [80, 12]
    assert "1 experiment(s) too short" in split.description


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.integers(2, 60), min_size=1, max_size=8), st.floats(0.05, 0.95))
def test_no_sample_is_lost_or_used_twice(lengths, fraction):
    record = record_of_lengths(*lengths)
    try:
        split = hold_out(record, fraction, shortest=2)
    except InputDataError:
        assert len(lengths) < 5
        return
    together = values(split.training) + values(split.validation)
    assert sorted(chain.from_iterable(together)) == list(range(record.samples))
    assert all(block == list(range(int(block[0]), int(block[-1]) + 1)) for block in together)


def test_refusals():
    with pytest.raises(InputDataError, match=r"longest experiment has 20 rows; .* less than 10 rows"):
        hold_out(record_of_lengths(20), 0.2)
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="not between 0 and 1"):
            hold_out(record_of_lengths(100), fraction)
