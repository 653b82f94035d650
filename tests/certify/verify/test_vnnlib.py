import ast
import importlib.util
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from attractor.certify.verify.formula import (
    AllOf,
    AnyOf,
    Comparison,
    Polynomial,
    Variable,
    compared,
    disjuncts,
    holds,
    input_box,
)
from attractor.certify.verify.source import Source
from attractor.certify.verify.vnnlib_files import read_query
from attractor.errors import AttractorError, InputDataError, UnsupportedError

COMPETITION = Path(__file__).resolve().parents[3] / "../shared/data/vnncomp"
NAMES = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n"
NETWORK = """(vnnlib-version <2.0>)
(declare-network N
    (declare-input X real [1,2])
    (declare-output Y real [2]))
"""
TWO = "(vnnlib-version <2.0>)\n"
PAIR = "(declare-network {} (declare-input {} {} {}) (declare-output {} real [2]))\n"
ONE = PAIR.format("N", "X", "real", "[1,2]", "Y")
HIDDEN = TWO + "(declare-network N (declare-input X real [2]) {} (declare-output Y real [2]))\n"
USED = "(assert (<= Y[0] 1.0))"
needs_vnnlib = pytest.mark.skipif(
    importlib.util.find_spec("vnnlib") is None, reason="the package vnnlib is not installed"
)


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "question.vnnlib"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_query(path)

    return read


def of(tensor, index=0):
    return Polynomial.of(Variable(tensor, index))


def number(value):
    return Polynomial.constant(Fraction(value))


def test_the_old_format_becomes_a_query(read):
    query = read(NAMES + "; a remark (\n(assert (<= X_0\n  0.1)) (assert (or (and (> Y_0 X_1) (= 1 Y_0))))\n")
    (network,) = query.networks
    assert query.version == "1.0"
    assert network.name == "N"
    assert [(each.name, each.shape, each.kind) for each in network.inputs] == [("X", (2,), "input")]
    assert [(each.name, each.shape, each.kind) for each in network.outputs] == [("Y", (1,), "output")]
    assert network.inputs[0].variables == (Variable("X", 0), Variable("X", 1))
    assert query.formula == AllOf((
        Comparison(of("X") - number("0.1")),
        AnyOf((
            AllOf((
                Comparison(of("X", 1) - of("Y"), strict=True),
                compared(number(1), "==", of("Y")),
            )),
        )),
    ))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0.1", number(Fraction(1, 10))),
        ("-1.5e-3", number(Fraction(-3, 2000))),
        ("+2E2", number(200)),
        (".5", number(Fraction(1, 2))),
        ("4.9406564584124654e-324", number(Fraction("4.9406564584124654e-324"))),
        ("(- X_0)", -of("X")),
        ("(- X_0 X_1 2)", of("X") - of("X", 1) - number(2)),
        ("(+ X_0 X_1 Y_0)", of("X") + of("X", 1) + of("Y")),
        ("(* 2 X_0 (- Y_0 1))", (of("X") * (of("Y") - number(1))).scale(2)),
        ("(+ (* 0.1 X_0) (* -0.1 X_0))", number(0)),
    ],
)
def test_quantities_of_the_old_format_are_exact(read, written, expected):
    query = read(f"{NAMES}(assert (<= {written} 0))")
    assert query.formula == AllOf((Comparison(expected),))


@needs_vnnlib
def test_the_new_format_becomes_a_query(read):
    query = read(
        """; first a remark: (vnnlib-version <1.0>)
(vnnlib-version <2.0>)
(declare-network N
    (declare-input X float32 [2,3])
    (declare-hidden H float32 [2] "a \\"name\\" (")
    (declare-output Y float32 [1]))
(declare-network M (equal-to N)
    (declare-input X2 float32 [2,3])
    (declare-hidden H2 float32 [2] "h")
    (declare-output Y2 float32 [1]))
(assert (and (<= X[1,2] 0.1) (or (!= Y[0] Y2[0]) (> (- H[1]) (* 2.0 X[0,1] X2[0,0])))))
(assert (== X[0,0] -1.5)) ; without a line end"""
    )
    first, second = query.networks
    assert query.version == "2.0"
    assert (first.equal_to, second.equal_to, second.isomorphic_to) == (None, "N", None)
    assert (first.inputs[0].shape, first.inputs[0].dtype, first.inputs[0].size) == ((2, 3), "float32", 6)
    assert (first.hidden[0].onnx_name, first.inputs[0].onnx_name) == ('a "name" (', None)
    assert query.formula == AllOf((
        AllOf((
            Comparison(of("X", 5) - number("0.1")),
            AnyOf((
                compared(of("Y"), "!=", of("Y2")),
                compared(-of("H", 1), ">", (of("X", 1) * of("X2")).scale(2)),
            )),
        )),
        compared(of("X"), "==", number("-1.5")),
    ))


