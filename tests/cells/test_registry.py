import inspect

import jax
import pytest

from attractor.cells import FAMILIES, Cell, cell_class, exposed_size
from attractor.errors import ConfigError


@pytest.mark.parametrize("name", FAMILIES)
def test_every_name_builds_a_cell_in_the_same_order(name):
    parameters = inspect.signature(cell_class(name)).parameters
    assert list(parameters)[:2] == ["input_size", "hidden_size"]
    assert parameters["key"].kind is inspect.Parameter.KEYWORD_ONLY
    cell = cell_class(name)(2, 4, key=jax.random.key(0))
    assert isinstance(cell, Cell)
    assert (cell.input_size, cell.hidden_size) == (2, 4)
    assert exposed_size(cell) == {
        "esn": 6,
        "nnarx": 1,
        "polynomial-narx": 1,
        "mgrn": 8,
        "channelwise-lstm": 8,
    }.get(name, 4)


@pytest.mark.parametrize(
    ("name", "near"), [("gru-", "gru"), ("LSTM", None), ("lsmt", "lstm"), ("nnarxx", "nnarx"), ("?", None)]
)
def test_an_unknown_name_gets_the_nearest_one_and_all_of_them(name, near):
    with pytest.raises(ConfigError) as caught:
        cell_class(name)
    said = str(caught.value)
    assert said.startswith(f"unknown cell {name!r}")
    assert ("did you mean" in said) == (near is not None)
    assert near is None or f"did you mean {near!r}? Known" in said
    assert all(known in said for known in FAMILIES)
