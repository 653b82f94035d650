"""Norms, normalised vectors and softmax have finite bounds that hold; what has no rule is unknown in time."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from written import Written, bounds_of_boxes, excess

from attractor.certify import CertifySettings, Verdict, certify

WIDE = -np.ones((1, 4)), np.ones((1, 4))
NARROW = np.array([[0.2, 0.3, -0.5, 0.0]]), np.array([[0.3, 0.35, -0.4, 1.0]])

VECTORS = {
    "norm": (lambda u, x: jnp.linalg.norm(x) * jnp.ones(3), 3.0),
    "norm with a rest": (lambda u, x: jnp.sqrt(x @ x + 0.01) * jnp.ones(3), 3.0),
    "sum of magnitudes": (lambda u, x: jnp.linalg.norm(x, ord=1) * jnp.ones(3), 3.0),
    "divided by one and the norm": (lambda u, x: x / (1 + jnp.linalg.norm(x)), 4.0),
    "softmax": (lambda u, x: jax.nn.softmax(x), 0.75),
    "softmax, shifted": (lambda u, x: jax.nn.softmax(x + 0.5), 0.75),
    "layer norm": (lambda u, x: eqx.nn.LayerNorm(3)(x), 1500.0),
    "root mean square norm": (lambda u, x: eqx.nn.RMSNorm(3)(x), 1500.0),
}


@pytest.mark.parametrize("name", VECTORS)
def test_functions_of_whole_vectors_have_finite_bounds_that_hold(name):
    """The bound of a layer norm was 3.7e6, that of a vector norm not a number."""
    update, steepest = VECTORS[name]
    with jax.enable_x64(True):
        cell = Written(update, 3)
        for box in (WIDE, NARROW):
            found = excess(cell, *box)
            for kind in ("value", "jacobian", "row sum"):
                assert (found[kind] <= 1e-13).all(), (name, kind)
        sums = bounds_of_boxes(cell, *map(jnp.asarray, WIDE), jnp.ones(3))[2]
    assert float(np.asarray(sums).max()) <= steepest * (1 + 1e-9)


@pytest.mark.parametrize(
    ("update", "rate"),
    [
        (lambda u, x: 0.3 * x / (1 + jnp.linalg.norm(x)) + 0.1 * u, 0.9),
        (lambda u, x: 0.9 * jax.nn.softmax(x) + 0.1 * u, 0.45),
        (lambda u, x: 0.001 * eqx.nn.LayerNorm(2)(x) + 0.1 * u, 0.95),
    ],
)  # fmt: skip
def test_a_contraction_by_a_function_of_the_whole_vector_is_proved(update, rate):
    assert certify(Written(update, 2), settings=CertifySettings(levels=(1,))).require().rate <= rate + 1e-9


def root(u, x):
    solver = optimistix.Newton(rtol=1e-8, atol=1e-8)
    return (
        optimistix.root_find(lambda y, _: y - 0.3 * jnp.tanh(y) - 0.5 * x, solver, x, throw=False).value + u
    )


def called(u, x):
    return jax.pure_callback(lambda y: 0.5 * np.asarray(y), jax.ShapeDtypeStruct(x.shape, x.dtype), x,
                             vmap_method="sequential")  # fmt: skip


WITHOUT_RULE = {
    "convolution": (lambda u, x: 0.3 * jnp.convolve(x, jnp.array([1.0, 0.5]), mode="same") + u, "conv"),
    "sorting": (lambda u, x: 0.3 * jnp.sort(x) + u, "sort"),
    "solving": (lambda u, x: 0.3 * jnp.linalg.solve(2 * jnp.eye(2) + jnp.outer(x, x), x) + u, "lu"),
    "argument of the largest": (lambda u, x: 0.3 * x * jnp.argmax(x) + u, "argmax"),
    "a root": (root, "while"),
    "a call back to Python": (called, "pure_callback"),
}


@pytest.mark.parametrize(
    "name",
    WITHOUT_RULE,
)
def test_what_has_no_rule_is_unknown_with_a_reason_and_in_time(name):
    """A call back to Python was a NotImplementedError, and a root took a minute for a budget of 10 s."""
    update, named = WITHOUT_RULE[name]
    began = time.monotonic()
    # Two starts of the step with argmax really do not meet; a quick search finds them within the budget.
    # A busy machine needs more than two seconds for the first reason.
    settings = CertifySettings(time_budget=5, refute=named not in ("argmax", "pure_callback"))
    result = certify(Written(update, 2), settings=settings)
    assert result.verdict is Verdict.UNKNOWN
    assert named in result.reason
    assert time.monotonic() - began < 35
