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

from attractor.cells import GRU
from attractor.control.identification import PlantNetwork
from attractor.errors import AttractorError, ConfigError, UnsupportedError
from attractor.export import (
    OnnxCheck,
    StepFunction,
    onnx_model,
    to_c,
    to_casadi,
    to_numpy,
    to_onnx_sequence,
    to_onnx_step,
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
        ("onnx", lambda: to_onnx_step(network, tmp_path / "model.onnx"), "onnx"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UnsupportedError, match=rf"pip install attractor\[{extra}\]"):
            export()


def test_an_onnx_sequence_runs_at_any_length_and_batch(network, tmp_path):
    import onnxruntime

    export = to_onnx_sequence(network, tmp_path / "model.onnx", double_precision=True)
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
    export = to_onnx_step(network, tmp_path / "model.onnx")
    assert (export.check, export.difference) == (OnnxCheck.NOT_RUN, None)
    assert export.path.exists()


def test_a_wrong_onnx_model_is_not_written(network, tmp_path, monkeypatch):
    right = onnx_model.run_batch

    def wrong(flat, inputs, states):
        outputs, visited = right(flat, inputs, states)
        return outputs + 1e-3, visited

    monkeypatch.setattr(onnx_model, "run_batch", wrong)
    with pytest.raises(AttractorError, match=r"deviates from PlantNetwork by .*e-04"):
        to_onnx_step(network, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_an_operator_that_the_runtime_lacks_in_float64_is_named(tmp_path):
    source = StepFunction(lambda u, x: jax.scipy.special.erf(x) + u[0], 1, np.zeros(2))
    with pytest.raises(UnsupportedError, match=r"float64: .*Erf"):
        to_onnx_step(source, tmp_path / "model.onnx", double_precision=True)


def test_names_that_c_does_not_take_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="name='my model'"):
        to_c(build("gru"), tmp_path / "model.c", name="my model")
