"""Leading Lyapunov exponents as a term of training."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from attractor.cells import CellLike, State, weight_dtype
from attractor.dynamics.trajectory import check_has_steps
from attractor.errors import UnsupportedError
from attractor.program import FlatMap, LeafKind, flat_map

from .exponents import only_rounding

# Rounding errors of a product, in units of the last place, that may turn a direction.
_ROUNDINGS = 8.0


def _check_whole(flat: FlatMap) -> None:
    """Refuse whole numbers that float32 does not hold."""
    for leaf in flat.layout.discrete if flat.layout.dtype == jnp.float32 else ():
        if leaf.kind is LeafKind.KEY or leaf.dtype == jnp.uint32:
            raise UnsupportedError(
                f"the state of {flat.layout.owner} holds {leaf}, whose bits a path in float32 would lose; "
                "give weights in float64, inside `jax.enable_x64(True)`, or ask `lyapunov_exponents`"
            )


def leading_exponents(
    cell: CellLike,
    inputs: Float[Array, "time inputs"],
    state: State | None = None,
    *,
    count: int = 1,
    burn_in: int = 0,
    key: PRNGKeyArray | None = None,
) -> Float[Array, " count"]:
    r"""The largest Lyapunov exponents per step along one sequence, differentiable in everything.

    A pure function in the type of the weights, for a loss: batches come by `vmap`. The derivative goes
    through states, Jacobians and the QR decomposition of every step, whose results are computed again in the
    backward pass. Pressing exponents to zero, by a term $\sum_i \lambda_i^2$, keeps gradients alive over long
    spans (gradient flossing, Engelken 2023, arXiv 2312.17306). For a measurement with errors use
    `lyapunov_exponents`.

    A direction that a step forgets has the exponent -inf, which no loss can bear: it counts as the logarithm
    of the rounding error in that step, and has no derivative there.

    Args:
        cell: any cell; its state is taken as one flat vector of real numbers; counters and
            keys are carried along.
        inputs: one sequence, longer than the burn-in.
        state: where to start; the cell's own initial state when None.
        count: number of exponents, in the order of the basis.
        burn_in: steps at the start that do not count.
        key: noise of the steps; None means no noise.

    Example:
        >>> import jax
        >>> from attractor.cells import Elman
        >>> cell, inputs = Elman(1, 4, key=jax.random.key(0)), jnp.ones((30, 1))
        >>> penalty = lambda cell: jnp.sum(leading_exponents(cell, inputs, count=2) ** 2)
        >>> jax.grad(penalty)(cell).state_weight.shape
        (4, 4)
    """
    check_has_steps(cell)
    flat = flat_map(cell, state, dtype=weight_dtype(cell))
    _check_whole(flat)
    keys = None if key is None else jax.random.split(key, len(inputs))

    @jax.checkpoint
    def body(
        carry: tuple[Array, Array], driven: tuple[Array, Array | None]
    ) -> tuple[tuple[Array, Array], Array]:
        state, basis = carry
        new, push = flat.linearize(state, *driven)
        turned, growth = _orthonormal(jax.vmap(push, 1, 1)(basis))
        return (new, turned), growth

    basis = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (flat.real_size, count), flat.layout.dtype))[0]
    _, growth = jax.lax.scan(body, (flat.start, basis), (inputs, keys))
    return jnp.mean(growth[burn_in:], axis=0)


@jax.custom_jvp
def _orthonormal(
    pushed: Float[Array, "states count"],
) -> tuple[Float[Array, "states count"], Float[Array, " count"]]:
    """Q and log |diag R| of pushed vectors; see `_derivative` for vectors without a part of their own."""
    turned, triangle = jnp.linalg.qr(pushed)
    return turned, _growth(triangle, _forgotten(triangle, len(pushed)))


def _growth(triangle: Array, empty: Array) -> Array:
    own = jnp.abs(jnp.diagonal(triangle))
    return jnp.log(jnp.where(empty, jnp.finfo(own.dtype).eps, own))


def _forgotten(triangle: Float[Array, "count count"], states: int) -> Bool[Array, " count"]:
    """Directions that are only rounding, also that which turns a shorter direction before them."""
    own, lengths = jnp.abs(jnp.diagonal(triangle)), jnp.sum(jnp.abs(triangle), axis=0)
    empty, longest = only_rounding(triangle, states), jnp.max(lengths)
    shortest = jax.lax.cummin(jnp.where(empty, longest, own))
    before = jnp.concatenate([longest[None], shortest[:-1]])
    turned = _ROUNDINGS * jnp.finfo(own.dtype).eps * lengths * longest
    return empty | (own * before <= turned)


@_orthonormal.defjvp
def _derivative(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    r"""The derivative of A = Q R, every column without a part of its own held still as its column of Q.

    With $B = dA R^{-1}$ and L the part of $Q^T B$ below the diagonal, $\Omega = L - L^T$ gives
    $dQ = Q (\Omega - Q^T B) + B$ and $dR = (Q^T B - \Omega) R$. A column of R that is only rounding would
    make B as large as rounding lets it: it is replaced by its unit vector, for which A = Q R still holds with
    the column of Q for the forgotten one.
    """
    (pushed,), (moved,) = primals, tangents
    turned, triangle = jnp.linalg.qr(pushed)
    empty = _forgotten(triangle, len(pushed))
    whole = jnp.where(empty, jnp.eye(len(empty), dtype=triangle.dtype), triangle)
    kept = jnp.where(empty, 0.0, moved)
    change = jax.scipy.linalg.solve_triangular(whole, kept.T, trans=1).T
    inside = turned.T @ change
    lower = jnp.tril(inside, -1)
    turn = lower - lower.T
    grown = jnp.diagonal((inside - turn) @ whole) / jnp.diagonal(whole)
    return (turned, _growth(triangle, empty)), (turned @ (turn - inside) + change, grown)
