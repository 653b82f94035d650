"""What stands in the files, and what is said when a package or a compiler is missing."""

import importlib.util
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from export_cells import build

from attractor.cells import GRU, EchoState
from attractor.cells import cell as own_cell
from attractor.control.identification import PlantNetwork
from attractor.errors import AttractorError, ConfigError, UnsupportedError
from attractor.export import (
    OnnxCheck,
    check_parity,
    onnx_model,
    to_c,
    to_casadi,
    to_numpy,
    to_onnx,
    written_deviation,
)
from attractor.program import in_double_precision


@pytest.fixture(scope="module")
def network():
    cell = GRU(2, 4, key=jax.random.key(0))
    return PlantNetwork(cell, eqx.nn.Linear(4, 3, key=jax.random.key(1)), None, True)


def loaded(path):
    specification = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_numpy_file_stands_alone_and_reads_the_output(network, tmp_path):
    path = to_numpy(network, tmp_path / "model.py")
    imports = [line for line in path.read_text().splitlines() if "import" in line]
    assert imports == ["import math", "import numpy as np"]
    module = loaded(path)
    np.testing.assert_array_equal(module.INITIAL_STATE, np.zeros(4))
    after = module.step([0.3, -0.2], module.INITIAL_STATE)
    with jax.enable_x64(True):
        wide = in_double_precision(network)
        state = wide.cell(jnp.array([0.3, -0.2]), jnp.zeros(4))
        np.testing.assert_allclose(after, state, atol=1e-14)
        np.testing.assert_allclose(module.read(after), wide.read(state), atol=1e-14)


@pytest.mark.parametrize(
    ("given", "state", "said"),
    [
        ([[0.3, -0.2]], np.zeros(4), r"u has shape \(1, 2\)"),  # was another state, without a word
        ([[0.3], [-0.2]], np.zeros(4), r"u has shape \(2, 1\)"),
        ([0.3], np.zeros(4), r"u has shape \(1,\)"),
        (0.3, np.zeros(4), r"u has shape \(\)"),
        ([0.3, -0.2], np.zeros((4, 1)), r"x has shape \(4, 1\)"),
        ([0.3, -0.2], np.zeros(5), r"x has shape \(5,\) .* expected 4 real numbers"),
        ([0.3, -0.2j], np.zeros(4), "u has .* type complex128"),
        (["0.3", "-0.2"], np.zeros(4), "u has .* type <U"),
    ],
)
def test_the_numpy_file_refuses_what_is_no_vector_of_its_size(network, tmp_path, given, state, said):
    module = loaded(to_numpy(network, tmp_path / "model.py"))
    with pytest.raises(ValueError, match=said):
        module.step(given, state)
    with pytest.raises(ValueError, match="x has shape"):
        module.read(np.zeros((2, 4)))
    np.testing.assert_array_equal(module.step([1, 0], [0] * 4), module.step(np.eye(2)[0], np.zeros(4)))


