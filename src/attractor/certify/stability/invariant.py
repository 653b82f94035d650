"""Boxes that no trajectory leaves: found for any cell, then shrunk to where trajectories end up."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from attractor.cells import CellLike

from ..domains import Box, Interval, centred_image, step_bounds, step_image
from ..domains.interval import hull, intersection

# Share of the width by which a box is made larger, for the limit of a series is never quite reached.
_INFLATION = 0.01

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


def shrink(
    cell: CellLike, invariant: InvariantBox, *, cuts: int = 0, rounds: int = 200, tolerance: float = 1e-6
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
    begun = _begun(invariant.box.state)._replace(found=invariant.found)
    end = _settled(cell, invariant.box, begun, _Limits(0, rounds, tolerance, cuts))
    return InvariantBox(invariant.box.with_state(end.state), invariant.found, invariant.steps + end.steps)


def settle(
    cell: CellLike,
    box: Box,
    *,
    growing: int = 60,
    rounds: int = 200,
    tolerance: float = 1e-6,
    centred: bool = False,
) -> tuple[InvariantBox, InvariantBox]:
    """Grow a box until it holds its own image, then shrink it: one loop, compiled in half the time of two.

    Every round of growing takes the hull of the box and its image and runs ahead of a geometric series: a
    memory cell that keeps a share f of itself grows to the sum of the series, c = i g / (1 - f), in a few
    rounds.

    Args:
        cell: any cell, in float64 for a claim that holds in exact arithmetic.
        box: where to start: it stays inside the first result.
        growing: most rounds of growing.
        rounds: most images after that.
        tolerance: stop when no side gains this share of the longest one.
        centred: take images by `centred_image`, which follows derivatives: slower, and made for residual
            steps.

    Returns:
        The first box that held its image, and what is left of it after `rounds` images at most.
    """
    end = _settled(cell, box, _begun(box.state), _Limits(growing, rounds, tolerance, centred=centred))
    first = InvariantBox(box.with_state(end.first), end.found, jnp.zeros((), jnp.int32))
    return first, InvariantBox(box.with_state(end.state), end.found, end.steps)


class _Progress(NamedTuple):
    """Where the loop is: a box that grows until it holds its image, and shrinks from then on.

    Args:
        state: the box now.
        last: the one before it, for the series of a growing box.
        first: the box that first held its image; the one now until then.
        found: whether it was seen to.
        grown: rounds of growing.
        steps: images of the first box that were taken.
        going: whether the last image took something off.
    """

    state: Interval
    last: Interval
    first: Interval
    found: Array
    grown: Array
    steps: Array
    going: Array


def _begun(state: Interval) -> _Progress:
    none = jnp.zeros((), jnp.int32)
    return _Progress(state, state, state, jnp.zeros((), bool), none, none, jnp.ones((), bool))


class _Limits(NamedTuple):
    """How long the loop goes on, and how it takes images.

    Args:
        growing: most rounds of growing.
        images: most images after that.
        tolerance: least gain of an image.
        cuts: halvings of the box for it.
        centred: whether by the mean value theorem, which needs no cuts.
    """

    growing: int
    images: int
    tolerance: float
    cuts: int = 0
    centred: bool = False


def _settled(cell: CellLike, box: Box, begun: _Progress, limits: _Limits) -> _Progress:
    def unfinished(now: _Progress) -> Array:
        return jnp.where(now.found, now.going & (now.steps < limits.images), now.grown < limits.growing)

    def advance(now: _Progress) -> _Progress:
        here = box.with_state(now.state)
        image = centred_image(cell, here) if limits.centred else _image(cell, here, limits.cuts)
        found = now.found | (holds(now.state, image) & bounded(image))
        larger = _ahead(now.state, hull(now.state, image), now.last)
        smaller = intersection(now.state, image)
        smaller = smaller.where(bounded(smaller), now.state)  # what is not defined replaces nothing
        shrinks = found & (now.steps < limits.images)
        gain = jnp.max(now.state.width - smaller.width)
        first = now.state.where(found, larger)
        return _Progress(
            state=smaller.where(shrinks, first),
            last=now.state,
            first=now.first.where(now.found, first),
            found=found,
            grown=now.grown + ~found,
            steps=now.steps + shrinks,
            going=~found | (gain > limits.tolerance * jnp.max(smaller.width)),
        )

    return jax.lax.while_loop(unfinished, advance, begun)


def _image(cell: CellLike, box: Box, cuts: int) -> Interval:
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
