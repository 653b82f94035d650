"""Cells in cards and back."""

import json
from functools import partial

import pytest

from attractor.cells import GRU, Lipschitz, LipschitzForm
from attractor.errors import RunFolderError
from attractor.training.networks import describe_option, find_cell


def saved(cell):
    return json.loads(json.dumps(describe_option(cell)))


def test_a_cell_with_plain_options_comes_back():
    found = find_cell(saved(partial(GRU, timescales=(2.0, 30.0))), None, "Kind")
    assert (found.func, found.keywords) == (GRU, {"timescales": (2.0, 30.0)})


def test_a_cell_with_an_option_that_is_only_described_must_be_handed_in():
    cell = partial(Lipschitz, step=0.1, form=LipschitzForm(learned_step="fixed"))
    with pytest.raises(RunFolderError, match=r"form=.*Kind.load\(folder, cell=partial"):
        find_cell(saved(cell), None, "Kind")
    assert find_cell(saved(cell), cell, "Kind") is cell
