"""Fifteen plain contracting steps of one or two states; what is bounded tightly, and what is refuted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written import Written, step_of

from attractor.certify import CertifySettings, Verdict, certify

PLAIN = {
    "linear": (1, lambda u, x: 0.9 * x + u),
    "tanh": (1, lambda u, x: jnp.tanh(0.8 * x + u)),
    "rotation": (2, lambda u, x: 0.7 * jnp.array([[0.6, -0.8], [0.8, 0.6]]) @ x + u),
    "rectifier": (1, lambda u, x: 0.9 * jax.nn.relu(x + u)),
    "leaky rectifier": (1, lambda u, x: 0.9 * jax.nn.leaky_relu(x + u)),
    "exponential unit": (1, lambda u, x: 0.9 * jax.nn.elu(x + u)),
    "absolute": (1, lambda u, x: 0.9 * jnp.abs(x) + 0.1 * u),
    "sine": (1, lambda u, x: 0.9 * jnp.sin(x) + 0.1 * u),
    "clipped": (1, lambda u, x: jnp.clip(0.9 * x + u, -0.5, 0.5)),
    "softsign": (2, lambda u, x: 0.9 * jax.nn.soft_sign(x[::-1] + u)),
    "silu": (1, lambda u, x: 0.8 * jax.nn.silu(x + u)),
    "gate": (1, lambda u, x: jax.nn.sigmoid(u) * 0.9 * x + (1 - jax.nn.sigmoid(u)) * jnp.tanh(u)),
    "chain": (2, lambda u, x: jnp.stack([0.5 * x[1] + u[0], 0.9 * jnp.tanh(x[0])])),
    "quotient": (1, lambda u, x: 0.5 * x / (1 + u**2)),
    "larger of two": (2, lambda u, x: 0.7 * jnp.maximum(x, x[::-1])),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_contracting_step_is_proved(name):
    states, update = PLAIN[name]
    proof = certify(Written(update, states), settings=CertifySettings(time_budget=20, refute=False)).require()
    assert 0 <= proof.rate < 1


TIGHT = {
    "larger of two": (lambda u, x: 0.7 * jnp.maximum(x, x[::-1]), 0.7),
    "larger of two signs": (lambda u, x: 0.8 * jnp.maximum(x, -x[::-1]) + 0.1 * u, 0.8),
    "smaller of two": (lambda u, x: 0.7 * jnp.minimum(x, x[::-1] + u), 0.7),
    "largest": (lambda u, x: 0.9 * jnp.max(x) * jnp.ones(2) + u, 0.9),
    "smallest": (lambda u, x: 0.9 * jnp.min(jnp.concatenate([x, u])) * jnp.ones(2), 0.9),
    "choice of two": (lambda u, x: 0.8 * jnp.where(x > x[::-1], x, x[::-1]) + 0.1 * u, 0.8),
}


@pytest.mark.parametrize("name", TIGHT)
def test_the_larger_of_two_states_moves_as_one_of_them_does(name):
    """`0.8 * maximum(x, -reversed(x))` was bounded by 1.6: as if both moved at once."""
    update, rate = TIGHT[name]
    settings = CertifySettings(levels=(1,), refute=False)
    assert certify(Written(update, 2), settings=settings).require().rate == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    "update",
    [
        lambda u, x: 1.5 * x,
        lambda u, x: x + x**3 + u,
        lambda u, x: -1.001 * x + u,
        lambda u, x: x + 0.1 * u,
    ],
)
def test_what_grows_without_bound_is_refuted_and_replays(update):
    """x' = 1.5 x was unknown: no box holds its image."""
    cell = Written(update, 1)
    result = certify(cell, settings=CertifySettings(levels=(1,)))
    assert result.verdict is Verdict.REFUTED
    witness = result.witness
    with jax.enable_x64(True):
        step = step_of(cell)
        one, other = witness.first, witness.second
        for count in range(min(witness.steps, 500)):
            given = witness.inputs[count % len(witness.inputs)]
            one, other = (np.asarray(step(np.concatenate([state, given]))) for state in (one, other))
    assert np.abs(one - other).max() >= 0.99 * min(
        np.abs(witness.first - witness.second).max(), witness.distance
    )
