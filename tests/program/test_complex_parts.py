"""Complex programs written out in real ones: each operation against complex arithmetic itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.program import real_cell

PLACES = jnp.array([2, 0, 1])
FACTOR = np.array([0.3 - 0.2j, 1j, -1.0])
OPERATIONS = {
    "gather": lambda z: z[PLACES] * 0.5,
    "slices": lambda z: jnp.concatenate([z[1:], z[:1]])[::-1],
    "cumsum": jnp.cumsum,
    "select": lambda z: jnp.where(jnp.real(z) > 0, z, FACTOR * z),
    "product": lambda z: z * FACTOR * jnp.conj(z),
    "quotient": lambda z: FACTOR / (z + 2.0),
    "power": lambda z: z**3 + z**-2,
    "exponential": lambda z: jnp.exp(1j * z),
    "modulus": lambda z: jnp.abs(z) * jnp.exp(0.1j) + z.imag,
    "contraction": lambda z: (jnp.outer(FACTOR, FACTOR) @ z) + jnp.sum(z) - jnp.eye(3) @ z,
    "padding": lambda z: jnp.pad(z, (1, 0), constant_values=1j)[:3],
    "comparison": lambda z: jnp.where(z == jnp.conj(z), z, 2 * z),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_written_out_is_the_complex_one(name):
    operation = OPERATIONS[name]
    cell = attractor.cell(lambda u, z: operation(z), 1, jnp.ones(3, jnp.complex64))
    rng = np.random.default_rng(0)
    real, imaginary = rng.normal(size=(2, 3)).round(2)
    imaginary[1] = 0.0
    with jax.enable_x64(True):
        step = real_cell(cell, "tests")
        assert "complex" not in str(step.jaxpr)
        found = step(jnp.zeros(1), (jnp.asarray(real), jnp.asarray(imaginary)))
        expected = np.asarray(operation(jnp.asarray(real + 1j * imaginary)))
    parts = np.asarray(found[0]) + 1j * np.asarray(found[1])
    np.testing.assert_allclose(parts, expected, rtol=1e-12, atol=1e-12)
