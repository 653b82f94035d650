from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import CELLS, signal

from attractor.cells import Cell
from attractor.scan import unroll
from attractor.scan.split import flat, is_cheap, product_cost

MATRIX, VECTOR = jnp.arange(12.0).reshape(3, 4), jnp.arange(4.0) - 1.5


def equations(function, *arguments):
    return jax.make_jaxpr(flat(function))(*arguments).jaxpr.eqns


def names(function, *arguments):
    return [equation.primitive.name for equation in equations(function, *arguments)]


@jax.jit
def inner(matrix, vector):
    return jnp.tanh(jnp.einsum("ij,j->i", matrix, vector))


def test_jitted_parts_are_written_out_at_any_depth():
    found = names(jax.jit(lambda matrix, vector: [inner(matrix, vector) + 1]), MATRIX, VECTOR)
    assert found == ["dot_general", "tanh", "add"]


@pytest.mark.parametrize(
    "product",
    [
        lambda matrix, vector: matrix @ vector,
        lambda matrix, vector: vector @ matrix.T,
        lambda matrix, vector: jnp.einsum("ij,j->i", matrix, vector, precision="highest"),
        lambda matrix, vector: jnp.tensordot(matrix, vector, 1),
        lambda matrix, vector: jnp.stack([matrix, matrix]) @ vector,
        lambda matrix, vector: vector @ vector,
        lambda matrix, vector: matrix @ matrix.T,
        lambda matrix, vector: jnp.einsum("ij,ij->i", matrix, matrix) * vector[0],
        lambda matrix, vector: jax.vmap(jnp.dot)(matrix, jnp.stack([vector] * 3)),
    ],
)
def test_a_step_written_out_computes_the_same(product):
    (found,) = flat(lambda *given: [product(*given)])(MATRIX, VECTOR)
    np.testing.assert_allclose(found, product(MATRIX, VECTOR), rtol=1e-6)


def test_a_product_with_a_vector_leaves_a_batch_leading():
    """No transposition between a product and what follows, for a cell that says `matrix @ vector`."""
    one = lambda vector: flat(lambda *given: [jnp.tanh(given[0] @ given[1])])(MATRIX, vector)[0]  # noqa: E731
    found = jax.make_jaxpr(jax.vmap(one))(jnp.ones((5, 4))).jaxpr.eqns
    assert [equation.primitive.name for equation in found] == ["dot_general", "tanh"]
    assert found[0].outvars[0].aval.shape == (5, 3)


def test_products_are_weighed_inside_what_is_called():
    def twice(matrix, vector):
        return [jax.lax.scan(lambda carry, _: (carry, matrix @ carry), vector, None, 2)[1]]

    (scan,) = equations(twice, MATRIX, VECTOR)
    assert product_cost(scan) == 24, "two turns of a product of 3 x 4"
    assert not is_cheap(scan)


def test_elementwise_functions_with_a_derivative_of_their_own_are_cheap():
    relu, silu = equations(lambda vector: [jax.nn.relu(vector)], VECTOR), equations(jax.nn.silu, VECTOR)
    assert all(is_cheap(equation) for equation in [*relu, *silu])
    root = equations(lambda vector: [jnp.linalg.cholesky(vector[0] * jnp.eye(2))], VECTOR)
    assert [is_cheap(equation) for equation in root if equation.primitive.name == "cholesky"] == [False]


class Speaking(Cell):
    """A cell that tells how often its step is done."""

    weight: jax.Array
    tell: Callable = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        jax.debug.callback(self.tell, state)
        return jnp.tanh(self.weight @ state + input)


def test_a_step_that_does_more_than_compute_is_not_repeated_by_the_backward_pass():
    calls = []
    cell = Speaking(0.5 * jnp.eye(2), lambda _: calls.append(1))
    jax.block_until_ready(jax.grad(lambda u: jnp.sum(unroll(cell, u).states))(jnp.ones((6, 1))))
    jax.effects_barrier()
    assert len(calls) == 6


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_backward_pass_keeps_products_and_states_alone(name):
    """Of a step with n units: n values of every product of the state, and the state."""
    cell, steps = CELLS[name](), 50
    inputs = signal(steps, cell.input_size)
    widths = {"gru": 3 + 1, "lstm": 4 + 2}
    _, kept = jax.vjp(lambda state: unroll(cell, inputs, state, hoist=False).last, cell.initial_state())
    stacked = [leaf for leaf in jax.tree.leaves(kept) if getattr(leaf, "shape", ())[:1] == (steps,)]
    of_state = [leaf for leaf in stacked if leaf.shape[1] % cell.hidden_size == 0]
    assert 0 < sum(leaf.shape[1] for leaf in of_state) <= widths[name] * cell.hidden_size
