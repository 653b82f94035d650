"""Derivatives of what has kinks, as a proof about slopes needs them.

At a kink a function has no slope but those of both sides, and all numbers between them (Clarke's generalised
derivative). Any choice of them serves a proof: along a line the function is the integral of its slopes, in
which single points do not count; where two operands of a maximum stay equal, their slopes are equal as well
(Bolte and Pauwels 2021, arXiv 1909.10300). JAX takes the mean of both, by comparisons for equality and a
quotient, of which bounds see little; here the slope of the larger operand is chosen by one comparison.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import JaxprEqn
from jaxtyping import Array

_Slope: TypeAlias = Array | SymbolicZero


@jax.custom_jvp
def larger(one: Array, other: Array) -> Array:
    """The larger of two."""
    return jax.lax.max(one, other)


@partial(larger.defjvp, symbolic_zeros=True)
def _larger_slope(primals: tuple[Array, Array], tangents: tuple[_Slope, _Slope]) -> tuple[Array, Array]:
    """Of a number that does not move nothing is left: it comes last."""
    first, last = (1, 0) if isinstance(tangents[0], SymbolicZero) else (0, 1)
    return larger(*primals), _chosen(primals[first] > primals[last], tangents[first], tangents[last])


@jax.custom_jvp
def smaller(one: Array, other: Array) -> Array:
    """The smaller of two."""
    return jax.lax.min(one, other)


@partial(smaller.defjvp, symbolic_zeros=True)
def _smaller_slope(primals: tuple[Array, Array], tangents: tuple[_Slope, _Slope]) -> tuple[Array, Array]:
    first, last = (1, 0) if isinstance(tangents[0], SymbolicZero) else (0, 1)
    return smaller(*primals), _chosen(primals[first] < primals[last], tangents[first], tangents[last])


def _chosen(which: Array, *slopes: _Slope) -> Array:
    dtype = jnp.result_type(*(one for one in slopes if not isinstance(one, SymbolicZero)))
    yes, no = (jnp.zeros(which.shape, dtype) if isinstance(one, SymbolicZero) else one for one in slopes)
    return jnp.where(which, yes, no)


@jax.custom_jvp
def size(one: Array) -> Array:
    """The absolute value."""
    return jax.lax.abs(one)


@size.defjvp
def _size_slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return size(*primals), tangents[0] * jnp.sign(primals[0])


def _along_axes(pair: Callable[[Array, Array], Array]) -> Callable[[JaxprEqn, Array], Array]:
    """The largest (smallest) along axes, two by two."""

    def rule(equation: JaxprEqn, one: Array) -> Array:
        axes = equation.params["axes"]
        count = len(axes)
        first = jnp.moveaxis(one, axes, range(count))
        rows = first.reshape(-1, *first.shape[count:])
        while len(rows) > 1:
            half = len(rows) // 2
            rows = jnp.concatenate([pair(rows[:half], rows[half : 2 * half]), rows[2 * half :]])
        return rows[0]

    return rule


# What to do in place of a primitive that has kinks, by its name.
KINKED: Mapping[str, Callable[..., Array]] = {
    "abs": lambda _, one: size(one),
    "max": lambda _, one, other: larger(*jnp.broadcast_arrays(one, other)),
    "min": lambda _, one, other: smaller(*jnp.broadcast_arrays(one, other)),
    "clamp": lambda _, low, one, high: smaller(
        larger(one, jnp.broadcast_to(low, one.shape)), jnp.broadcast_to(high, one.shape)
    ),
    "reduce_max": _along_axes(larger),
    "reduce_min": _along_axes(smaller),
}
