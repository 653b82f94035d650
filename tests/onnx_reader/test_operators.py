"""Every operator that is read gives what onnxruntime gives, and what is not read is refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.dual.lowering import network_of
from attractor.errors import AttractorError, InputDataError, ShapeError, UnsupportedError
from attractor.onnx_reader import read_onnx
from attractor.program import double_precision, trace

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

_FLOAT = onnx.TensorProto.FLOAT


def _numbers(*shape, seed=0, low=-2.0):
    return np.random.default_rng(seed).uniform(low, 2.0, shape).astype(np.float32)


def saved(folder, operator, inputs, constants=(), *, attributes=None, outputs=1, opset=18):
    """An ONNX file of one operator."""
    names = [f"x{index}" for index in range(len(inputs))]
    others = [None if one is None else f"c{index}" for index, one in enumerate(constants)]
    results = [f"y{index}" for index in range(outputs)]
    node = onnx.helper.make_node(
        operator, [*names, *[name or "" for name in others]], results, "op", **(attributes or {})
    )
    kept = [
        onnx.numpy_helper.from_array(one, name)
        for one, name in zip(constants, others, strict=True)
        if one is not None
    ]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(one.dtype), one.shape)
        for name, one in zip(names, inputs, strict=True)
    ]
    made = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in results]
    graph = onnx.helper.make_graph([node], "graph", ports, made, kept)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _int(*values):
    return np.array(values, np.int64)


_X, _POSITIVE, _IMAGE = _numbers(2, 3), _numbers(2, 3, low=0.1), _numbers(1, 2, 6, 5)
_ENTRYWISE = (
    "Neg Tanh Exp Sin Cos Abs Sign Floor Ceil Relu Erf Softplus Sigmoid Softsign HardSwish LeakyRelu Elu "
    "Selu HardSigmoid Identity Gelu Softmax LogSoftmax ReduceSum ReduceMean ReduceMax ReduceMin Flatten "
    "Dropout ReduceL2 ReduceSumSquare"
).split()
_TWO_OPERANDS = "Add Sub Mul Div Min Max Sum Mean".split()
_W = (_numbers(1, 12, 3, seed=1), _numbers(1, 12, 4, seed=2), _numbers(1, 24, seed=3))
_TWO = (_numbers(2, 16, 3, seed=1), _numbers(2, 16, 4, seed=2), _numbers(2, 32, seed=3))
_ONE = (_numbers(1, 4, 3, seed=1), _numbers(1, 4, 4, seed=2), _numbers(1, 8, seed=3))
_SEQUENCE = _numbers(5, 1, 3, seed=4)

CASES = {
    **{name.lower(): (name, [_X], (), {"opset": 20}) for name in _ENTRYWISE},
    **{name.lower(): (name, [_POSITIVE], (), {}) for name in ("Log", "Sqrt", "Reciprocal")},
    **{name.lower(): (name, [_X, _numbers(2, 3, seed=1)], (), {}) for name in _TWO_OPERANDS},
    "pow_two": ("Pow", [_X], (np.float32([2.0]),), {}),
    "pow_half": ("Pow", [_POSITIVE], (np.float32([0.5]),), {}),
    "pow_each": ("Pow", [_POSITIVE], (np.float32([0.5, 2.0, 3.0]),), {}),
    "prelu": ("PRelu", [_X], (np.float32([0.1, 1.5, -0.5]),), {}),
    "leaky_steep": ("LeakyRelu", [_X], (), {"attributes": {"alpha": 1.7}}),
    "gelu_tanh": ("Gelu", [_X], (), {"attributes": {"approximate": "tanh"}, "opset": 20}),
    "clip": ("Clip", [_X], (np.float32(-0.5), np.float32(0.7)), {}),
    "clip_above": ("Clip", [_X], (None, np.float32(0.7)), {}),
    "clip_old": ("Clip", [_X], (), {"attributes": {"min": -0.5, "max": 0.7}, "opset": 9}),
    "matmul": ("MatMul", [_X], (_numbers(3, 4),), {}),
    "gemm": (
        "Gemm",
        [_X],
        (_numbers(4, 3), _numbers(4)),
        {"attributes": {"transB": 1, "alpha": 0.5, "beta": 2.0}},
    ),
    "gemm_turned": ("Gemm", [_X], (_numbers(2, 4),), {"attributes": {"transA": 1}}),
    "batch": ("BatchNormalization", [_IMAGE], tuple(_numbers(2, seed=s, low=0.1) for s in range(4)), {}),
    "softmax_old": ("Softmax", [_IMAGE], (), {"opset": 11}),
    "softmax_axis": ("Softmax", [_IMAGE], (), {"attributes": {"axis": 1}}),
    "sum_axes": ("ReduceSum", [_IMAGE], (_int(1, -1),), {"attributes": {"keepdims": 0}}),
    "mean_old": ("ReduceMean", [_IMAGE], (), {"attributes": {"axes": [2]}, "opset": 13}),
    "reshape": ("Reshape", [_IMAGE], (_int(0, -1, 5),), {}),
    "flatten_axis": ("Flatten", [_IMAGE], (), {"attributes": {"axis": 2}}),
    "squeeze": ("Squeeze", [_IMAGE], (_int(0),), {}),
    "unsqueeze": ("Unsqueeze", [_X], (_int(0, -1),), {}),
    "transpose": ("Transpose", [_IMAGE], (), {"attributes": {"perm": [0, 3, 1, 2]}}),
    "transpose_all": ("Transpose", [_IMAGE], (), {}),
    "concat": ("Concat", [_X, _X], (_numbers(2, 3),), {"attributes": {"axis": 1}}),
    "split": ("Split", [_IMAGE], (_int(1, 4),), {"attributes": {"axis": 3}, "outputs": 2}),
    "split_even": ("Split", [_IMAGE], (), {"attributes": {"axis": 2, "num_outputs": 3}, "outputs": 3}),
    "slice": ("Slice", [_IMAGE], (_int(0, -1), _int(6, -100), _int(2, 3), _int(2, -1)), {}),
    "slice_old": (
        "Slice",
        [_IMAGE],
        (),
        {"attributes": {"starts": [1], "ends": [3], "axes": [2]}, "opset": 9},
    ),
    "gather": ("Gather", [_X], (np.array([[0, -1]], np.int64),), {"attributes": {"axis": 1}}),
    "expand": ("Expand", [_X], (_int(4, 2, 1),), {}),
    "tile": ("Tile", [_X], (_int(2, 3),), {}),
    "pad": ("Pad", [_X], (_int(1, 0, 0, 2), np.float32(1.5)), {}),
    "shape": ("Shape", [_IMAGE], (), {"attributes": {"start": 1}}),
    "where": ("Where", [np.array([True, False, True]), _X], (np.float32(0.0),), {}),
    "equal": ("Equal", [_X], (_X[:, ::-1].copy(),), {}),
    "greater": ("Greater", [_X], (np.float32(0.1),), {}),
    "cast": ("Cast", [_X], (), {"attributes": {"to": onnx.TensorProto.BOOL}}),
    "cast_whole": ("Cast", [3 * _X], (), {"attributes": {"to": onnx.TensorProto.INT32}}),
    "cast_long": ("Cast", [3 * _X], (), {"attributes": {"to": onnx.TensorProto.INT64}}),
    "round": ("Round", [np.float32([-2.5, -1.5, -0.5, 0.3, 0.5, 1.5, 2.5])], (), {}),
    "pow_two_inputs": ("Pow", [_POSITIVE, _X], (), {}),
    "conv": (
        "Conv",
        [_IMAGE],
        (_numbers(4, 2, 3, 2), _numbers(4)),
        {"attributes": {"pads": [1, 0, 2, 1], "strides": [2, 1]}},
    ),
    "conv_same": (
        "Conv",
        [_IMAGE],
        (_numbers(4, 2, 3, 2),),
        {"attributes": {"auto_pad": "SAME_LOWER", "strides": [2, 2]}},
    ),
    "conv_groups": (
        "Conv",
        [_IMAGE],
        (_numbers(4, 1, 2, 2),),
        {"attributes": {"group": 2, "dilations": [2, 1]}},
    ),
    "conv_line": ("Conv", [_numbers(1, 2, 7)], (_numbers(3, 2, 3),), {}),
    "max_pool": (
        "MaxPool",
        [_IMAGE],
        (),
        {"attributes": {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}},
    ),
    "max_pool_up": (
        "MaxPool",
        [_IMAGE],
        (),
        {"attributes": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}},
    ),
    "average": ("AveragePool", [_IMAGE], (), {"attributes": {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}}),
    "average_padded": (
        "AveragePool",
        [_IMAGE],
        (),
        {"attributes": {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}},
    ),
    "whole_average": ("GlobalAveragePool", [_IMAGE], (), {}),
    "whole_largest": ("GlobalMaxPool", [_IMAGE], (), {}),
    "rnn": ("RNN", [_SEQUENCE], _ONE, {"attributes": {"hidden_size": 4}, "outputs": 2}),
    "rnn_relu": (
        "RNN",
        [_SEQUENCE],
        _ONE,
        {"attributes": {"hidden_size": 4, "activations": ["Relu"]}, "outputs": 2},
    ),
    "gru": ("GRU", [_SEQUENCE], _W, {"attributes": {"hidden_size": 4}, "outputs": 2}),
    "gru_linear": (
        "GRU",
        [_SEQUENCE],
        (*_W, None, _numbers(1, 1, 4, seed=5)),
        {"attributes": {"hidden_size": 4, "linear_before_reset": 1}, "outputs": 2},
    ),
    "gru_backwards": (
        "GRU",
        [_SEQUENCE],
        _W,
        {"attributes": {"hidden_size": 4, "direction": "reverse"}, "outputs": 2},
    ),
    "lstm_both": (
        "LSTM",
        [_SEQUENCE],
        _TWO,
        {"attributes": {"hidden_size": 4, "direction": "bidirectional"}, "outputs": 3},
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_an_operator_gives_what_onnxruntime_gives(name, tmp_path):
    operator, inputs, constants, more = CASES[name]
    path = saved(tmp_path, operator, inputs, constants, **more)
    function = read_onnx(path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {f"x{index}": one for index, one in enumerate(inputs)})
    found = function(*inputs)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        # Both compute in float32, in another order.
        np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "name",
    [
        "conv_groups",
        "max_pool",
        "average",
        "gemm",
        "gru_linear",
        "lstm_both",
        "slice",
        "pad",
        "cast_whole",
        "cast_long",
        "round",
        "floor",
        "ceil",
        "sign",
        "pow_two_inputs",
        "gelu",
    ],
)
def test_an_operator_is_read_as_a_network(name, tmp_path):
    operator, inputs, constants, more = CASES[name]
    function = read_onnx(saved(tmp_path, operator, inputs, constants, **more))
    with double_precision():
        doubled = [jnp.asarray(one, jnp.float64) for one in inputs]
        network = network_of(trace(lambda *arrays: function(*arrays), *doubled))
        expected = np.concatenate([np.ravel(one) for one in function(*doubled)])
    flat = np.concatenate([np.ravel(one) for one in inputs]).astype(float)
    np.testing.assert_allclose(network.evaluate(flat[None])[0], expected, atol=1e-12)


def test_hidden_arrays_are_found_by_name(tmp_path):
    function = read_onnx(saved(tmp_path, "Relu", [_X]))
    assert function.names == ("x0", "y0")
    np.testing.assert_array_equal(function.evaluate([_X], ["x0"])[0], _X)
    with pytest.raises(InputDataError, match="no array 'h'"):
        function.evaluate([_X], ["h"])
    with pytest.raises(ShapeError, match="x0"):
        function(_X[:1])
    with pytest.raises(ShapeError, match="takes 1 inputs, not 2"):
        function(_X, _X)


@pytest.mark.parametrize(
    ("operator", "inputs", "constants", "attributes", "named"),
    [
        ("Loop", [_X], (), {}, "Loop"),
        ("Cast", [_X], (), {"to": onnx.TensorProto.FLOAT16}, "float16"),
        ("RNN", [_SEQUENCE], _ONE, {"hidden_size": 4, "clip": 1.0}, "clip"),
        ("RNN", [_SEQUENCE], _ONE, {"hidden_size": 4, "activations": ["Affine"]}, "Affine"),
        (
            "LSTM",
            [_SEQUENCE],
            (*(part[:1] for part in _TWO), None, None, None, _numbers(1, 12)),
            {"hidden_size": 4},
            "peephole",
        ),
        ("GRU", [_SEQUENCE], (*_W, np.array([3], np.int32)), {"hidden_size": 4}, "different lengths"),
        ("Pad", [_X], (_int(1, 0, 0, 2),), {"mode": "reflect"}, "reflect"),
        ("Gather", [_X], (_int(7),), {"axis": 1}, "outside"),
        ("Relu", [_X], (), {"invented": 3}, "invented = 3"),
        (
            "BatchNormalization",
            [_IMAGE],
            tuple(_numbers(2, low=0.1) for _ in range(4)),
            {"training_mode": 1},
            "training_mode",
        ),
    ],
)
def test_what_is_not_read_is_named(operator, inputs, constants, attributes, named, tmp_path):
    names = [f"x{index}" for index in range(len(inputs))]
    kept = [
        onnx.numpy_helper.from_array(one, f"c{index}")
        for index, one in enumerate(constants)
        if one is not None
    ]
    others = ["" if one is None else f"c{index}" for index, one in enumerate(constants)]
    node = onnx.helper.make_node(operator, [*names, *others], ["y"], "here", **attributes)
    ports = [
        onnx.helper.make_tensor_value_info(n, _FLOAT, one.shape) for n, one in zip(names, inputs, strict=True)
    ]
    graph = onnx.helper.make_graph(
        [node], "g", ports, [onnx.helper.make_tensor_value_info("y", _FLOAT, [1])], kept
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(UnsupportedError, match=named) as caught:
        read_onnx(path)(*inputs)
    assert operator in str(caught.value)


def test_files_that_are_none_and_weights_that_are_no_numbers_are_named(tmp_path):
    with pytest.raises(InputDataError, match="missing"):
        read_onnx(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputDataError, match=r"text\.onnx"):
        read_onnx(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputDataError, match="no network"):
        read_onnx(tmp_path / "empty.onnx")
    path = saved(tmp_path, "MatMul", [_X], (np.full((3, 2), np.nan, np.float32),))
    with pytest.raises(InputDataError, match=r"c0.*finite"):
        read_onnx(path)


def test_a_damaged_file_gives_our_errors_only(tmp_path):
    content = bytearray(saved(tmp_path, "Gemm", [_X], (_numbers(3, 4), _numbers(4))).read_bytes())
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = content.copy()
        for place in generator.integers(0, len(damaged), 3):
            damaged[place] = generator.integers(0, 256)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged)
        try:
            function = read_onnx(path)
            function(*[np.zeros(port.shape, np.float32) for port in function.inputs])
        except AttractorError:
            refused += 1
    assert refused > 20
