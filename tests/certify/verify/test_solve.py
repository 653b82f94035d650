"""Queries about ONNX networks: right verdicts, assignments that hold, limits kept, and faults named."""

from fractions import Fraction

import numpy as np
import pytest

from attractor.certify.verify.formula import Variable, holds
from attractor.certify.verify.solve import Satisfied, solve_query
from attractor.certify.verify.vnnlib_files import read_query
from attractor.cli.vnnlib_solver import main
from attractor.errors import InputDataError, UnsupportedError

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("vnnlib")

_NETWORK = """(declare-network {name}
    (declare-input {x} float32 [1,2])
    {hidden}(declare-output {y} float32 [1,2])
)"""


def _saved(folder, name="net", seed=0, units=6):
    """y = B relu(A x + a) + b; the sum before the rectifier is called `inner`."""
    generator = np.random.default_rng(seed)
    arrays = {
        "a": generator.normal(size=(2, units)),
        "c": generator.normal(size=units),
        "b": generator.normal(size=(units, 2)),
        "d": generator.normal(size=2),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Gemm", ["x", "a", "c"], ["inner"]),
        make("Relu", ["inner"], ["h"]),
        make("Gemm", ["h", "b", "d"], ["y"]),
    ]
    ports = [onnx.helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, [1, 2]) for one in ("x", "y")]
    kept = [onnx.numpy_helper.from_array(one.astype(np.float32), key) for key, one in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:], kept)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _largest(path, index=0):
    """The largest first output on a fine grid of [-1, 1]^2."""
    axis = np.linspace(-1, 1, 201, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return max(
        float(session.run(None, {"x": one})[0][0, index]) for one in grid[:: 1 if len(grid) < 50000 else 7]
    )


def _asked(folder, *assertions, hidden="", networks=1):
    declared = [
        _NETWORK.format(name=f"N{k}", x=f"X{k}", y=f"Y{k}", hidden=hidden if k == 0 else "")
        for k in range(networks)
    ]
    box = [f"(>= X{k}[0,{i}] -1.0)" for k in range(networks) for i in range(2)]
    box += [f"(<= X{k}[0,{i}] 1.0)" for k in range(networks) for i in range(2)]
    lines = ["(vnnlib-version <2.0>)", *declared, *(f"(assert {one})" for one in [*box, *assertions])]
    path = folder / "query.vnnlib"
    path.write_text("\n".join(lines))
    return read_query(path)


def _check(query, found, session_of):
    """Whether the formula holds, exactly, for what onnxruntime gives at the assigned inputs."""
    values = {}
    for declared in query.networks:
        inputs = [found.assignment[tensor.name] for tensor in declared.inputs]
        outputs = session_of(declared.name).run(None, {"x": inputs[0].astype(np.float32)})
        for tensor, array in zip([*declared.inputs, *declared.outputs], [*inputs, *outputs], strict=True):
            values |= {Variable(tensor.name, k): Fraction(float(v)) for k, v in enumerate(np.ravel(array))}
    return holds(query.formula, values)


def test_the_verdict_changes_at_the_largest_output(tmp_path):
    path = _saved(tmp_path)
    most = _largest(path)
    query = _asked(tmp_path, f"(>= Y0[0,0] {most + 0.02})")
    assert solve_query(query, {"N0": path}, seconds=30).answer is Satisfied.UNSAT
    query = _asked(tmp_path, f"(>= Y0[0,0] {most - 0.02})")
    found = solve_query(query, {"N0": path}, seconds=30)
    assert found.answer is Satisfied.SAT
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert _check(query, found, lambda _: session)


def test_alternatives_two_networks_products_and_hidden_arrays_are_one_question(tmp_path):
    first, second = _saved(tmp_path, "one", 1), _saved(tmp_path, "two", 2)
    files = {"N0": first, "N1": second}
    sessions = {
        name: runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for name, path in files.items()
    }
    query = _asked(
        tmp_path,
        "(or (and (>= Y0[0,0] 100.0) (<= X0[0,0] 0.0)) "
        "(and (>= (+ Y0[0,0] (* -1.0 Y1[0,1])) -50.0) (<= X1[0,0] -0.5)))",
        networks=2,
    )
    found = solve_query(query, files, seconds=30)
    assert found.answer is Satisfied.SAT
    assert _check(query, found, sessions.get)
    assert float(found.assignment["X1"].ravel()[0]) <= -0.5
    query = _asked(tmp_path, "(>= (* X0[0,0] X0[0,1]) 1.01)")
    assert solve_query(query, {"N0": first}, seconds=30).answer is Satisfied.UNSAT
    query = _asked(tmp_path, "(>= (* X0[0,0] X0[0,1]) 1.0)")  # only two corners
    assert solve_query(query, {"N0": first}, seconds=30).answer is Satisfied.SAT
    hidden = '(declare-hidden H float32 [1,6] "inner")\n'
    query = _asked(tmp_path, "(<= H[0,0] 0.0)", "(>= H[0,0] 0.1)", hidden=hidden)
    assert solve_query(query, {"N0": first}, seconds=30).answer is Satisfied.UNSAT


def test_boxes_that_are_empty_satisfy_nothing_and_points_are_decided(tmp_path):
    path = _saved(tmp_path)
    query = _asked(tmp_path, "(<= X0[0,0] -2.0)")
    assert solve_query(query, {"N0": path}).answer is Satisfied.UNSAT
    query = _asked(tmp_path, "(== X0[0,0] 0.25)", "(== X0[0,1] -0.5)", "(>= Y0[0,0] -1000.0)")
    found = solve_query(query, {"N0": path})
    assert found.answer is Satisfied.SAT
    assert found.assignment["X0"].ravel().tolist() == [0.25, -0.5]


def test_time_that_is_up_is_said_with_what_is_known(tmp_path):
    path = _saved(tmp_path, units=60)
    query = _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) + 1e-3})")
    found = solve_query(query, {"N0": path}, seconds=0)
    assert found.answer is Satisfied.TIMED_OUT
    assert found.lower <= found.attained


