"""Pages for users: their Python runs as it stands, and prints what the pages say."""

import re
import sys
import types
from pathlib import Path

import numpy as np
from test_cli_classify import call, said

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
    assert printed[1].splitlines() == ["(5, 2)", "first argument = input (1), second = state (2)"]
    assert re.search(r"yes Lyapunov exponents +\['count'\] .* carried along, not differentiated", printed[3])
    assert "no  certificates" in printed[3]
    assert "bfloat16" in printed[6]
    assert "1.1" in printed[7]
    mistakes = printed[8].splitlines()
    assert len(mistakes) == 4
    said = ("with `if`", "into a NumPy array", "returns the new state alone", "a state like initial_state()")
    for line, words in zip(mistakes, said, strict=True):
        assert words in line
    assert "write_your_own_cell.md:" in mistakes[0]


def test_prove(capsys):
    """What a block prints stands behind its lines as a comment."""
    printed = run_blocks(PAGES / "prove.md", capsys)
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", (PAGES / "prove.md").read_text(), re.MULTILINE)
    assert "".join(printed).split("\n")[:-1] == promised


COMMAND = re.compile(r"^attractor (\w+ mine\.py:.*?)(?: +#.*)?$", re.MULTILINE)


def test_the_readme_leads_from_a_function_to_code(tmp_path, monkeypatch, capsys):
    """Its block of Python is `mine.py`; every command about that file does what it says, with fewer steps."""
    text = (PAGES.parent / "README.md").read_text()
    (block,) = [one[1] for one in BLOCK.finditer(text) if "def henon" in one[1]]
    (tmp_path / "mine.py").write_text(block)
    (tmp_path / "u.csv").write_text("u\n" + "".join(f"{k % 3 - 1}\n" for k in range(300)))
    monkeypatch.chdir(tmp_path)
    commands = [one.split() for one in COMMAND.findall(text)]
    assert [words[0] for words in commands] == ["lyapunov", "dynamics", "lyapunov", "certify", "export"]
    shorter = {"dynamics": ["--steps", "300", "--starts", "8", "--certificate-budget", "0"]}
    for words in commands:
        words = ["300" if word == "20000" else word for word in words]
        assert call(*words, *shorter.get(words[0], [])) == 0, words
    told = said(capsys)
    assert "Proved for inputs within ±1" in told
    for name in ("lorenz/dynamics.html", "code/step.c", "code/step.py"):
        assert (tmp_path / name).is_file()


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
