"""A certificate in another norm, or of another cell, is not taken for what it is not."""

import jax
import numpy as np
import pytest

from attractor.cells import EchoState
from attractor.certify import certify
from attractor.control.model import from_network
from attractor.control.observer import open_loop_observer
from attractor.control.predictive.terminal import terminal_rule
from attractor.errors import ConfigError


@pytest.fixture(scope="module")
def cell():
    return EchoState(1, 6, key=jax.random.key(0))


def test_a_published_condition_is_no_maximum_norm(cell):
    certificate = certify(cell).require()
    assert certificate.level == 0
    assert not certificate.in_maximum_norm
    with pytest.raises(ConfigError, match="another norm"):
        terminal_rule(certificate)


def test_its_rate_is_stated_without_an_amplification(cell):
    certificate = certify(cell).require()
    model = from_network(cell, np.ones((1, 7)), [0.0])
    statement = open_loop_observer(model, certificate).statement
    assert statement.rate == certificate.rate
    assert statement.amplification is None
    assert statement.settling_steps(0.01) is None


def test_a_certificate_of_other_weights_says_nothing_of_an_observer(cell):
    other = EchoState(1, 6, key=jax.random.key(1))
    certificate = certify(other).require()
    with pytest.raises(ConfigError, match="speaks of another cell, or of other weights"):
        open_loop_observer(from_network(cell, np.ones((1, 7)), [0.0]), certificate)
