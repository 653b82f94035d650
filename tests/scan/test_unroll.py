import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import CELLS, Jitter, filled, python_loop, signal

from attractor.cells import GRU, LSTM, Cell, ResetAfterGRU
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.scan import Recompute, unroll

VARIANTS = [
    {"hoist": hoist, "memory": memory}
    for memory in ("store", "recompute", Recompute(3))
    for hoist in (True, False)
]


def bits(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def on_host(tree):
    return jax.tree.map(np.asarray, tree)


def assert_same_bits(one, other):
    for left, right in zip(bits(one), bits(other), strict=True):
        np.testing.assert_array_equal(left, right)


def weighed(states):
    """A scalar in which every entry of every state has a weight of its own."""
    leaves = jax.tree.leaves(states)
    return sum(
        jnp.sum(np.cos(np.arange(leaf.size)).reshape(leaf.shape).astype(leaf.dtype) * leaf) for leaf in leaves
    )


def agree(cell, variants, rtol):
    """States and gradients of all variants, compiled together, against a Python loop over the step."""
    inputs = signal(4, 2)

    def measured(run):
        def loss(both):
            states, last = run(*both)
            return weighed(states) + weighed(last), states

        return eqx.filter_value_and_grad(loss, has_aux=True)

    @eqx.filter_jit
    def all_variants(both):
        return [measured(lambda *given, v=variant: unroll(*given, **v))(both) for variant in variants]

    expected = bits(eqx.filter_jit(measured(python_loop))((cell, inputs)))
    for variant, result in zip(variants, all_variants((cell, inputs)), strict=True):
        for left, right in zip(expected, bits(result), strict=True):
            np.testing.assert_allclose(right, left, rtol=rtol, atol=rtol, err_msg=str(variant))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_equals_its_python_loop_in_float64(name):
    with jax.enable_x64(True):
        agree(CELLS[name](), [{"hoist": True, "memory": Recompute(3)}], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_in_every_memory_and_hoisting_equals_its_python_loop(name, double):
    with jax.enable_x64(double):
        agree(CELLS[name](), VARIANTS, 1e-12 if double else 1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_memory_and_hoisting_equals_the_python_loop_in_float32(variant):
    agree(CELLS["reset-after gru"](), [variant], 1e-5)


@pytest.mark.parametrize("hoist", [True, False])
def test_two_pieces_equal_the_whole_at_every_cut(hoist):
    cell, inputs = CELLS["lstm"](), signal(3, 2)
    # A product over all steps adds in an order that may depend on their number: a rounding or two.
    tolerance = 1e-6 if hoist else 0
    whole = unroll(cell, inputs, hoist=hoist)
    for cut in range(4):
        first = unroll(cell, inputs[:cut], hoist=hoist)
        second = unroll(cell, inputs[cut:], first.last, hoist=hoist)
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), first.states, second.states)
        for got, expected in zip(bits((joined, second.last)), bits(tuple(whole)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_no_step_returns_the_start_and_one_step_is_a_step():
    cell = CELLS["lstm"]()
    start = (jnp.full(4, 0.1), jnp.full(4, 0.2))
    none = unroll(cell, jnp.zeros((0, 2)), start, memory="recompute")
    assert_same_bits(none.last, start)
    assert jax.tree.map(jnp.shape, none.states) == ((0, 4), (0, 4))
    one = unroll(cell, jnp.ones((1, 2)), start)
    np.testing.assert_allclose(one.last, cell(jnp.ones(2), start), rtol=1e-6)
    assert_same_bits(jax.tree.map(lambda leaf: leaf[0], one.states), one.last)


@eqx.filter_jit
def padded_gradient(cell, inputs, length):
    def loss(both):
        run = unroll(*both, length=length)
        return weighed(run.last), run.states

    return eqx.filter_value_and_grad(loss, has_aux=True)((cell, inputs))


@pytest.mark.parametrize("steps", [5, 8])
@pytest.mark.parametrize("rubbish", [0.0, -3.0, 1e30, np.inf, np.nan])
def test_what_follows_the_end_reaches_neither_states_nor_gradients(steps, rubbish):
    cell, inputs = CELLS["gru"](), signal(4, 2)
    longer = np.concatenate([inputs, np.full((steps - 4, 2), rubbish, np.float32)])
    (value, states), (by_cell, by_inputs) = on_host(padded_gradient(cell, inputs, None))
    (padded_value, padded), (padded_by_cell, padded_by_inputs) = on_host(
        padded_gradient(cell, jax.device_put(longer), jax.device_put(np.int32(4)))
    )
    assert padded_value == value
    assert_same_bits(padded[:4], states)
    assert_same_bits(padded[4:], np.repeat(states[-1:], steps - 4, axis=0))
    assert_same_bits(padded_by_cell, by_cell)
    assert_same_bits(padded_by_inputs[:4], by_inputs)
    assert not np.any(padded_by_inputs[4:])


@pytest.mark.parametrize("variant", [VARIANTS[0], VARIANTS[4]], ids=["hoisted", "recomputed"])
def test_rubbish_is_kept_out_of_every_variant(variant):
    cell, clean = CELLS["gru"](), signal(5, 2).at[3:].set(0)

    @eqx.filter_jit
    def gradient(inputs):
        return eqx.filter_grad(lambda both: weighed(unroll(*both, length=3, **variant)))((cell, inputs))

    assert_same_bits(gradient(clean.at[3:].set(jnp.nan)), gradient(clean))


class Logarithm(Cell):
    """Has no finite step at zero, and explodes after a few steps elsewhere."""

    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return jnp.exp(state) * jnp.log(input) ** 2


def test_a_masked_step_of_a_cell_that_would_explode_leaves_the_gradient_finite():
    # 1.2, 4.0, 68, 4e29: the next state, and its slope, would be infinite.
    inputs = jnp.array([3.0, 3.0, 3.0, 3.0, 0.0, 0.0])[:, None]

    def loss(inputs, length):
        return jnp.sum(unroll(Logarithm(), inputs, length=length).last)

    padded = jax.grad(loss)(inputs, 4)
    np.testing.assert_allclose(padded[:4], jax.grad(loss)(inputs[:4], None), rtol=1e-5)
    assert np.all(np.isfinite(padded))
    assert not np.any(padded[4:])


def test_length_zero_returns_the_start_and_no_gradient_even_from_rubbish():
    cell = CELLS["gru"]()
    (_, states), gradients = padded_gradient(cell, jnp.full((8, 2), jnp.nan), jnp.array(0))
    assert not np.any(states)
    assert all(not np.any(leaf) for leaf in bits(gradients))


BATCHED = eqx.filter_jit(
    lambda cell, inputs, lengths: jax.vmap(lambda u, n: unroll(cell, u, length=n))(inputs, lengths)
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=4, max_size=4),
    rubbish=st.floats(width=32),
    seed=st.integers(0, 99),
)
def test_padding_never_matters_in_a_batch(lengths, rubbish, seed):
    cell, inputs = CELLS["lstm"](), np.asarray(signal(4, 6, 2, seed=seed))
    beyond = np.arange(6)[None, :, None] >= np.array(lengths)[:, None, None]
    counts = jax.device_put(np.array(lengths, np.int32))
    clean, dirty = (
        BATCHED(cell, jax.device_put(np.where(beyond, np.float32(tail), inputs)), counts)
        for tail in (0, rubbish)
    )
    assert_same_bits(dirty, clean)


def test_a_batch_of_unequal_lengths_equals_its_sequences_one_by_one():
    cell, inputs, lengths = CELLS["lstm"](), signal(4, 6, 2), jnp.array([0, 1, 4, 6])
    batch = BATCHED(cell, inputs, lengths)
    for row, length in enumerate([0, 1, 4, 6]):
        states, last = unroll(cell, inputs[row]) if length == 6 else unroll(cell, inputs[row], length=length)
        for got, expected in zip(batch.last, last, strict=True):
            np.testing.assert_allclose(got[row], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.states[0][row], states[0], rtol=1e-5, atol=1e-6)


def test_a_permuted_batch_gives_permuted_states():
    cell, inputs, lengths = CELLS["lstm"](), signal(4, 6, 2), jnp.array([2, 5, 4, 6])
    order = np.array([2, 0, 3, 1])
    straight = BATCHED(cell, inputs, lengths)
    assert_same_bits(
        BATCHED(cell, inputs[order], lengths[order]), jax.tree.map(lambda leaf: leaf[order], straight)
    )


def test_a_nan_in_one_row_touches_no_other_row():
    cell, inputs, lengths = CELLS["lstm"](), signal(4, 6, 2), jnp.full(4, 6)
    clean = BATCHED(cell, inputs, lengths)
    dirty = BATCHED(cell, inputs.at[1, 2].set(jnp.nan), lengths)
    others = np.array([0, 2, 3])
    assert_same_bits(*(jax.tree.map(lambda leaf: leaf[others], result.states) for result in (dirty, clean)))
    assert np.all(np.isnan(dirty.states[0][1, 2:]))
    assert np.all(np.isfinite(dirty.states[0][1, :2]))


def test_forward_reverse_and_second_derivatives_agree_with_each_other_and_with_differences():
    with jax.enable_x64(True):
        cell, inputs = filled(ResetAfterGRU, 1, 2), signal(3, 1)

        @jax.jit
        def loss(inputs):
            return weighed(unroll(cell, inputs).states)

        gradient = jax.jit(jax.grad(loss))(inputs)
        forward = jax.jit(jax.jacfwd(loss))(inputs)
        direction = signal(3, 1, seed=1)
        along = jax.jit(lambda tangent: jax.jvp(loss, (inputs,), (tangent,))[1])(direction)
        np.testing.assert_allclose(forward, gradient, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(along, np.vdot(gradient, direction), rtol=1e-12)
        # A central difference of step d errs by d^2 + eps / d: 1e-10 at d = 1e-5.
        around = [
            (np.asarray(inputs) + step, np.asarray(inputs) - step) for step in 1e-5 * np.eye(3)[..., None]
        ]
        differences = [float(loss(ahead) - loss(behind)) / 2e-5 for ahead, behind in around]
        np.testing.assert_allclose(gradient[:, 0], differences, rtol=0, atol=1e-9)
        hessian = jax.jit(jax.hessian(loss))(inputs).reshape(3, 3)
        np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-14)
        slopes = jax.jit(jax.grad(loss))
        rows = [np.subtract(slopes(ahead), slopes(behind)) / 2e-5 for ahead, behind in around]
        np.testing.assert_allclose(hessian, np.array(rows)[..., 0], rtol=0, atol=1e-9)


def test_the_gradient_of_a_linear_cell_is_a_power_of_its_matrix():
    class Linear(Cell):
        matrix: jax.Array
        input_size: int = eqx.field(static=True, default=1)
        hidden_size: int = eqx.field(static=True, default=3)

        def __call__(self, input, state, *, key=None):
            return self.matrix @ state

    with jax.enable_x64(True):
        cell = Linear(signal(3, 3))
        gradient = jax.grad(lambda start: jnp.sum(unroll(cell, jnp.zeros((6, 1)), start).last))(jnp.ones(3))
        expected = np.linalg.matrix_power(np.asarray(cell.matrix).T, 6) @ np.ones(3)
        np.testing.assert_allclose(gradient, expected, rtol=1e-12)


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")])
def test_noise_follows_the_key(key):
    cell, inputs = Jitter(jnp.ones((2, 2))), signal(6, 2)
    noisy = unroll(cell, inputs, key=key).states
    assert_same_bits(unroll(cell, inputs, key=key).states, noisy)
    assert_same_bits(unroll(cell, inputs).states, python_loop(cell, inputs)[0])
    assert not np.any(noisy == unroll(cell, inputs).states)
    noisy = np.asarray(noisy)
    steps = noisy[1:] - 0.5 * noisy[:-1]
    assert len(np.unique(steps)) == steps.size


def test_hoisted_noise_equals_noise_inside_the_loop_and_outlives_padding():
    cell, inputs, key = Jitter(jnp.ones((2, 2))), signal(6, 2), jax.random.key(3)
    inside, hoisted = (unroll(cell, inputs, key=key, hoist=hoist).states for hoist in (False, True))
    np.testing.assert_allclose(hoisted, inside, rtol=1e-6, atol=1e-7)
    twice = jax.device_put(np.concatenate([inputs, inputs]))
    longer = unroll(cell, twice, key=key, length=6, hoist=False).states
    assert_same_bits(longer[:6], inside)


class Doubler(Cell):
    """Returns a state of the type and shape that `wrong` makes of it."""

    wrong: object = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return self.wrong(state)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda state: state.astype("float16"),
            r"Doubler turned a state of shape \(2,\), float\d\d, into one of float16",
        ),
        (
            lambda state: jnp.concatenate([state, state]),
            r"Doubler turned a state of shape \(2,\) into one of shape \(4,\)",
        ),
        (
            lambda state: (state, state),
            r"Doubler turned a state of shape \(2,\) into a tuple of 2 arrays: \[0\] \(2,\), \[1\] \(2,\)",
        ),
        (lambda state: [state[0], state[1]], r"return one array: `jnp.stack"),
        (lambda state: None, r"returned nothing \(None\)"),
        (lambda state: object(), r"returned object in place of an array"),
    ],
)
def test_a_step_that_changes_its_state_is_refused_with_both(wrong, said):
    with pytest.raises(ShapeError, match=said):
        unroll(Doubler(wrong), jnp.zeros((3, 2)))


