"""Rules of whole arrays: contractions, convolutions, and reductions along axes."""

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from scipy import sparse

from attractor.errors import UnsupportedError
from attractor.program import location

from .expressions import Expression, Lowering, Value, affine_of, mapped, result_shape, shape_of, taken
from .linear_maps import Sparse, lightest


def contract(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A product of arrays: all pairs, in the order that sums need, then sums."""
    left, right, shape, summed_over = _pairs(equation, one, other)
    if isinstance(one, np.ndarray):
        return _weighted(one, left, other, right, shape)
    if isinstance(other, np.ndarray):
        return _weighted(other, right, one, left, shape)
    products = [taken(affine_of(side), index) for side, index in ((one, left), (other, right))]
    multiplied = lowering.node("product", products, equation)
    return _total(multiplied, prod(shape), summed_over, shape)


def _weighted(
    known: np.ndarray, index: np.ndarray, other: Value, places: np.ndarray, shape: tuple[int, ...]
) -> Expression:
    """Sums of entries of one side, each times the entry of the known side that it meets."""
    size, summed_over = prod(shape), index.shape[1]
    entries = np.asarray(known, float).ravel()[index.ravel()]
    rows = np.repeat(np.arange(size), summed_over)
    matrix = sparse.csr_array((entries, (rows, places.ravel())), shape=(size, prod(shape_of(other))))
    return Expression(shape, mapped(lightest(matrix), affine_of(other)))


def _total(one: Expression, rows: int, summed_over: int, shape: tuple[int, ...]) -> Expression:
    """Sums of so many neighbours."""
    columns = np.arange(rows * summed_over)
    entries = np.ones(len(columns)), (columns // max(summed_over, 1), columns)
    matrix = Sparse(sparse.csr_array(entries, shape=(rows, len(columns))))
    return Expression(shape, mapped(matrix, one.affine))


def _pairs(
    equation: JaxprEqn, one: Value, other: Value
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], int]:
    """Which entries of both operands meet: arrays of shape (results, summed), and the shape of the result."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    numbers = [_numbered(side) for side in (one, other)]
    free = [axis for axis in range(numbers[0].ndim) if axis not in (*left, *left_batch)]
    other_free = [axis for axis in range(numbers[1].ndim) if axis not in (*right, *right_batch)]
    first = numbers[0].transpose([*left_batch, *free, *left])
    second = numbers[1].transpose([*right_batch, *other_free, *right])
    batch = first.shape[: len(left_batch)]
    rows, columns = (
        first.shape[len(batch) : len(batch) + len(free)],
        second.shape[len(batch) : len(batch) + len(other_free)],
    )
    summed_over = prod(first.shape[len(batch) + len(free) :])
    first = first.reshape(prod(batch), prod(rows), 1, summed_over)
    second = second.reshape(prod(batch), 1, prod(columns), summed_over)
    first, second = np.broadcast_arrays(first, second)
    return (
        first.reshape(-1, summed_over),
        second.reshape(-1, summed_over),
        (*batch, *rows, *columns),
        summed_over,
    )


def _numbered(value: Value) -> np.ndarray:
    """The numbers of the entries of an array, in its shape."""
    shape = shape_of(value)
    return np.arange(prod(shape)).reshape(shape)


def reduce_sum(_: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """Sums along axes."""
    axes = tuple(equation.params["axes"])
    kept = [axis for axis in range(len(one.shape)) if axis not in axes]
    shape = tuple(one.shape[axis] for axis in kept)
    numbers = np.arange(prod(one.shape)).reshape(one.shape).transpose([*kept, *axes])
    count = prod(one.shape[axis] for axis in axes)
    return _total(taken(one.affine, numbers.reshape(-1)), prod(shape), count, shape)


def cumulative_sum(_: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """Sums of all entries up to each one along an axis, or from it on."""
    axis, size = int(equation.params["axis"]), prod(one.shape)
    places = np.arange(size).reshape(one.shape)
    along = np.moveaxis(places, axis, 0).reshape(one.shape[axis], -1)
    along = along[::-1] if equation.params["reverse"] else along
    rows, columns = [], []
    for step in range(len(along)):
        rows.append(np.tile(along[step], step + 1))
        columns.append(along[: step + 1].ravel())
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(size, size))
    return Expression(one.shape, mapped(lightest(matrix), one.affine))


def reduce_extreme(pair: Callable[..., Expression]) -> Callable[..., Expression]:
    """The largest (least) along axes, two by two."""

    def rule(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
        axes = tuple(equation.params["axes"])
        kept = [axis for axis in range(len(one.shape)) if axis not in axes]
        numbers = np.arange(prod(one.shape)).reshape(one.shape).transpose([*kept, *axes])
        shape = tuple(one.shape[axis] for axis in kept)
        columns = list(np.moveaxis(numbers.reshape(*shape, -1), -1, 0))
        parts = [taken(one.affine, np.asarray(column)) for column in columns]
        while len(parts) > 1:
            rest = parts[len(parts) // 2 * 2 :]
            parts = [
                pair(lowering, equation, *two) for two in zip(parts[::2], parts[1::2], strict=False)
            ] + rest
        return parts[0]

    return rule


def convolve(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A convolution with a known kernel, as the sparse map that JAX itself makes of unit inputs."""
    if not (isinstance(one, Expression) and isinstance(other, np.ndarray)):
        raise UnsupportedError(f"verification: a convolution with an unknown kernel{location(equation)}")
    size = prod(one.shape)

    def run(flat: jax.Array) -> jax.Array:
        return equation.primitive.bind(flat.reshape(one.shape), jnp.asarray(other), **equation.params).ravel()

    rows = np.asarray(jax.jit(jax.vmap(run))(np.eye(size, dtype=other.dtype)))
    matrix = sparse.csr_array(rows.T.astype(float))
    return Expression(result_shape(equation), mapped(lightest(matrix), one.affine))
