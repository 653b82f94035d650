"""How all tests compile: fast, because their programs are tiny and compiling them is most of the time."""

import os
import shutil
import tempfile

import jax
import pytest

_QUICK = "jax_disable_most_optimizations"
_CACHE = "jax_compilation_cache_dir"
_PLAIN_FUSION = "--xla_cpu_use_fusion_emitters=false"
"""The older code generator of XLA compiles in two thirds of the time."""


def pytest_configure(config):
    """Leave expensive passes out, also in commands that tests start, and compile no program twice.

    Every process has a cache of its own, so that none reads what another is just writing.
    """
    jax.config.update(_QUICK, True)
    os.environ[_QUICK.upper()] = "1"
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="state-")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_PLAIN_FUSION}".strip()
    jax.config.update(_CACHE, tempfile.mkdtemp(prefix="compiled-"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_unconfigure(config):
    """Leave nothing behind."""
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update(_CACHE, None)
    for made in (folder, os.environ.pop("XDG_STATE_HOME")):
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def full_optimisation():
    """For tests of memory and speed: all passes as users have them, but for the code generator, and anew."""
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update(_QUICK, False)
    jax.config.update(_CACHE, None)
    yield
    jax.config.update(_QUICK, True)
    jax.config.update(_CACHE, folder)