ISOMORPHIC = """(vnnlib-version <2.0>)
; (isomorphic-to Z)
(declare-network N (declare-input X float32 [2]) (declare-output Y float32 [1]))
(declare-network M (isomorphic-to
    N) (declare-input X2 float16 {}) (declare-hidden H float16 [1] "(isomorphic-to N)")
    (declare-output Y2 float16 [1]))
(assert (<= Y2[0] 1.0))
"""


@needs_vnnlib
def test_isomorphic_networks_may_have_different_types(read):
    first, second = read(ISOMORPHIC.format("[2]")).networks
    assert (first.isomorphic_to, second.isomorphic_to) == (None, "N")
    assert (first.inputs[0].dtype, second.inputs[0].dtype) == ("float32", "float16")
    assert second.hidden[0].onnx_name == "(isomorphic-to N)"
    for shape in ("[3]", "[1,2]", "[]"):
        with pytest.raises(InputDataError, match=r"line 4: .*[Ss]hape"):
            read(ISOMORPHIC.format(shape))


@needs_vnnlib
def test_equal_networks_of_different_types_and_later_mistakes_are_refused(read):
    with pytest.raises(InputDataError, match=r"line \d: Type mismatch for variable number 0 between"):
        read(ISOMORPHIC.format("[2]").replace("isomorphic-to\n", "equal-to\n"))
    with pytest.raises(InputDataError, match=r"line 7: Y2\[-1\] is outside of the shape"):
        read(ISOMORPHIC.format("[2]").replace("Y2[0]", "Y2[-1]"))
    with pytest.raises(InputDataError, match=r"question\.vnnlib, line \d: "):
        read(ISOMORPHIC.format("[2]").replace("Y2[0]", "Y3[0]"))


@needs_vnnlib
def test_literals_of_the_new_format_are_exact(read):
    query = read(NETWORK + "(assert (<= Y[0] 0.1000000000000000055511151231257827021181583404541015625))")
    (comparison,) = query.formula.parts
    assert comparison.polynomial.terms[()] == -Fraction(0.1)
    assert comparison.polynomial.terms[()] != -Fraction("0.1")


@needs_vnnlib
def test_both_formats_say_the_same(read):
    old = read(NAMES + "(assert (or (<= X_0 0.25) (>= Y_0 (+ X_1 (* 2.0 X_0)))))")
    new = read(NETWORK + "(assert (or (<= X[0,0] 0.25) (>= Y[0] (+ X[0,1] (* 2.0 X[0,0])))))")
    assert old.formula == new.formula


@needs_vnnlib
def test_a_scalar_has_one_entry(read):
    query = read(
        "(vnnlib-version <2.0>)(declare-network N (declare-input X real []) (declare-output Y real [1]))"
        "(assert (<= X 1.0))"
    )
    assert query.networks[0].inputs[0].variables == (Variable("X", 0),)
    assert query.formula == AllOf((Comparison(of("X") - number(1)),))


