"""Plain functions as cells and flows: maps without inputs, mixed up arguments, what is said of mistakes."""

import warnings
from functools import partial
from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import Discretised, Flow, GatedFlow, check_flow, discretise, initial_state
from attractor.cells.arguments import how_to_wrap, state_first
from attractor.errors import CellError, CellWarning, ConfigError, ShapeError
from attractor.scan import solve_flow


def henon(x, a=1.4, b=0.3):
    return jnp.stack([1 - a * x[0] ** 2 + x[1], b * x[0]])


def lorenz(x):
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def _unchecked(function):
    return getattr(function, "__wrapped__", function)


def orbit(cell, steps=3):
    return np.asarray(attractor.unroll(cell, jnp.zeros((steps, 0))).states)


def test_a_map_without_inputs_takes_the_state_alone():
    expected, state = [], np.full(2, 0.1)
    for _ in range(3):
        state = np.array([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])
        expected.append(state)
    start = jnp.full(2, 0.1)
    steps = [henon, lambda x: henon(x), lambda input, state: henon(state), partial(henon, b=0.3)]
    for step in steps:
        np.testing.assert_allclose(orbit(attractor.cell(step, 0, start)), expected, rtol=1e-5)
    weighted = attractor.cell(lambda w, x: w * x, 0, jnp.ones(2), weights=jnp.full(2, 0.5))
    np.testing.assert_allclose(orbit(weighted)[-1], 0.125)
    noisy = attractor.cell(lambda x, key=None: 0.5 * x, 0, jnp.ones(1))
    assert noisy.takes_noise
    np.testing.assert_allclose(orbit(noisy)[-1], 0.125)


@pytest.mark.parametrize(
    ("step", "inputs", "said"),
    [
        (lambda x: x, 2, r"takes x alone: write f\(input, x\), or, without inputs, attractor.cell\(f, 0"),
        (henon, 2, r"the state would be given .* default; it takes x alone: write henon\(input, x\)"),
        (lambda u, x, z: x, 1, r"cannot be called as step\(input, state\): .*needs `weights=`"),
        (lambda: 0, 0, r"cannot be called as step\(input, state\)"),
        (Flow, 1, "step=Flow, a class"),
        (henon, -1, r"the order is attractor.cell\(step, input_size, initial\)"),
    ],
)
def test_a_step_that_does_not_fit_is_told_what_to_write(step, inputs, said):
    with pytest.raises(ConfigError, match=said):
        attractor.cell(step, inputs, jnp.zeros(2))


@pytest.mark.parametrize("names", ["x, u", "state, input", "h, x", "s, v", "x_old, u_now", "z, inputs"])
def test_mixed_up_arguments_are_named(names):
    first, second = names.split(", ")
    assert state_first(first, second)
    step = eval(f"lambda {first}, {second}: {second}")  # noqa: S307 (names of our own)
    with pytest.warns(CellWarning, match=f"{first} gets the input. Write \\({second}, {first}\\)"):
        attractor.cell(step, 4, jnp.zeros(4))
    step = eval(f"lambda w, {first}, {second}: {second}")  # noqa: S307
    with pytest.warns(CellWarning, match=f"{first} gets the input"):
        attractor.cell(step, 4, jnp.zeros(4), weights=jnp.ones(1))
    with pytest.warns(CellWarning, match=f"{first} gets the input"):
        attractor.flow(eval(f"lambda {first}, {second}: {second}"), 4, jnp.zeros(4))  # noqa: S307


@pytest.mark.parametrize("names", ["u, x", "input, state", "x, h", "x, state", "v, s", "a, b", "z, x"])
def test_other_arguments_are_taken_as_they_stand(names):
    first, second = names.split(", ")
    attractor.cell(eval(f"lambda {first}, {second}: {second}"), 4, jnp.zeros(4))  # noqa: S307


def test_mixed_up_arguments_of_a_class_are_named_once():
    class Mixed(attractor.Cell):
        input_size: int = 2
        hidden_size: int = 2

        def __call__(self, x, u):
            return x + u

    with pytest.warns(CellWarning, match="Mixed: the first argument is called x, the second u"):
        attractor.check_cell(Mixed())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attractor.unroll(Mixed(), jnp.ones((2, 2)))


