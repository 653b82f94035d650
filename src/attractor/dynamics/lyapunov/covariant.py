"""Covariant Lyapunov vectors: the directions that grow with each exponent, forwards and backwards in time."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike, State
from attractor.dynamics.trajectory import check_finite, prepared_batch
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import FlatMap, compiled, double_precision
from attractor.report.drawn import Drawn

from .exponents import LyapunovSettings, only_rounding

_USUAL = LyapunovSettings()

# A growth in one step below which the way back amplifies rounding errors to the size of the vectors.
_FORGOTTEN = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class CovariantVectors(
    Drawn,
    picture="attractor.dynamics.dynamics_pictures:draw_covariant",
    next_call=".plot(), .splitting_angles(1)",
):
    """Covariant vectors along a stretch of one trajectory.

    Args:
        vectors: unit vectors in rows, the fastest first; the Jacobian of a step maps every one onto a
            multiple of its successor.
        growth: logarithm of that multiple for every step between; its mean is the exponent.
        first_step: how many steps of the inputs lie before the first vectors.
    """

    vectors: Float[np.ndarray, "time count states"]
    growth: Float[np.ndarray, "steps count"]
    first_step: int

    def splitting_angles(self, fast: int) -> Float[np.ndarray, " time"]:
        """Smallest angle between the span of the first `fast` vectors and that of the others, radians.

        Where it stays away from zero, growing and shrinking directions are apart, as on a hyperbolic set.

        Raises:
            ConfigError: a part without vectors.
        """
        if not 0 < fast < self.vectors.shape[1]:
            raise ConfigError(f"fast={fast}: expected 1 to {self.vectors.shape[1] - 1} of the vectors")
        parts = self.vectors[:, :fast], self.vectors[:, fast:]
        bases = [np.linalg.qr(np.swapaxes(part, 1, 2))[0] for part in parts]
        cosines = np.linalg.svd(np.swapaxes(bases[0], 1, 2) @ bases[1], compute_uv=False)[:, 0]
        return np.arccos(np.clip(cosines, 0, 1))


def covariant_vectors(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "time inputs"] | int,
    state: State | None = None,
    *,
    settings: LyapunovSettings = _USUAL,
    settling: int = 100,
) -> CovariantVectors:
    """Covariant Lyapunov vectors by the method of Ginelli et al. 2007 (arXiv 0706.0510), in float64.

    Forwards, a basis is carried along and made orthonormal in every step, Q_t R_t = J_t Q_{t-1}; backwards,
    coefficients C_{t-1} = R_t^-1 C_t turn to the covariant directions V_t = Q_t C_t. All Q_t and R_t are
    kept, time x count x (states + count) numbers.

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: one sequence, or a number of steps without input.
        state: where to start; the cell's own initial state when None.
        settings: number of vectors, burn-in and alignment before the first one.
        settling: steps at the end that only serve the backward pass to settle.

    Raises:
        ConfigError: more vectors than there are finite exponents.
        ShapeError: a batch of starts or sequences.
        InputDataError: fewer steps than burn-in and settling take.
        DivergedError: the state or a Jacobian left the finite numbers; the step is named.
    """
    with double_precision():
        flat, states, (rows, _) = prepared_batch(cell, inputs, state, None)
        count = settings.columns(flat.real_size)
        if len(states) > 1:
            raise ShapeError(
                f"covariant vectors belong to one trajectory, and a batch of {len(states)} was given; call "
                "once for each start or sequence"
            )
        if rows.shape[1] < settings.burn_in + settling + 2:
            raise InputDataError(
                f"{rows.shape[1]} steps with burn_in={settings.burn_in} and settling={settling}: give more"
            )
        drawn = jax.random.normal(jax.random.key(settings.seed), (flat.real_size, count), jnp.float64)
        start = states[0], jnp.linalg.qr(drawn)[0]
        bases, triangles, sizes = map(np.asarray, _forwards(flat, start, rows[0]))
        check_finite(sizes, triangles.reshape(len(triangles), -1))
        _check_growth(triangles, flat.real_size)
        coefficients = np.asarray(_backwards(jnp.asarray(triangles)))
    kept = slice(settings.burn_in, rows.shape[1] - settling)
    vectors = np.swapaxes(bases[kept] @ coefficients[kept], 1, 2)
    growth = -np.log(_shrinkage(triangles[kept][1:], coefficients[kept][1:]))
    return CovariantVectors(vectors, growth, settings.burn_in + 1)


def _check_growth(triangles: np.ndarray, states: int) -> None:
    """A direction that a step forgets has no way back."""
    own = np.abs(np.diagonal(triangles, axis1=1, axis2=2))
    # judged by the size of what it was taken from: one LAPACK leaves zeros there, another rounding errors
    lost = np.flatnonzero(only_rounding(triangles, states).any(axis=0) | (own < _FORGOTTEN).any(axis=0))
    if len(lost):
        remedy = f"ask for count={lost[0]} vectors" if lost[0] else "this cell has no covariant vectors"
        raise ConfigError(f"exponent {lost[0] + 1} is -inf to the accuracy of float64; {remedy}")


def _shrinkage(triangles: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.linalg.solve(triangles, coefficients), axis=1)


# State and basis.
_Carried = tuple[Array, Array]


@compiled
def _forwards(flat: FlatMap, start: _Carried, rows: Array) -> tuple[Array, Array, Array]:
    def body(carry: _Carried, row: Array) -> tuple[_Carried, tuple[Array, Array, Array]]:
        state, basis = carry
        new, push = flat.linearize(state, row)
        turned, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(basis))
        return (new, turned), (turned, triangle, jnp.max(jnp.abs(new)))

    return jax.lax.scan(body, start, rows)[1]


@jax.jit
def _backwards(triangles: Float[Array, "time count count"]) -> Float[Array, "time count count"]:
    """C_t for every t, from triangular coefficients at the end that are as good as any."""

    def body(later: Array, triangle: Array) -> tuple[Array, Array]:
        earlier = jax.scipy.linalg.solve_triangular(triangle, later)
        return earlier / jnp.linalg.norm(earlier, axis=0), later

    count = triangles.shape[1]
    last = jnp.triu(jnp.ones((count, count), triangles.dtype))
    return jax.lax.scan(body, last / jnp.linalg.norm(last, axis=0), triangles, reverse=True)[1]
