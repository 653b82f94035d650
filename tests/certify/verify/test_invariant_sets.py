"""Closed loops for ever: what is called invariant resists runs, what is not invariant is never called so."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.verify import Answer, decreases, invariant_set
from attractor.errors import ConfigError, ShapeError

# A double integrator with a saturated controller and a disturbance.
GAIN = np.array([-0.4, -1.1])


def loop(noise, state):
    push = jnp.tanh(jnp.asarray(GAIN) @ state)
    return jnp.stack([state[0] + 0.3 * state[1], state[1] + 0.3 * push + noise[0]])


def runs(step, box, noise, steps=200, count=400):
    """States of many runs from corners and inside, under extreme and random inputs."""
    generator = np.random.default_rng(0)
    state = generator.uniform(box.low, box.high, (count, len(box.low)))
    state[:100] = np.where(generator.random((100, len(box.low))) < 0.5, box.low, box.high)
    seen = []
    for _ in range(steps):
        pushed = generator.uniform(-noise, noise, (count, 1))
        pushed[::2] = noise * np.sign(pushed[::2])
        state = step(pushed, state)
        seen.append(state)
    return np.array(seen)


def rotated(noise, state):
    """A spiral inwards: half of the corners of its box leave it unless the box is cut into parts."""
    matrix = 0.75 * jnp.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    return matrix @ jnp.tanh(state) + noise[0]


def test_no_run_leaves_what_is_called_invariant():
    found = invariant_set(rotated, [-0.2, -0.2], [0.2, 0.2], [-0.05], [0.05])
    assert found.found
    assert (found.low <= -0.2).all()
    assert (found.high >= 0.2).all()
    turned = 0.75 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    seen = runs(lambda noise, state: np.tanh(state) @ turned.T + noise, found, 0.05)
    assert (seen >= found.low).all()
    assert (seen <= found.high).all()
    assert (found.image_low >= found.low).all()
    assert "no state ever leaves this box" in str(found)


@pytest.mark.parametrize(
    "step",
    [
        lambda noise, state: 1.001 * state + noise,
        lambda noise, state: state + noise,
        lambda noise, state: state**2 + 2.0 + noise,
        lambda noise, state: 1 / state + noise,
        lambda noise, state: jnp.where(state > 0.05, 3.0, state) * 2 + noise,
    ],
)
def test_what_leaves_every_box_is_not_called_invariant(step):
    found = invariant_set(step, [-0.1], [0.1], [-0.01], [0.01], rounds=20)
    assert not found.found
    assert "not decided" in str(found)


def test_a_box_of_the_limit_itself_is_found_for_a_linear_loop():
    """x' = x / 2 + w with |w| <= 1 ends in |x| <= 2."""
    found = invariant_set(lambda noise, state: 0.5 * state + noise, [0.0], [0.0], [-1.0], [1.0])
    assert found.found
    assert 2.0 <= found.high[0] <= 2.2


def test_a_quadratic_falls_where_it_does_and_a_witness_is_shown_where_it_does_not():
    from scipy.linalg import solve_discrete_lyapunov

    linear = np.array([[1.0, 0.3], [0.3 * GAIN[0], 1 + 0.3 * GAIN[1]]])
    matrix = solve_discrete_lyapunov(linear.T, np.eye(2))
    box = (-0.3 * np.ones(2), 0.3 * np.ones(2), [0.0], [0.0])
    assert decreases(loop, matrix, *box, rate=0.99, floor=0.01).answer is Answer.HOLDS
    found = decreases(loop, matrix, *box, rate=0.5, floor=0.01)
    assert found.answer is Answer.VIOLATED
    state = found.witness[1:]
    after = np.asarray(loop(np.zeros(1), state))
    assert after @ matrix @ after - 0.01 > 0.5 * (state @ matrix @ state - 0.01)


def test_what_cannot_be_is_named():
    with pytest.raises(ShapeError, match="returns 1 number for 2 states"):
        invariant_set(lambda noise, state: state[:1], [0.0, 0.0], [1.0, 1.0], [0.0], [0.0])
    with pytest.raises(ConfigError, match="at least one"):
        invariant_set(rotated, [0.0, 0.0], [1.0, 1.0], [0.0], [0.0], rounds=0)
    with pytest.raises(ShapeError, match="need a square one"):
        decreases(loop, np.eye(3), [0.0, 0.0], [1.0, 1.0], [0.0], [0.0], rate=0.9)
    with pytest.raises(ConfigError, match="rate is between"):
        decreases(loop, np.eye(2), [0.0, 0.0], [1.0, 1.0], [0.0], [0.0], rate=1.1)
