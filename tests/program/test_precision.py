"""What a process has set of JAX reaches neither trained models nor analyses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, EchoState
from attractor.certify import Verdict, certify
from attractor.dynamics import LyapunovSettings, leading_exponents, lyapunov_exponents
from attractor.export import check_parity
from attractor.program import double_precision, single_precision, to_single_precision, with_precision


@pytest.fixture
def strict():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def test_a_context_decides_types_and_promotion_whatever_is_around_it(strict):
    for context, real, whole in (
        (single_precision, "float32", "int32"),
        (double_precision, "float64", "int64"),
    ):
        with context():
            mixed = jnp.ones((2, 3)) * jnp.arange(3) + np.float32(1)
            assert (mixed.dtype, jnp.arange(2).dtype) == (real, whole)
    with with_precision(double=False):
        assert jnp.ones(1).dtype == "float32"
    assert jnp.ones(1).dtype == "float64"


def test_a_tree_keeps_no_leaf_of_64_bits(strict):
    tree = {"real": jnp.ones(2), "whole": jnp.arange(2), "flag": jnp.ones(1, bool), "key": jax.random.key(0)}
    with single_precision():
        narrow = to_single_precision(tree)
    kinds = {name: leaf.dtype.name for name, leaf in narrow.items() if name != "key"}
    assert kinds == {"real": "float32", "whole": "int32", "flag": "bool"}


def test_analyses_and_exports_run_where_the_process_forbids_promotion(strict):
    inputs = np.random.default_rng(0).normal(size=(40, 2))
    cell = GRU(2, 3, key=jax.random.key(0))
    found = lyapunov_exponents(cell, inputs, settings=LyapunovSettings(1, 5)).per_step
    assert np.isfinite(found).all()
    assert np.isfinite(leading_exponents(cell, jnp.asarray(inputs), count=1)).all()
    assert certify(EchoState(2, 4, key=jax.random.key(0))).verdict is Verdict.PROVED
    assert check_parity(cell, targets=("numpy", "casadi"), samples=5)["numpy"] < 1e-10
