"""Branch and bound over a box of states and inputs: the largest weighted row sum of the Jacobian, enclosed.

Every piece of the box is bounded by `step_bounds`; the worst pieces are halved, many at once, until the
largest bound is below a target or the budget is spent. The bound is valid whenever it is asked for.
"""

import time
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float

from attractor.program import flat_map, trace

from ..domains import Box, StepBounds, floating_state, step_bounds

CHUNK = 256
"""Pieces that are bounded in one compiled call; memory grows with it."""

_AT_LEAST = 0.05
"""Share of its width that counts for every axis, so that none is never split."""


@dataclass(frozen=True)
class Budget:
    """What a search may use.

    Args:
        pieces: pieces of the box bounded in all.
        deadline: `time.monotonic()` at which it ends.
    """

    pieces: int = 200_000
    deadline: float = float("inf")

    def spent(self, pieces: int) -> bool:
        """Whether to stop."""
        return pieces >= self.pieces or time.monotonic() > self.deadline


@dataclass(frozen=True, eq=False)
class Branched:
    """What branch and bound found for one set of weights.

    Args:
        rate: no Jacobian on the box has a larger weighted norm.
        witnessed: the largest norm met at a point; `rate` cannot fall below it with these weights.
        worst: that point, shape (states + inputs,).
        pieces: pieces bounded.
    """

    rate: float
    witnessed: float
    worst: Float[np.ndarray, " axes"]
    pieces: int


def branch_and_bound(
    cell: Any, box: Box, weights: Float[np.ndarray, " states"], target: float, budget: Budget
) -> Branched:
    """Enclose the largest ||J(x, u)||_w over a box, where ||J||_w = max_i sum_j |J_ij| w_j / w_i.

    Args:
        cell: any cell in float64; call inside `jax.enable_x64(True)`.
        box: of states and inputs.
        weights: w, positive.
        target: stop once the bound is below it, or once a point is above it.
        budget: when to stop in any case.
    """
    scale = jnp.asarray(weights)
    lows, highs = np.asarray(box.low)[None], np.asarray(box.high)[None]
    bounds, axes, points = _bound_all(cell, box.states, scale, lows, highs)
    witnessed, worst, pieces = float(points[0]), (lows[0] + highs[0]) / 2, 1
    while bounds.max() > max(target, witnessed) and witnessed < target and not budget.spent(pieces):
        order = np.argsort(-bounds)[: CHUNK // 2]
        chosen = order[bounds[order] > target]
        new_lows, new_highs = _halves(lows[chosen], highs[chosen], axes[chosen])
        new_bounds, new_axes, new_points = _bound_all(cell, box.states, scale, new_lows, new_highs)
        new_bounds = np.minimum(new_bounds, np.tile(bounds[chosen], 2))
        pieces += len(new_bounds)
        if new_points.max() > witnessed:
            place = int(new_points.argmax())
            witnessed, worst = float(new_points[place]), (new_lows[place] + new_highs[place]) / 2
        rest = np.ones(len(bounds), bool)
        rest[chosen] = False
        lows, highs = np.concatenate([lows[rest], new_lows]), np.concatenate([highs[rest], new_highs])
        bounds, axes = np.concatenate([bounds[rest], new_bounds]), np.concatenate([axes[rest], new_axes])
    return Branched(float(bounds.max()), witnessed, worst, pieces)


def _bound_all(
    cell: Any, states: int, weights: Array, lows: np.ndarray, highs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds, axes to split and norms at the middle of many pieces, in chunks of one compiled size."""
    results = []
    for start in range(0, len(lows), CHUNK):
        low, high = lows[start : start + CHUNK], highs[start : start + CHUNK]
        missing = CHUNK - len(low)
        padded = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in (low, high)]
        found = _bound_chunk(cell, states, weights, *map(jnp.asarray, padded))
        results.append([np.asarray(one)[: len(low)] for one in found])
    bounds, axes, points = (np.concatenate(column) for column in zip(*results, strict=True))
    return np.where(np.isnan(bounds), np.inf, bounds), axes, np.where(np.isnan(points), -np.inf, points)


@eqx.filter_jit
def _bound_chunk(
    cell: Any, states: int, weights: Array, lows: Array, highs: Array
) -> tuple[Array, Array, Array]:
    def one(low: Array, high: Array) -> tuple[Array, Array, Array]:
        bounds = step_bounds(cell, Box(low, high, states))
        middle = absolute_jacobian(cell, (low + high) / 2)[:, :states]
        at_middle = jnp.max(middle @ weights / weights)
        return jnp.max(bounds.row_sums(weights) / weights), _axis(bounds, high - low), at_middle

    return jax.vmap(one)(lows, highs)


def absolute_jacobian(cell: Any, point: Float[Array, " axes"]) -> Float[Array, "states axes"]:
    """|d x' / d (x, u)| at a point (x, u), by forward differentiation of the map itself.

    The written-out program is differentiated, not the cell: what a cell stops or replaces for training
    (`stop_gradient`, custom derivatives) is part of the map all the same.
    """
    flat = flat_map(cell, floating_state(cell), dtype=point.dtype)
    size = flat.size
    program = trace(flat.step, point[:size], point[size:])
    step = jaxpr_as_fun(ClosedJaxpr(program.jaxpr, program.constants))
    return jnp.abs(jax.jacfwd(lambda point: step(point[:size], point[size:])[0])(point))


def _axis(bounds: StepBounds, width: Array) -> Array:
    """The axis along which the slopes vary most."""
    total = jnp.where(jnp.isfinite(bounds.curvature), bounds.curvature, 0.0)
    return jnp.argmax(width * (total + _AT_LEAST * jnp.mean(total)) + 1e-12 * width)


def _halves(lows: np.ndarray, highs: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(lows))
    middles = (lows[rows, axes] + highs[rows, axes]) / 2
    left, right = highs.copy(), lows.copy()
    left[rows, axes], right[rows, axes] = middles, middles
    return np.concatenate([lows, right]), np.concatenate([left, highs])
