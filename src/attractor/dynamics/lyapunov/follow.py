"""The loop of Benettin's method: states, a basis of tangent vectors, and a QR decomposition now and then.

Between two decompositions the basis is multiplied by several step Jacobians. The more steps, the cheaper, but
the slow directions drown in the rounding errors of the fast ones once their growth differs by more than
`MOST_SPREAD`. So the number of steps is chosen like the step of an integrator: from the spread that was just
seen, and an interval that turns out too long is done again in half of it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from attractor.program import FlatMap, compiled

MOST_SPREAD = 1e7
"""Ratio of growths within an interval: rounding then disturbs an exponent by about 1e-9 an interval."""

Driven = tuple[Float[Array, "batch time inputs"], Key[Array, "batch time"] | None]
"""Inputs, and keys where the steps are noisy."""


class Riding(NamedTuple):
    """What is carried along.

    Args:
        states: flat states.
        basis: tangent vectors as rows, which is what LAPACK calls columns: no transposition.
        interval: steps that the next interval should have.
        longest: steps of one interval at most.
        singular: directions in which some step had a Jacobian without a part of their own.
        broken: the first step of every run with numbers that are not finite; -1 if there is none.
        still: the states stood still, bit by bit, in the last step.
    """

    states: Float[Array, "batch states"]
    basis: Float[Array, "batch count real"]
    interval: Int[Array, ""]
    longest: Int[Array, ""]
    singular: Bool[Array, "batch count"]
    broken: Int[Array, " batch"]
    still: Bool[Array, " batch"]


def start(flat: FlatMap, states: Float[Array, "batch states"], count: int, seed: int, longest: int) -> Riding:
    """States with a random basis of their real part, the same for all of the batch."""
    drawn = jax.random.normal(jax.random.key(seed), (flat.real_size, count), states.dtype)
    basis = jnp.broadcast_to(jnp.linalg.qr(drawn)[0].T, (len(states), count, flat.real_size))
    nothing = jnp.zeros((len(states), count), bool)
    still, sound = jnp.zeros(len(states), bool), jnp.full(len(states), -1, jnp.int64)
    return Riding(states, basis, place(1), place(longest), nothing, sound, still)


def place(step: int) -> Int[Array, ""]:
    """A number of a step in the one type that the loops are compiled for."""
    return jnp.asarray(step, jnp.int64)


def _row(driven: Driven, step: Any) -> tuple[Array, Array | None]:
    inputs, keys = driven
    return inputs[:, step], None if keys is None else keys[:, step]


@compiled
def settle(
    flat: FlatMap, riding: Riding, driven: Driven, first: Int[Array, ""], last: Int[Array, ""]
) -> Riding:
    """Move the states alone, from step `first` to before `last`."""
    move = jax.vmap(flat.step)

    def body(step: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        states, broken = carry
        new = move(states, *_row(driven, step))
        return new, _first_broken(broken, jnp.all(jnp.isfinite(new), axis=1), step)

    states, broken = jax.lax.fori_loop(first, last, body, (riding.states, riding.broken))
    return riding._replace(states=states, broken=broken)


@compiled
def advance(
    flat: FlatMap, riding: Riding, driven: Driven, first: Int[Array, ""], marks: Int[Array, " marks"]
) -> tuple[Riding, Float[Array, "marks batch count"], Int[Array, ""]]:
    """Move states and basis from step `first` to before the last mark.

    Runs that leave the finite numbers are carried on as they are, and the others do not care.

    Args:
        flat: the cell.
        riding: what is carried along.
        driven: inputs and keys.
        first: number of the first step.
        marks: steps, in rising order, before which the growth is told.

    Returns:
        What rides on, the growth of logarithms from the first step to every mark, and the number of
        decompositions. Between two decompositions the growth counts as even.
    """
    pushed, last = _pushed(flat), marks[-1]

    def body(carry: tuple[Any, Riding, Array, Array, Array]) -> tuple[Any, Riding, Array, Array, Array]:
        step, riding, growth, told, count = carry
        length = jnp.minimum(riding.interval, last - step)
        moved = jax.lax.fori_loop(step, step + length, lambda at, some: pushed(at, some, driven), riding)
        basis, logs, empty = _orthonormal(moved.basis)
        # A basis may overflow because the interval is long: only a single step shows a broken Jacobian.
        sound = jnp.all(jnp.isfinite(logs) | empty, axis=1) | (length > 1)
        moved = moved._replace(broken=_first_broken(moved.broken, sound, step))
        spread = _spread(logs, riding.singular | empty | (moved.broken >= 0)[:, None])
        whole = (spread <= jnp.log(MOST_SPREAD)) & ~jnp.any(empty & ~riding.singular)
        good = whole | (length == 1)
        wanted = length * jnp.log(MOST_SPREAD) / jnp.maximum(spread, 1e-3)
        longer = jnp.clip(jnp.floor(wanted), 1, jnp.minimum(2 * length, riding.longest)).astype(length.dtype)
        singular = riding.singular | (empty & (length == 1))
        done = moved._replace(basis=basis, interval=longer, singular=singular)
        again = riding._replace(interval=jnp.maximum(length // 2, 1))
        # Broken paths are not mended by shorter intervals: where none is left, it ends here.
        stop = jnp.all(moved.broken >= 0)
        kept = jax.tree.map(lambda one, other: jnp.where(good | stop, one, other), done, again)
        logs = jnp.where(empty, -jnp.inf, logs)
        share = jnp.clip((marks - step) / length, 0.0, 1.0)[:, None, None]
        passed = good & (share > 0)
        return (
            jnp.where(stop, last, jnp.where(good, step + length, step)),
            kept,
            jnp.where(good, growth + logs, growth),
            jnp.where(passed, growth + jnp.where(share > 0, share, 1.0) * logs, told),
            count + good,
        )

    nothing = jnp.zeros(riding.singular.shape, riding.states.dtype)
    untold = jnp.zeros((len(marks), *nothing.shape), nothing.dtype)
    begun = (first, riding, nothing, untold, place(0))
    _, riding, _, told, count = jax.lax.while_loop(lambda carry: carry[0] < last, body, begun)
    return riding, told, count


def _first_broken(
    broken: Int[Array, " batch"], sound: Bool[Array, " batch"], step: Any
) -> Int[Array, " batch"]:
    return jnp.where((broken < 0) & ~sound, step, broken)


def _pushed(flat: FlatMap) -> Any:
    """One step of states and basis."""

    def one(state: Array, basis: Array, row: Array, key: Array | None) -> tuple[Array, Array]:
        new, push = flat.linearize(state, row, key)
        return new, jax.vmap(push)(basis)

    def step(at: Any, riding: Riding, driven: Driven) -> Riding:
        states, basis = jax.vmap(one)(riding.states, riding.basis, *_row(driven, at))
        broken = _first_broken(riding.broken, jnp.all(jnp.isfinite(states), axis=1), at)
        still = jnp.all(states == riding.states, axis=1)
        return riding._replace(states=states, basis=basis, broken=broken, still=still)

    return step


def _orthonormal(
    basis: Float[Array, "batch count states"],
) -> tuple[Float[Array, "batch count states"], Float[Array, "batch count"], Bool[Array, "batch count"]]:
    """An orthonormal basis of the same nested spaces, log |diag R|, and which of these are only rounding."""
    turned, triangle = jnp.linalg.qr(jnp.swapaxes(basis, 1, 2))
    own = jnp.abs(jnp.diagonal(triangle, axis1=1, axis2=2))
    return jnp.swapaxes(turned, 1, 2), jnp.log(own), only_rounding(triangle, basis.shape[2])


def only_rounding(triangles: Any, states: int) -> Any:
    """Which entries of diag R are zeros, to the accuracy of the arithmetic.

    What a pushed vector has beside the vectors before it is rounding where it is about as large as the error
    of a product, which is that of the longest one: then the Jacobian has no such direction. Some LAPACK leave
    an exact zero there, others a number near 1e-16, so that the number itself says nothing.

    Args:
        triangles: R of QR decompositions, shape (..., count, count), NumPy or JAX; its columns are as long as
            the pushed vectors.
        states: entries of a pushed vector.
    """
    longest = abs(triangles).sum(axis=-2).max(axis=-1)[..., None]  # no squares, which may overflow
    own = abs(triangles.diagonal(axis1=-2, axis2=-1))
    return own <= 4 * states * np.finfo(triangles.dtype).eps * longest


def _spread(logs: Float[Array, "batch count"], unused: Bool[Array, "batch count"]) -> Float[Array, ""]:
    """Difference of the largest and the smallest growth within an interval, over directions that count."""
    largest = jnp.max(jnp.where(unused, -jnp.inf, logs), axis=1)
    smallest = jnp.min(jnp.where(unused, jnp.inf, logs), axis=1)
    return jnp.max(jnp.where(jnp.all(unused, axis=1), 0.0, largest - smallest))
