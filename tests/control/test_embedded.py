"""The controller of an identified model in C: the same plans as in Python, and plant units there and back."""

import ctypes

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, Cell
from attractor.control.embedded import controller_code, controller_difference, export_controller
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard, from_network
from attractor.control.study import ControlSetup
from attractor.data import Scaling, Signal
from attractor.errors import ConfigError
from attractor.export.c import c_compiler, compile_c, load_c

compiled = pytest.mark.skipif(c_compiler() is None, reason="no C compiler on the path")
CARD = ModelCard(
    Signals((Signal("u */ x", "V"),), (Signal("y", "m"),), 1.0),
    Scaling(np.array([5.0]), np.array([2.0])),
    Scaling(np.array([-1.0]), np.array([0.5])),
)
SETUP = ControlSetup(horizon=6, move_weight=0.3, rate_limit=0.8)


class Leaky(Cell):
    """A cell of a user's own: x' = a x + (1 - a) tanh(W [x, u])."""

    weight: jax.Array
    input_size: int = 1
    hidden_size: int = 2

    def __call__(self, input, state, *, key=None):
        return 0.6 * state + 0.4 * jnp.tanh(self.weight @ jnp.concatenate([state, input]))


def gru():
    cell = GRU(1, 3, timescales=(2.0, 6.0), key=jax.random.key(3))
    return from_network(cell, [[1.0, -0.5, 0.8]], [0.1])


def leaky():
    return from_network(Leaky(jnp.array([[0.3, -0.2, 1.0], [0.4, 0.1, -0.7]])), [[1.0, -1.0]], [0.0])


@compiled
@pytest.mark.parametrize("build", [pytest.param(gru, marks=pytest.mark.slow), leaky])
def test_the_plans_are_those_of_the_solver_in_python(build):
    """Both stop when a step is below 1e-9 of the range; the conditioning of the plan leaves 1e-6."""
    assert controller_difference(build(), CARD, SETUP) < 1e-6


def test_weights_and_limits_are_those_of_the_setup():
    code = controller_code(leaky(), CARD, SETUP)
    np.testing.assert_array_equal(code.rate, [0.4])  # 0.8 V of a scale of 2 V
    np.testing.assert_array_equal(code.increment_weight, [[0.3]])
    assert code.horizon == 6
    # P = A'PA + A'C'CA at the rest under a zero input, which is x = 0 here
    slope = 0.6 * np.eye(2) + 0.4 * np.array([[0.3, -0.2], [0.4, 0.1]])
    seen = np.array([[1.0, -1.0]]) @ slope
    weight = code.terminal_weight
    np.testing.assert_allclose(weight, slope.T @ weight @ slope + seen.T @ seen, atol=1e-7)
    assert np.linalg.eigvalsh(weight).max() > 0.1


def test_a_horizon_that_is_too_long_is_refused():
    with pytest.raises(ConfigError, match="65 times 1 inputs"):
        controller_code(leaky(), CARD, ControlSetup(horizon=65))


@compiled
def test_the_file_converts_units_steps_and_rests(tmp_path):
    model = leaky()
    path = export_controller(model, CARD, SETUP, tmp_path / "own.c", name="own")
    library = load_c(compile_c(path))

    def numbers(*values):
        return (ctypes.c_double * len(values))(*values)

    for kind, value, expected in (("input", 9.0, 2.0), ("output", -1.5, -1.0)):
        there, back = numbers(0.0), numbers(0.0)
        getattr(library, f"own_scale_{kind}")(numbers(value), there)
        getattr(library, f"own_unscale_{kind}")(there, back)
        assert (there[0], back[0]) == (expected, value)
    after, seen, state = numbers(0, 0), numbers(0), numbers(0.5, -0.5)
    library.own_step(numbers(0.2), state, after)
    library.own_output(state, seen)
    with jax.enable_x64(True):
        wanted = model.step(jnp.array([0.5, -0.5]), jnp.array([0.2]))
    np.testing.assert_allclose(list(after), np.asarray(wanted), atol=1e-14)
    assert seen[0] == 1.0
    assert library.own_rest(numbers(0.2), state) == 1
    library.own_step(numbers(0.2), state, after)
    np.testing.assert_allclose(list(after), list(state), atol=1e-12)
