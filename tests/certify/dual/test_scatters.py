"""Values that are written into arrays, and added to them, at known positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.dual.lowering import network_of
from attractor.certify.verify import prove
from attractor.certify.verify.proof import Answer
from attractor.errors import UnsupportedError
from attractor.program import double_precision, trace

_SEGMENTS = np.array([2, 0, 2, 1, 0, 2])
_INPUTS = np.random.default_rng(0).normal(size=(5, 6))

_PROGRAMS = {
    "segment sum": lambda x: jax.ops.segment_sum(x, _SEGMENTS, 4),
    "segment sum of rows": lambda x: jax.ops.segment_sum(x.reshape(3, 2), np.array([1, 1, 0]), 2),
    "segments out of range": lambda x: jax.ops.segment_sum(x, _SEGMENTS, 2),
    "added to what moves": lambda x: x.at[np.array([0, 0, 5])].add(3 * x[:3]),
    "added to constants": lambda x: jnp.arange(6.0).at[2].add(x[1]),
    "written": lambda x: x.at[np.array([4, 1])].set(x[:2] ** 2),
    "written rows": lambda x: x.reshape(2, 3).at[1].set(jnp.tanh(x[:3])),
    "written constants": lambda x: x.at[1:3].set(7.0),
    "written into constants": lambda x: jnp.ones((3, 3)).at[np.array([0, 2]), np.array([1, 1])].set(x[2:4]),
    "written out of range": lambda x: x.at[9].set(x[0]),
    "whole numbers": lambda x: jax.ops.segment_sum(x.astype(jnp.int32), _SEGMENTS, 4),
    "scanned": lambda x: jax.lax.associative_scan(jnp.add, x),
    "scanned by products": lambda x: jax.lax.associative_scan(jnp.multiply, x, reverse=True),
    "scanned pairs": lambda x: jax.lax.associative_scan(
        lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (x, x[::-1])
    )[1],
}


@pytest.mark.parametrize("name", list(_PROGRAMS))
def test_a_program_is_read_as_it_is_computed(name):
    function = _PROGRAMS[name]
    with double_precision():
        network = network_of(trace(function, jnp.zeros(6)))
        expected = np.stack([np.ravel(function(jnp.asarray(one))) for one in _INPUTS])
    np.testing.assert_allclose(network.evaluate(_INPUTS), expected, atol=1e-14)


def test_a_segment_sum_is_bounded_as_a_sum():
    def excess(x):
        return jax.ops.segment_sum(x, _SEGMENTS, 3) - jnp.array([2.001, 1.001, 3.001])

    assert prove(excess, -np.ones(6), np.ones(6), seconds=5).answer is Answer.HOLDS
    assert prove(lambda x: excess(x) + 0.01, -np.ones(6), np.ones(6), seconds=5).answer is Answer.VIOLATED


def test_two_values_for_one_entry_are_refused():
    with pytest.raises(UnsupportedError, match=r"two values.*test_scatters.py"):
        network_of(trace(lambda x: x.at[np.array([1, 1])].set(x[:2]), jnp.zeros(6)))