SWING = attractor.flow(lambda x: jnp.stack([x[1], -x[0]]), 0, jnp.array([1.0, 0.0]))


def test_a_function_makes_a_flow():
    """x'' = -x from (1, 0): after a time t the state is (cos t, -sin t)."""
    assert isinstance(SWING, Flow)
    assert (SWING.input_size, SWING.hidden_size) == (0, 2)
    np.testing.assert_array_equal(initial_state(SWING), [1, 0])
    found = solve_flow(SWING, jnp.linspace(0.0, 1.0, 3)).last
    np.testing.assert_allclose(found, [np.cos(1), -np.sin(1)], atol=1e-4)
    made = discretise(SWING, 0.1)
    assert isinstance(made, Discretised)
    np.testing.assert_allclose(orbit(made, 10)[-1], [np.cos(1), -np.sin(1)], atol=1e-4)


def test_a_flow_of_a_function_takes_inputs_and_weights():
    driven = attractor.flow(lambda w, u, x: -w * x + u, 1, jnp.zeros(1), weights=jnp.ones(1))
    found = attractor.unroll(discretise(driven, 0.1), jnp.ones((10, 1))).last
    np.testing.assert_allclose(found, 1 - np.exp(-1), atol=1e-5)


class Bare:
    """A flow that says no more than it must."""

    input_size = 0

    def initial_state(self):
        return jnp.ones(2)

    def vector_field(self, input, state):
        return -state


def test_a_flow_without_a_hidden_size_is_discretised():
    assert import_module("attractor.cells.flow")._size(Bare()) == 2


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (
            lorenz,
            r"lorenz is a function; make a flow of it first: attractor.flow\(lorenz, input_size",
        ),
        (Bare, r"Bare is a class; give a flow that it makes: Bare\(...\)"),
        (discretise(SWING, 0.1), "is a cell already"),
        (3, "3 is no flow"),
    ],
)
def test_what_is_no_flow_is_told_what_to_write(flow, said):
    # `discretise` and `solve_flow` ask this first. The run-time check of the annotations, which only the
    # tests have, would speak before.
    with pytest.raises(ConfigError, match=said):
        check_flow(flow)


@pytest.mark.parametrize(
    ("field", "kind", "said"),
    [
        (
            lambda x: x.sum(),
            ShapeError,
            r"vector field of <lambda> gives no change .* \(2,\) into .*\(\)",
        ),
        (lambda x: x @ jnp.ones(5), CellError, r"vector field of <lambda> failed \(test_function.py:\d+\)"),
        (lambda x: [x[0], x[1]], ShapeError, r"return one array: `jnp.stack"),
    ],
)
def test_a_field_that_does_not_fit_is_told_with_its_line(field, kind, said):
    with pytest.raises(kind, match=said):
        orbit(discretise(attractor.flow(field, 0, jnp.zeros(2)), 0.1))


def test_a_field_of_other_arguments_is_refused():
    with pytest.raises(CellError, match=r"the field of lorenz cannot be called as field\(input, state\)"):
        attractor.flow(lorenz, 2, jnp.zeros(3))


