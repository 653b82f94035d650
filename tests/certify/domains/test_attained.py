"""The bounds of every rule are attained: by the value at a single point, by corners over a box."""

import attained
import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.parametrize("part", range(6))
def test_at_a_single_point_every_bound_is_the_value(part):
    assert attained.at_point(part, 6) == []


@pytest.mark.parametrize("name", attained.EXACT)
def test_over_a_box_bounds_are_the_extremes_of_the_program(name):
    assert attained.exact(name) == []


@pytest.mark.parametrize("name", attained.LOOSE)
def test_over_a_box_bounds_leave_little_beside_the_extremes_of_the_program(name):
    assert attained.loose(name) == []


def test_the_largest_of_up_to_sixteen_states_moves_as_one_of_them():
    """Of more than that the hull of the slopes is taken, which adds up."""
    assert attained.sums_of_largest(16) == pytest.approx(1)
    assert attained.sums_of_largest(17) == pytest.approx(17)


W = np.array([[0.3, -0.8, 0.5], [0.2, 0.1, -0.6], [-0.4, 0.7, 0.9]])


def share(z):
    return jnp.exp(z) / jnp.exp(z).sum()


VECTORS = {
    "softmax of a sum": lambda u, x: share(x + x[attained.TURNED]),
    "softmax of a sum of three": lambda u, x: share(x + (x[attained.TURNED] + x.sum())),
    "softmax of a shifted vector": lambda u, x: share((x - x.sum()) + 0.5),
    "softmax of a multiple": lambda u, x: share(-2 * x + u * jnp.array([1.0, 0.0, -1.0])),
    "exponentials by another total": lambda u, x: jnp.exp(x) / jnp.exp(x[::-1] * 0.5).sum(),
    "exponentials by a part of their total": lambda u, x: jnp.exp(x) / jnp.exp(x[:2]).sum(),
    "exponentials by their total of a matrix": lambda u, x: share(jnp.outer(x, x)).sum(1),
    "a vector by another norm": lambda u, x: x / jnp.sqrt(9.0 + (2 * x[::-1] + u) @ x),
    "a vector by the norm of another one": lambda u, x: x / jnp.sqrt(0.1 + x[:2] @ x[:2]),
    "a vector by twice its norm": lambda u, x: x / (2 * jnp.sqrt(0.1 + x @ x)),
    "a vector by its squared norm": lambda u, x: x / (0.1 + x @ x),
    "a vector by the norm of its square": lambda u, x: x * jax.lax.rsqrt(0.5 * (x * x).sum() + 0.3),
    "a vector by a norm less a number": lambda u, x: x / jnp.sqrt((x * x).sum() + 0.5 - 0.25),
    "a vector by the norm of rows": lambda u, x: (
        jnp.outer(x, x)[0] / jnp.sqrt(0.2 + (x * x).sum() * x[0] ** 2)
    ),
    "cubes by a total": lambda u, x: x / jnp.sqrt(0.1 + (x**3).sum() ** 2),
    "a norm less its vector": lambda u, x: W @ (jnp.sqrt((x * x).sum() + 0.01) - x),
    "a norm of all but one": lambda u, x: jnp.sqrt(jnp.square(x - x.mean()).sum() + 0.02) * x,
}


@pytest.mark.parametrize("name", VECTORS)
def test_what_only_looks_like_a_function_of_the_whole_vector_is_not_bounded_as_one(name):
    assert attained.complaints(VECTORS[name], [*attained.BOXES.values()], ()) == []


ONE_ARGUMENT = {
    "softsign of a sum": (lambda u, x: jax.nn.soft_sign(2 * x + x[attained.TURNED]), 0.12),
    "softsign of a product": (lambda u, x: jax.nn.soft_sign(3 * x * u), 0.45),
    "a gate of a product": (lambda u, x: jax.nn.silu(W @ x), 0.12),
}


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_a_product_of_functions_of_one_quantity_is_bounded_piece_by_piece(name):
    update, loose = ONE_ARGUMENT[name]
    assert attained.complaints(update, [*attained.BOXES.values()], ("row", "input"), loose) == []
