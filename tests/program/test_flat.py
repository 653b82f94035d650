"""A cell as a map of vectors: what becomes of real, complex, whole and random leaves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import attractor
from attractor.cells import GRU, LSTM
from attractor.dynamics import LyapunovSettings, fixed_points, jacobian_spectrum, lyapunov_exponents
from attractor.errors import PrecisionWarning, ShapeError, UnsupportedError
from attractor.program import LeafKind, flat_map, hessian_before, in_double_precision, unrounded


class Mixed(eqx.Module):
    """A state of every kind: h and z move, a counter and a key run, a flag stays."""

    matrix: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {
            "h": jnp.zeros(2),
            "z": jnp.zeros((1, 2), jnp.complex64),
            "steps": jnp.asarray(7, jnp.int32),
            "key": jax.random.key(3),
            "old_key": jax.random.PRNGKey(2**31 + 5),
            "on": jnp.asarray(True),
        }

    def __call__(self, input, state, *, key=None):
        return state | {
            "h": jnp.tanh(self.matrix @ state["h"]) + input,
            "z": 0.5j * state["z"] + state["h"],
            "steps": state["steps"] + 1,
            "key": jax.random.split(state["key"])[0],
        }


def mixed():
    return Mixed(jnp.array([[0.5, 0.2], [0.0, 0.3]]))


def test_every_kind_of_leaf_goes_into_a_vector_and_comes_back():
    with jax.enable_x64(True):
        flat = flat_map(mixed())
        state = flat.restore(flat.start)
        back = flat.flatten(state)
        kinds = {leaf.name: leaf.kind for leaf in flat.layout.leaves}
    assert (flat.size, flat.real_size) == (2 + 4 + 1 + 2 + 2 + 1, 6)
    assert kinds["['z']"] is LeafKind.COMPLEX
    assert kinds["['key']"] is LeafKind.KEY
    assert kinds["['steps']"] is kinds["['on']"] is LeafKind.WHOLE
    assert int(state["steps"]) == 7
    assert state["steps"].dtype == jnp.int32
    np.testing.assert_array_equal(state["old_key"], jax.random.PRNGKey(2**31 + 5))
    np.testing.assert_array_equal(jax.random.key_data(state["key"]), jax.random.key_data(jax.random.key(3)))
    np.testing.assert_array_equal(back, flat.start)


def test_a_step_of_the_vector_is_a_step_of_the_untouched_cell():
    cell, given = mixed(), jnp.array([0.25])
    moved = {"z": jnp.array([[1 + 2j, -1j]], jnp.complex64), "h": jnp.array([0.5, -1.0])}
    state = cell.initial_state() | moved
    for _ in range(3):
        state = cell(given, state)
    with jax.enable_x64(True):
        flat = flat_map(cell)
        vector = flat.flatten(cell.initial_state() | moved)
        for _ in range(3):
            vector = flat.step(vector, given)
        found = flat.restore(vector)
    assert int(found["steps"]) == int(state["steps"]) == 10
    np.testing.assert_allclose(found["z"], state["z"], rtol=1e-6)
    np.testing.assert_allclose(found["h"], state["h"], rtol=1e-6)
    np.testing.assert_array_equal(jax.random.key_data(found["key"]), jax.random.key_data(state["key"]))


def test_only_real_and_complex_directions_are_differentiated():
    with jax.enable_x64(True):
        flat = flat_map(mixed())
        found = jax.jit(lambda state: flat.jacobian(state, jnp.zeros(1)))(flat.start)
    expected = np.zeros((6, 6))
    expected[:2, :2] = [[0.5, 0.2], [0.0, 0.3]]
    expected[2:4, :2] = np.eye(2)  # real parts of z
    expected[2:4, 4:] = -0.5 * np.eye(2)  # Re(0.5 i z) = -0.5 Im z
    expected[4:, 2:4] = 0.5 * np.eye(2)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_widening_keeps_imaginary_parts():
    with jax.enable_x64(True):
        wide = in_double_precision({"w": jnp.asarray(1 + 2j, jnp.complex64), "n": jnp.asarray(3)})
    assert complex(wide["w"]) == 1 + 2j
    assert wide["w"].dtype == np.complex128


class Rotating(eqx.Module):
    """Real state, complex weight: the map is tanh of a rotation with growth 2."""

    factor: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(2, jnp.float32)

    def __call__(self, input, state, *, key=None):
        real, imaginary = jnp.real(self.factor), jnp.imag(self.factor)
        turn = jnp.array([[real, -imaginary], [imaginary, real]])
        return jnp.tanh(turn @ state) + 0.1 * input


def test_a_complex_weight_is_seen_whole_by_the_eigenvalues():
    factor = 2 * jnp.exp(1.5j)
    found = jacobian_spectrum(Rotating(factor), jnp.zeros(2)).values[0]
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex([factor, np.conj(factor)]), rtol=1e-6)


class Counting(eqx.Module):
    """x' = a x with a = 0.9 and 0.95 by turns: the exponent is the mean of their logarithms."""

    matters: bool = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.asarray(0), jnp.ones(1)

    def __call__(self, input, state, *, key=None):
        count, x = state
        factor = jnp.array([0.9, 0.95])[count % 2] if self.matters else 0.9
        return count + 1, factor * x + input

    def exposed(self, state):
        return state[1]


