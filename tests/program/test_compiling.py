"""Programs that are compiled in a hurry."""

import jax.numpy as jnp

from attractor.program import compiling, quickly_compiled


def test_a_program_compiled_in_a_hurry_computes_the_same():
    scaled = quickly_compiled(lambda array, *, factor: factor * jnp.tanh(array))
    assert scaled(jnp.arange(3.0), factor=2).tolist() == (2 * jnp.tanh(jnp.arange(3.0))).tolist()


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    known = {"xla_backend_optimization_level": 0}
    monkeypatch.setattr(compiling, "_QUICK", known | {"xla_no_such_option": True})
    compiling._accepted.cache_clear()
    try:
        assert compiling._accepted() == known
    finally:
        compiling._accepted.cache_clear()
