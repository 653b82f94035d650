"""C functions of any program: Jacobians, float, sizes, and what the compiler says."""

import ctypes
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from export_cells import build

from attractor.cells import GRU
from attractor.cells import cell as own_cell
from attractor.errors import ConfigError, UnsupportedError
from attractor.export import flat_step, to_c
from attractor.export.c.c_controller import step_with_jacobians
from attractor.export.c.c_step import c_compiler, c_prelude, compile_c, load_c, to_c_function
from attractor.program import in_double_precision, interpret, trace

pytestmark = pytest.mark.skipif(c_compiler() is None, reason="no C compiler on the path")
NUMBERS = ctypes.POINTER(ctypes.c_double)


def run_c(program, folder, *arguments, **options):
    """Compile a program and run it once."""
    path = folder / "function.c"
    path.write_text(c_prelude() + to_c_function(program, "function", **options).code)
    library = load_c(compile_c(path, options=("-O1",)))
    given = [np.ascontiguousarray(argument, float) for argument in arguments]
    results = [np.full(shape, np.nan) for shape in program.output_shapes]
    library.function(*(array.ctypes.data_as(NUMBERS) for array in (*given, *results)))
    return results


@pytest.mark.parametrize("name", ["gru", pytest.param("stack", marks=pytest.mark.slow)])
def test_jacobians_are_those_of_jax(name, tmp_path):
    with jax.enable_x64(True):
        cell = in_double_precision(build(name))
        flat = flat_step(cell)

        def step(state, given):
            return interpret(flat.step, {}, [given, state], "evaluation")[0]

        numbers = np.random.default_rng(0)
        state, given = numbers.uniform(-1, 1, flat.state_size), numbers.uniform(-1, 1, 2)
        program = trace(step_with_jacobians(step), jnp.asarray(state), jnp.asarray(given))
        found = run_c(program, tmp_path, state, given)
        wanted = jax.jacfwd(step, argnums=(0, 1))(jnp.asarray(state), jnp.asarray(given))
        np.testing.assert_allclose(found[0], step(jnp.asarray(state), jnp.asarray(given)), atol=1e-14)
        for transposed, block in zip(found[1:], wanted, strict=True):
            np.testing.assert_allclose(transposed.T, block, atol=1e-13)


def test_known_zeros_and_ones_cost_nothing(tmp_path):
    with jax.enable_x64(True):
        program = trace(lambda x: 0.0 * jnp.sin(x) + 1.0 * x + 0.0, jnp.zeros(3))
    code = to_c_function(program, "function").code
    assert "sin" not in code.split("{", 1)[1]
    np.testing.assert_array_equal(run_c(program, tmp_path, [1.0, 2.0, 3.0])[0], [1, 2, 3])


def test_elementwise_operations_in_a_row_are_one_loop():
    with jax.enable_x64(True):
        program = trace(lambda x: jnp.tanh(2 * x + 1) * 3 - jnp.exp(x), jnp.zeros((4, 5)))
    assert to_c_function(program, "function").code.count("for (") == 1


def test_special_numbers_pass(tmp_path):
    with jax.enable_x64(True):
        program = trace(
            lambda x: (
                jnp.maximum(x, 0),
                jnp.sign(x),
                jax.nn.sigmoid(x),
                jnp.where(x > 0, jnp.inf, -jnp.inf),
                jnp.clip(x, -1, 1),
            ),
            jnp.zeros(4),
        )
        given = np.array([np.nan, np.inf, -np.inf, -1000.0])
        found = run_c(program, tmp_path, given)
    nan, inf = np.nan, np.inf
    wanted = [[nan, inf, 0, 0], [nan, 1, -1, -1], [nan, 1, 0, 0], [-inf, inf, -inf, -inf], [nan, 1, -1, -1]]
    np.testing.assert_array_equal(found, wanted)


def test_a_step_in_float(tmp_path):
    cell = build("gru")
    library = load_c(compile_c(to_c(cell, tmp_path / "model.c", dtype="float")))
    given, state, after = np.float32([0.3, -0.8]), np.full(4, 0.1, np.float32), np.empty(4, np.float32)
    numbers = ctypes.POINTER(ctypes.c_float)
    library.model_step(*(array.ctypes.data_as(numbers) for array in (given, state, after)))
    np.testing.assert_allclose(after, cell(jnp.asarray(given), jnp.asarray(state)), atol=1e-6)


def test_another_type_is_refused():
    with pytest.raises(ConfigError, match="dtype='half'"):
        to_c_function(trace(jnp.sin, jnp.zeros(2)), "function", dtype="half")


def test_names_that_the_code_uses_are_refused():
    with pytest.raises(ConfigError, match="t1, s: names"):
        to_c_function(trace(jnp.sin, jnp.zeros(2)), "function", arguments=["t1"], results=["s"])


def test_sizes_and_initial_state_stand_in_the_file(tmp_path):
    text = to_c(build("unusual"), tmp_path / "model.c", name="plant").read_text()
    assert "enum { plant_INPUTS = 2, plant_STATES = 6, plant_OUTPUTS = 0 };" in text
    library = load_c(compile_c(tmp_path / "model.c"))
    initial = (ctypes.c_double * 6).in_dll(library, "plant_initial_state")
    np.testing.assert_allclose(list(initial), [0.1, 0.1, 0.1, 0.1, 3, 1], rtol=1e-7)


def test_a_large_cell_stays_loops(tmp_path):
    text = to_c(GRU(3, 64, key=jax.random.key(0)), tmp_path / "model.c").read_text()
    code = re.sub(r"static const [^;]*;", "", text)
    assert len(code.splitlines()) < 120
    assert max(map(len, text.splitlines())) <= 4095  # what C99 promises to read


def test_a_step_that_asks_for_nan_refuses_compilers_that_know_none(tmp_path):
    asking = own_cell(lambda u, x: jnp.where(jnp.isnan(x), 0.0, x) + u[0], 1, np.zeros(2))
    with pytest.raises(UnsupportedError, match="looks for numbers that are not finite"):
        compile_c(to_c(asking, tmp_path / "asking.c"), options=("-ffast-math",))
    compile_c(to_c(asking, tmp_path / "asking.c"))
    compile_c(to_c(build("gru"), tmp_path / "gru.c"), options=("-ffast-math",))
