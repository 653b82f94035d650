"""A rule for a primitive that the bounds do not know, from another package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written import Written, excess, random_boxes

from attractor.certify import CertifySettings, Verdict, certify
from attractor.certify.domains import RULES
from attractor.certify.domains.interval import SCALAR
from attractor.errors import ConfigError

ARCTANGENT = """
import jax.numpy as jnp
from attractor.certify.domains import Interval, ScalarFunction, register_function

def value(p):
    return Interval(jnp.arctan(p.low) - 1e-12, jnp.arctan(p.high) + 1e-12)

def slope(p):
    nearest = jnp.clip(0.0, p.low, p.high)
    least = jnp.minimum(*(1 / (1 + end**2) for end in p))
    return Interval(least - 1e-12, 1 / (1 + nearest**2) + 1e-12)

register_function("atan", ScalarFunction(value, slope))
"""
WEIGHT = np.random.default_rng(0).normal(size=(2, 2)).round(2) * 0.3


def test_another_package_adds_a_rule_and_cells_with_it_are_bounded_and_certified(install, monkeypatch):
    cell = Written(lambda u, x: jnp.arctan(WEIGHT @ x + u) * jnp.tanh(x[::-1]), 2)
    settings = CertifySettings(levels=(1,), refute=False)
    assert "'atan'" in certify(cell, settings=settings).reason
    monkeypatch.setitem(SCALAR, "atan", None)  # taken out again after this test
    install(RULES, "arctangent", ARCTANGENT)
    assert certify(cell, settings=settings).verdict is Verdict.PROVED
    with jax.enable_x64(True):
        over = excess(cell, *random_boxes(3, 12, seed=0))
    assert over["value"].max() < 1e-12
    assert over["jacobian"].max() < 1e-12
    assert over["row sum"].max() < 1e-12


def test_a_rule_belongs_to_one_module():
    with pytest.raises(ConfigError, match=r"'tanh'.* is registered already"):
        RULES.register("tanh", lambda equation, one: one, source="another")
