"""A step saved as an ONNX file gets every reading of the house, and gives what onnxruntime gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import exposed, from_onnx
from attractor.certify import certify
from attractor.certify.verify import Answer, prove
from attractor.dynamics import lyapunov_exponents
from attractor.errors import ConfigError
from attractor.export import export

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def _saved(folder, names=("u", "h", "h_out"), seed=0, scale=0.5):
    """A gated step as another tool may write it: z = sigmoid(W [u, h] + b), n = tanh(V [u, h]), mixed."""
    generator = np.random.default_rng(seed)
    input, before, after = names
    weights = {
        "w": scale * generator.normal(size=(6, 4)),
        "v": scale * generator.normal(size=(6, 4)),
        "b": generator.normal(size=4),
        "one": np.ones(1),
        "read": generator.normal(size=(4, 1)),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Concat", [input, before], ["both"], axis=1),
        make("Gemm", ["both", "w", "b"], ["gate_in"]),
        make("Sigmoid", ["gate_in"], ["z"]),
        make("MatMul", ["both", "v"], ["new_in"]),
        make("Tanh", ["new_in"], ["new"]),
        make("Mul", ["z", before], ["kept"]),
        make("Sub", ["one", "z"], ["rest"]),
        make("Mul", ["rest", "new"], ["made"]),
        make("Add", ["kept", "made"], [after]),
        make("MatMul", [after, "read"], ["y"]),
    ]
    kind = onnx.TensorProto.FLOAT
    ports = [
        onnx.helper.make_tensor_value_info(name, kind, [1, size]) for name, size in ((input, 2), (before, 4))
    ]
    made = [
        onnx.helper.make_tensor_value_info(name, kind, [1, size]) for name, size in ((after, 4), ("y", 1))
    ]
    kept = [onnx.numpy_helper.from_array(one.astype(np.float32), name) for name, one in weights.items()]
    graph = onnx.helper.make_graph(nodes, "step", ports, made, kept)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "step.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_step_runs_as_onnxruntime_runs_it(tmp_path):
    path = _saved(tmp_path)
    cell = from_onnx(path, exposed="y")
    inputs = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state, outputs = np.zeros((1, 4), np.float32), []
    for row in inputs:
        state, output = session.run(None, {"u": row[None], "h": state})
        outputs.append(output[0])
    shown = attractor.unroll(cell, jnp.asarray(inputs), read=lambda one: exposed(cell, one)).states
    np.testing.assert_allclose(shown, np.stack(outputs), atol=1e-6)


def test_a_step_is_measured_proved_bounded_and_written_in_another_language(tmp_path):
    cell = from_onnx(_saved(tmp_path, scale=0.2))
    assert cell.input_size == 2
    assert float(np.max(lyapunov_exponents(cell, 300).per_step)) < 0
    assert certify(cell, input_bound=1.0).certificate is not None
    found = prove(
        lambda u: jnp.abs(attractor.unroll(cell, u).states[-1]) - 1.0, -np.ones((4, 2)), np.ones((4, 2))
    )
    assert found.answer is Answer.HOLDS
    export(cell, "c", tmp_path / "code")
    assert list((tmp_path / "code").glob("*.c"))


def test_weights_of_a_step_can_be_trained(tmp_path):
    import equinox as eqx

    cell = from_onnx(_saved(tmp_path))
    slopes = eqx.filter_grad(lambda one: jnp.sum(attractor.unroll(one, jnp.ones((3, 2))).states))(cell)
    assert all(float(jnp.abs(slopes.weights[name]).max()) > 0 for name in ("w", "v", "b"))


def test_states_are_told_by_name_or_asked_for(tmp_path):
    assert from_onnx(_saved(tmp_path, ("u", "h0", "hn"))).states == (("h0", "hn"),)
    assert from_onnx(_saved(tmp_path, ("u", "memory", "result"))).states == (("memory", "result"),)
    path = _saved(tmp_path)
    with pytest.raises(ConfigError, match=r"no state 'k'.*from_onnx\(path, state="):
        from_onnx(path, state={"k": "h_out"})
    with pytest.raises(ConfigError, match="no output 'q'"):
        from_onnx(path, exposed="q")
    with pytest.raises(ConfigError, match="shape"):
        from_onnx(path, state={"h": "y"})
    with pytest.raises(ConfigError, match="2 inputs are no states"):
        from_onnx(path, state={})


def test_a_step_in_float64_is_the_same_step(tmp_path):
    cell = from_onnx(_saved(tmp_path))
    with attractor.program.double_precision():
        wide = attractor.program.in_double_precision(cell)
        after = wide(jnp.ones(2), wide.initial_state())
        assert after.dtype == jnp.float64
    np.testing.assert_allclose(after, cell(jnp.ones(2, jnp.float32), jnp.zeros(4, jnp.float32)), atol=1e-6)
    assert jax.tree.leaves(cell)