def test_inputs_of_another_precision_than_the_weights_are_refused():
    with jax.enable_x64(True), pytest.raises(ShapeError, match=r"float32.*float64"):
        unroll(jax.tree.map(lambda leaf: leaf.astype("float32"), CELLS["gru"]()), jnp.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(3,), (3, 5), (4, 3, 2)])
def test_inputs_of_a_wrong_shape_are_refused_with_the_expected_one(shape):
    # The run-time check of the annotations, which only the tests have, would speak first about the rank.
    run = getattr(unroll, "__wrapped__", unroll) if len(shape) != 2 else unroll
    with pytest.raises(ShapeError) as caught:
        run(CELLS["gru"](), jnp.zeros(shape))
    assert f"inputs of shape {shape} given to GRU, expected (time, 2)" in str(caught.value)
    assert "jax.vmap" in str(caught.value)


@pytest.mark.parametrize("state", [np.zeros(5, "f4"), np.zeros((3, 4), "f4"), (np.zeros(4, "f4"),) * 2])
def test_a_state_of_a_wrong_shape_is_refused_with_the_expected_one(state):
    with pytest.raises(
        ShapeError, match=r"GRU was given a .* to start from, expected a state of shape \(4,\)"
    ):
        unroll(CELLS["gru"](), jnp.zeros((3, 2)), state)


