"""Entries that are written into an array, or added to it, at known positions, as segment sums are."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from scipy import sparse

from attractor.errors import UnsupportedError
from attractor.program import location
from attractor.program.walk import aval

from .expressions import Expression, Lowering, Value, affine_of, mapped, plus, shape_of, stacked, taken
from .linear_maps import lightest


def written(_: Lowering, equation: JaxprEqn, target: Value, index: Value, updates: Value) -> Expression:
    """Entries of one array, and those of another where that was written into it."""
    positions = _positions(equation, index)
    _check_once(equation, target, positions, updates)
    size = prod(shape_of(target))
    own = np.arange(size).reshape(shape_of(target))
    new = size + np.arange(prod(shape_of(updates))).reshape(shape_of(updates))
    numbers = np.asarray(equation.primitive.bind(own, positions, new, **equation.params))
    return taken(stacked([affine_of(target), affine_of(updates)]), numbers)


def added(_: Lowering, equation: JaxprEqn, target: Value, index: Value, updates: Value) -> Expression:
    """A sum, with the sparse map that JAX itself makes of unit updates."""
    matrix = _added_units(equation, target, _positions(equation, index), updates)
    more = mapped(lightest(sparse.csr_array(matrix)), affine_of(updates))
    whole = more if _is_zero(target) else plus(affine_of(target), more)
    return Expression(shape_of(target), whole)


def _is_zero(value: Value) -> bool:
    return not isinstance(value, Expression) and not np.any(value)


def _added_units(equation: JaxprEqn, target: Value, index: np.ndarray, updates: Value) -> np.ndarray:
    """How often each update is added to each entry."""
    shape, own = shape_of(target), shape_of(updates)
    kind = aval(equation.outvars[0]).dtype

    def run(flat: jax.Array) -> jax.Array:
        units = flat.reshape(own)
        return jnp.ravel(equation.primitive.bind(jnp.zeros(shape, kind), index, units, **equation.params))

    return np.asarray(jax.jit(jax.vmap(run))(np.eye(prod(own), dtype=kind))).T.astype(float)


def _check_once(equation: JaxprEqn, target: Value, index: np.ndarray, updates: Value) -> None:
    """Refuse two updates of one entry, of which JAX does not say which one is last."""
    numbers = np.zeros(shape_of(target), int)
    dimensions, mode = equation.params["dimension_numbers"], equation.params["mode"]
    ones = np.ones(shape_of(updates), int)
    counts = jax.lax.scatter_add(numbers, jnp.asarray(index), ones, dimensions, mode=mode)
    if (np.asarray(counts) > 1).any():
        raise UnsupportedError(
            f"verification: two values are written into one entry{location(equation)}; add them, or write one"
        )


def _positions(equation: JaxprEqn, index: Value) -> np.ndarray:
    if isinstance(index, Expression):
        raise UnsupportedError(f"verification: an index that depends on the input{location(equation)}")
    return index
