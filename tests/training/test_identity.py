"""Where a cell of the user's own was written, and by which name it is found there."""

import hashlib
import sys
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import pytest

from attractor.cells import GRU, Elman, Lipschitz
from attractor.cli.own_cells import own_cell
from attractor.training.identity import _file_of

SOURCE = """
from functools import partial

import equinox as eqx
import jax.numpy as jnp

from attractor.cells import GRU, Cell


class Mine(Cell):
    input_size: int
    hidden_size: int

    def __call__(self, input, state, *, key=None):
        return 0.5 * state


def build(inputs, hidden, *, key):
    return Mine(inputs, hidden)


Tuned = partial(Mine, 3)
made = Mine(1, 2)
House = partial(GRU, timescales=(2.0, 3.0))
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("name", ["Mine", "build", "Tuned", "made"])
def test_what_was_given_is_found_again_by_the_name_it_was_given_by(file, name):
    facts = _file_of(own_cell(f"{file}:{name}"))
    assert facts == {
        "path": str(file),
        "name": name,
        "sha256": hashlib.sha256(SOURCE.encode()).hexdigest(),
    }


def softly(values):
    return jnp.tanh(values) / 2


@pytest.mark.parametrize(
    "build", ["gru", GRU, partial(GRU, timescales=(2.0, 3.0)), partial(Lipschitz, step=0.1)]
)
def test_a_cell_of_the_house_has_no_file(build, file):
    assert _file_of(build) is None
    assert _file_of(own_cell(f"{file}:House")) is None


def test_a_function_among_the_options_of_a_cell_of_the_house_is_the_users_own():
    facts = _file_of(partial(Elman, activation=softly))
    assert (facts["path"], facts["name"]) == (str(Path(__file__)), "softly")


def test_a_cell_from_the_prompt_has_no_file_and_is_the_users_own_all_the_same():
    space = {"__name__": "prompt"}
    exec("class Typed:\n    pass", space)  # noqa: S102
    assert "prompt" not in sys.modules
    assert _file_of(space["Typed"]) == {"path": "no file", "name": "Typed", "sha256": ""}