@pytest.mark.parametrize("length", [-1, 4])
def test_a_length_that_is_no_number_of_steps_is_refused(length):
    with pytest.raises(ShapeError, match=f"length={length} of a sequence of 3 steps"):
        unroll(CELLS["gru"](), jnp.zeros((3, 2)), length=length)


def test_an_unknown_memory_is_refused():
    with pytest.raises(ConfigError, match="memory='disk'"):
        unroll(CELLS["gru"](), jnp.zeros((3, 2)), memory="disk")


def test_an_exploding_cell_ends_in_infinity():
    class Square(Cell):
        input_size: int = eqx.field(static=True, default=1)
        hidden_size: int = eqx.field(static=True, default=1)

        def __call__(self, input, state, *, key=None):
            return state**2

    assert unroll(Square(), jnp.zeros((9, 1)), jnp.array([10.0])).last == np.inf


def test_a_second_eager_call_compiles_nothing():
    cell, traced = CELLS["gru"](), []

    class Counted(Cell):
        input_size: int = eqx.field(static=True, default=2)
        hidden_size: int = eqx.field(static=True, default=4)

        def __call__(self, input, state, *, key=None):
            traced.append(1)
            return cell(input, state)

    for length in (None, 3):
        unroll(Counted(), signal(5, 2), length=length)
    compiled = len(traced)
    for length in (2, None):
        unroll(Counted(), signal(5, 2), length=length)
    assert len(traced) == compiled + 2  # each call asks once what the step is now; compiling asks more often


