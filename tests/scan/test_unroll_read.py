"""What `unroll(read=)` keeps of each state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import CELLS, signal

from attractor.scan import Recompute, unroll


@pytest.mark.parametrize("variant", [{}, {"memory": Recompute(2)}, {"length": 3}], ids=str)
def test_what_is_read_is_what_the_states_show(variant):
    cell, inputs = CELLS["lstm"](), signal(5, 2)
    whole = unroll(cell, inputs, **variant)
    found = unroll(cell, inputs, read=lambda state: {"h": state[0], "sum": state[1].sum()}, **variant)
    for one, other in zip((*found.last, found.states["h"]), (*whole.last, whole.states[0]), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(found.states["sum"], whole.states[1].sum(axis=1), rtol=1e-6)


def test_gradients_reach_what_the_reading_closes_over():
    cell, inputs = CELLS["lstm"](), signal(5, 2)

    def by_reading(weight, inputs):
        return jnp.sum(unroll(cell, inputs, read=lambda state: weight @ state[0]).states ** 2)

    def by_states(weight, inputs):
        return jnp.sum((unroll(cell, inputs).states[0] @ weight) ** 2)

    found, wanted = (jax.grad(f, (0, 1))(signal(4), inputs) for f in (by_reading, by_states))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_reading_that_has_changed_is_compiled_anew():
    factor = [1.0]
    cell, inputs = CELLS["gru"](), signal(3, 2)

    def scaled(state):
        return factor[0] * state

    first = unroll(cell, inputs, read=scaled).states
    factor[0] = 2.0
    np.testing.assert_array_equal(unroll(cell, inputs, read=scaled).states, 2 * first)


@pytest.mark.usefixtures("full_optimisation")
def test_states_that_are_not_read_take_no_memory():
    cell, steps = CELLS["lstm"](), 1000

    def bytes_of(read):
        run = eqx.filter_jit(lambda cell, inputs: unroll(cell, inputs, read=read))
        found = run.lower(cell, jnp.zeros((steps, 2))).compile().compiled.memory_analysis()
        return found.output_size_in_bytes + found.temp_size_in_bytes

    # h and c are two rows of four numbers a step; one number a step is read instead.
    saved = bytes_of(None) - bytes_of(lambda state: state[0][0])
    assert saved >= 7 * steps * jnp.zeros(()).nbytes
