"""Linear maps in all three shapes against their matrices."""

from itertools import product

import numpy as np
import pytest
from scipy import sparse

from attractor.certify.dual.linear_maps import (
    Dense,
    Selection,
    Sparse,
    composed,
    dense_of,
    identity,
    summed,
)


def _made(kind, out, inside, generator):
    if kind == "dense":
        return Dense(generator.normal(size=(out, inside)))
    if kind == "sparse":
        full = generator.normal(size=(out, inside)) * (generator.random((out, inside)) < 0.2)
        return Sparse(sparse.csr_array(full))
    return Selection(generator.integers(0, inside, out), generator.normal(size=out), inside)


_KINDS = ("dense", "sparse", "selection")


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (1, 4)])
def test_a_map_does_what_its_matrix_does(kind, shape):
    generator = np.random.default_rng(0)
    one = _made(kind, *shape, generator)
    matrix = dense_of(one)
    rows, columns = generator.normal(size=(3, 2, shape[1])), generator.normal(size=(3, 2, shape[0]))
    np.testing.assert_allclose(one.apply(rows), rows @ matrix.T, atol=1e-13)
    np.testing.assert_allclose(one.transposed(columns), columns @ matrix, atol=1e-13)
    np.testing.assert_array_equal(dense_of(one.magnitude), np.abs(matrix))
    picked = np.array([shape[0] - 1, 0])
    np.testing.assert_array_equal(one.chosen(picked), matrix[picked])
    assert one.shape == shape
    assert one.terms >= max((matrix != 0).sum(axis=0).max(), (matrix != 0).sum(axis=1).max())


@pytest.mark.parametrize(("outer", "inner"), list(product(_KINDS, _KINDS)))
def test_maps_compose_and_add(outer, inner):
    generator = np.random.default_rng(1)
    first, second = _made(outer, 4, 6, generator), _made(inner, 6, 5, generator)
    np.testing.assert_allclose(
        dense_of(composed(first, second)), dense_of(first) @ dense_of(second), atol=1e-13
    )
    third = _made(inner, 4, 6, generator)
    np.testing.assert_allclose(dense_of(summed(first, third)), dense_of(first) + dense_of(third), atol=1e-13)


def test_the_identity_changes_nothing():
    rows = np.arange(6.0).reshape(2, 3)
    assert (identity(3).apply(rows) == rows).all()
    assert (identity(3).transposed(rows) == rows).all()