STATES = {
    "scalar": (lambda u, x: 0.5 * x + u, 0.0, r"one of shape \(1,\).*out of the input \(`u\[0\]`"),
    "whole": (lambda u, x: 0.5 * x, np.zeros(2, int), r"start from floats, e.g. jnp.zeros"),
    "whole table": (lambda u, x: 0.5 * x, np.zeros((2, 3), int), r"e.g. jnp.zeros\(\(2, 3\)\)"),
    "list": (lambda u, x: jnp.stack(x), [0.0, 0.0], r"start from one array: `jnp.array"),
    "nothing": (lambda u, x: None, jnp.zeros(2), r"returned nothing \(None\)"),
    "leaf": (lambda u, x: {"h": x["h"][:1]}, {"h": jnp.zeros(2)}, r"\['h'\] of shape \(2,\) into one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_every_reading_says_in_words_how_a_state_changed(name):
    step, start, said = STATES[name]
    cell = attractor.cell(step, 1, start)
    for read in (
        attractor.check_cell,
        lambda cell: attractor.unroll(cell, jnp.zeros((2, 1))),
        lambda cell: attractor.dynamics.lyapunov_exponents(cell, 300),
        attractor.certify.certify,
    ):
        with pytest.raises(ShapeError, match=said) as caught:
            read(cell)
        assert "PyTreeDef" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "inputs", "said"),
    [
        (lambda u, x: x, jnp.ones(5), r"write inputs\[:, None\]"),
        (lambda u, x: x, jnp.ones((2, 5, 1)), "jax.vmap"),
    ],
)
def test_inputs_of_another_shape_are_told_what_to_write(step, inputs, said):
    run = _unchecked(attractor.unroll)
    with pytest.raises(ShapeError, match=said):
        run(attractor.cell(step, 1, jnp.zeros(1)), inputs)
    with pytest.raises(ShapeError, match=r"henon has no inputs: jnp.zeros\(\(steps, 0\)\)"):
        run(attractor.cell(henon, 0, jnp.zeros(2)), jnp.asarray(5.0))


def plain(u, x):
    return x


@pytest.mark.parametrize(
    "read",
    [attractor.check_cell, lambda step: attractor.unroll(step, jnp.zeros((2, 1))), attractor.certify.certify],
)
def test_a_plain_function_is_told_the_line_that_makes_a_cell_of_it(read):
    line = r"write `Plain = attractor.cell\(plain, INPUTS, jnp.zeros\(STATES\)\)` .*test_function.py:Plain"
    with pytest.raises(ConfigError, match=line):
        read(plain)


def test_the_line_fits_the_function():
    assert "`Henon = attractor.cell(henon, 0, jnp.zeros(STATES))`" in how_to_wrap(henon)
    assert "`MapCell = attractor.cell(Map," in how_to_wrap(type("Map", (), {"__name__": "Map"})())
    with pytest.raises(ConfigError, match="henon looks like an update equation"):
        attractor.check_cell(henon)
    with pytest.raises(CellError, match=r"'int' object .*If it is an update equation: write `Odd ="):
        attractor.check_cell(odd)
    with pytest.raises(ConfigError, match=r"GatedFlow is a flow, not a map.*discretise"):
        attractor.check_cell(GatedFlow)


def odd(q):
    return q[0]


def test_the_table_says_which_argument_gets_what():
    report = attractor.check_cell(attractor.cell(lambda a, b: b, 4, jnp.zeros(4)))
    assert report.arguments == "first argument = input (4), second = state (4)"
    assert "first argument = input (4), second = state (4)" in repr(report)
    alone = attractor.check_cell(attractor.cell(henon, 0, jnp.zeros(2)))
    assert alone.arguments == "its only argument = state (2)"
    assert "0 inputs" in str(alone)
    pair = (jnp.zeros(3), jnp.zeros(()))
    weighted = attractor.cell(lambda w, u, s: s, 1, pair, weights=jnp.ones(1))
    said = attractor.check_cell(weighted)
    assert (
        said.arguments
        == "first argument = weights, second = input (1), third = state ([0] 3; [1] one number)"
    )
    assert "1 input;" in str(said)


class Heard:
    """A reporter that remembers."""

    def __init__(self):
        self.told, self.closed = [], False

    def update(self, done, total, message=""):
        self.told.append((done, total, message))

    def close(self):
        self.closed = True


def test_the_table_reports_its_progress_and_says_a_warning_once():
    narrow = attractor.cell(lambda u, x: 0.5 * x.astype("float32").astype(x.dtype) + u, 1, jnp.zeros(1))
    heard = Heard()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = attractor.check_cell(narrow, reporter=heard)
    assert len({str(one.message) for one in caught}) == len(caught) == 1
    assert [done for done, *_ in heard.told] == list(range(len(report.readings) + 1))
    assert heard.told[0][2] == "run"
    assert heard.closed
