"""Shared by the tests of training."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="session")
def quick_compilation():
    """Compile without expensive passes: the programs are tiny, compiling them is nearly all of the time."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
