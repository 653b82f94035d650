"""Norms and gate bounds of weights in float64, rounded outward."""

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from scipy.special import expit

SLACK = 1 + 1e-12
"""Covers the rounding of a sum or of a singular value many times over."""

INFINITY = float("inf")


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
