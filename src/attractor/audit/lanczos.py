"""Eigenvalues and traces of large symmetric matrices that are known only by their products with vectors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from attractor.errors import ConfigError
from attractor.program import compiled

Product = Callable[[Array], Array]
"""Multiplies a vector of shape (size,) by a symmetric matrix."""


class RitzValues(NamedTuple):
    """Approximate eigenvalues of a symmetric matrix.

    Args:
        values: from the largest down, shape (found,); NaN where the matrix holds NaN or overflows.
        errors: each value has an eigenvalue of the matrix within this distance, shape (found,).
    """

    values: Float[np.ndarray, " found"]
    errors: Float[np.ndarray, " found"]


def ritz_values(product: Product, start: Float[Array, " size"], steps: int) -> RitzValues:
    """Eigenvalues by the Lanczos method; those at the two ends of the spectrum converge first.

    The basis is made orthogonal in full, twice in every step, so no eigenvalue appears in copies. A matrix
    with fewer distinct eigenvalues than `steps` ends the method early, with exact values.

    Args:
        product: v -> A v.
        start: any vector with a share in all eigenvectors that matter, as a random one.
        steps: size of the basis; memory is steps * size.

    Raises:
        ConfigError: fewer than one step.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps}: expected at least 1")
    steps = min(steps, len(start))
    diagonal, beside = map(np.asarray, _tridiagonal(product, start, steps))
    if not (np.isfinite(diagonal).all() and np.isfinite(beside).all()):
        unknown = np.full(steps, np.nan)
        return RitzValues(unknown, unknown)
    scale = np.abs(diagonal).max() + beside.max()
    negligible = 10 * np.finfo(diagonal.dtype).eps * len(start) ** 0.5 * scale
    ended = np.flatnonzero(beside <= negligible)
    used = int(ended[0]) + 1 if len(ended) else steps
    inner = beside[: used - 1]
    matrix = np.diag(diagonal[:used]) + np.diag(inner, 1) + np.diag(inner, -1)
    values, vectors = np.linalg.eigh(matrix)
    return RitzValues(values[::-1], np.abs(beside[used - 1] * vectors[-1, ::-1]))


@compiled
def _tridiagonal(product: Product, start: Float[Array, " size"], steps: int) -> tuple[Array, Array]:
    """Diagonal of the Lanczos matrix and what stands beside it, both of shape (steps,).

    The last entry beside the diagonal is the size of what is left after the last step.
    """

    def step(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        basis, vector = carry
        basis = basis.at[index].set(vector)
        image = product(vector)
        diagonal = vector @ image
        for _ in range(2):  # once leaves what rounding brings back
            image = image - basis.T @ (basis @ image)
        size = jnp.linalg.norm(image)
        return (basis, image / jnp.where(size > 0, size, 1.0)), (diagonal, size)

    basis = jnp.zeros((steps, len(start)), start.dtype)
    _, found = jax.lax.scan(step, (basis, start / jnp.linalg.norm(start)), jnp.arange(steps))
    return found


@compiled
def trace_samples(
    product: Product, like: Float[Array, " size"], keys: Key[Array, " samples"]
) -> Float[Array, " samples"]:
    """Draws whose mean is the trace: z' A z with entries of z that are +1 or -1 (Hutchinson 1990).

    Args:
        product: v -> A v.
        like: any vector of the size and the type that the matrix takes.
        keys: one for every draw, shape (samples,).
    """

    def draw(key: Array) -> Array:
        signs = jax.random.rademacher(key, like.shape, like.dtype)
        return signs @ product(signs)

    return jax.lax.map(draw, keys)