def test_lstm_and_gru_differ_under_vmap_over_an_ensemble_of_cells():
    ensemble = eqx.filter_vmap(lambda scale: jax.tree.map(lambda leaf: scale * leaf, filled(GRU, 2, 4)))
    cells, inputs = ensemble(jnp.array([0.5, 1.0])), signal(5, 2)
    runs = eqx.filter_vmap(lambda cell: unroll(cell, inputs).last)(cells)
    np.testing.assert_allclose(runs[1], unroll(filled(GRU, 2, 4), inputs).last, rtol=1e-5, atol=1e-6)
    assert not np.allclose(runs[0], runs[1])


def test_a_state_given_as_numpy_arrays_is_taken():
    usual = jnp.zeros(0).dtype
    start = (np.ones(4, usual), np.ones(4, usual))
    expected = unroll(filled(LSTM, 2, 4), signal(5, 2), jax.tree.map(jnp.asarray, start))
    assert_same_bits(unroll(filled(LSTM, 2, 4), signal(5, 2), start), expected)


@pytest.mark.parametrize("memory", ["recompute", Recompute(4)])
def test_noise_is_the_same_when_it_is_computed_twice(memory):
    cell, inputs, key = Jitter(jnp.ones((2, 2))), signal(6, 2), jax.random.key(3)

    def gradient(memory):
        loss = jax.grad(lambda u: weighed(unroll(cell, u, key=key, memory=memory).states ** 2))
        return jax.jit(loss)(inputs)

    np.testing.assert_allclose(gradient(memory), gradient("store"), rtol=1e-5, atol=1e-6)


