import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import CELLS, python_loop, signal

from attractor.cells import Cell
from attractor.scan import unroll
from attractor.scan.split import AHEAD, ONCE, STEP, WORTH_HOISTING, split_step

WEIGHT, INPUT, STATE = jnp.eye(3, 2), jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0])


def pieces(step, *, hoist=True, weights=(WEIGHT,), inputs=(INPUT,), state=(STATE,)):
    """The split of a step, and the next state by way of its three pieces."""
    split = split_step(step, list(weights), list(inputs), list(state), hoist=hoist)
    shared = split.prepare(weights)
    return split, split.advance(shared, split.drive(shared, inputs), state)


def plain(weights, inputs, state):
    return [jnp.tanh(jnp.exp(weights[0]) @ inputs[0]) + state[0]]


@pytest.mark.parametrize("hoist", [True, False])
def test_the_pieces_equal_the_step(hoist):
    _, (new,) = pieces(plain, hoist=hoist)
    np.testing.assert_allclose(new, np.tanh(np.exp(WEIGHT) @ INPUT) + STATE, rtol=1e-6)


def test_equations_are_counted_by_what_they_depend_on():
    split, _ = pieces(plain)
    assert [split.count(level) for level in (ONCE, AHEAD, STEP)] == [1, 2, 1]
    split, _ = pieces(plain, hoist=False)
    assert [split.count(level) for level in (ONCE, AHEAD, STEP)] == [1, 0, 3]


def test_only_what_the_loop_needs_is_handed_over():
    split, _ = pieces(plain)
    shared = split.prepare([WEIGHT])
    assert [leaf.shape for leaf in shared] == [(3, 2)]
    assert [leaf.shape for leaf in split.drive(shared, [INPUT])] == [(3,)]


