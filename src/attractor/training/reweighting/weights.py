"""Weights of examples from their losses: pure functions, safe for losses of any size.

An example of total loss L_i has the weight p_i proportional to exp(-eta L_i): multiplicative weights (Bar,
Koren and Giryes 2021, arXiv 2102.12192), in closed form. Everything works on log p, so that no weight
overflows and a batch of examples that have all but vanished still has weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Classes(NamedTuple):
    """The classes of examples.

    Args:
        labels: of each example, 0 to number - 1, shape (examples,).
        number: how many classes there are.
    """

    labels: Int[Array, " examples"]
    number: int


_HALVINGS = 40
_LARGEST_STRENGTH = 1e6


def log_weights(totals: Float[Array, " examples"], strength: Float[Array, ""]) -> Float[Array, " examples"]:
    """Log p with p proportional to exp(-eta L) and sum p = 1.

    Args:
        totals: L, the losses of each example added over the updates so far.
        strength: eta, at least 0; 0 gives equal weights.
    """
    return jax.nn.log_softmax(-strength * (totals - totals.min()))


def balanced(log_weights: Float[Array, " examples"], classes: Classes) -> Float[Array, " examples"]:
    """The same weights within every class, and for every class the share that it has of the examples.

    Args:
        log_weights: log p, shape (examples,).
        classes: of the examples.
    """
    member = classes.labels[:, None] == jnp.arange(classes.number)
    mass = jax.nn.logsumexp(jnp.where(member, log_weights[:, None], -jnp.inf), axis=0)
    share = jnp.log(member.mean(axis=0))
    return log_weights + (share - mass)[classes.labels]


def class_medians(values: Float[Array, " examples"], classes: Classes) -> Float[Array, " classes"]:
    """The median of the values of every class; NaN for a class without examples."""
    member = classes.labels[:, None] == jnp.arange(classes.number)
    return jnp.nanmedian(jnp.where(member, values[:, None], jnp.nan), axis=0)


def shared_by_groups(values: Float[Array, " examples"], groups: Int[Array, " examples"], count: int) -> Array:
    """For every example the mean of `values` over its group: a group (patient, annotator) acts as one.

    Args:
        values: one for every example.
        groups: the group of each, 0 to count - 1.
        count: number of groups.
    """
    sums = jax.ops.segment_sum(values, groups, count)
    sizes = jax.ops.segment_sum(jnp.ones_like(values), groups, count)
    return (sums / jnp.maximum(sizes, 1))[groups]


def capped(log_weights: Float[Array, " examples"], largest: float | int) -> Float[Array, " examples"]:
    """The nearest weights (in relative entropy) of which none exceeds `largest`.

    The heaviest are cut to it and the rest are scaled up by one factor: the smallest number of cuts that
    leaves the rest below the limit, found from one sort.

    Args:
        log_weights: log p, shape (examples,).
        largest: c, at least 1 / examples.
    """
    count = len(log_weights)
    order = jnp.argsort(-log_weights)
    sorted_ = log_weights[order]
    cuts = jnp.arange(count, dtype=log_weights.dtype)
    tails = jax.lax.cumlogsumexp(sorted_, reverse=True)
    room = 1 - cuts * largest
    factors = jnp.where(room > 0, jnp.log(jnp.maximum(room, jnp.finfo(room.dtype).tiny)) - tails, -jnp.inf)
    fits = sorted_ + factors <= jnp.log(largest) * (1 + 1e-6) + 1e-6
    cut = jnp.argmax(fits & (room > 0))
    rest = jnp.where(jnp.any(fits & (room > 0)), sorted_ + factors[cut], jnp.log(largest))
    new = jnp.where(cuts < cut, jnp.log(largest), rest)
    return jnp.zeros_like(log_weights).at[order].set(new)


def effective_size(log_weights: Float[Array, " examples"]) -> Float[Array, ""]:
    """1 / sum p^2, the effective sample size: N for equal weights, 1 if one example has everything."""
    return jnp.exp(2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights))


def strength_for(totals: Float[Array, " examples"], share: Float[Array, ""]) -> Float[Array, ""]:
    """The strength whose effective sample size is a given share of the examples.

    The effective size falls as the strength grows, so bisection (of its logarithm) finds the only answer.
    Where even the strongest weights keep more (equal losses), that strength is as good as any and comes back.

    Args:
        totals: L, shape (examples,).
        share: wanted effective size over N, in (0, 1]; 1 gives strength 0.
    """
    spread = jnp.maximum(totals.std(), jnp.finfo(totals.dtype).tiny ** 0.5)
    unit = (totals - totals.min()) / spread

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = jnp.sqrt(low * high)
        enough = effective_size(log_weights(unit, middle)) >= share * len(totals)
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    start = (jnp.asarray(1e-6, totals.dtype), jnp.asarray(_LARGEST_STRENGTH, totals.dtype))
    low, _ = jax.lax.fori_loop(0, _HALVINGS, halve, start)
    return jnp.where(share >= 1, 0.0, low / spread)