def test_a_counter_has_no_exponent_and_is_no_real_number():
    settings = LyapunovSettings(count="all", burn_in=0, alignment=0)
    found = lyapunov_exponents(Counting(True), 400, settings=settings)
    assert found.per_step.shape == (1,)
    assert found.per_step[0] == pytest.approx((np.log(0.9) + np.log(0.95)) / 2, abs=1e-12)


def test_fixed_points_hold_a_counter_that_decides_nothing_and_name_one_that_does():
    found = fixed_points(Counting(False), np.array([0.1]))
    np.testing.assert_allclose(found.states, [[1.0]], rtol=1e-12)
    count, x = found.state(0)
    assert count == 0
    np.testing.assert_allclose(x, [1.0])
    with pytest.raises(UnsupportedError, match=r"Counting depends on \[0\] \(int.*changes from step to step"):
        fixed_points(Counting(True))


class Table(eqx.Module):
    """Rows of a table chosen by an index in the state, which never changes."""

    rows: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {"row": jnp.asarray(1), "x": jnp.zeros(1)}

    def __call__(self, input, state, *, key=None):
        return state | {"x": self.rows[state["row"]] * state["x"] + 1 + 0 * input}


def test_an_index_that_never_changes_stays_an_index():
    found = fixed_points(Table(jnp.array([0.0, 0.5])))
    np.testing.assert_allclose(found.states, [[2.0]], rtol=1e-12)


class Casting(eqx.Module):
    """x' = tanh(x / 2 + u), by way of a narrower type."""

    kind: object = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        narrow = (0.5 * state).astype(self.kind) + jnp.float32(0).astype(self.kind)
        return jnp.tanh(narrow.astype(state.dtype) + input)


def test_a_cast_to_float32_is_left_out_and_told():
    with pytest.warns(PrecisionWarning, match=r"Casting rounds its state to float32 .*test_flat.py"):
        found = fixed_points(Casting(jnp.float32), np.array([0.2]))
    assert len(found) == 1
    assert found.residuals[0] < 1e-14


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16])
def test_a_coarse_cast_is_refused_with_its_place(kind):
    with pytest.raises(UnsupportedError, match=r"to b?float16 inside its step .*test_flat.py"):
        lyapunov_exponents(Casting(kind), 300)


