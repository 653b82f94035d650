"""A flat program computes what the function computes, and says so when it cannot."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, LSTM, NNARX, EchoState, ResetAfterGRU, initial_state
from attractor.errors import UnsupportedError
from attractor.program import in_double_precision, interpret, step_program, trace


def identity_walk(program, *arguments):
    """Interpreting with exact arguments evaluates the program."""
    return interpret(program, {}, [jnp.asarray(leaf) for leaf in jax.tree.leaves(arguments)], "evaluation")


@pytest.mark.parametrize("build", [GRU, ResetAfterGRU, LSTM, NNARX, EchoState, eqx.nn.GRUCell])
def test_the_program_of_a_step_is_the_step(build):
    cell = build(2, 3, key=jax.random.key(0))
    given = jnp.array([0.3, -0.8])
    state = jax.tree.map(lambda leaf: leaf + 0.1, initial_state(cell))
    found = identity_walk(step_program(cell), given, state)
    for one, other in zip(found, jax.tree.leaves(cell(given, state)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_calls_are_written_out_and_dead_code_is_dropped():
    def function(x):
        jnp.sin(x)  # nobody uses it
        return jax.jit(jax.nn.relu)(x) + jax.nn.softplus(x)

    program = trace(function, jnp.ones(3))
    assert not {"jit", "custom_jvp_call", "sin"} & set(program.primitives)
    np.testing.assert_allclose(identity_walk(program, jnp.ones(3))[0], function(jnp.ones(3)))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_of_known_length_is_unrolled(reverse):
    def function(x):
        return jax.lax.scan(lambda c, a: (c * a + 1, c - a), x[0], x, reverse=reverse)

    x = jnp.array([0.5, -1.0, 2.0])
    program = trace(function, x)
    assert "scan" not in program.primitives
    for one, other in zip(identity_walk(program, x), function(x), strict=True):
        np.testing.assert_allclose(one, other)


def test_a_loop_of_unknown_length_is_refused_with_its_place():
    with pytest.raises(UnsupportedError, match=r"'while'.*test_program\.py"):
        trace(lambda x: jax.lax.while_loop(lambda c: c < 10, lambda c: c * 2, x), jnp.ones(()))


def test_a_primitive_without_a_rule_is_named_with_its_place():
    program = trace(lambda x: jnp.fft.fft(x).real, jnp.ones(4))
    with pytest.raises(UnsupportedError, match=r"a test: .*'fft'.*test_program\.py"):
        interpret(program, {"convert_element_type": lambda equation, one: one}, ["symbol"], "a test")


def test_double_precision_widens_weights_and_nothing_else():
    cell = GRU(1, 2, key=jax.random.key(0))
    with jax.enable_x64(True):
        wide = in_double_precision(cell)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(eqx.filter(wide, eqx.is_array))} == {"float64"}
        program = step_program(wide)
        assert all(variable.aval.dtype == jnp.float64 for variable in program.jaxpr.invars)


def test_a_step_can_read_an_output_beside_the_state():
    cell = LSTM(1, 2, key=jax.random.key(0))
    program = step_program(cell, read=lambda state: state[0].sum()[None])
    assert program.output_shapes == ((2,), (2,), (1,))