def test_every_row_of_a_batch_has_noise_of_its_own():
    cell, inputs = Jitter(jnp.ones((2, 2))), jnp.zeros((3, 4, 2))
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.vmap(lambda u, key: unroll(cell, u, key=key).states)(inputs, keys)
    alone = unroll(cell, inputs[1], key=keys[1]).states
    np.testing.assert_allclose(states[1], alone, rtol=1e-6, atol=1e-7)
    assert len(np.unique(states)) == states.size


def test_the_gradient_reaches_the_start_and_vanishes_for_a_frozen_cell():
    cell, inputs = CELLS["elman"](), signal(4, 2)

    def last(cell, start):
        return weighed(unroll(cell, inputs, start).last)

    start = jax.device_put(np.full(4, 0.1, np.float32))
    by_start = jax.jit(jax.grad(last, argnums=1))(cell, start)
    assert np.all(np.asarray(by_start) != 0)
    frozen = eqx.filter_jit(eqx.filter_grad(lambda cell: last(jax.lax.stop_gradient(cell), start)))(cell)
    assert all(not np.any(leaf) for leaf in bits(frozen))


def test_a_sequence_without_steps_passes_the_gradient_to_its_start():
    cell, nothing = CELLS["gru"](), jnp.zeros((0, 2))
    gradient = jax.grad(lambda start: jnp.sum(unroll(cell, nothing, start).last))(jnp.ones(4))
    np.testing.assert_array_equal(gradient, np.ones(4))


def test_a_length_may_be_traced_and_compiles_once():
    cell, inputs, traced = CELLS["gru"](), signal(5, 2), []

    @jax.jit
    def last(length):
        traced.append(1)
        return unroll(cell, inputs, length=length).last

    states = unroll(cell, inputs).states
    for length in (1, 3, 5):
        np.testing.assert_allclose(last(length), states[length - 1], rtol=1e-6, atol=1e-7)
    assert len(traced) == 1


def test_half_precision_stays_half():
    cell = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), CELLS["gru"]())
    states = unroll(cell, signal(5, 2).astype("bfloat16")).states
    assert states.dtype == "bfloat16"
    # bfloat16 has eight bits; five steps of sums of a few terms lose a few of their last ones.
    np.testing.assert_allclose(
        states.astype("float32"), unroll(CELLS["gru"](), signal(5, 2)).states, rtol=0, atol=0.05
    )


def test_a_cell_without_input_size_takes_any_width():
    def cell(input, state, *, key=None):
        return state + jnp.sum(input)

    np.testing.assert_array_equal(unroll(cell, jnp.ones((3, 5)), jnp.zeros(())).states, [5, 10, 15])


