"""Linear maps between vectors, in the shapes that programs have: a matrix, a choice of entries, a sparse one.

A layer of a network is a dense matrix; slices, broadcasts, scales and gates choose entries and scale them;
convolutions and sums are sparse. All three act on rows of a batch from the right, forward (x -> L x) and
transposed (a -> L' a), which is all that a backward bound asks of them.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

# A sparse product with a share of entries above this one is as fast dense.
_DENSE = 0.25


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix.

    Args:
        matrix: shape (out, in).
    """

    matrix: Float[np.ndarray, "out in"]

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of the result and of the operand."""
        return self.matrix.shape

    @property
    def terms(self) -> int:
        """Products that are summed for one entry."""
        return max(self.matrix.shape)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """L x for every row x of a batch."""
        return _times(rows, self.matrix.T)

    def transposed(self, rows: np.ndarray) -> np.ndarray:
        """L' a for every row a of a batch."""
        return _times(rows, self.matrix)

    @cached_property
    def magnitude(self) -> "Dense":
        """The map of absolute values."""
        return Dense(np.abs(self.matrix))

    def chosen(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows in"]:
        """Some rows of the matrix."""
        return self.matrix[rows]


@dataclass(frozen=True, eq=False)
class Selection:
    """Every entry of the result is one of the operand, times a factor.

    Args:
        columns: which, shape (out,).
        factors: shape (out,).
        size: length of the operand.
    """

    columns: Int[np.ndarray, " out"]
    factors: Float[np.ndarray, " out"]
    size: int

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of the result and of the operand."""
        return len(self.columns), self.size

    @cached_property
    def _plain(self) -> bool:
        return len(self.columns) == self.size and bool((self.columns == np.arange(self.size)).all())

    @cached_property
    def _unscaled(self) -> bool:
        return bool((self.factors == 1.0).all())

    @property
    def terms(self) -> int:
        """Products that are summed for one entry, also of the transposed map."""
        return int(np.bincount(self.columns, minlength=1).max()) if len(self.columns) else 1

    @cached_property
    def _turned(self) -> sparse.csr_array:
        return sparse_of(self).T.tocsr()

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """L x for every row x of a batch."""
        taken = rows if self._plain else rows[..., self.columns]
        return taken if self._unscaled else taken * self.factors

    def transposed(self, rows: np.ndarray) -> np.ndarray:
        """L' a for every row a of a batch."""
        scaled = rows if self._unscaled else rows * self.factors
        if self._plain:
            return scaled
        if self._once:
            result = np.zeros((*rows.shape[:-1], self.size), rows.dtype)
            result[..., self.columns] = scaled
            return result
        return _times_sparse(rows, self._turned)

    @cached_property
    def _once(self) -> bool:
        return len(np.unique(self.columns)) == len(self.columns)

    @cached_property
    def magnitude(self) -> "Selection":
        """The map of absolute values."""
        return Selection(self.columns, np.abs(self.factors), self.size)

    def chosen(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows in"]:
        """Some rows of the matrix."""
        result = np.zeros((len(rows), self.size))
        result[np.arange(len(rows)), self.columns[rows]] = self.factors[rows]
        return result


@dataclass(frozen=True, eq=False)
class Sparse:
    """A sparse matrix: a convolution, a sum.

    Args:
        matrix: shape (out, in).
    """

    matrix: sparse.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """Lengths of the result and of the operand."""
        return _shape(self.matrix)

    @cached_property
    def terms(self) -> int:
        """Products that are summed for one entry, also of the transposed map."""
        counted = [np.diff(one.indptr).max(initial=1) for one in (self.matrix, self.matrix.T.tocsr())]
        return int(max(counted))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """L x for every row x of a batch."""
        return _times_sparse(rows, self.matrix)

    def transposed(self, rows: np.ndarray) -> np.ndarray:
        """L' a for every row a of a batch."""
        return _times_sparse(rows, self._turned)

    @cached_property
    def _turned(self) -> sparse.csr_array:
        return self.matrix.T.tocsr()

    @cached_property
    def magnitude(self) -> "Sparse":
        """The map of absolute values."""
        return Sparse(abs(self.matrix))

    def chosen(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows in"]:
        """Some rows of the matrix."""
        return self.matrix[rows].toarray()


LinearMap: TypeAlias = Dense | Selection | Sparse


def _shape(matrix: sparse.csr_array) -> tuple[int, int]:
    rows, columns = matrix.shape or (0, 0)
    return int(rows), int(columns)


def _flat(rows: np.ndarray) -> np.ndarray:
    """All rows below each other, also those without entries."""
    return rows.reshape(prod(rows.shape[:-1]), rows.shape[-1])


def _times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One product of matrices, where a stack of few rows each would be many products with vectors."""
    flat = _flat(rows) @ matrix
    return flat.reshape(*rows.shape[:-1], matrix.shape[1])


def _times_sparse(rows: np.ndarray, matrix: sparse.csr_array) -> np.ndarray:
    flat = _flat(rows)
    return (matrix @ flat.T).T.reshape(*rows.shape[:-1], _shape(matrix)[0])


def is_in_order(one: LinearMap) -> bool:
    """Whether the entries of the result are those of the operand in order, each times a factor."""
    if not isinstance(one, Selection) or len(one.columns) != one.size:
        return False
    return bool((one.columns == np.arange(one.size)).all())


def numbers_of(one: LinearMap) -> np.ndarray:
    """The numbers that a map multiplies with, in any order."""
    if isinstance(one, Selection):
        return one.factors
    return one.matrix.ravel() if isinstance(one, Dense) else one.matrix.data


def is_power_of_two(factors: np.ndarray) -> bool:
    """Whether a product with these is exact."""
    sizes, powers = np.frexp(factors)
    return bool((np.abs(sizes) == 0.5).all() and (np.abs(powers) < 100).all())


def is_signed_choice(one: LinearMap, *, once: bool = False) -> bool:
    """Whether every entry of the result is one of the operand, up to its sign; once: no operand twice."""
    if not isinstance(one, Selection) or not bool((np.abs(one.factors) == 1.0).all()):
        return False
    return not once or len(np.unique(one.columns)) == len(one.columns)


def identity(size: int) -> Selection:
    """The map that changes nothing."""
    return Selection(np.arange(size), np.ones(size), size)


def sparse_of(one: LinearMap) -> sparse.csr_array:
    """Any map as a sparse matrix."""
    if isinstance(one, Sparse):
        return one.matrix
    if isinstance(one, Dense):
        return sparse.csr_array(one.matrix)
    rows = np.arange(len(one.columns))
    return sparse.csr_array((one.factors, (rows, one.columns)), shape=one.shape)


def dense_of(one: LinearMap) -> Float[np.ndarray, "out in"]:
    """Any map as a dense matrix."""
    return one.matrix if isinstance(one, Dense) else sparse_of(one).toarray()


def composed(outer: LinearMap, inner: LinearMap) -> LinearMap:
    """The map that does the inner one first."""
    if isinstance(outer, Selection):
        return _selected(outer, inner)
    if isinstance(outer, Dense) and isinstance(inner, Dense):
        return Dense(outer.matrix @ inner.matrix)
    if isinstance(outer, Dense):
        return Dense(sparse_of(inner).T.dot(outer.matrix.T).T)
    if isinstance(inner, Dense):
        return Dense(outer.matrix @ inner.matrix)
    return lightest(outer.matrix @ sparse_of(inner))


def _selected(outer: Selection, inner: LinearMap) -> LinearMap:
    if isinstance(inner, Selection):
        factors = outer.factors * inner.factors[outer.columns]
        return Selection(inner.columns[outer.columns], factors, inner.size)
    if isinstance(inner, Dense):
        return Dense(inner.matrix[outer.columns] * outer.factors[:, None])
    return lightest(sparse_of(outer) @ inner.matrix)


def summed(one: LinearMap, other: LinearMap) -> LinearMap:
    """The sum of two maps of one shape."""
    if isinstance(one, Selection) and isinstance(other, Selection):
        if np.array_equal(one.columns, other.columns):
            return Selection(one.columns, one.factors + other.factors, one.size)
    if isinstance(one, Dense) or isinstance(other, Dense):
        return Dense(dense_of(one) + dense_of(other))
    return lightest(sparse_of(one) + sparse_of(other))


def lightest(matrix: sparse.csr_array) -> LinearMap:
    """A sparse matrix as the kind of map that is cheapest."""
    matrix = sparse.csr_array(matrix)
    full = matrix.nnz > _DENSE * max(prod(_shape(matrix)), 1)
    return Dense(matrix.toarray()) if full else Sparse(matrix)
