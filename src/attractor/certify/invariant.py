"""Boxes that no trajectory leaves: found for any cell, then shrunk to where trajectories end up."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .bounds import Box, Interval, step_bounds, step_image
from .bounds.arithmetic import hull

_INFLATION = 0.01
"""Share of the width by which a box is made larger, for the limit of a series is never quite reached."""

_SLOWEST = 0.9995
_LARGEST = 1e8


class InvariantBox(NamedTuple):
    """A box of states with f(box, inputs) inside it.

    Args:
        box: the box; what it says is true only if `found`.
        found: whether the image was seen to lie inside.
        steps: images that were taken after the first box that held its image: a trajectory that starts in
            that box is inside this one after so many steps.
    """

    box: Box
    found: Bool[Array, ""]
    steps: Int[Array, ""]


def find_invariant(cell: Any, box: Box, rounds: int = 60) -> InvariantBox:
    """Grow a box until it holds its own image.

    Every round takes the hull of the box and its image and runs ahead of a geometric series: a memory cell
    that keeps a share f of itself grows to the sum of the series, c = i g / (1 - f), in a few rounds.

    Args:
        cell: any cell, in float64 for a claim that holds in exact arithmetic.
        box: where to start: it stays inside the result.
        rounds: how often to grow.
    """

    def growing(carry: tuple[Interval, Interval, Array, Array]) -> Array:
        _, _, found, round_ = carry
        return ~found & (round_ < rounds)

    def grow(carry: tuple[Interval, Interval, Array, Array]) -> tuple[Interval, Interval, Array, Array]:
        state, last, _, round_ = carry
        image = step_image(cell, box.with_state(state))
        found = holds(state, image) & bounded(image)
        larger = _ahead(state, hull(state, image), last)
        return _keep(found, state, larger), _keep(found, last, state), found, round_ + 1

    carry = (box.state, box.state, jnp.zeros((), bool), jnp.zeros((), jnp.int32))
    state, _, found, _ = jax.lax.while_loop(growing, grow, carry)
    return InvariantBox(box.with_state(state), found, jnp.zeros((), jnp.int32))


def shrink(
    cell: Any, invariant: InvariantBox, *, cuts: int = 0, rounds: int = 200, tolerance: float = 1e-6
) -> InvariantBox:
    """Replace an invariant box by its image, again and again, while that takes something off.

    The image of an invariant box is invariant and holds every trajectory one step later.

    Args:
        cell: any cell, in float64 for a claim that holds in exact arithmetic.
        invariant: where to start; nothing happens to a box that was not found to be invariant.
        cuts: halvings of the box before its image is taken, piece by piece: 2^cuts pieces, whose images
            together are smaller than the image of the whole.
        rounds: most images.
        tolerance: stop when no side gains this share of the longest one.
    """

    def again(carry: tuple[Interval, Array, Array]) -> Array:
        _, steps, going = carry
        return going & (steps < rounds)

    def replace(carry: tuple[Interval, Array, Array]) -> tuple[Interval, Array, Array]:
        state, steps, _ = carry
        image = _image(cell, invariant.box.with_state(state), cuts)
        smaller = Interval(jnp.maximum(image.low, state.low), jnp.minimum(image.high, state.high))
        smaller = _keep(bounded(smaller), smaller, state)  # what is not defined replaces nothing
        gain = jnp.max(state.width - smaller.width)
        return smaller, steps + 1, gain > tolerance * jnp.max(smaller.width)

    start = (invariant.box.state, jnp.zeros((), jnp.int32), invariant.found)
    state, steps, _ = jax.lax.while_loop(again, replace, start)
    return InvariantBox(invariant.box.with_state(state), invariant.found, invariant.steps + steps)


def _image(cell: Any, box: Box, cuts: int) -> Interval:
    """The image of a box, by pieces: each cut halves all of them along the axis whose slopes vary most."""
    if cuts == 0:
        return step_image(cell, box)
    influence = step_bounds(cell, box).curvature
    width = box.high - box.low
    lows, highs = (jnp.tile(end, (2**cuts, 1)) for end in (box.low, box.high))
    for cut in range(cuts):
        axis = jnp.argmax(jnp.where(jnp.isfinite(influence), influence, 0.0) * width)
        width = width.at[axis].divide(2)
        upper = ((jnp.arange(2**cuts) >> cut) & 1).astype(bool)
        middle = (lows[:, axis] + highs[:, axis]) / 2
        lows = lows.at[:, axis].set(jnp.where(upper, middle, lows[:, axis]))
        highs = highs.at[:, axis].set(jnp.where(upper, highs[:, axis], middle))
    images = jax.vmap(lambda low, high: step_image(cell, Box(low, high, box.states)))(lows, highs)
    return Interval(images.low.min(axis=0), images.high.max(axis=0))


def holds(outer: Interval, inner: Interval) -> Bool[Array, ""]:
    """Whether one box lies in the other."""
    return ((outer.low <= inner.low) & (inner.high <= outer.high)).all()


def bounded(box: Interval) -> Bool[Array, ""]:
    """Whether a box is of a size that makes sense; also false for NaN."""
    return (box.magnitude < _LARGEST).all()


def _ahead(state: Interval, joined: Interval, last: Interval) -> Interval:
    """The joined box, every end that moved put where its geometric series would end, and a little further."""

    def end(now: Array, new: Array, before: Array) -> Array:
        step, previous = new - now, now - before
        ratio = jnp.where(previous == 0, 0.0, step / jnp.where(previous == 0, 1.0, previous))
        ratio = jnp.where((ratio > 0) & (ratio < _SLOWEST), ratio, 0.0)  # steps that grow make no series
        moved = new + step * ratio / (1 - ratio) + _INFLATION * jnp.sign(step) * joined.width
        return jnp.clip(moved, -2 * _LARGEST, 2 * _LARGEST)

    return Interval(end(state.low, joined.low, last.low), end(state.high, joined.high, last.high))


def _keep(done: Array, old: Interval, new: Interval) -> Interval:
    return Interval(jnp.where(done, old.low, new.low), jnp.where(done, old.high, new.high))
