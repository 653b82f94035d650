r"""Eigenvalues of a step at a fixed point: which directions grow, and how fast.

Near a fixed point $x^*$ differences follow $\delta' = J \delta$. Along an eigenvector of $\lambda$ they are
multiplied by $\lambda$ in every step, so that they shrink by 1/e in $-1 / \ln |\lambda|$ steps.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Complex, Float

MARGIN = 1e-6
"""How near to 1 a modulus decides nothing: where 1 is an eigenvalue of J, the point itself, and with it the
eigenvalue, is known only to the root of the tolerance 1e-12."""
_PARALLEL = 1e-12
"""Below this product of unit vectors a left and a right eigenvector belong to a defective eigenvalue."""


class PointKind(Enum):
    """What trajectories near a fixed point do; the value is the text that users see."""

    ATTRACTING = "attracting: trajectories that start near it come to it"
    SADDLE = "saddle: trajectories come along some directions and leave along others"
    REPELLING = "repelling: trajectories that start near it leave it in every direction"
    MARGINAL = (
        "marginal: some direction neither grows nor shrinks within rounding, so linear terms cannot tell"
    )

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of one Jacobian, those of largest modulus first, and their vectors.

    Args:
        values: lambda.
        right: unit columns v with J v = lambda v; how the state moves in this mode.
        left: columns w with w^H J = lambda w^H, scaled to w^H v = 1: w^H (x - x*) is how much of the mode a
            state holds. Unit columns where the eigenvalue is defective and no such scale exists.
    """

    values: Complex[np.ndarray, " states"]
    right: Complex[np.ndarray, "states states"]
    left: Complex[np.ndarray, "states states"]


def eigenvalues(jacobians: Float[np.ndarray, "points states states"]) -> Complex[np.ndarray, "points states"]:
    """Eigenvalues of several Jacobians, of each those of largest modulus first."""
    values = np.linalg.eigvals(jacobians).astype(complex)
    return np.stack([one[descending(one)] for one in values]) if len(values) else values


def spectrum(jacobian: Float[np.ndarray, "states states"]) -> Spectrum:
    """All eigenvalues of a Jacobian with their right and left vectors."""
    found: Any = scipy.linalg.eig(jacobian, left=True, right=True)
    values, left, right = found
    order = descending(values)
    right, left = (part[:, order].astype(complex) for part in (right, left))
    products = np.sum(left.conj() * right, axis=0)
    scale = np.where(np.abs(products) > _PARALLEL, products, 1.0)
    return Spectrum(values[order].astype(complex), right, left / scale.conj())


def descending(values: Any) -> np.ndarray:
    """Places by falling modulus; of a pair, the one with positive imaginary part first."""
    size = np.abs(values)
    return np.lexsort((-values.imag, -values.real, -np.round(size, 12)))


def unstable_directions(values: Complex[np.ndarray, "*points states"]) -> np.ndarray:
    """How many directions surely grow: the index of the point."""
    return np.asarray(np.sum(np.abs(values) > 1 + MARGIN, axis=-1))


def kind_of(values: Complex[np.ndarray, " states"]) -> PointKind:
    """The kind of a point, from its eigenvalues."""
    size = np.abs(values)
    if np.any(np.abs(size - 1) <= MARGIN):
        return PointKind.MARGINAL
    growing = int(unstable_directions(values))
    if growing == 0:
        return PointKind.ATTRACTING
    return PointKind.REPELLING if growing == len(values) else PointKind.SADDLE


def index_sum(values: Complex[np.ndarray, "points states"]) -> float:
    r"""The sum of $\mathrm{sign} \det(I - J)$ over points: 1 if a bounded cell has no others.

    A continuous map of a ball into itself has degree one (Brouwer; Lefschetz), and the states of cells with
    saturating units stay in a ball. There any other sum proves that points are missing; 1 does not prove that
    none are. Where states run away, as those of a Henon map do from outside, the sum proves nothing:
    `comes_back` looks for that.

    Returns:
        The sum, NaN where an eigenvalue is 1 within rounding, so that its point has no sign.
    """
    if np.any(np.abs(values - 1) <= MARGIN):
        return float("nan")
    real = np.imag(values) == 0  # exactly so for a real matrix; a pair has a positive product
    beyond = np.sum(real & (np.real(values) > 1), axis=-1)
    return float(np.sum(1 - 2 * (beyond % 2)))


def time_constants(
    values: Complex[np.ndarray, "*points states"], step: float = 1.0
) -> Float[np.ndarray, "*points states"]:
    """-step / ln |lambda|: the time in which a mode shrinks to 1/e; negative where it grows instead.

    Infinite for |lambda| = 1, and 0 for a direction that one step forgets.
    """
    with np.errstate(divide="ignore"):
        return -step / np.log(np.abs(values)) + 0.0
