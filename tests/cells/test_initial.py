import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells.initial import timescale_bias, uniform_weight
from attractor.errors import ConfigError


def test_a_gate_at_its_bias_keeps_the_promised_number_of_steps():
    keep = jax.nn.sigmoid(timescale_bias(5, (2.0, 32.0)))
    np.testing.assert_allclose(1 / (1 - keep), [2, 4, 8, 16, 32], rtol=1e-5)


def test_one_unit_gets_the_shortest_time_constant():
    np.testing.assert_allclose(timescale_bias(1, (3.0, 9.0)), [np.log(2.0)], rtol=1e-6)


def test_equal_time_constants_give_equal_biases():
    np.testing.assert_allclose(timescale_bias(3, (11.0, 11.0)), np.full(3, np.log(10.0)), rtol=1e-6)


@pytest.mark.parametrize("timescales", [(1.0, 5.0), (0.5, 5.0), (-3.0, 5.0), (6.0, 5.0), (float("nan"), 5.0)])
def test_time_constants_that_no_gate_can_have_are_refused(timescales):
    with pytest.raises(ConfigError, match="expected 1 < shortest <= longest"):
        timescale_bias(4, timescales)


def test_biases_have_the_default_type():
    with jax.enable_x64(False):
        assert timescale_bias(3, (2.0, 4.0)).dtype == "float32"
    with jax.enable_x64(True):
        assert timescale_bias(3, (2.0, 4.0)).dtype == "float64"


@pytest.mark.parametrize(("fan_in", "bound"), [(None, 0.5), (16, 0.25)])
def test_weights_fill_the_interval_of_their_fan_in(fan_in, bound):
    weight = np.asarray(uniform_weight(jax.random.key(0), 500, 4, fan_in))
    assert weight.shape == (500, 4)
    assert 0.98 * bound < weight.max() <= bound
    assert -bound <= weight.min() < -0.98 * bound
    # The mean of n uniform numbers in +-b has the standard deviation b / sqrt(3 n).
    assert abs(weight.mean()) < 4 * bound / np.sqrt(3 * weight.size)


def test_a_weight_without_columns_is_empty_rather_than_an_error():
    assert uniform_weight(jax.random.key(0), 4, 0).shape == (4, 0)


def test_the_same_key_draws_the_same_weights():
    draw = [uniform_weight(jax.random.key(seed), 500, 4) for seed in (1, 1, 2)]
    assert jnp.array_equal(draw[0], draw[1])
    assert not jnp.array_equal(draw[0], draw[2])
