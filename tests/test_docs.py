"""Pages for users: their Python runs as it stands, and prints what the pages say."""

import re
import sys
import types
from pathlib import Path

import numpy as np

from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard
from attractor.control.plants.own_plant import own_plant
from attractor.data import Scaling, Signal

PAGES = Path(__file__).parents[1] / "docs"
PAGE = PAGES / "write_your_own_cell.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_blocks(page, capsys, names=None):
    """What every block prints; lines are counted as in the page, so that a failure points there."""
    text = page.read_text()
    module = types.ModuleType("a_page")
    sys.modules[module.__name__] = module
    printed = []
    for block in BLOCK.finditer(text):
        blank = "\n" * text[: block.start(1)].count("\n")
        exec(compile(blank + block[1], str(page), "exec"), module.__dict__)  # noqa: S102 (our own page)
        printed.append(capsys.readouterr().out)
    del sys.modules[module.__name__]
    if names is not None:
        names.update(module.__dict__)
    return printed


def test_write_your_own_cell(capsys):
    printed = run_blocks(PAGE, capsys)
    assert "(5, 3)" in printed[0]
    assert re.search(r"yes Lyapunov exponents +\['count'\] .* carried along, not differentiated", printed[2])
    assert "no  certificates" in printed[2]
    assert "bfloat16" in printed[5]
    assert "1.1" in printed[6]
    mistakes = printed[7].splitlines()
    assert len(mistakes) == 4
    said = ("with `if`", "into a NumPy array", "returns the new state alone", "a state like initial_state()")
    for line, words in zip(mistakes, said, strict=True):
        assert words in line
    assert "write_your_own_cell.md:" in mistakes[0]


def test_write_your_own_plant(capsys):
    """Both plants of the page are plants, and rest where their equations say: 3 u = 2.5 sqrt(level)."""
    names = {}
    run_blocks(PAGES / "write_your_own_plant.md", capsys, names)
    card = ModelCard(
        Signals((Signal("pump", "V"),), (Signal("level", "cm"),), 2.0),
        Scaling(np.array([5.0]), np.array([4.0])),
        Scaling(np.array([36.0]), np.array([20.0])),
    )
    for name, nature in (("Tank", np.zeros(0)), ("TwoTanks", np.zeros(1))):
        plant = own_plant(names[name], card, name)
        for _ in range(600):
            plant.advance(np.array([5.0]), nature)
        np.testing.assert_allclose(plant.measure(), [36.0], rtol=1e-3)
