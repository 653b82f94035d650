"""The command `attractor-vnnlib`: verdicts first, what is read, and mistakes without a traceback."""

from importlib.metadata import version

import numpy as np
import pytest

from attractor.cli.vnnlib_solver import main

onnx = pytest.importorskip("onnx")

_ABILITIES = {
    "onnx-operators": None,
    "onnx-opset-versions": ["7", "23"],
    "onnx-element-types": ["float32", "float64"],
    "vnnlib-versions": ["1.0", "2.0"],
    "multiple-network-theories": ["SNET", "MNET", "MENET", "MINET"],
    "hidden-node-theories": ["NH", "H"],
    "multiple-input-output-theories": ["SIO", "MIO"],
    "multiple-node-comparison-theories": ["SNC", "MNC"],
    "arithmetic-complexity-theories": ["BND", "OUTC", "LIN", "POLY"],
    "optimised-disjunctive-reasoning": ["false"],
    "serialise-assignments": ["true"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network y = max(x, 0), and queries about it."""
    folder = tmp_path_factory.mktemp("queries")
    port = onnx.helper.make_tensor_value_info
    ports = [port(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    nodes = [onnx.helper.make_node("Relu", ["x"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    box = "".join(f"(assert (>= X_{k} -1.0))(assert (<= X_{k} 1.0))" for k in range(2))
    declared = "".join(f"(declare-const {one}_{k} Real)" for one in "XY" for k in range(2))
    (folder / "sat.vnnlib").write_text(f"{declared}{box}(assert (>= Y_0 0.5))")
    (folder / "unsat.vnnlib").write_text(f"{declared}{box}(assert (<= Y_0 -0.5))")
    (folder / "bad.vnnlib").write_text(f"{declared}{box}(assert (>= Y_7 0.5))")
    (folder / "two.vnnlib").write_text(
        "(vnnlib-version <2.0>)(declare-network First (declare-input X float32 [1,2])"
        "(declare-output Y float32 [1,2]))"
        + "".join(f"(assert (>= X[0,{k}] -1.0))(assert (<= X[0,{k}] 1.0))" for k in range(2))
        + "(assert (>= Y[0,0] 0.5))"
    )
    return folder


@pytest.fixture
def ask(folder, capsys):
    """Runs `verify` on a query of the folder; status, standard output and error."""

    def asked(query, *words, network="net.onnx"):
        name, sign, file = network.rpartition("=")
        status = called(["verify", str(folder / query), "--network", f"{name}{sign}{folder / file}", *words])
        return (status, *capsys.readouterr())

    return asked


def called(words):
    """The exit status, also where the parser of arguments leaves."""
    try:
        return main(words)
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize("ability", list(_ABILITIES))
def test_each_ability_is_told_line_by_line(ability, capsys):
    assert main(["supports", f"--{ability}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == (_ABILITIES[ability] or sorted(lines))
    assert ability != "onnx-operators" or {"Relu", "Gemm", "Conv"} <= set(lines)


def test_all_abilities_at_once_come_in_the_order_of_the_questions(capsys):
    told = []
    for ability in _ABILITIES:
        assert main(["supports", f"--{ability}"]) == 0
        told.append(capsys.readouterr().out)
    assert main(["supports", *(f"--{one}" for one in _ABILITIES)]) == 0
    assert capsys.readouterr().out == "".join(told)
    assert main(["supports", *(f"--{one}" for one in reversed(_ABILITIES))]) == 0
    assert capsys.readouterr().out == "".join(reversed(told))


def test_name_and_version_are_told(capsys):
    assert main(["--name"]) == 0
    assert capsys.readouterr().out == "attractor\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{version('attractor')}\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "usage"),
        (["prove"], "prove"),
        (["supports"], "--onnx-operators"),
        (["supports", "--flying"], "--flying"),
        (["verify"], "query"),
    ],
)
def test_a_command_that_is_none_says_what_there_is(words, named, capsys):
    assert called(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in shown.err


@pytest.mark.parametrize("limit", ["nan", "inf", "-inf", "0", "-3", "1e400", "soon", ""])
def test_a_time_limit_that_is_none_is_refused_before_anything_is_tried(ask, limit):
    status, out, err = ask("sat.vnnlib", f"--timeout={limit}")
    assert (status, out) == (2, "")
    assert "time limit" in err
    assert "above zero" in err


def test_verdicts_come_first(ask):
    status, out, _ = ask("sat.vnnlib", "--timeout", "20")
    assert status == 0
    assert out.splitlines()[0] == "sat"
    assert len(out.splitlines()) == 5
    assert ask("unsat.vnnlib", "--timeout", "20")[:2] == (0, "unsat\n")
    assert ask("sat.vnnlib", "--timeout", "1e-3")[1].splitlines()[0] in ("sat", "timed-out")


@pytest.mark.parametrize(
    ("query", "network", "named"),
    [
        ("none.vnnlib", "net.onnx", "none.vnnlib"),
        ("sat.vnnlib", "none.onnx", "none.onnx"),
        ("bad.vnnlib", "net.onnx", "Y_7"),
        ("sat.vnnlib", "sat.vnnlib", "sat.vnnlib"),
    ],
)
def test_files_at_fault_are_named_without_a_traceback(ask, query, network, named):
    status, out, err = ask(query, network=network)
    assert (status, out) == (2, "unknown\n")
    assert named in err
    assert "Traceback" not in err


def test_a_name_that_the_query_does_not_have_is_refused_with_those_that_it_has(ask, folder):
    assert ask("two.vnnlib", network="First=net.onnx")[1].startswith("sat\n")
    assert ask("two.vnnlib")[1].startswith("sat\n")
    status, out, err = ask("two.vnnlib", network="Other=net.onnx")
    assert (status, out) == (2, "unknown\n")
    assert "Other" in err
    assert "First" in err
    status, _, err = ask("two.vnnlib", "--network", f"First={folder / 'net.onnx'}", network="First=net.onnx")
    assert status == 2
    assert "already" in err


def test_files_of_the_old_version_have_no_names(ask, folder):
    assert ask("unsat.vnnlib", network="Whatever=net.onnx")[:2] == (0, "unsat\n")
    more = "--network", f"B={folder / 'net.onnx'}"
    assert ask("unsat.vnnlib", *more, network="A=net.onnx")[0] == 2


def test_assignments_are_files_that_can_be_read(ask, tmp_path):
    target = tmp_path / "new" / "found"
    status, out, _ = ask("sat.vnnlib", "--serialise-assignments", str(target))
    assert (status, out) == (0, "sat\n")
    arrays = {
        path.stem: onnx.numpy_helper.to_array(onnx.load_tensor(str(path))) for path in target.glob("*.pb")
    }
    assert sorted(arrays) == ["X", "Y"]
    np.testing.assert_array_equal(np.maximum(arrays["X"], 0).ravel(), arrays["Y"].ravel())
    assert arrays["Y"].ravel()[0] >= 0.5


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_assignments_that_cannot_be_written_leave_the_verdict(ask, tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    status, out, err = ask("sat.vnnlib", "--serialise-assignments", str(tmp_path / place))
    assert (status, out) == (4, "sat\n")
    assert "cannot write" in err
    assert "Traceback" not in err
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_tensor_in_whose_place_a_folder_stands_is_no_traceback(ask, tmp_path):
    (tmp_path / "X.pb").mkdir()
    status, out, err = ask("sat.vnnlib", "--serialise-assignments", str(tmp_path))
    assert (status, out) == (4, "sat\n")
    assert "cannot write" in err