def test_a_cast_of_weights_alone_is_no_cast_of_the_state():
    class Weights(eqx.Module):
        weight: Array
        input_size: int = eqx.field(static=True, default=1)
        hidden_size: int = eqx.field(static=True, default=1)

        def __call__(self, input, state, *, key=None):
            return self.weight.astype(jnp.bfloat16).astype(state.dtype) * jnp.tanh(state) + input

    assert len(fixed_points(Weights(jnp.asarray(0.5)))) == 1


class WithOutput(eqx.Module):
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return 0.5 * state, state


class Longer(WithOutput):
    def __call__(self, input, state, *, key=None):
        return jnp.concatenate([state, input])


class Imaginary(WithOutput):
    def __call__(self, input, state, *, key=None):
        return state * 1j


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (WithOutput(), "returns the new state alone"),
        (Longer(), r"shape \(2,\) into one of shape \(3,\)"),
        (Imaginary(), "into one of complex128"),
    ],
)
def test_a_step_that_returns_something_else_is_named(cell, words):
    with pytest.raises(ShapeError, match=words):
        fixed_points(cell)
    with pytest.raises(ShapeError, match=words):
        lyapunov_exponents(cell, 300)


@pytest.mark.parametrize("cell", [GRU(1, 3, key=jax.random.key(0)), LSTM(1, 3, key=jax.random.key(0))])
def test_plain_cells_have_no_held_part(cell):
    with jax.enable_x64(True):
        flat = flat_map(unrounded(in_double_precision(cell)))
        assert flat.size == flat.real_size == flat.still("a test").size


def test_a_state_without_arrays_is_refused():
    class Empty(WithOutput):
        def initial_state(self):
            return {"name": "mine"}

    with pytest.raises(UnsupportedError, match="holds str at"):
        flat_map(Empty(), dtype=jnp.float32)


@jax.custom_vjp
def straight_through(x):
    return jnp.sign(x) * x**2


straight_through.defvjp(lambda x: (straight_through(x), None), lambda _, change: (change,))


@jax.custom_jvp
def told_flat(x):
    return 2 * x


told_flat.defjvp(lambda values, changes: (2 * values[0], 0 * changes[0]))


@pytest.mark.parametrize(
    ("step", "slope"),
    [
        (lambda u, x: 0.5 * x + jax.lax.stop_gradient(0.6 * x), 1.1),
        (lambda u, x: jax.jit(lambda x: x + jax.lax.stop_gradient(jnp.round(x) - x))(x) + 0.25 * x, 0.25),
        (lambda u, x: straight_through(x), 0.5),
        (lambda u, x: told_flat(x), 2.0),
        (lambda u, x: 1.5 * jax.nn.relu(x), 1.5),
    ],
)
def test_an_analysis_differentiates_what_a_step_does_and_not_what_it_tells_training(step, slope):
    found = jacobian_spectrum(attractor.cell(step, 0, jnp.zeros(1)), jnp.asarray([0.25]))
    np.testing.assert_allclose(found.values, [[slope]], rtol=1e-12)


def test_the_hessian_before_a_step_is_that_of_the_loss_after_it():
    weights = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)

    def step(state):
        return jnp.tanh(weights[0] @ state + jnp.sin(weights[1] @ state))

    def loss(state):
        return jnp.sum(jnp.exp(state) * jnp.arange(1.0, 4.0))

    @jax.jit
    def both(state):
        after = step(state)
        known = jax.grad(loss)(after), jax.hessian(loss)(after)
        found = *hessian_before(step, state, known), hessian_before(step, state, known, curvature=False)[1]
        jacobian, whole = jax.jacfwd(step)(state), lambda x: loss(step(x))
        wanted = jax.grad(whole)(state), jax.hessian(whole)(state), jacobian.T @ known[1] @ jacobian
        return found, wanted

    found, (slope, curved, straight) = both(np.array([0.1, -0.2, 0.3], np.float32))
    gradient, hessian, plain = found
    assert np.allclose(gradient, slope, rtol=1e-5)
    assert np.allclose(hessian, curved, rtol=1e-4, atol=1e-5)
    assert np.allclose(plain, straight)
