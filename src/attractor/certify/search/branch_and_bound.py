"""Branch and bound: the largest value of an objective on a box, enclosed, with the bounds of any domain.

Every piece of the box is bounded by a callable; the worst pieces are halved, many at once, until the largest
bound is below a target or the budget is spent. The bound is valid whenever it is asked for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor.shown import Shown

# Pieces that are bounded in one compiled call; memory grows with it.
CHUNK = 256


class Bound(NamedTuple):
    """What is known of an objective on one box.

    Args:
        upper: no value on the box is larger; NaN where nothing is known.
        lower: the value at `point`, which the largest one cannot be below.
        point: in the box.
        axis: along which to halve the box next.
    """

    upper: Float[Array, ""]
    lower: Float[Array, ""]
    point: Float[Array, " axes"]
    axis: Int[Array, ""]


# `bounder(low, high) -> Bound` for the box between two corners.
#
# It is compiled for many boxes at once: an Equinox module, or a function that is the same for all calls.
Bounder = Callable[[Float[Array, " axes"], Float[Array, " axes"]], Bound]


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
class Maximum(Shown):
    """The largest value of an objective on a box, enclosed.

    Args:
        upper: no value on the box is larger.
        lower: the largest value met at a point; `upper` cannot fall below it.
        point: where it was met, shape (axes,).
        pieces: pieces bounded.
    """

    upper: float
    lower: float
    point: Float[np.ndarray, " axes"]
    pieces: int


def branch_and_bound(
    bounder: Bounder,
    low: Float[np.ndarray, " axes"],
    high: Float[np.ndarray, " axes"],
    target: float | None,
    budget: Budget,
) -> Maximum:
    """Enclose the largest value of an objective on a box.

    Args:
        bounder: bounds the objective on one box; call inside `jax.enable_x64(True)` for a claim that holds in
            exact arithmetic.
        low: lower corner.
        high: upper corner.
        target: stop once the bound is below it, or once a value is above it; None encloses the largest value
            as closely as the budget allows.
        budget: when to stop in any case.
    """
    lows, highs = np.asarray(low)[None], np.asarray(high)[None]
    found = _bound_all(bounder, lows, highs)
    uppers, axes = found.upper, found.axis
    lower, point, pieces = float(found.lower[0]), found.point[0], 1
    while uppers.max() > lower and not (_decided(target, float(uppers.max()), lower) or budget.spent(pieces)):
        order = np.argsort(-uppers)[: CHUNK // 2]
        chosen = order[uppers[order] > (lower if target is None else target)]
        new_lows, new_highs = _halves(lows[chosen], highs[chosen], axes[chosen])
        found = _bound_all(bounder, new_lows, new_highs)
        pieces += len(new_lows)
        best = int(found.lower.argmax())
        if found.lower[best] > lower:
            lower, point = float(found.lower[best]), found.point[best]
        rest = np.ones(len(uppers), bool)
        rest[chosen] = False
        lows, highs = np.concatenate([lows[rest], new_lows]), np.concatenate([highs[rest], new_highs])
        new_uppers = np.minimum(found.upper, np.tile(uppers[chosen], 2))  # a half is bounded by its whole
        uppers, axes = np.concatenate([uppers[rest], new_uppers]), np.concatenate([axes[rest], found.axis])
    return Maximum(float(uppers.max()), lower, point, pieces)


def _decided(target: float | None, upper: float, lower: float) -> bool:
    """Whether the largest value is known to be below the target, or not to be."""
    return target is not None and (upper <= target or lower >= target)


class _Bounds(NamedTuple):
    """The bounds of many pieces, one a row."""

    upper: np.ndarray
    lower: np.ndarray
    point: np.ndarray
    axis: np.ndarray


def _bound_all(bounder: Bounder, lows: np.ndarray, highs: np.ndarray) -> _Bounds:
    """The bounds of many pieces, in chunks of one compiled size; what is no number bounds nothing."""
    results = []
    for start in range(0, len(lows), CHUNK):
        low, high = lows[start : start + CHUNK], highs[start : start + CHUNK]
        missing = CHUNK - len(low)
        padded = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in (low, high)]
        results.append([
            np.asarray(one)[: len(low)] for one in _bound_chunk(bounder, *map(jnp.asarray, padded))
        ])
    upper, lower, point, axis = (np.concatenate(column) for column in zip(*results, strict=True))
    return _Bounds(
        np.where(np.isnan(upper), np.inf, upper), np.where(np.isnan(lower), -np.inf, lower), point, axis
    )


@eqx.filter_jit
def _bound_chunk(bounder: Bounder, lows: Array, highs: Array) -> Bound:
    return jax.vmap(bounder)(lows, highs)


def _halves(lows: np.ndarray, highs: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(lows))
    middles = (lows[rows, axes] + highs[rows, axes]) / 2
    left, right = highs.copy(), lows.copy()
    left[rows, axes], right[rows, axes] = middles, middles
    return np.concatenate([lows, right]), np.concatenate([left, highs])