OLD = [
    ("", "nothing is asserted: add an"),
    (NAMES, "nothing is asserted: add an"),
    (NAMES + "(assert (<= X_0 1)", r"line 4: '\(' is never closed: add the"),
    (NAMES + "(assert (<= X_0 1)))", r"line 4: '\)' stands outside of parentheses: only"),
    (NAMES + "X_0", "line 4: 'X_0' stands outside of parentheses"),
    (NAMES + "()", r"line 4: '\(\)' is no command: only declare-const and assert"),
    (NAMES + "(check-sat)", "line 4: 'check-sat' is no command"),
    (NAMES + "(assert (or))", "line 4: 'or' joins nothing: give it a part"),
    (NAMES + "(assert\n(and))", "line 5: 'and' joins nothing: give it a part"),
    (NAMES + "(assert (-))", "line 4: '-' joins nothing"),
    (NAMES + "(assert)", "line 4: 'assert' has 0 formulas: write one"),
    (NAMES + "(assert (<= X_0 1) (<= X_0 1))", "line 4: 'assert' has 2 formulas"),
    (NAMES + "(assert (<= X_0 1 2))", "line 4: '<=' compares 3 quantities: give it two"),
    (NAMES + "(assert (<= X_7 1))", r"line 4: 'X_7' is not declared: add \(declare-const X_7"),
    (NAMES + "(assert (<= X_00 1))", "line 4: 'X_00' is not declared"),
    (NAMES + "(assert (<= 1..0 X_0))", "line 4: '1..0' is not declared"),
    (NAMES + "(assert (<= \u0661 X_0))", "line 4: '\u0661' is not declared"),
    (NAMES + "(assert (not (<= X_0 1)))", "line 4: 'not' is no operator: use one of and or"),
    (NAMES + "(assert (<= X_0 (/ 1 3)))", "line 4: '/' is no operator"),
    (NAMES + "(assert ((<= X_0 1)))", "line 4: an operator is expected there: one of"),
    (NAMES + "(assert X_0)", r"line 4: 'X_0' a formula is expected there, such as"),
    (NAMES + "(assert (+ X_0 1))", "line 4: a formula is expected there, such as"),
    (NAMES + "(assert (<= (<= X_0 1) 1))", "line 4: a quantity is expected there, not a formula: such"),
    (NAMES + "(assert (and (assert (<= X_0 1))))", "line 4: 'assert' is a command: it may not"),
    (NAMES + "(declare-const X_0 Real)", "line 4: 'X_0' is declared twice: delete one"),
    (NAMES + "(declare-const Z_0 Real)", "line 4: 'declare-const' 'Z_0 Real' is not understood: write"),
    (NAMES + "(declare-const X_2 Int)", "line 4: 'declare-const' 'X_2 Int' is not understood"),
    (NAMES + "(declare-const (X_2) Real)", "line 4: "),
    (NAMES + "(declare-const X_3 Real)(assert (<= X_0 1))", "X_2 is not declared: add"),
    ("(declare-const X_0 Real)(assert (<= X_0 1))", "Y_0 is not declared: add"),
    (NAMES + "(assert (<= X_0 1e999999999))", "line 4: the number '1e999999999' has over .* round it"),
    (NAMES + f"(assert (<= X_0 1{'0' * 5000}))", "line 4: the number '10000.* round it"),
    (
        NAMES + "(assert (<= " + "(- " * 100_000 + "X_0" + ")" * 100_000 + " 1))",
        "deeper than 1000 .* flatter",
    ),
    (NAMES + "(" * 100_000, "deeper than 1000 parentheses: write the formula flatter"),
    (b"(declare-const\n X_0 \xff", "line 2: byte 0xff is no UTF-8: unpack"),
    (b"\x1f\x8b\x08\x00", "byte 0x8b is no UTF-8: unpack the file"),
    (NAMES + "(assert\0", "line 4: a zero byte: this is no text; unpack"),
]


@pytest.mark.parametrize(("text", "message"), OLD, ids=range(len(OLD)))
def test_what_is_wrong_in_the_old_format_is_named_with_the_remedy(read, text, message):
    with pytest.raises(InputDataError, match=rf"question\.vnnlib.*{message}"):
        read(text)


