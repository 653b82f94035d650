"""Branch and bound takes any bounder: here the objective of a network over a box of inputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.domains import enclose, program_forms, symbol_form
from attractor.certify.domains.interval import Interval, exactly
from attractor.certify.search import Ball, Bound, Budget, Descent, branch_and_bound, lowest_in_ball
from attractor.program import trace

HIDDEN, OUT = (np.random.default_rng(3).normal(size=shape) for shape in ((6, 2), (6,)))
LOW, HIGH = np.array([-1.0, -0.5]), np.array([1.0, 1.5])


def network(x):
    return OUT @ jnp.tanh(2 * HIDDEN @ x) + 0.3 * jnp.cos(3 * x[0]) * x[1]


def bound_of_network(low, high):
    """The largest output on a box: by the range of its form, and by its slopes around the middle."""
    middle, width = (low + high) / 2, high - low
    argument = symbol_form(Interval(low, high), exactly(jnp.eye(2)))
    found = enclose(program_forms(trace(network, low), [argument])[0])
    value = network(middle)
    influence = found.jacobian.magnitude * width
    upper = jnp.minimum(found.value.high, value + influence.sum() / 2 + 1e-12)
    return Bound(upper, value, middle, jnp.argmax(influence))


def samples():
    points = np.stack(np.meshgrid(*(np.linspace(*ends, 301) for ends in zip(LOW, HIGH, strict=True))), -1)
    return np.asarray(jax.vmap(network)(points.reshape(-1, 2)))


def test_the_largest_output_of_a_network_is_enclosed_whenever_it_is_asked_for():
    with jax.enable_x64(True):
        search = partial(branch_and_bound, bound_of_network, LOW, HIGH)
        found = [search(None, Budget(pieces)) for pieces in (0, 600, 6000)]
        largest = samples().max()
        for one in found:
            assert one.lower <= largest + 1e-4
            assert one.upper >= largest
            # Evaluated alone a point may differ in the last digit from what it gave among others.
            assert float(network(jnp.asarray(one.point))) == pytest.approx(one.lower, rel=1e-14)
    assert found[0].pieces == 1
    assert found[0].upper - found[0].lower > 0.3
    assert found[1].upper - found[1].lower > found[2].upper - found[2].lower
    assert found[2].upper - found[2].lower < 1e-2


def test_it_stops_below_the_target_or_at_a_value_above_it():
    with jax.enable_x64(True):
        largest = float(samples().max())
        below = branch_and_bound(bound_of_network, LOW, HIGH, largest + 0.1, Budget())
        above = branch_and_bound(bound_of_network, LOW, HIGH, largest - 0.1, Budget())
    assert below.upper <= largest + 0.1
    assert above.lower >= largest - 0.1
    assert max(below.pieces, above.pieces) < 2000


def nothing_known(low, high):
    return Bound(jnp.nan * low[0], jnp.nan * low[0], low, jnp.argmax(high - low))


def test_a_bound_that_is_no_number_bounds_nothing():
    found = branch_and_bound(nothing_known, LOW, HIGH, 0.0, Budget(50))
    assert found.upper == np.inf
    assert found.lower == -np.inf


def test_projected_gradient_meets_what_branch_and_bound_leaves():
    with jax.enable_x64(True):
        middle, radius = jnp.asarray((LOW + HIGH) / 2), 1.0
        free, wide = jnp.ones(2, bool), jnp.full(2, jnp.inf)
        ball = Ball(middle, free, -wide, wide, jnp.asarray(radius), "linf")
        search = jax.jit(
            lambda key: lowest_in_ball(lambda x: (-network(x),) * 2, ball, Descent(60, 8, 4.0, True), key)
        )
        lowest, start = search(jax.random.key(0))
        found = branch_and_bound(bound_of_network, LOW, HIGH, None, Budget(6000))
    assert -float(lowest.value) <= found.upper
    assert float(lowest.value) <= float(start)
    assert -float(lowest.value) > found.upper - 2e-2
