"""What counts as a mutant, and how long what became of one holds."""

import pytest

from benchmarks import mutants
from benchmarks.mutants import Outcomes, Room, fits, summary

SOURCE = '''
"""Of 3 numbers."""
LIMIT: "int | None" = 3


@dataclass(frozen=True)
class Pair:
    first: int | None = 2


def larger(one: int | str, other: "Pair", *, twice: bool = False) -> int | None:
    """Returns 1."""
    if isinstance(one, int | str):
        raise ValueError(f"{one + 1} is no pair")
    return [a - b for a, b in zip(one, other, strict=True)]
'''


def idle_text(source):
    lines = source.splitlines()
    spans = mutants._without_behaviour(source)
    return {lines[first[0] - 1][first[1] : last[1]] for first, last in spans if first[0] == last[0]}


def test_what_changes_no_behaviour_is_not_drawn():
    assert idle_text(SOURCE) == {
        '"int | None"', "int | None", "frozen=True", "int | str", '"Pair"', "bool", "strict=True",
        'raise ValueError(f"{one + 1} is no pair")',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "used"),
    [
        ("ReplaceBinaryOperator_Add_Sub", True), ("ReplaceBinaryOperator_Add_LShift", False),
        ("ReplaceBinaryOperator_BitAnd_BitOr", True), ("ReplaceBinaryOperator_BitOr_BitXor", False),
        ("ReplaceComparisonOperator_Lt_LtE", True), ("ReplaceComparisonOperator_Is_Eq", False),
        ("ReplaceComparisonOperator_Is_IsNot", True), ("ReplaceUnaryOperator_USub_UAdd", True),
        ("ReplaceUnaryOperator_USub_Invert", False), ("ReplaceUnaryOperator_Delete_Not", True),
        ("NumberReplacer", True), ("VariableInserter", False),
    ],
)  # fmt: skip
def test_an_operator_is_used_if_it_leaves_an_expression_meaningful(operator, used):
    assert fits(operator) is used


@pytest.fixture
def tree(tmp_path):
    for name in ("src/rule.py", "tests/test_a.py", "tests/test_b.py", "tests/shared.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    return tmp_path


ROOM = Room(("src/rule.py",), ("tests/test_a.py", "tests/test_b.py"), ())
SAID = {"seconds": 1.0, "said": ""}


def test_a_death_holds_while_what_killed_stays_and_a_survival_while_all_tests_stay(tree, tmp_path):
    def outcomes():
        return Outcomes(tmp_path / "kept", tree)

    outcomes().keep("x = 2\n", ROOM, {"status": 1, "failed": "tests/test_a.py::test_x", **SAID})
    outcomes().keep("x = 3\n", ROOM, {"status": 0, "failed": "", **SAID})
    assert outcomes().of("x = 2\n", ROOM)["status"] == 1
    assert outcomes().of("x = 3\n", ROOM)["status"] == 0
    assert outcomes().of("x = 4\n", ROOM) is None
    (tree / "tests/test_b.py").write_text("x = 2\n")
    assert outcomes().of("x = 2\n", ROOM)["status"] == 1
    assert outcomes().of("x = 3\n", ROOM) is None
    (tree / "tests/test_a.py").write_text("x = 2\n")
    assert outcomes().of("x = 2\n", ROOM) is None


@pytest.mark.parametrize("changed", ["src/rule.py", "tests/shared.py"])
def test_nothing_holds_for_another_source_or_what_tests_share(tree, tmp_path, changed):
    Outcomes(tmp_path / "kept", tree).keep("x = 2\n", ROOM, {"status": 0, "failed": "", **SAID})
    (tree / changed).write_text("x = 5\n")
    assert Outcomes(tmp_path / "kept", tree).of("x = 2\n", ROOM) is None


def test_the_summary_counts_the_dead_of_every_file():
    def mutant(file):
        return mutants.Mutant("room", file, 1, "NumberReplacer", "1", "2")

    found = [(mutant("a"), {"status": 1}), (mutant("a"), {"status": -24}), (mutant("b"), {"status": 0})]
    rows = summary(found)
    assert rows[0] == {"file": "a", "mutants": 2, "failed": 1, "ended": 1, "survived": 0, "dead": "100.0%"}
    assert [(row["file"], row["dead"]) for row in rows[1:]] == [("b", "0.0%"), ("all", "66.7%")]
