"""Where every leaf of a state stands in its vector, and what a map of the real part alone may hold still."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from attractor.errors import ShapeError, UnsupportedError
from attractor.program import FlatMap, LeafKind, flat_map, layout_of

KEY = jax.random.key(3)
STATE = {
    "count": np.array([[7, 8]], np.int32),
    "h": np.array([1.0, 2.0], np.float32),
    "z": np.array([[1 + 2j], [3 - 4j]], np.complex64),
    "y": 5.0,
}


class Held(eqx.Module):
    """x' = f of whatever the state is, with one input and a read-out of one leaf."""

    start: object
    update: object = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return self.start

    def __call__(self, input, state, *, key=None):
        return self.update(input, state, key)

    def exposed(self, state):
        return state["h"]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def state():
    return jax.tree.map(jnp.asarray, {**STATE, "key": KEY})


def layout():
    return layout_of(state(), "Mine")


def test_real_and_complex_numbers_come_first_in_the_order_of_the_pytree():
    """Of a complex leaf all real parts, then all imaginary ones; whole numbers and keys come last."""
    vector = layout().flatten(state())
    words = jax.random.key_data(KEY).astype(float)
    np.testing.assert_array_equal(vector, [1, 2, 5, 1, 3, 2, -4, 7, 8, *words])
    assert vector.dtype == jnp.float64
    assert (layout().size, layout().real_size) == (11, 7)
    assert [str(leaf) for leaf in layout().discrete] == ["['count'] (int32)", "['key'] (key<fry>)"]
    assert [leaf.numbers for leaf in layout().leaves] == [2, 2, 2, 1, 4]


def test_a_state_of_one_array_is_called_the_state():
    (leaf,) = layout_of(jnp.zeros((2, 3)), "Mine").leaves
    assert str(leaf) == "the state (float64)"
    assert (leaf.kind, leaf.numbers, leaf.shape) == (LeafKind.REAL, 6, (2, 3))


def test_numbers_of_python_are_leaves_like_any_other():
    numbers = layout_of({"count": 3, "x": 1.5}, "Mine")
    assert [leaf.kind for leaf in numbers.leaves] == [LeafKind.WHOLE, LeafKind.REAL]
    np.testing.assert_array_equal(numbers.flatten({"count": 4, "x": 2.5}), [2.5, 4])


def test_every_leaf_comes_back_with_its_own_type():
    back = layout().restore(layout().flatten(state()))
    for name, value in STATE.items():
        np.testing.assert_array_equal(back[name], value)
    assert back["count"].dtype == jnp.int32
    np.testing.assert_array_equal(jax.random.key_data(back["key"]), jax.random.key_data(KEY))
    keys = jax.random.split(jax.random.key(5, impl="rbg"), 3)
    again = layout_of(keys, "Mine")
    assert again.size == 12
    np.testing.assert_array_equal(
        jax.random.key_data(again.restore(again.flatten(keys))), jax.random.key_data(keys)
    )


def test_whole_numbers_have_no_derivative():
    def moved(vector):
        return layout().flatten(layout().restore(vector))

    found = jax.jacfwd(moved)(layout().flatten(state()))
    np.testing.assert_array_equal(found, np.diag([1.0] * 7 + [0.0] * 4))


def test_the_real_arrays_are_those_of_the_real_part_in_its_order():
    arrays = layout().real_arrays(state())
    np.testing.assert_array_equal(jnp.concatenate([one.ravel() for one in arrays]), [1, 2, 5, 1, 3, 2, -4])
    assert {one.dtype for one in arrays} == {jnp.dtype("float64")}
    moved = layout().with_real_arrays(state(), [10 * one for one in arrays])
    np.testing.assert_array_equal(moved["z"], [[10 + 20j], [30 - 40j]])
    np.testing.assert_array_equal(moved["h"], [10, 20])
    np.testing.assert_array_equal(moved["count"], [[7, 8]])
    assert float(moved["y"]) == 50


def test_another_real_part_leaves_the_rest_of_a_state():
    moved = layout().with_real(state(), jnp.arange(7.0))
    np.testing.assert_array_equal(moved["h"], [0, 1])
    assert float(moved["y"]) == 2
    np.testing.assert_array_equal(moved["z"], [[3 + 5j], [4 + 6j]])
    np.testing.assert_array_equal(moved["count"], [[7, 8]])
    np.testing.assert_array_equal(jax.random.key_data(moved["key"]), jax.random.key_data(KEY))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"h": np.zeros(3)}, r"\['h'\] \(float32\), shape \(2,\), into float64 of shape \(3,\)"),
        ({"h": np.zeros(1)}, r"into float64 of shape \(1,\)"),
        ({"h": np.zeros(2, np.int64)}, r"into int64 of shape \(2,\)"),
        ({"h": np.zeros(2, complex)}, "into complex128"),
        ({"count": np.zeros((1, 2))}, r"\['count'\].*into float64"),
        ({"key": jnp.zeros(2, jnp.uint32)}, r"\['key'\].*into uint32"),
        ({"more": jnp.zeros(1)}, "returns the new state alone"),
        ({"h": "text"}, "Mine returned str in place of an array"),
    ],
)
def test_a_state_unlike_the_first_one_is_refused(changed, words):
    with pytest.raises(ShapeError, match=words):
        layout().flatten({**state(), **changed})


def test_a_state_of_other_precision_is_like_the_first_one():
    widened = {**state(), "h": jnp.array([1.0, 2.0]), "count": jnp.array([[7, 8]])}
    np.testing.assert_array_equal(layout().flatten(widened), layout().flatten(state()))


