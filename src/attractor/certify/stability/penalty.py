"""The contraction bound as something to train against: differentiable, cheap, for any cell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.cells import CellLike

from ..domains import Interval, step_bounds, step_image, unit_box
from ..domains.interval import intersection
from .invariant import InvariantBox, settle
from .weighted_norms import best_weights

Module = TypeVar("Module", bound=CellLike)

# How abruptly the penalty sets in at its target.
_SHARPNESS = 200.0

# Each projection aims a little beyond its goal, so that the last one arrives.
_SLACK = 1e-4
# Longest move in one projection, as a share of the norm of all weights: the bound is only locally linear.
_LONGEST = 0.05


@dataclass(frozen=True)
class ContractionTarget:
    """What a certified training aims at.

    Args:
        rate: the bound is pressed below this rate; the margin to 1 leaves room for the proof in float64.
        growing: rounds of growth for a box of states that holds its image.
        shrinking: images by which the box is then made smaller.
        iterations: steps of the power method for the weights; with too few the rate is overestimated, and the
            training keeps away from rates that it could prove.
    """

    rate: float = 0.995
    growing: int = 12
    shrinking: int = 20
    iterations: int = 120


def contraction_bound(
    cell: CellLike, target: ContractionTarget, input_bound: float | int = 1.0
) -> tuple[Float[Array, ""], InvariantBox]:
    """The rate at which a cell contracts on its refined invariant box, in the type of the weights.

    Box and weights are found without a gradient; the last image of the box and the bound on it carry one.
    With the best weights all rows are equally large, so that the gradient is that of a blend of all rows (see
    `row_shares`), not that of whichever row rounding makes the largest. Where no invariant box was found, the
    share by which the image sticks out of the box is added.

    Args:
        cell: any cell.
        target: how carefully box and weights are looked for.
        input_bound: inputs lie within +- this.

    Returns:
        The rate, an estimate if the weights are float32, and the box.
    """
    frozen = jax.lax.stop_gradient(eqx.filter(cell, eqx.is_array))
    still = eqx.combine(frozen, cell)
    start_box = unit_box(still, input_bound)
    _, held = settle(still, start_box, growing=target.growing, rounds=target.shrinking, tolerance=0.0)
    held = jax.tree.map(jax.lax.stop_gradient, held)
    image = step_image(cell, held.box)
    inside = intersection(image, held.box.state)
    safe = Interval(jnp.minimum(inside.low, inside.high), jnp.maximum(inside.low, inside.high))
    bounds = step_bounds(cell, held.box.with_state(safe))
    still_bounds = jax.tree.map(jax.lax.stop_gradient, bounds)
    start = jnp.ones(held.box.states, held.box.low.dtype)
    _, weights = best_weights(still_bounds.row_sums, start, target.iterations)
    shares = row_shares(still_bounds.row_sums, weights, target.iterations)
    rows = bounds.row_sums(weights) / weights
    blend = jnp.sum(shares * rows)
    rate = jax.lax.stop_gradient(jnp.max(rows) - blend) + blend
    width = held.box.state.width + jnp.finfo(held.box.low.dtype).eps
    outside = jnp.maximum(image.high - held.box.state.high, held.box.state.low - image.low) / width
    return rate + jnp.where(held.found, 0.0, jnp.max(jnp.maximum(outside, 0.0))), held


def row_shares(
    row_sums: Callable[[Array], Array], weights: Float[Array, " states"], iterations: int
) -> Float[Array, " states"]:
    """How much every row counts in the gradient of the smallest rate over all weights.

    Near the best weights w the row sums are R w, and the rate is the Perron root of R. Its derivative is
    y' dR w / y' w with the left Perron vector y, so that row i counts by y_i w_i / y' w.

    Args:
        row_sums: r, from weights (states,) to row sums (states,).
        weights: the best ones, positive.
        iterations: steps of the power method for y.
    """
    _, pull = jax.vjp(row_sums, weights)

    def step(left: Array, _: None) -> tuple[Array, None]:
        (pulled,) = pull(left)
        return 0.5 * left + 0.5 * pulled / jnp.maximum(jnp.sum(pulled), jnp.finfo(left.dtype).tiny), None

    start = jnp.full_like(weights, 1 / len(weights))
    left, _ = jax.lax.scan(step, start, None, length=iterations)
    counted = left * weights
    usable = jnp.isfinite(counted).all() & (jnp.sum(counted) > 0)
    shares = jnp.where(usable, counted, 1.0)
    return jax.lax.stop_gradient(shares / jnp.sum(shares))


def contraction_penalty(cell: CellLike, target: ContractionTarget) -> Float[Array, ""]:
    """softplus(k (R - target)) / k, R the contraction bound: R - target above the target, 0 below."""
    rate, _ = contraction_bound(cell, target)
    excess = jnp.where(jnp.isfinite(rate), rate, 0.0) - target.rate
    return jax.nn.softplus(_SHARPNESS * excess) / _SHARPNESS


def contract_weights(cell: Module, target: ContractionTarget, steps: int = 200) -> Module:
    """The cell with its weights moved, as little as a few linear projections need, until the bound is met.

    Each step solves min ||d|| subject to R + grad R . d <= target (a Polyak step) and stops where the bound
    is met. It serves as a feasible start, as the projection after an update, and as a repair. Nothing is
    promised: ask `contraction_bound` or `certify` for the result.

    Args:
        cell: any cell; only floating arrays move.
        target: the rate to reach.
        steps: most projections.
    """
    moving, fixed = eqx.partition(cell, eqx.is_inexact_array)
    goal = target.rate - _SLACK

    bound = jax.value_and_grad(lambda moving: contraction_bound(eqx.combine(moving, fixed), target)[0])

    def going(carry: tuple[Module, Module, Array, Array]) -> Array:
        _, _, rate, step = carry
        return (step <= steps) & (rate > goal)

    def project(carry: tuple[Module, Module, Array, Array]) -> tuple[Module, Module, Array, Array]:
        moving, gradient, rate, step = carry
        size = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)) + 1e-12
        whole = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(moving))
        length = jnp.minimum((rate - goal + _SLACK) / size, _LONGEST * jnp.sqrt(whole / size))
        length = jnp.where(step == 0, 0.0, length)  # the first round only looks
        moved = jax.tree.map(lambda leaf, slope: leaf - length * slope, moving, gradient)
        rate, gradient = bound(moved)
        usable = jnp.isfinite(rate)
        gradient = jax.tree.map(lambda leaf: jnp.where(usable & jnp.isfinite(leaf), leaf, 0.0), gradient)
        return moved, gradient, jnp.where(usable, rate, jnp.finfo(rate.dtype).max), step + 1

    dtype = jax.eval_shape(bound, moving)[0].dtype
    nothing = jax.tree.map(jnp.zeros_like, moving)
    start = (moving, nothing, jnp.full((), jnp.finfo(dtype).max), jnp.zeros((), jnp.int32))
    moved, *_ = jax.lax.while_loop(going, project, start)
    return eqx.combine(moved, fixed)
