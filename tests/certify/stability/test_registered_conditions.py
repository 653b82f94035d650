"""A published condition for a class of cells from another package."""

import importlib

import numpy as np
from attack_certificates import attack_certificate

from attractor.cells import Stack
from attractor.certify import CertifySettings, Verdict, certify
from attractor.certify.stability.published import PUBLISHED, published_condition

DAMPED = """
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from attractor.cells import Cell
from attractor.certify.stability.published import PUBLISHED, Formula, PublishedCondition

class Damped(Cell):
    weight: Array
    input_size: int = eqx.field(static=True, default=3)
    hidden_size: int = eqx.field(static=True, default=3)

    def __call__(self, input, state, *, key=None):
        return jnp.sin(self.weight @ state) + 0.5 * input

def condition(cell, input_bound):
    norm = float(np.abs(np.asarray(cell.weight, float)).sum(axis=1).max()) * (1 + 1e-12)
    return PublishedCondition(
        "damped", norm - 1, norm, norm - 1, 0.5 * (1 + 1e-12), "largest component", "a paper", "any state",
        largest_state=np.full(cell.hidden_size, np.inf),
    )

PUBLISHED.register(Damped, Formula(condition, lambda cell, bound: 1.0 + 0.5 * bound), source=__name__)
"""
SETTINGS = CertifySettings(levels=(0,), refute=False)


def test_another_package_adds_a_condition_that_certify_uses(install):
    install(PUBLISHED, "damped_cells", DAMPED)
    damped = importlib.import_module("damped_cells").Damped
    weight = np.random.default_rng(0).normal(size=(3, 3))
    cell = damped(0.9 * weight / np.abs(weight).sum(axis=1, keepdims=True))
    found = certify(cell, settings=SETTINGS)
    assert found.verdict is Verdict.PROVED
    assert found.certificate.rate < 0.9 + 1e-9
    assert "a paper" in found.certificate.remarks
    assert not attack_certificate(cell, found.certificate)
    assert published_condition(Stack((cell, cell))).family == "stack of damped, damped"
    assert published_condition(type("Changed", (damped,), {})(cell.weight)) is None, (
        "a subclass is another map"
    )


def test_attacks_find_a_condition_that_claims_too_much(install):
    install(PUBLISHED, "damped_cells", DAMPED.replace("norm - 1, norm,", "norm - 1, 0.5 * norm,"))
    damped = importlib.import_module("damped_cells").Damped
    cell = damped(np.diag([0.9, 0.8, 0.7]))
    claimed = certify(cell, settings=SETTINGS).certificate
    assert attack_certificate(cell, claimed)


def test_nothing_is_left_of_it():
    assert all(one.__module__ != "damped_cells" for one in PUBLISHED)
