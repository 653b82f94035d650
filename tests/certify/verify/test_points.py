"""Inputs that a query fixes: answers at the threshold, numbers that no float holds, boxes that are empty."""

import time

import numpy as np
import pytest

import attractor.certify.verify.solve as solving
from attractor.certify.dual.attack import Attack
from attractor.certify.verify.solve import Satisfied, solve_query, write_certificate
from attractor.certify.verify.vnnlib_files import read_query

onnx = pytest.importorskip("onnx")

_TENTH = np.float32(0.1)


@pytest.fixture(scope="module")
def rectified(tmp_path_factory):
    """y = relu(x0 - x1) - 0.25."""
    return saved(tmp_path_factory.mktemp("net") / "net.onnx", "Relu", [[1.0], [-1.0]], [0.0], [-0.25])


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """y = relu(x0), whose ends are exact."""
    return saved(tmp_path_factory.mktemp("net") / "single.onnx", "Relu", [[1.0], [0.0]], [0.0], [0.0])


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    """y = tanh(x0) - 0.25, which has no exact value."""
    return saved(tmp_path_factory.mktemp("net") / "bent.onnx", "Tanh", [[1.0], [0.0]], [0.0], [-0.25])


def saved(path, function, weight, bias, shift):
    make = onnx.helper.make_node
    arrays = {"w": np.array(weight), "b": np.array(bias), "e": np.eye(len(shift)), "s": np.array(shift)}
    nodes = [
        make("Gemm", ["x", "w", "b"], ["z"]),
        make(function, ["z"], ["h"]),
        make("Gemm", ["h", "e", "s"], ["y"]),
    ]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", len(weight)), ("y", len(shift)))
    ]
    kept = [onnx.numpy_helper.from_array(one.astype(np.float32), key) for key, one in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:], kept)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def asked(folder, network, *assertions, seconds=30):
    lines = [f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0")]
    path = folder / "query.vnnlib"
    path.write_text("\n".join([*lines, *(f"(assert {one})" for one in assertions)]))
    found = solve_query(read_query(path), {"N": network}, seconds=seconds, proofs=True)
    assert found.seconds < 10
    return found


def fixed(*values):
    return [f"({sign} X_{k} {value})" for k, value in enumerate(values) for sign in ("<=", ">=")]


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("(<= Y_0 0.5)", Satisfied.SAT),
        ("(>= Y_0 0.5)", Satisfied.SAT),
        ("(< Y_0 0.5)", Satisfied.UNSAT),
        ("(> Y_0 0.5)", Satisfied.UNSAT),
        ("(<= Y_0 0.499999999999999999999)", Satisfied.UNSAT),  # its nearest float is 0.5
        ("(>= Y_0 0.500000000000000000001)", Satisfied.UNSAT),
        ("(< Y_0 0.500000000000000000001)", Satisfied.SAT),
    ],
)
def test_a_condition_that_is_met_at_its_threshold_is_decided(tmp_path, rectified, condition, answer):
    assert asked(tmp_path, rectified, *fixed("1.5", "0.75"), condition).answer is answer


def test_a_point_without_an_exact_value_is_not_decided_at_its_threshold_and_at_once(tmp_path, bent):
    found = asked(tmp_path, bent, *fixed("0.0", "0.0"), "(< Y_0 -0.25)")
    assert found.answer in (Satisfied.UNKNOWN, Satisfied.UNSAT)
    assert asked(tmp_path, bent, *fixed("0.0", "0.0"), "(< Y_0 -0.26)").answer is Satisfied.UNSAT


def test_what_intervals_cannot_confirm_is_no_certificate_and_that_is_said(tmp_path, rectified):
    found = asked(tmp_path, rectified, *fixed("1.5", "0.75"), "(> Y_0 0.5)")
    path = tmp_path / "proof.att"
    said = write_certificate(found, {"N": rectified}, None, path)
    assert said
    assert path.exists() == ("checked" in said)


def test_a_number_that_no_float_holds_is_the_nearest_one_of_the_input(tmp_path, rectified):
    found = asked(tmp_path, rectified, *fixed("0.1", "-0.3"), "(<= Y_0 0.16)")
    assert found.answer is Satisfied.SAT
    assert found.assignment is not None
    inputs = found.assignment["X"]
    assert inputs.ravel().tolist() == [float(_TENTH), float(np.float32(-0.3))]
    assert asked(tmp_path, rectified, *fixed("0.1", "-0.3"), "(<= Y_0 0.14)").answer is Satisfied.UNSAT