def test_importing_the_room_needs_neither_casadi_nor_onnx():
    code = (
        "import sys; import attractor.export; "
        "sys.exit(bool({'casadi', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_casadi_jacobians_are_those_of_jax(network):
    function = to_casadi(network)
    given, state = np.array([0.4, -0.7]), np.array([0.3, -0.2, 0.9, 0.0])
    by_casadi = function.jacobian()(given, state, 0, 0)
    with jax.enable_x64(True):
        wide = in_double_precision(network)

        def both(given, state):
            after = wide.cell(given, state)
            return after, wide.read(after)

        by_jax = jax.jacfwd(both, argnums=(0, 1))(jnp.asarray(given), jnp.asarray(state))
    wanted = [block for row in by_jax for block in row]
    for found, block in zip(by_casadi, wanted, strict=True):
        np.testing.assert_allclose(np.array(found), block, atol=1e-13)  # both exact up to rounding


def test_missing_packages_are_named_with_what_to_install(network, tmp_path, monkeypatch):
    for package, export, extra in (
        ("casadi", lambda: to_casadi(network), "control"),
        ("onnx", lambda: to_onnx(network, tmp_path / "model.onnx"), "onnx"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UnsupportedError, match=rf"pip install attractor\[{extra}\]"):
            export()


def test_an_onnx_sequence_runs_at_any_length_and_batch(network, tmp_path):
    import onnxruntime

    export = to_onnx(network, tmp_path / "model.onnx", sequence=True, double_precision=True)
    assert export.check is OnnxCheck.AGREES
    assert export.difference < 1e-12
    session = onnxruntime.InferenceSession(str(export.path), providers=["CPUExecutionProvider"])
    inputs, start = np.linspace(-1, 1, 4 * 11 * 2).reshape(4, 11, 2), np.full((4, 4), 0.2)
    outputs, last = session.run(None, {"inputs": inputs, "initial_state": start})
    with jax.enable_x64(True):
        wide = in_double_precision(network)
        wanted, states = jax.jit(jax.vmap(wide))(jnp.asarray(inputs), jnp.asarray(start))
    np.testing.assert_allclose(outputs, wanted, atol=1e-13)
    np.testing.assert_allclose(last, states, atol=1e-13)


def test_an_onnx_file_is_said_not_to_be_compared_without_a_runtime(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    export = to_onnx(network, tmp_path / "model.onnx")
    assert (export.check, export.difference) == (OnnxCheck.NOT_RUN, None)
    assert export.path.exists()


def test_a_wrong_onnx_model_is_not_written(network, tmp_path, monkeypatch):
    right = onnx_model.run_batch

    def wrong(flat, inputs, states):
        outputs, visited = right(flat, inputs, states)
        return outputs + 1e-3, visited

    monkeypatch.setattr(onnx_model, "run_batch", wrong)
    with pytest.raises(AttractorError, match=r"deviates from PlantNetwork by .*e-04"):
        to_onnx(network, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_long_sums_may_lose_what_float32_loses_in_them(tmp_path):
    """An echo state network of 60 units with a trained read-out was refused for 1.2e-05."""
    cell = EchoState(1, 60, key=jax.random.key(0))
    weight = 1e3 * jax.random.normal(jax.random.key(1), (200, 61), jnp.float32)
    export = to_onnx(cell, tmp_path / "model.onnx", read=lambda state: weight @ cell.exposed(state))
    assert 1e-5 < export.difference < 1e-2
    assert export.check is OnnxCheck.AGREES


GRADIENTS = {
    "of a square": lambda x: 0.5 * x @ x,  # a product with a scalar, which had gained an axis
    "of a quadratic form": lambda x: 0.5 * x @ (jnp.arange(9.0).reshape(3, 3) @ x),
    "of an energy": lambda x: jnp.sum(jax.nn.softplus(x)) + jnp.tanh(x @ x),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_step_down_a_gradient_becomes_an_onnx_model(tmp_path, name):
    source = own_cell(lambda u, x: x - 0.1 * jax.grad(GRADIENTS[name])(x) + u[0], 1, np.zeros(3))
    assert to_onnx(source, tmp_path / "model.onnx").difference < 1e-6


def test_scalars_in_onnx_have_no_axis(tmp_path):
    import onnx

    source = own_cell(lambda u, x: x**2.5 + jnp.maximum(x.sum(), 0.3) * u[0], 1, np.ones(3))
    graph = onnx.load(str(to_onnx(source, tmp_path / "model.onnx").path)).graph
    shapes = {tuple(array.dims) for array in graph.initializer if array.data_type == onnx.TensorProto.FLOAT}
    assert () in shapes
    assert (1,) not in shapes


NARROW = {
    "bfloat16": lambda x: x.astype(jnp.bfloat16).astype(x.dtype),
    "float16": lambda x: x.astype(jnp.float16).astype(x.dtype),
    "8 binary digits": lambda x: jax.lax.reduce_precision(x, 8, 8),
}


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("target", ["numpy", "casadi", "c"])
def test_rounding_that_a_target_cannot_write_is_refused(name, target):
    """CasADi left a cast to bfloat16 out, C one to float16; NumPy wrote a file that does not run."""
    source = own_cell(lambda u, x: jnp.tanh(NARROW[name](x)) + u[0], 1, np.zeros(3))
    if (name, target) == ("float16", "numpy"):
        assert check_parity(source, targets=[target], samples=50)[target] < 1e-3
        return
    with pytest.raises(UnsupportedError, match=f"rounds to {name}"):
        check_parity(source, targets=[target], samples=5)


UNKNOWN = {
    "conv_general_dilated": lambda x: jnp.convolve(x, jnp.ones(3), mode="same"),
    "sort": jnp.sort,
    "lu": lambda x: jnp.linalg.solve(jnp.diag(x) + 3 * jnp.eye(3), x),
    "pure_callback": lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("target", ["numpy", "casadi", "c", "onnx"])
def test_a_primitive_without_a_rule_is_named(name, target):
    source = own_cell(lambda u, x: UNKNOWN[name](x) + u[0], 1, np.zeros(3))
    with pytest.raises(UnsupportedError, match=f"'{name}'.*test_export_files"):
        check_parity(source, targets=[target], samples=5)


def test_the_read_out_of_a_network_is_compared_too(network, tmp_path):
    path = to_numpy(network, tmp_path / "step.py")
    assert written_deviation(network, "numpy", path, samples=20) < 1e-12
    path.write_text(path.read_text() + "\n\nright = read\n\n\ndef read(x):\n    return right(x) + 0.5\n")
    assert written_deviation(network, "numpy", path, samples=20) > 0.1


def test_an_operator_that_the_runtime_lacks_in_float64_is_named(tmp_path):
    source = own_cell(lambda u, x: jax.scipy.special.erf(x) + u[0], 1, np.zeros(2))
    with pytest.raises(UnsupportedError, match=r"float64: .*Erf"):
        to_onnx(source, tmp_path / "model.onnx", double_precision=True)


def test_names_that_c_does_not_take_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="name='my model'"):
        to_c(build("gru"), tmp_path / "model.c", name="my model")
