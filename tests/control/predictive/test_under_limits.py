"""What any controller within explicit limits could do: proved bands hold runs of all kinds of controllers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import exposed, initial_state, take_step
from attractor.certify.verify import cell_tube
from attractor.control.predictive import Limits
from attractor.control.predictive.under_limits import UnderLimits
from attractor.errors import ConfigError, ShapeError

STEPS = 8
LIMITS = Limits(-0.5, 0.8, rate=0.15)


def plant():
    return attractor.cells.GRU(1, 3, key=jax.random.key(0))


def test_inputs_keep_to_their_limits_and_rates():
    cell = UnderLimits(plant(), LIMITS, start=np.array([0.7]))
    moves = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (60, 1)))
    inputs = np.asarray(attractor.unroll(cell, moves).states[0])[:, 0]
    assert inputs.min() >= -0.5
    assert inputs.max() <= 0.8
    assert np.abs(np.diff(inputs, prepend=0.7)).max() <= 0.15 + 1e-6


def test_no_controller_within_the_limits_leaves_the_tube():
    inner = plant()
    tube = cell_tube(UnderLimits(inner, LIMITS, start=np.zeros(1)), -np.ones((STEPS, 1)), np.ones((STEPS, 1)))
    wide = cell_tube(inner, np.full((STEPS, 1), -0.5), np.full((STEPS, 1), 0.8))
    assert ((tube.high - tube.low)[0] < 0.5 * (wide.high - wide.low)[0]).all()
    step = jax.jit(lambda input, state: take_step(inner, input, state))
    generator = np.random.default_rng(0)
    for kind in range(12):
        state, last = initial_state(inner), 0.0
        for index in range(STEPS):
            shown = np.asarray(exposed(inner, state))
            # A bang-bang controller, a proportional one, a random one; each obeys the same limits.
            wish = (-10 * np.sign(shown[0] - 0.1 * kind), -3 * (shown[0] - 0.2), generator.normal())[kind % 3]
            last = float(np.clip(np.clip(wish, last - 0.15, last + 0.15), -0.5, 0.8))
            state = step(jnp.asarray([last], jnp.float32), state)
            shown = np.asarray(exposed(inner, state))
            assert (shown >= tube.low[index] - 1e-5).all()
            assert (shown <= tube.high[index] + 1e-5).all()


def test_what_is_no_limit_is_refused():
    with pytest.raises(ConfigError, match="without a rate"):
        UnderLimits(plant(), Limits(-1.0, 1.0))
    with pytest.raises(ConfigError, match="start="):
        UnderLimits(plant(), LIMITS, start=np.array([2.0]))
    with pytest.raises(ShapeError):
        UnderLimits(plant(), Limits(np.zeros(2), np.ones(2), rate=0.1))