def test_unsat_needs_both_readings_of_such_a_number_and_sat_the_one_that_can_be_run(tmp_path, rectified):
    # float32(0.1) is above 0.1: y = x - 0.25 at both is within a hair of -0.15.
    between = (float(_TENTH) + 0.1) / 2 - 0.25
    below, above = fixed("0.1", "0.0"), f"(>= Y_0 {between!r})"
    found = asked(tmp_path, rectified, *below, above, seconds=1)
    assert found.answer is not Satisfied.UNSAT
    found = asked(tmp_path, rectified, *below, f"(<= Y_0 {between!r})", seconds=1)
    assert found.answer is not Satisfied.UNSAT  # 0.1 itself satisfies it


def test_other_conditions_hold_for_the_nearest_number_as_well(tmp_path, rectified):
    # 0.1 <= 0.1 + x1 only with the literal: the number that is run is larger.
    found = asked(tmp_path, rectified, *fixed("0.1", "0.0"), "(<= (+ X_0 X_1) 0.1)")
    assert found.answer is not Satisfied.SAT


@pytest.mark.parametrize(
    "ends",
    [
        ["(< X_0 0.0)", "(> X_0 0.0)"],
        ["(< X_0 0.0)", "(>= X_0 0.0)"],
        ["(<= X_0 0.0)", "(> X_0 0.0)"],
        ["(<= X_0 0.0)", "(>= X_0 0.0)", "(> X_0 -0.0)"],
        ["(< X_0 0.1)", "(>= X_0 0.1)"],
    ],
)
def test_strict_bounds_that_leave_nothing_are_unsat_at_once(tmp_path, rectified, ends):
    found = asked(tmp_path, rectified, *ends, *fixed("", "0.5")[2:], "(<= Y_0 100.0)")
    assert found.answer is Satisfied.UNSAT
    assert found.pieces == 0


def test_a_strict_bound_beside_a_narrower_closed_one_excludes_nothing(tmp_path, rectified):
    ends = ["(< X_0 1.0)", "(<= X_0 0.5)", "(>= X_0 0.5)"]
    found = asked(tmp_path, rectified, *ends, *fixed("", "0.5")[2:], "(<= Y_0 100.0)")
    assert found.answer is Satisfied.SAT


def test_boxes_that_the_time_does_not_reach_are_neither_stated_nor_called_absent(tmp_path, bent, monkeypatch):
    stated, claim = [], solving._claim

    def slow(*given):
        stated.append(given)
        time.sleep(0.3)
        return claim(*given)

    monkeypatch.setattr(solving, "_claim", slow)
    boxes = " ".join(f"(and (<= X_0 {k}.5) (>= X_0 {k}.0) (<= Y_0 -9.0))" for k in range(9))
    path = tmp_path / "query.vnnlib"
    lines = [f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0")]
    path.write_text(
        "".join([*lines, *(f"(assert {one})" for one in [*fixed("", "0.0")[2:], f"(or {boxes})"])])
    )
    found = solve_query(read_query(path), {"N": bent}, seconds=0.2)
    assert found.answer is Satisfied.TIMED_OUT
    assert found.lower == -np.inf
    assert len(stated) < 3
    assert solve_query(read_query(path), {"N": bent}, seconds=60).answer is Satisfied.UNSAT


_JUST_INSIDE = [
    "(< Y_0 0.5000000000000000000000000000001)",
    "(> Y_0 0.7499999999999999999999999999999)",
    "(< (* 3 Y_0) 1.5000000000000000000000000001)",
    "(> (* 0.1 Y_0) 0.07499999999999999999999999999)",
]


@pytest.mark.parametrize("condition", _JUST_INSIDE)
def test_a_threshold_that_is_rounded_to_what_is_attained_is_never_unsatisfied(
    single, tmp_path, condition, monkeypatch
):
    """The least (largest) output is a float that lies just on the other side of a threshold that is none."""
    monkeypatch.setattr(Attack, "tried", lambda *_: False)
    monkeypatch.setattr(Attack, "round", lambda *_: False)
    box = ["(>= X_0 0.5)", "(<= X_0 0.75)", "(<= X_1 0)", "(>= X_1 0)"]
    found = asked(tmp_path, single, *box, condition, seconds=1)
    assert found.answer is not Satisfied.UNSAT


@pytest.mark.parametrize("condition", ["(< Y_0 0.5)", "(> Y_0 0.75)", "(< (* 3 Y_0) 1.5)"])
def test_a_threshold_that_is_a_float_is_met_and_certified(single, tmp_path, condition):
    box = ["(>= X_0 0.5)", "(<= X_0 0.75)", "(<= X_1 0)", "(>= X_1 0)"]
    found = asked(tmp_path, single, *box, condition, seconds=5)
    assert found.answer is Satisfied.UNSAT
    said = write_certificate(found, {"N": single}, tmp_path / "query.vnnlib", tmp_path / "c.npz")
    assert "checked on" in said
