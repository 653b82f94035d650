"""Every operator in every form that it has had since version 7 of the operators, against onnxruntime."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.onnx_reader import OPERATORS, read_onnx

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

_LEAST, _MOST = 7, 23


def _numbers(*shape, seed=0, low=-2.0):
    return np.random.default_rng(seed).uniform(low, 2.0, shape).astype(np.float32)


def _int(*values):
    return np.array(values, np.int64)


_X, _POSITIVE = _numbers(2, 3), _numbers(2, 3, low=0.1)
_IMAGE, _CUBE = _numbers(1, 2, 6, 5), _numbers(2, 3, 4)
_GATES = (_numbers(1, 12, 3, seed=1), _numbers(1, 12, 4, seed=2), _numbers(1, 24, seed=3))
_ONE = (_numbers(1, 4, 3, seed=1), _numbers(1, 4, 4, seed=2), _numbers(1, 8, seed=3))
_FOUR = (_numbers(1, 16, 3, seed=1), _numbers(1, 16, 4, seed=2), _numbers(1, 32, seed=3))
_SEQUENCE = _numbers(5, 1, 3, seed=4)
_TRUTH = "Greater Less GreaterOrEqual LessOrEqual Equal".split()
# Known while the file is read: they make no numbers of an input.
_STATIC = {"Range", "Mod", "Shape", "Size", "ConstantOfShape", "Constant"}
_LOGIC = {"And", "Or", "Xor", "Not"}


def form(operator, version):  # noqa: C901, PLR0911 (a case for each operator)
    """The input, the constants and the attributes of an operator in a version; and how many results."""
    single = (
        "Neg Tanh Exp Sin Cos Abs Sign Floor Ceil Round Relu Erf Softplus Sigmoid Softsign HardSwish Elu Selu"
    )
    if operator in [*single.split(), "HardSigmoid", "Identity", "Gelu", "LeakyRelu"]:
        return _X, (), {}, 1
    if operator in ("Log", "Sqrt", "Reciprocal"):
        return _POSITIVE, (), {}, 1
    if operator in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean", "PRelu"):
        broadcast = version >= 8 or operator in ("Add", "Sub", "Mul", "Div", "PRelu")
        return _X, (_numbers(*((3,) if broadcast else (2, 3)), seed=1),), {}, 1
    if operator in ("Softmax", "LogSoftmax"):
        return _CUBE, (), {}, 1  # its axis is another one before version 13
    if operator.startswith("Reduce"):
        early = version < (13 if operator == "ReduceSum" else 18)
        return (_CUBE, (), {"axes": [1]}, 1) if early else (_CUBE, (_int(1),), {"keepdims": 0}, 1)
    if operator in ("GlobalAveragePool", "GlobalMaxPool"):
        return _IMAGE, (), {}, 1
    if operator in ("MaxPool", "AveragePool"):
        more: dict[str, object] = {"ceil_mode": 1} if version >= 10 else {}
        if (operator == "MaxPool" and version >= 10) or version >= 19:
            more["dilations"] = [2, 1]
        return _IMAGE, (), {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 0], **more}, 1
    if operator == "Conv":
        return _IMAGE, (_numbers(3, 2, 2, 2), _numbers(3)), {"strides": [2, 1], "pads": [0, 1, 1, 0]}, 1
    if operator == "BatchNormalization":
        each = tuple(_numbers(2, seed=seed, low=0.5) for seed in range(4))
        return _IMAGE, each, {"epsilon": 0.01}, 1
    return of_old_attributes(operator, version) or moved(operator, version)


def of_old_attributes(operator, version):  # noqa: C901, PLR0911, PLR0912 (a case for each operator)
    """Operators whose attributes became inputs."""
    if operator == "Dropout":
        return (_X, (), {"ratio": 0.3}, 1) if version < 12 else (_X, (np.float32(0.3),), {}, 1)
    if operator == "Clip":
        if version < 11:
            return _X, (), {"min": -0.5, "max": 0.7}, 1
        return _X, (np.float32(-0.5), np.float32(0.7)), {}, 1
    if operator == "Gemm":
        return _X, (_numbers(4, 3), _numbers(4)), {"transB": 1, "alpha": 0.5, "beta": 2.0}, 1
    if operator == "MatMul":
        return _X, (_numbers(3, 4),), {}, 1
    if operator == "Pow":
        return _POSITIVE, (np.array([2.0, 0.5, 3.0], np.float32),), {}, 1
    if operator in ("Squeeze", "Unsqueeze"):
        array = _numbers(2, 1, 3)
        return (array, (), {"axes": [1]}, 1) if version < 13 else (array, (_int(1),), {}, 1)
    if operator == "Slice":
        if version < 10:
            return _CUBE, (), {"starts": [0, 1], "ends": [2, 1000], "axes": [0, 2]}, 1
        return _CUBE, (_int(-1, 3), _int(-1000, 0), _int(0, 2), _int(-1, -2)), {}, 1
    if operator == "Pad":
        if version < 11:
            return _X, (), {"pads": [0, 1, 2, 0], "value": 1.5}, 1
        return _X, (_int(0, 1, 2, 0), np.float32(1.5)), {}, 1
    if operator == "Split":
        if version < 13:
            return _CUBE, (), {"axis": 2, "split": [1, 3]}, 2
        if version < 18:
            return _CUBE, (_int(1, 2),), {"axis": 1}, 2
        return _CUBE, (), {"axis": 1, "num_outputs": 2}, 2
    return None


def moved(operator, version):  # noqa: C901, PLR0911 (a case for each operator)
    """Operators that move entries, and cells."""
    if operator == "Reshape":
        return _CUBE, (_int(0, -1),), {}, 1
    if operator == "Flatten":
        return _CUBE, (), {"axis": 2 if version < 11 else -1}, 1
    if operator == "Transpose":
        return _CUBE, (), {"perm": [2, 0, 1]}, 1
    if operator == "Concat":
        return _X, (_numbers(2, 2),), {"axis": 1 if version < 11 else -1}, 1
    if operator == "Gather":
        return _CUBE, (_int(2, 0) if version < 11 else _int(-1, 0),), {"axis": 1}, 1
    if operator == "Expand":
        return _X, (_int(2, 1, 3),), {}, 1
    if operator == "Tile":
        return _X, (_int(2, 2),), {}, 1
    if operator == "Cast":
        return _X, (), {"to": onnx.TensorProto.FLOAT}, 1
    if operator == "CastLike":
        return _X, (np.array([0.0], np.float32),), {}, 1
    if operator in ("RNN", "GRU", "LSTM"):
        weights = {"RNN": _ONE, "GRU": _GATES, "LSTM": _FOUR}[operator]
        return _SEQUENCE, weights, {"hidden_size": 4}, 1
    return None


def versions(operator):
    """Versions at which the operator changed, from the one in force at first."""
    found = set()
    for version in range(_LEAST, _MOST + 1):
        try:
            found.add(max(onnx.defs.get_schema(operator, version).since_version, _LEAST))
        except onnx.defs.SchemaError:
            continue
    return sorted(found | ({_MOST} if found else set()))


def pairs():
    tried = [one for one in sorted(OPERATORS) if form(one, _MOST) is not None]
    return [(one, version) for one in tried for version in versions(one)]


def made(folder, nodes, array, constants, results, version):
    kept = [onnx.numpy_helper.from_array(one, name) for name, one in constants.items()]
    port = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, array.shape)
    outputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in results]
    graph = onnx.helper.make_graph(nodes, "graph", [port], outputs, kept)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def compared(path, array):
    """What is read gives what onnxruntime gives, in shape and numbers."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": array})
    function = read_onnx(path)
    found = function.evaluate([jnp.asarray(array)], [one.name for one in function.outputs])
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(np.asarray(one), other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("operator", "version"), pairs())
def test_a_form_of_each_version_is_what_the_runtime_makes_of_it(operator, version, tmp_path):
    array, constants, attributes, count = form(operator, version) or (_X, (), {}, 1)
    names = [f"c{index}" for index in range(len(constants))]
    results = [f"y{index}" for index in range(count)]
    node = onnx.helper.make_node(operator, ["x", *names], results, "op", **attributes)
    compared(made(tmp_path, [node], array, dict(zip(names, constants, strict=True)), results, version), array)