@pytest.mark.parametrize(
    ("rows", "hoisted"), [(WORTH_HOISTING // 512, True), (WORTH_HOISTING // 512 - 1, False)]
)
@pytest.mark.parametrize("product", [jnp.matmul, lambda w, u: jnp.einsum("ij,j->i", w, u)])
def test_large_products_of_the_input_leave_the_loop_even_inside_a_jitted_function(rows, hoisted, product):
    weight = jax.ShapeDtypeStruct((rows, 512), "float32")
    split = split_step(
        lambda weights, inputs, state: [product(weights[0], inputs[0]) + state[0]],
        [weight],
        [jax.ShapeDtypeStruct((512,), "float32")],
        [jax.ShapeDtypeStruct((rows,), "float32")],
    )
    assert (split.count(AHEAD) > 0) == hoisted


def test_a_large_product_of_the_state_is_no_reason_to_hoist():
    big = jax.ShapeDtypeStruct((512, 512), "float32")
    vector = jax.ShapeDtypeStruct((512,), "float32")
    split = split_step(lambda w, u, s: [jnp.tanh(u[0]) + w[0] @ s[0]], [big], [vector], [vector])
    assert split.count(AHEAD) == 0


ODD = {
    "constants of python and numpy": lambda w, u, s: [0.5 * s[0] + np.arange(3.0, dtype="f4") + 2],
    "a value chosen by jnp.where": lambda w, u, s: [jnp.where(u[0][0] > 0, s[0], -s[0])],
    "a branch on the input": lambda w, u, s: [jax.lax.cond(u[0][1] > 0, jnp.sin, jnp.cos, s[0])],
    "a branch on the state": lambda w, u, s: [
        jax.lax.cond(s[0][0] > 0, lambda x: w[0] @ u[0] + x, lambda x: x, s[0])
    ],
    "a scan over the state": lambda w, u, s: [jax.lax.scan(lambda c, x: (c * 0.5 + x, c), s[0], s[0])[0]],
    "a scan over the input": lambda w, u, s: [jax.lax.scan(lambda c, x: (c * x, c), 1.0, u[0])[0] + s[0]],
    "a jitted step": jax.jit(plain),
    "a function with a derivative of its own": lambda w, u, s: [jax.nn.relu(w[0] @ u[0]) + jax.nn.silu(s[0])],
    "an input that is not used": lambda w, u, s: [jnp.tanh(s[0])],
    "a weight that is not used": lambda w, u, s: [s[0] * u[0][0]],
    "a state that is not used": lambda w, u, s: [w[0] @ u[0]],
    "a state equal to the weights": lambda w, u, s: [w[0][:, 0]],
    "a constant state": lambda w, u, s: [jnp.ones(3)],
    "the same state": lambda w, u, s: [s[0]],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("hoist", [True, False])
def test_odd_steps_are_split_without_changing_them(name, hoist):
    expected = ODD[name]([WEIGHT], [INPUT], [STATE])
    _, found = pieces(ODD[name], hoist=hoist)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def test_state_components_may_be_the_input_a_literal_or_each_other():
    def step(weights, inputs, state):
        return [inputs[0], state[0], jnp.float32(7.0), inputs[0]]

    start = [INPUT * 0, INPUT * 0, jnp.float32(0), INPUT * 0]
    for hoist in (True, False):
        _, found = pieces(step, hoist=hoist, state=start)
        for got, expected in zip(found, [INPUT, INPUT * 0, 7.0, INPUT], strict=True):
            np.testing.assert_array_equal(got, expected)


class Remembering(Cell):
    """(what the input was, a constant, a sum), with a constant that is no leaf of the module."""

    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return input, jnp.ones(2), state[2] + np.array([1.0, 2.0], "f4")

    def initial_state(self):
        return jnp.zeros(2), jnp.zeros(2), jnp.zeros(2)


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_a_cell_whose_state_holds_its_input_unrolls(memory):
    inputs = signal(5, 2)
    states, last = unroll(Remembering(), inputs, hoist=True, memory=memory)
    expected, _ = python_loop(Remembering(), inputs)
    for got, wanted in zip(states, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(last[2], [5, 10])


class Counter(Cell):
    """Calls back into Python for work on the weights, and for work on the input."""

    weight: jax.Array
    calls: list = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=2)

    def count(self, name, value):
        def call(array):
            self.calls.append(name)
            return array

        shape = jax.ShapeDtypeStruct(value.shape, value.dtype)
        return jax.pure_callback(call, shape, value, vmap_method="sequential")

    def __call__(self, input, state, *, key=None):
        return self.count("weight", self.weight) * state + self.count("input", input)

    def __hash__(self):
        return id(self)


class Calls(list):
    def __hash__(self):
        return id(self)


def test_work_on_the_weights_is_done_once_for_a_whole_batch():
    cell = Counter(jnp.ones(2), Calls())
    run = jax.vmap(lambda inputs: unroll(cell, inputs).last)(jnp.ones((3, 6, 2)))
    jax.block_until_ready(run)
    assert cell.calls.count("weight") == 1
    assert cell.calls.count("input") == 3 * 6
    np.testing.assert_array_equal(run, np.full((3, 2), 6.0))


def test_a_side_effect_stays_in_the_loop():
    seen = []

    def step(weights, inputs, state):
        jax.debug.callback(lambda value: seen.append(float(value)), weights[0][0, 0])
        return [state[0]]

    split = split_step(step, [WEIGHT], [INPUT], [STATE], hoist=True)
    assert split.count(STEP) >= 1
    split.prepare([WEIGHT])
    jax.effects_barrier()
    assert not seen


def test_the_split_of_a_gru_takes_only_the_input_projection_out():
    cell = CELLS["gru"]()
    arrays, structure = jax.tree.flatten(cell)
    split = split_step(
        lambda w, u, s: [jax.tree.unflatten(structure, w)(u[0], s[0])],
        arrays,
        [jnp.zeros(2)],
        [jnp.zeros(4)],
        hoist=True,
    )
    driven = split.drive(split.prepare(arrays), [jnp.ones(2)])
    # The projections of the two gates and of the candidate.
    assert sorted(leaf.shape for leaf in driven) == [(4,), (8,)]


def test_a_product_that_stands_there_twice_is_done_once_and_other_numbers_are_not_mixed_up():
    def step(weights, inputs, state):
        first, again = weights[0] @ inputs[0], weights[0] @ inputs[0]
        return [2.0 * first + jnp.exp(again) - 3.0 * first + state[0]]

    split, (new,) = pieces(step, hoist=False)
    product = np.eye(3, 2) @ INPUT
    np.testing.assert_allclose(new, np.exp(product) - product + STATE, rtol=1e-6)
    assert split.count(STEP) == 7  # one product, two multiples, exp, and three sums


def test_a_second_derivative_shares_the_product_of_the_first():
    weight = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(3, 3)))

    def step(weights, inputs, state):
        def slope(at):
            return jax.jvp(lambda at: jnp.tanh(weights[0] @ at), (at,), (state[1],))[1]

        return list(jax.jvp(slope, (state[0],), (state[1],)))

    split, found = pieces(step, weights=(weight,), state=(STATE, 2 * STATE))
    bent = np.tanh(weight @ STATE)
    along = weight @ (2 * STATE)
    np.testing.assert_allclose(found[0], (1 - bent**2) * along, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1], -2 * bent * (1 - bent**2) * along**2, rtol=1e-4, atol=1e-6)
    assert sum(equation.primitive.name == "dot_general" for equation in split._jaxpr.eqns) == 2
