"""Sweeps: results in order, resumed after a failure, the same wherever they run; what a user may do wrong."""

import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from attractor.errors import ConfigError
from attractor.sweeps import Task, spread, store_for, sweep

SHAPES = {"square": (2,)}


def squared(number, log):
    """The square of a number and of its double; every call leaves a line in a file."""
    with log.open("a") as lines:
        lines.write(f"{number}\n")
    if number < 0:
        message = "a negative number"
        raise ValueError(message)
    return {"square": np.array([number**2, 4.0 * number**2])}


def tasks(numbers, log):
    return [Task(f"number-{k}", squared, (number, log), SHAPES) for k, number in enumerate(numbers)]


class Heard:
    """Remembers what it was told."""

    def __init__(self):
        self.counts, self.closed = [], False

    def update(self, done, total, message=""):
        self.counts.append((done, total))

    def close(self):
        self.closed = True


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_results_come_in_the_order_of_the_tasks(tmp_path, backend):
    heard = Heard()
    with spread(backend, 2):
        found = sweep(tasks([3.0, 1.0, 2.0], tmp_path / "log"), reporter=heard)
    assert [one["square"].tolist() for one in found] == [[9, 36], [1, 4], [4, 16]]
    assert heard.counts == [(1, 3), (2, 3), (3, 3)]
    assert heard.closed


def test_a_sweep_that_was_stopped_computes_only_what_is_missing(tmp_path):
    log, heard = tmp_path / "log", Heard()
    with pytest.raises(ValueError, match="negative"):
        sweep(tasks([1.0, -1.0, 2.0], log), store_for(tmp_path, "digest"))
    assert log.read_text().split() == ["1.0", "-1.0"]
    found = sweep(tasks([1.0, 5.0, 2.0], log), store_for(tmp_path, "digest"), heard)
    assert log.read_text().split() == ["1.0", "-1.0", "5.0", "2.0"], "the first one was there"
    assert heard.counts == [(2, 3), (3, 3)]
    assert [one["square"][0] for one in found] == [1, 25, 4]


def test_parts_of_another_sweep_or_damaged_ones_are_computed_again(tmp_path):
    log = tmp_path / "log"
    sweep(tasks([1.0], log), store_for(tmp_path, "digest"))
    (part,) = (tmp_path / "parts" / "digest").glob("*.safetensors")
    whole, values = part.read_bytes(), load_file(part)
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    sweep(tasks([1.0], log), store_for(tmp_path, "digest"))
    assert all(np.array_equal(found, values[name]) for name, found in load_file(part).items())
    sweep(tasks([1.0], log), store_for(tmp_path, "other"))
    wider = [task._replace(shapes={"square": (3,)}) for task in tasks([1.0], log)]
    assert store_for(tmp_path, "digest").find(wider[0]) is None
    assert log.read_text().split() == ["1.0"] * 3


def test_nothing_to_do_is_no_mistake():
    assert sweep([]) == []


def test_a_cluster_needs_dask_and_no_other_backend_has_a_scheduler(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install attractor\[cluster\]"), spread("dask"):
        pass
    with (
        pytest.raises(ConfigError, match="only the backend dask has one"),
        spread("loky", 1, "tcp://one:8786"),
    ):
        pass