def test_a_learned_start_gets_a_gradient():
    class Learned(Cell):
        start: jax.Array
        input_size: int = eqx.field(static=True, default=2)
        hidden_size: int = eqx.field(static=True, default=2)

        def __call__(self, input, state, *, key=None):
            return 0.5 * state + input

        def initial_state(self):
            return self.start

    gradient = eqx.filter_grad(lambda cell: jnp.sum(unroll(cell, jnp.ones((3, 2))).last))(
        Learned(jnp.ones(2))
    )
    np.testing.assert_allclose(gradient.start, [0.125, 0.125])


@pytest.mark.parametrize("variant", VARIANTS[:4:3], ids=str)
def test_a_batch_equals_its_rows_in_every_variant(variant):
    cell, inputs = CELLS["reset-after gru"](), signal(3, 5, 2)
    batch = jax.vmap(lambda u: unroll(cell, u, **variant).states)(inputs)
    rows = [unroll(cell, u, **variant).states for u in inputs]
    np.testing.assert_allclose(batch, rows, rtol=1e-5, atol=1e-6)


def test_flags_as_inputs_may_be_padded():
    flags = jnp.array([[True], [False]])

    def cell(u, s, *, key=None):
        return s + jnp.where(~u, 1.0, 0.0)

    np.testing.assert_array_equal(unroll(cell, flags, jnp.zeros(1), length=2).last, [1.0])


def test_an_empty_sequence_has_no_gradient_where_zero_inputs_would_have_an_infinite_one():
    def last(weight, length):
        def cell(u, s, *, key=None):
            return jnp.tanh(s + jnp.linalg.norm(weight @ u))

        return unroll(cell, jnp.ones((3, 2)), jnp.zeros(2), length=length).last.sum()

    gradient = jax.vmap(jax.grad(last), (None, 0))(jnp.eye(2), jnp.array([0, 3]))
    np.testing.assert_array_equal(gradient[0], 0.0)
    assert np.isfinite(gradient[1]).all()
    assert np.any(gradient[1] != 0)


@pytest.mark.parametrize("length", [np.int64(9), np.int64(-1), 2.5, np.array([1, 2])])
def test_a_length_of_any_kind_is_checked(length):
    with pytest.raises(ShapeError, match="length="):
        unroll(filled(GRU, 2, 4), signal(5, 2), length=length)


def test_a_step_that_calls_back_never_runs_twice():
    calls = []

    def cell(u, s, *, key=None):
        jax.debug.callback(lambda _: calls.append(1), s)
        return jnp.tanh(s + u.sum())

    inputs = signal(5, 2)
    jax.grad(lambda s: unroll(cell, inputs, s, memory="recompute").last.sum())(jnp.zeros(2))
    jax.effects_barrier()
    assert len(calls) == 5


def test_a_callback_on_the_input_stays_in_the_loop():
    def cell(u, s, *, key=None):
        seen = jax.pure_callback(np.sin, jax.ShapeDtypeStruct(u.shape, u.dtype), u)
        return jnp.tanh(s + seen)

    inputs = signal(4, 2)
    expected = jnp.zeros(2)
    for row in inputs:
        expected = jnp.tanh(expected + jnp.sin(row))
    np.testing.assert_allclose(unroll(cell, inputs, jnp.zeros(2), hoist=True).last, expected, rtol=1e-6)


def test_noise_does_not_depend_on_hoisting_whatever_the_generator():
    def cell(u, s, *, key=None):
        return jnp.tanh(u + jax.random.normal(key, (2,)))

    key, inputs = jax.random.key(1, impl="rbg"), signal(4, 2)
    inside, ahead = (unroll(cell, inputs, jnp.zeros(2), key=key, hoist=hoist) for hoist in (False, True))
    np.testing.assert_array_equal(inside.states, ahead.states)


def test_a_mutable_reference_in_a_step_is_refused():
    def cell(u, s, *, key=None):
        place = jax.new_ref(s)
        place[0] = u[0]
        return place[...]

    with pytest.raises(UnsupportedError, match="mutable reference"):
        unroll(cell, signal(4, 2), jnp.zeros(2))
