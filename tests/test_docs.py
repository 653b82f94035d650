"""Pages for users: their Python runs as it stands, and prints what the pages say."""

import re
import sys
import types
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "write_your_own_cell.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_blocks(page, capsys):
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