@pytest.mark.parametrize(
    ("files", "named"),
    [({}, "N0=FILE"), ({"N0": "missing.onnx"}, "missing")],
)
def test_files_that_are_missing_are_named(tmp_path, files, named):
    query = _asked(tmp_path, "(>= Y0[0,0] 0.0)")
    with pytest.raises(InputDataError, match=named):
        solve_query(query, {name: tmp_path / file for name, file in files.items()})


@pytest.mark.parametrize(
    "asserted", ["(<= (* 1e-330 Y_0) -1e-323)", "(>= (* 1e400 Y_0) 1e399)", "(<= X_0 1e400)"]
)
def test_numbers_that_float64_would_lose_are_refused(tmp_path, asserted):
    declared = (
        "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"
    )
    box = "(assert (>= X_0 -1))(assert (>= X_1 -1))(assert (<= X_1 1))(assert (<= Y_1 5))"
    box += "" if "X_0 1e400" in asserted else "(assert (<= X_0 1))"
    (tmp_path / "old.vnnlib").write_text(f"{declared}{box}(assert {asserted})")
    query = read_query(tmp_path / "old.vnnlib")
    with pytest.raises(UnsupportedError, match="other units"):
        solve_query(query, {query.networks[0].name: _saved(tmp_path)}, seconds=5)


def test_an_input_of_another_size_is_named(tmp_path):
    declared = "(declare-const X_0 Real)(declare-const Y_0 Real)"
    asserted = "(assert (<= X_0 1))(assert (>= X_0 0))(assert (<= Y_0 0))"
    (tmp_path / "old.vnnlib").write_text(declared + asserted)
    query = read_query(tmp_path / "old.vnnlib")
    with pytest.raises(InputDataError, match=r"\(1, 2\)"):
        solve_query(query, {query.networks[0].name: _saved(tmp_path)})


def test_the_command_line_says_the_verdict_first(tmp_path, capsys):
    path = _saved(tmp_path)
    _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) - 0.02})")
    given = ["verify", str(tmp_path / "query.vnnlib"), "--network", f"N0={path}", "--timeout", "20"]
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sat"
    assert lines[1].startswith("(X0[0,0] ")
    assert main([*given, "--serialise-assignments", str(tmp_path / "found")]) == 0
    assert capsys.readouterr().out == "sat\n"
    tensor = onnx.load_tensor(str(tmp_path / "found" / "X0.pb"))
    assert onnx.numpy_helper.to_array(tensor).shape == (1, 2)
    assert main(["verify", str(tmp_path / "none.vnnlib"), "--network", f"N0={path}"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "unknown\n"
    assert "none.vnnlib" in shown.err
    assert main(["supports", "--onnx-opset-versions"]) == 0
    assert capsys.readouterr().out == "7\n23\n"
    assert main(["--name"]) == 0
    assert capsys.readouterr().out == "attractor\n"
