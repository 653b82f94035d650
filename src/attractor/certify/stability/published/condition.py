"""What a published stability condition says about one network, and the table of those that are known.

Beside it stand the norms and gate bounds of weights that conditions are made of, in float64, rounded outward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import equinox as eqx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int
from scipy.special import expit

from attractor.cells import name_of
from attractor.errors import ConfigError
from attractor.registry import Registry
from attractor.shown import Shown

from ..premises import not_finite

# Covers the rounding of a sum or of a singular value many times over.
SLACK = 1 + 1e-12

INFINITY = float("inf")


@dataclass(frozen=True, eq=False)
class PublishedCondition(Shown):
    """Incremental input-to-state stability by a closed formula on the weights.

    With equal inputs two states of the cell approach each other, |dx(k+1)| <= rate |dx(k)|, if the residual
    is negative; with inputs that differ, |dx(k+1)| <= rate |dx(k)| + input_gain |du(k)|. All of it holds for
    inputs within the bound that the condition was asked for, and from states within `largest_state`.

    Args:
        family: the cells that the formula is for.
        residual: left side minus right side of the condition; negative is satisfied.
        rate: contraction per step in `norm`; at least 1 proves nothing, NaN where the formula gives none.
        iss_residual: the same as `residual` for input-to-state stability, which is weaker.
        input_gain: effect of a difference of inputs on the state, in `norm`; NaN where none is stated.
        norm: the norm of state and input differences.
        source: paper, or where the formula was derived.
        note: what a reader must know besides.
        order: of the norm, 2 for the Euclidean one, infinity for the largest component.
        largest_state: it speaks for flat states within +- this, shape (states,); None if it states no set.
        weights: what entries of the flat state are divided by in the norm, shape (states,); None for 1.
        groups: the norm is the largest Euclidean length of a group of entries, and this is the group of each,
            shape (states,); None puts every entry in a group of its own.
    """

    family: str
    residual: float
    rate: float
    iss_residual: float
    input_gain: float
    norm: str
    source: str
    note: str
    order: float = float("inf")
    largest_state: Float[np.ndarray, " states"] | None = None
    weights: Float[np.ndarray, " states"] | None = None
    groups: Int[np.ndarray, " states"] | None = None

    @property
    def satisfied(self) -> bool:
        """Whether the condition holds; never for weights that are not finite."""
        return self.residual < 0

    @property
    def asymptotic_gain(self) -> float:
        """|dx| for ever after a lasting |du| of one: input_gain / (1 - rate); infinite if not satisfied."""
        if not (self.satisfied and self.rate < 1):
            return float("inf")
        return self.input_gain / (1 - self.rate)


def _unbounded(cell: eqx.Module, input_bound: float) -> None:
    return None


@dataclass(frozen=True)
class Formula:
    """What was published for one class of cells.

    Args:
        condition: `condition(cell, input_bound)`, with the largest component of a scaled input; None for a
            cell to which it does not apply after all.
        exposes: `exposes(cell, input_bound)`, the largest component of what the cell exposes from states
            within [-1, 1], for the next cell of a stack; None if nothing bounds it.
    """

    condition: Callable[[Any, float], PublishedCondition | None]
    exposes: Callable[[Any, float], float | None] = _unbounded


# The formula of each class of cells.
#
# A file of this package, or a module that another package names in the entry-point group
# `attractor.published_conditions`, registers what it knows: `PUBLISHED.register(MyCell, Formula(...))`.
PUBLISHED: Registry[type, Formula] = Registry(
    "published condition", "attractor.published_conditions", __package__
)


def published_condition(cell: object, input_bound: float | int = 1.0) -> PublishedCondition | None:
    """The published stability condition of a cell, evaluated on its weights in float64.

    A formula is used for exactly the class that it was derived for: a subclass may have overridden the step,
    and the two layouts of a gated unit have two formulas, of which one is unsound for the other.

    Args:
        cell: any cell.
        input_bound: largest component of a scaled input that the condition shall hold for.

    Returns:
        The condition; None if no formula was published for this cell. It is not satisfied, and its numbers
        are NaN, if a weight is not finite.

    Raises:
        ConfigError: `input_bound` is negative or not finite.

    Example:
        >>> import jax
        >>> from attractor.cells import Elman
        >>> published_condition(Elman(1, 4, key=jax.random.key(0))).family
        'tanh (Elman)'
    """
    if not (isfinite(input_bound) and input_bound >= 0):
        raise ConfigError(
            f"input_bound={input_bound}: expected a finite number of at least 0, in scaled units"
        )
    formula = PUBLISHED.get(type(cell))
    if formula is None:
        return None
    if reason := not_finite(cell):
        nan = float("nan")
        return PublishedCondition(name_of(cell), nan, nan, nan, nan, "none", "none", reason)
    return formula.condition(cell, float(input_bound))


def as_weights(array: ArrayLike) -> Float[np.ndarray, "..."]:
    """An array of a network in float64 NumPy."""
    return np.asarray(array, np.float64)


def row_norm(*blocks: Float[np.ndarray, "..."]) -> float:
    """Largest absolute row sum of the concatenation [A, B, b, ...]; a vector is one column."""
    if len(blocks[0]) == 0:
        return 0.0
    sums = sum(np.abs(block).reshape(len(block), -1).sum(axis=1) for block in blocks)
    return float(np.max(sums)) * SLACK


def induced_norm(matrix: Float[np.ndarray, "rows columns"], order: float) -> float:
    """The norm of a matrix induced by the vector norm of `order` 2 or infinity."""
    if order == INFINITY:
        return row_norm(matrix)
    if matrix.size == 0:
        return 0.0
    if not np.isfinite(matrix).all():
        return float("nan")
    return float(np.linalg.norm(matrix, 2)) * SLACK


def gate_bound(*blocks: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Upper bound s of a logistic gate whose argument is within the row norm of `blocks`; s and 1 - s.

    The second is computed on its own because for slow units s rounds to one.
    """
    largest = row_norm(*blocks)
    return float(expit(largest)), float(expit(-largest))


def product(*factors: float) -> float:
    """Product in which zero times infinity is zero: a gate without weights does not move."""
    return 0.0 if any(factor == 0 for factor in factors) else float(np.prod(factors))


def quotient(numerator: float, denominator: float) -> float:
    """Quotient of nonnegative numbers in which 0 / 0 is zero and a / 0 infinite."""
    if numerator == 0:
        return 0.0
    return numerator / denominator if denominator else INFINITY


def norm_name(order: float) -> str:
    """How a norm is written for the user."""
    return "largest component" if order == INFINITY else "Euclidean"