@pytest.mark.parametrize(
    ("empty", "words"),
    [
        ((), "the initial state of Mine holds no array"),
        (jnp.zeros((0, 2)), r"the state of Mine is empty \(size 0\)"),
        ({"a": jnp.zeros(1), "b": "text"}, r"holds str at \['b'\]"),
        ("text", "holds str at its top"),
    ],
)
def test_a_state_without_numbers_is_refused(empty, words):
    with pytest.raises(UnsupportedError, match=words):
        layout_of(empty, "Mine")


def moving():
    """h moves by the input, the count counts, the key is handed on."""
    return Held(
        {"h": jnp.zeros(2), "count": jnp.asarray(3), "key": KEY},
        lambda u, s, key: {**s, "h": 0.5 * s["h"] + u + (0 if key is None else 1), "count": s["count"] + 1},
    )


def test_a_step_takes_noise_from_its_key_only():
    flat = flat_map(moving())
    assert (flat.size, flat.real_size, flat.input_size) == (5, 2, 1)
    np.testing.assert_array_equal(flat.step(flat.start, jnp.array([0.25]))[:3], [0.25, 0.25, 4])
    np.testing.assert_array_equal(flat.step(flat.start, jnp.array([0.25]), KEY)[:3], [1.25, 1.25, 4])
    np.testing.assert_array_equal(flat.output(jnp.array([1.0, 2.0, 0, 0, 0])), [1, 2])


def test_a_map_may_start_from_another_state_and_have_another_precision():
    other = {"h": jnp.ones(2), "count": jnp.asarray(9), "key": KEY}
    flat = flat_map(moving(), other, dtype=jnp.float32)
    assert flat.start.dtype == jnp.float32
    np.testing.assert_array_equal(flat.start[:3], [1, 1, 9])
    with pytest.raises(ShapeError):
        flat_map(moving(), {"h": jnp.ones(2)})


def test_a_small_change_moves_the_real_part_alone():
    flat = flat_map(moving())
    new, push = flat.linearize(flat.start, jnp.array([0.25]))
    np.testing.assert_array_equal(new, flat.step(flat.start, jnp.array([0.25])))
    np.testing.assert_array_equal(push(jnp.array([1.0, -2.0])), [0.5, -1.0])
    np.testing.assert_array_equal(flat.jacobian(flat.start, jnp.array([0.25])), 0.5 * np.eye(2))
    noisy, _ = flat.linearize(flat.start, jnp.array([0.25]), KEY)
    assert noisy[0] == 1.25


def test_what_decides_nothing_is_held_at_its_start():
    still = flat_map(moving()).still("a test")
    assert (still.size, still.real_size) == (2, 2)
    np.testing.assert_array_equal(still.start, [0, 0])
    np.testing.assert_array_equal(still.step(still.start, jnp.array([0.25])), [0.25, 0.25])
    assert int(still.restore(still.start)["count"]) == 3
    np.testing.assert_array_equal(still.jacobian(still.start, jnp.zeros(1)), 0.5 * np.eye(2))
    rest, push = still.linearize(still.start, jnp.zeros(1))
    assert (rest.shape, push(rest).shape) == ((2,), (2,))
    plain = flat_map(Held({"h": jnp.zeros(2)}, lambda u, s, key: s))
    assert isinstance(plain, FlatMap)
    assert plain.still("a test").size == 2


def test_a_whole_number_that_decides_by_way_of_another_one_is_named():
    """The count changes the flag, and the flag the real part."""

    def update(u, s, key):
        return {"h": s["h"] * s["flag"], "flag": s["count"] > 3, "count": s["count"] + 1}

    cell = Held({"h": jnp.zeros(2), "flag": jnp.asarray(True), "count": jnp.asarray(0)}, update)
    with pytest.raises(UnsupportedError, match=r"fixed points: .* depends on .*changes from step to step"):
        flat_map(cell).still("fixed points")


def test_a_whole_number_that_decides_and_never_changes_may_be_refused_too():
    cell = Held(
        {"h": jnp.zeros(2), "row": jnp.asarray(1)}, lambda u, s, key: {**s, "h": s["h"] * (s["row"] + 1.0)}
    )
    assert flat_map(cell).still("a test").size == 2
    with pytest.raises(UnsupportedError, match=r"\['row'\] .*which is no real number"):
        flat_map(cell).still("a test", constants=False)
    np.testing.assert_array_equal(flat_map(moving()).still("a test", constants=False).start, [0, 0])


def test_a_counter_that_decides_another_counter_only_decides_nothing():
    def update(u, s, key):
        return {"h": 0.5 * s["h"], "flag": s["count"] > 3, "count": s["count"] + 1}

    cell = Held({"h": jnp.zeros(2), "flag": jnp.asarray(True), "count": jnp.asarray(0)}, update)
    assert flat_map(cell).still("a test").size == 2


class Sized(eqx.Module):
    """A cell whose input has a shape."""

    matrix: Array
    input_shape: tuple = eqx.field(static=True, default=(2, 3))

    def initial_state(self):
        return jnp.zeros((2, 3))

    def __call__(self, input, state, *, key=None):
        return self.matrix @ state + input


def test_inputs_and_states_with_axes_are_rows_of_the_vector():
    flat = flat_map(Sized(jnp.array([[0.0, 1.0], [0.5, 0.0]])))
    assert (flat.size, flat.input_size) == (6, 6)
    found = flat.step(jnp.arange(6.0), jnp.arange(6.0) * 10)
    np.testing.assert_array_equal(found, [3, 14, 25, 30, 40.5, 51])
