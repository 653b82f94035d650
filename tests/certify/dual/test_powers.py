"""Powers whose exponent is an input: values, bounds that hold exact ones, and bases that have none."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds

from attractor.certify.dual.lowering import network_of
from attractor.certify.recheck.certificate import load
from attractor.certify.recheck.checker import recheck
from attractor.certify.verify import prove
from attractor.certify.verify.proof import Answer, claim_of
from attractor.errors import UnsupportedError
from attractor.program import double_precision, trace

_BASES = (2.0, 0.5, 8.0, 1.0, 3.0, 0.1, 1.0000001, 17.3, 1e-30)


def _network(function, size=2):
    with double_precision():
        return network_of(trace(function, jnp.zeros(size)))


@pytest.mark.parametrize("base", _BASES)
def test_whole_powers_lie_within_the_bounds_of_their_point(base):
    network = _network(lambda x: jnp.power(base, x))
    for exponent in (-3, 0, 1, 2, 7):
        point = np.full((1, 2), float(exponent))
        least, most, _ = bounds(network, point, point)
        exact = Fraction(base) ** exponent
        assert (least <= float(exact)).all()
        assert (float(exact) <= most).all()
        # Rounding of the exponent x log a, up to 480 here, is relative to it.
        np.testing.assert_allclose(least, most, rtol=1e-10)


def test_powers_of_two_are_those_of_the_base_two():
    assert [node.function for node in _network(lambda x: 2.0**x).nodes] == ["exp2"]
    network = _network(lambda x: jnp.power(jnp.array([4.0, 0.25]), x))
    assert network.output.roundings == network.nodes[0].arguments[0].roundings == 0
    np.testing.assert_array_equal(network.evaluate(np.array([[3.0, 2.0]])), [[64.0, 0.0625]])


def test_each_entry_has_its_own_base():
    network = _network(lambda x: jnp.power(jnp.array([2.0, 5.0]), x))
    np.testing.assert_allclose(network.evaluate(np.array([[3.0, -1.0]])), [[8.0, 0.2]], rtol=1e-15)


@pytest.mark.parametrize("base", [0.0, -2.0, [2.0, -1.0], np.nan])
def test_a_base_that_is_not_above_zero_is_named(base):
    with pytest.raises(UnsupportedError, match=r"must be above zero"):
        _network(lambda x: jnp.power(jnp.asarray(base), x))


@pytest.mark.parametrize("most", [4.0 + 1e-9, 5.0])
def test_a_limit_of_a_power_is_proved_and_rechecked(most, tmp_path):
    found = prove(lambda x: 2.0**x - most, [-3.0], [2.0], certificate=tmp_path / "c.npz", seconds=10)
    assert found.answer is Answer.HOLDS
    (part,) = load(tmp_path / "c.npz").parts
    assert not recheck(claim_of(lambda x: 2.0**x - 3.999, [-3.0], [2.0]), part.tree).accepted


def test_an_input_to_the_power_of_another():
    def power(x):
        return x[0] ** x[1]

    assert prove(lambda x: power(x) - 4.001, [1.0, -1.0], [2.0, 2.0], seconds=10).answer is Answer.HOLDS
    assert prove(lambda x: power(x) - 3.99, [1.0, -1.0], [2.0, 2.0], seconds=10).answer is Answer.VIOLATED
    for base in (0.0, -0.1):  # where a power of zero, or of less, may be no number nothing is proved
        assert (
            prove(lambda x: power(x) - 1e9, [base, -1.0], [2.0, 2.0], seconds=0.5).answer is not Answer.HOLDS
        )
