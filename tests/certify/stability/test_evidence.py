"""Simulated pairs of trajectories beside a certificate: their distances in its own norm."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify import Certificate
from attractor.certify.stability.certificate import simulated_contraction

STEPS = 12


class Linear(eqx.Module):
    """x' = A x + u: the difference of two trajectories is A^k of the first one."""

    transition: jax.Array
    input_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return self.transition @ state + input

    def initial_state(self):
        return jnp.zeros(2, self.transition.dtype)


def certificate(**changes):
    ends = np.full(2, 3.0)
    boxes = {"low": -ends, "high": ends, "start_low": -ends, "start_high": ends, "input_bound": np.ones(2)}
    fixed = {"level": 1, "rate": 0.75, "weights": np.ones(2), "input_gain": 1.0, "transient": 0}
    return replace(Certificate(**boxes, **fixed), **changes)


def linear(matrix):
    return Linear(jnp.asarray(matrix, jnp.float32))


def test_a_difference_that_shrinks_alike_everywhere_is_its_power():
    shown = simulated_contraction(linear(0.75 * np.eye(2)), certificate(), STEPS)
    for values in shown:
        np.testing.assert_allclose(values, 0.75 ** np.arange(STEPS + 1), rtol=1e-12)


def test_distances_are_weighted():
    """|x1'| = 4 |x2|: as large as the rate allows with the weights (1, 1/8), not in the plain norm."""
    matrix = [[0.0, 4.0], [0.03125, 0.0]]
    weighted = simulated_contraction(
        linear(matrix), certificate(rate=0.5, weights=np.array([1, 0.125])), STEPS
    )
    assert np.all(weighted.largest <= 0.5 ** np.arange(STEPS + 1) * (1 + 1e-12))
    plain = simulated_contraction(linear(matrix), certificate(), STEPS)
    assert plain.largest[1] > 1.0


@pytest.mark.parametrize("box", [3.0, np.inf], ids=["box", "all states"])
def test_a_quadratic_certificate_is_measured_in_its_metric(box):
    """A = 3/4 S^-1 R S with a rotation R: |S x| shrinks by 3/4, whatever the largest component does."""
    shape, turn = np.diag([8.0, 1.0]), np.array([[0.0, -1.0], [1.0, 0.0]])
    matrix = 0.75 * np.linalg.inv(shape) @ turn @ shape
    ends = np.full(2, box)
    given = certificate(level=4, metric=shape.T @ shape, low=-ends, high=ends)
    shown = simulated_contraction(linear(matrix), given, STEPS)
    for values in shown:
        np.testing.assert_allclose(values, 0.75 ** np.arange(STEPS + 1), rtol=1e-9)