NEW = [
    (TWO + ONE + "(assert (or))", r"line 3: Parse error.*: correct it by"),
    (TWO + ONE + "(assert (<= Y[0] 1.5e-3))", "line 3: Parse error"),
    (TWO + ONE, "line 3: Parse error|line 2: Parse error"),
    (TWO, "Parse error"),
    (TWO + ONE + "(assert (<= Z[0] 1.0))", "line 3: Undeclared variable at 'Z': Variable must be declared"),
    (TWO + ONE + "(assert (<= Y[2] 1.0))", r"line 3: Index out of bounds for variable at 'Y\[2\]'"),
    (TWO + ONE + "\n(assert (<= Y[-1] 1.0))", r"line 4: Y\[-1\] is outside of the shape \[2\]: count from 0"),
    (TWO + ONE + "(assert (<= X[0] 1.0))", r"line 3: Not enough indices for variable at 'X\[0\]'"),
    (TWO + PAIR.format("N", "X", "real", "[0]", "Y") + USED, "line 2: .*Dimensions must be positive"),
    (TWO + PAIR.format("N", "X", "real", "[2]", "X") + USED, "line 2: Duplicate variable declaration at 'X'"),
    (
        TWO + ONE + PAIR.format("N", "X2", "real", "[2]", "Y2") + USED,
        "line 3: N is declared twice: give each its own name",
    ),
    (TWO + PAIR.format("N", "X", "complex64", "[2]", "Y") + USED, "line 2: the type of X is not known, or"),
    (TWO + PAIR.format("N", "X", "Real", "[2]", "Y") + USED, "line 2: .* use one of real, float16"),
    (HIDDEN.format('(declare-hidden H real [1] "")') + USED, "line 2: H has an empty ONNX name: write"),
    (
        TWO + ONE + "(declare-network M (equal-to N) (isomorphic-to N) (declare-input X2 real [1,2])"
        "(declare-output Y2 real [2]))" + USED,
        "line 3: network M is both equal-to and isomorphic-to: delete one",
    ),
    (TWO + ONE + f"(assert (<= Y[0] {'9' * 400}.0))", "line 3: the parser fails at a long number .* shorten"),
    (TWO + ONE + f"(assert (<= Y[{'9' * 30}] 1.0))", "line 3: the parser fails at a long number"),
    (TWO + ONE + "(assert (<= Y\u00e9[0] 1.0))", "line 3: .* a letter beyond ASCII .* replace it"),
    ("(vnnlib-version <2.7>)\n" + ONE + USED, "line 1: version '2.7' is not read: write"),
    ("(vnnlib-version <1.0>)\n" + ONE + USED, "line 1: version '1.0' is not read: write"),
    (TWO + ONE + "(assert " + "(and " * 100_000 + USED, "line 3: more than 1000 .* flatter"),
    (ONE + USED, "line 1: 'declare-input' is no operator: use one of"),
]


@needs_vnnlib
@pytest.mark.parametrize(("text", "message"), NEW, ids=range(len(NEW)))
def test_what_is_wrong_in_the_new_format_is_named_with_the_remedy(read, text, message):
    with pytest.raises(InputDataError, match=rf"question\.vnnlib.*({message})"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        NAMES + "(assert (<= (* " + "X_0 " * 100 + ") 1))",
        NAMES + "(assert (<= (* " + "1e1999 " * 100 + ") 1))",
        pytest.param(NETWORK + "(assert (<= (* " + "Y[0] " * 100 + ") 1.0))", marks=needs_vnnlib),
    ],
    ids=["degree", "digits", "new"],
)
def test_products_that_grow_too_large_are_refused_in_their_line(read, text):
    with pytest.raises(UnsupportedError, match=r"line [45]: a product of .* write it with fewer factors"):
        read(text)


@needs_vnnlib
@pytest.mark.timeout(30)
def test_a_string_that_is_never_closed_is_not_searched_again_and_again(read):
    with pytest.raises(InputDataError, match="line 2: Parse error"):
        read(TWO + '"\\' * 300_000)


def test_lines_are_counted_for_errors_only(read, monkeypatch):
    counted = []
    line_at = Source.line_at
    monkeypatch.setattr(Source, "line_at", lambda *given: counted.append(given) or line_at(*given))
    read(NAMES + "(assert (<= (* 2 X_0) 1))\n" * 5)
    assert not counted
    with pytest.raises(InputDataError, match="line 4: the number"):
        read(NAMES + "(assert (<= X_0 1e99999))")
    assert len(counted) == 1


@needs_vnnlib
def test_a_tensor_of_an_absurd_size_is_refused(read):
    with pytest.raises(UnsupportedError, match="line 2: X has 100000000000000 entries, more than 100000000"):
        read(TWO + PAIR.format("N", "X", "real", "[10000000,10000000]", "Y") + USED)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path):
    with pytest.raises(InputDataError, match=r"none\.vnnlib: cannot be read .* check the path and"):
        read_query(tmp_path / "none.vnnlib")
    large = tmp_path / "large.vnnlib"
    with large.open("wb") as file:
        file.truncate(200_000_001)
    with pytest.raises(InputDataError, match=r"large\.vnnlib: larger than 200000000 bytes: split it"):
        read_query(large)


def test_without_the_parser_only_the_new_format_is_refused(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "vnnlib", None)
    assert read(NAMES + "(assert (<= X_0 1))").version == "1.0"
    with pytest.raises(UnsupportedError, match=r"pip install attractor\[verify\]"):
        read(NETWORK + USED)


