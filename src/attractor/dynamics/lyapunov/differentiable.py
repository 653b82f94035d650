"""Leading Lyapunov exponents as a term of training."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State, weight_dtype
from attractor.program import flat_map


def leading_exponents(
    cell: Any,
    inputs: Float[Array, "time inputs"],
    state: State | None = None,
    *,
    count: int = 1,
    burn_in: int = 0,
    key: PRNGKeyArray | None = None,
) -> Float[Array, " count"]:
    r"""The largest Lyapunov exponents a step along one sequence, differentiable in everything.

    A pure function in the type of the weights, for a loss: batches come by `vmap`. The derivative goes
    through states, Jacobians and the QR decomposition of every step, whose results are computed again in the
    backward pass. Pressing exponents to zero, by a term $\sum_i \lambda_i^2$, keeps gradients alive over long
    spans (gradient flossing, Engelken 2023, arXiv 2312.17306). For a measurement with errors use
    `lyapunov_exponents`.

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
    flat = flat_map(cell, state, dtype=weight_dtype(cell))
    keys = None if key is None else jax.random.split(key, len(inputs))

    @jax.checkpoint
    def body(
        carry: tuple[Array, Array], driven: tuple[Array, Array | None]
    ) -> tuple[tuple[Array, Array], Array]:
        state, basis = carry
        new, push = flat.linearize(state, *driven)
        turned, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(basis))
        return (new, turned), jnp.log(jnp.abs(jnp.diagonal(triangle)))

    basis = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (flat.real_size, count), flat.layout.dtype))[0]
    _, growth = jax.lax.scan(body, (flat.start, basis), (inputs, keys))
    return jnp.mean(growth[burn_in:], axis=0)
