"""A certificate in another norm, of another cell, or of weights no solver takes, is not taken for one."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from attractor.cells import EchoState, Linear
from attractor.cells.delayed import Delayed
from attractor.certify import certify
from attractor.certify.stability.certificate import simulated_contraction
from attractor.control.model import from_network
from attractor.control.observer import open_loop_observer
from attractor.control.predictive import CertifiedTerminal, ComparisonTerminal, LocalTerminal
from attractor.control.predictive.terminal import terminal_rule
from attractor.control.study import ControlSettings, covering_certificate
from attractor.errors import ConfigError, ControlWarning


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


@pytest.fixture(scope="module")
def late():
    """A slow linear model behind a long delay, and a proof for it."""
    cell = Delayed(Linear(1, 3, key=jax.random.key(1)), (12,))
    return cell, certify(cell).require(), certify(cell.cell).require()


def test_the_weights_of_a_shift_register_are_of_the_size_of_the_others(late):
    """They were 1e-9, the gain of inputs 1e9, and no plan could be computed with the cost that follows."""
    cell, proof, inner = late
    assert proof.weights.max() / proof.weights.min() < 150
    assert proof.input_gain < 150
    assert proof.rate < 1
    assert 1 - proof.rate > 0.7 * (1 - inner.rate)
    found = simulated_contraction(cell, proof, 60)
    assert (found.largest <= proof.rate ** np.arange(61) * (1 + 1e-6)).all()
    assert isinstance(terminal_rule(proof), CertifiedTerminal)


def test_a_terminal_cost_that_no_solver_takes_gives_way_to_the_local_one(late):
    _, proof, _ = late
    weights = np.where(np.arange(len(proof.weights)) < 12, 1e-9, 1.0)
    uneven = replace(proof, weights=weights)
    with pytest.warns(ControlWarning, match=r"1e\+18 times as much .* as the linearised model says"):
        assert isinstance(terminal_rule(uneven), LocalTerminal)
    ends = -np.ones(1), np.ones(1)
    assert covering_certificate(proof, *ends, ControlSettings())[0] is proof
    found, said = covering_certificate(uneven, *ends, ControlSettings())
    assert found is None
    assert "1e+18 times as much as others" in said
    # single precision holds less
    assert "no more than 1e+03" in covering_certificate(proof, *ends, ControlSettings(), "float")[1]
    chain = np.diag(np.full(2, 1e-6), -1) + np.diag([0.0, 1e6], 1)
    with pytest.warns(ControlWarning):
        assert isinstance(terminal_rule(ComparisonTerminal(chain / 2)), LocalTerminal)