def test_the_parser_is_not_imported_before_it_is_needed():
    code = "import sys, attractor.certify.verify.vnnlib_files; sys.exit('vnnlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def conformance_queries():
    """Sources of the conformance suite: importing them takes packages that are not here."""
    suite = importlib.util.find_spec("vnntest")
    if suite is None or suite.origin is None:
        return []
    return sorted((Path(suite.origin).parent / "core/tests").glob("*/*.py"))


def written_query(path):
    """What `build_vnnlib_spec` returns: a text, or lines joined by loops; it uses nothing of its module."""
    tree = ast.parse(path.read_text())
    builder = next(node for node in tree.body if getattr(node, "name", "") == "build_vnnlib_spec")
    names = {}
    exec(compile(ast.Module([builder], []), str(path), "exec"), names)  # noqa: S102 - only this function
    return names["build_vnnlib_spec"]()


@needs_vnnlib
def test_every_query_of_the_conformance_suite_is_read(read):
    paths = conformance_queries()
    if not paths:
        pytest.skip("the conformance suite vnntest is not installed")
    assert len(paths) > 150
    for path in paths:
        query = read(written_query(path))
        declared = {
            variable
            for network in query.networks
            for tensor in (*network.inputs, *network.hidden, *network.outputs)
            for variable in tensor.variables
        }
        used = {
            variable
            for clause in disjuncts(query.formula)
            for each in clause
            for variable in each.polynomial.variables
        }
        assert used
        assert used <= declared, path


def competition_files():
    if not COMPETITION.is_dir():
        pytest.skip("the files of the competition are not in shared/data/vnncomp")
    return sorted(COMPETITION.glob("*/*.vnnlib"))


def test_every_file_of_the_competition_is_read():
    paths = competition_files()
    assert len(paths) == 70
    for path in paths:
        query = read_query(path)
        for clause in disjuncts(query.formula):
            box = input_box(clause, query.networks[0].inputs[0].variables)
            assert box is not None
            assert box.rest, path


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "clauses", "comparisons"),
    [
        ("test/test_nano", 1, 1, 1, 3),
        ("acasxu/prop_7", 5, 5, 2, 13),
        ("mnist_fc/prop_2_0.03", 784, 10, 9, 1569),
        ("reach_prob_density/robot_2", 5, 5, 1, 15),
        ("rl_benchmarks/lunarlander_case_safe_2", 8, 4, 1, 17),
    ],
)
def test_counts_of_the_competition_are_those_of_the_files(name, inputs, outputs, clauses, comparisons):
    competition_files()
    query = read_query(COMPETITION / f"{name}.vnnlib")
    (network,) = query.networks
    found = disjuncts(query.formula)
    assert (network.inputs[0].size, network.outputs[0].size) == (inputs, outputs)
    assert [len(clause) for clause in found] == [comparisons] * clauses


def test_a_file_of_the_competition_holds_where_it_says():
    competition_files()
    query = read_query(COMPETITION / "acasxu/prop_7.vnnlib")
    values = {Variable("X", index): Fraction(0) for index in range(5)}
    for least, expected in ((0, False), (3, True), (4, True)):
        outputs = {Variable("Y", index): Fraction(index != least) for index in range(5)}
        assert holds(query.formula, values | outputs) is expected


MUTATED = NAMES + "(assert (<= X_0 0.5))\n(assert (or (and (>= Y_0 -1e-3) (< (* 2 X_0) X_1)) (= X_1 0)))\n"


@pytest.mark.parametrize(
    "text", [MUTATED, pytest.param(NETWORK + USED, marks=needs_vnnlib)], ids=["old", "new"]
)
def test_bytes_changed_at_random_give_errors_of_the_library_only(read, text):
    rng = random.Random(3)  # noqa: S311 - damage, no secrets
    said = []
    for _ in range(300):
        damaged = bytearray(text.encode())
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(damaged))
            match rng.randrange(3):
                case 0:
                    damaged[place] = rng.randrange(256)
                case 1:
                    del damaged[place : place + rng.randint(1, 9)]
                case _:
                    damaged[place:place] = damaged[rng.randrange(len(damaged)) :][:9]
        try:
            read(bytes(damaged))
        except AttractorError as problem:
            said.append(str(problem))
    assert 100 < len(said) < 300
    assert all("question.vnnlib" in each for each in said)