@pytest.mark.parametrize("version", range(_LEAST, _MOST + 1))
def test_shapes_constants_and_comparisons_of_each_version(version, tmp_path):
    make = onnx.helper.make_node
    nodes = [
        make("Constant", [], ["half"], value=onnx.numpy_helper.from_array(np.array([0.5], np.float32))),
        make("Greater", ["x", "half"], ["more"]),
        make("Less", ["x", "c"], ["less"]),
        make("And", ["more", "less"], ["both"]),
        make("Or", ["more", "less"], ["some"]),
        make("Xor", ["both", "some"], ["one"]),
        make("Not", ["one"], ["same"]),
        make("Cast", ["same"], ["number"], to=onnx.TensorProto.FLOAT),
        make("Mul", ["x", "number"], ["kept"]),
        make("Shape", ["x"], ["shape"]),
        make("Size", ["x"], ["size"]),
        make("Cast", ["size"], ["entries"], to=onnx.TensorProto.FLOAT),
        make("Reshape", ["kept", "shape"], ["again"]),
        make("Div", ["again", "entries"], ["y"]),
    ]
    if version >= 9:
        nodes[-1] = make("Div", ["again", "entries"], ["small"])
        nodes += [
            make("ConstantOfShape", ["shape"], ["zeros"]),
            make("Where", ["more", "small", "zeros"], ["y"]),
        ]
    compared(made(tmp_path, nodes, _X, {"c": np.array([1.0], np.float32)}, ["y"], version), _X)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("version", [7, 11, 12, 13])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax_is_over_all_axes_from_one_on_before_version_13(operator, version, axis, tmp_path):
    if axis < 0 and version < 11:
        pytest.skip("axes are counted from the end since version 11")
    node = onnx.helper.make_node(operator, ["x"], ["y"], axis=axis)
    compared(made(tmp_path, [node], _CUBE, {}, ["y"], version), _CUBE)


def test_every_operator_is_tried():
    untold = {one for one in OPERATORS if form(one, _MOST) is None}
    assert untold == _STATIC | _LOGIC | {*_TRUTH, "Where"}
