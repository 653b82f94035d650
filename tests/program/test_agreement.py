"""A step that is another map in float64 than in float32 is refused by every reading in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.certify import certify
from attractor.dynamics import LyapunovSettings, fixed_points, jacobian_spectrum, lyapunov_exponents
from attractor.errors import CellError
from attractor.export import check_parity, export
from attractor.export.c.c_step import to_c
from attractor.export.numpy_step import to_numpy
from attractor.program import agreement, double_precision, in_double_precision
from attractor.program.agreement import check_agreement
from attractor.theory import dynamics_study


def own(step, states=1, start=0.0):
    return attractor.cell(step, 1, jnp.full(states, start))


def drawing(u, x):
    return 0.5 * x + u + jax.random.normal(jax.random.key(0), (1,))


DRAWING = own(drawing)
READINGS = {
    "certify": lambda cell, _: certify(cell, input_bound=0.0),
    "fixed points": lambda cell, _: fixed_points(cell),
    "exponents": lambda cell, _: lyapunov_exponents(cell, 40, settings=LyapunovSettings(1, 5)),
    "spectrum": lambda cell, _: jacobian_spectrum(cell, jnp.zeros(1)),
    "study": lambda cell, _: dynamics_study(cell, np.zeros((40, 1))),
    "NumPy": lambda cell, folder: to_numpy(cell, folder / "step.py"),
    "C": lambda cell, folder: to_c(cell, folder / "step.c"),
    "export": lambda cell, folder: export(cell, "numpy", folder),
    "parity": lambda cell, _: check_parity(cell, targets=["numpy"]),
}


@pytest.mark.parametrize("reading", READINGS.values(), ids=list(READINGS))
def test_a_step_that_draws_numbers_of_its_own_is_refused_wherever_float64_is_read(reading, tmp_path):
    """`unroll` rests at 3.245; the copy in float64, of which a proof would speak, at -0.412."""
    with pytest.raises(CellError, match=r"drawing .* without a `key` \(.*test_agreement\.py.*Draw with"):
        reading(DRAWING, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_of_readings_shows_it():
    report = attractor.check_cell(DRAWING)
    assert report["run"].available
    for name in ("Lyapunov exponents", "fixed points", "spectral curve", "certificates", "control", "NumPy"):
        assert not report[name].available
        assert "without a `key`" in report[name].reason


OTHER_MAPS = {
    "a type": lambda u, x: (2.0 if x.dtype == jnp.float32 else 0.4) * x + u,
    # It ended in a TypeError: a number stands in one program where the other has a variable.
    "a number for an operand": lambda u, x: u + (0.5 * x if x.dtype == jnp.float32 else x * x),
    "a small draw": lambda u, x: 0.5 * x + u + 1e-3 * jax.random.uniform(jax.random.key(0), (1,)),
    "a dropped unit": lambda u, x: x * jax.random.bernoulli(jax.random.key(3), 0.5, (8,)) + u,
    "a draw for some states": lambda u, x: jnp.where(x > 0, x, jax.random.normal(jax.random.key(1), (1,))),
    "an overflow": lambda u, x: 0.5 * x * 1e300 * 1e-300 + u,
    "the last digit": lambda u, x: x * (1 + 1e6 * jnp.finfo(x.dtype).eps) + u,
}


@pytest.mark.parametrize("name", OTHER_MAPS)
def test_other_maps_in_float64_are_refused(name):
    states = 8 if "unit" in name else 1
    with pytest.raises(CellError, match="not the same in float64"):
        check_agreement(own(OTHER_MAPS[name], states))


class Drawn(attractor.Cell):
    """A state that a sequence starts from is drawn anew in each type."""

    input_size: int = 1
    hidden_size: int = 1

    def initial_state(self):
        return jax.random.normal(jax.random.key(0), (1,))

    def __call__(self, input, state, *, key=None):
        return 0.5 * state + input


def test_a_start_that_is_drawn_is_refused():
    with pytest.raises(CellError, match="the state that it starts from of Drawn is not the same"):
        check_agreement(Drawn())


SAME_MAPS = {
    "smooth": lambda u, x: jnp.tanh(x) + jax.nn.softmax(x) * u,
    "arrays": lambda u, x: x * np.linspace(0.1, 1, 3) + np.float64(0.1) * u,
    "a loop": lambda u, x: jax.lax.scan(lambda c, _: (0.9 * c + 0.1 * u, None), x, None, length=5)[0],
    "a branch": lambda u, x: jax.lax.cond(u[0] > 0, lambda x: 0.1 * x, lambda x: x**2, x),
    "jitted": jax.jit(lambda u, x: jax.nn.gelu(x[0]) * x + jnp.floor(3 * u)),
}


@pytest.mark.parametrize("step", SAME_MAPS.values(), ids=list(SAME_MAPS))
def test_equations_that_are_the_same_line_by_line_are_not_run(step, monkeypatch):
    monkeypatch.setattr(agreement, "steps_at", None)
    check_agreement(own(step, 3))


ROUNDED = {
    "the smallest number": lambda u, x: x / (jnp.abs(x) + jnp.finfo(x.dtype).eps) + u,
    "whole numbers": lambda u, x: x.mean() + u + jnp.arange(3) @ x * (x > 0).sum(),
    "a cast": lambda u, x: (x.astype(jnp.float32) * 0.3 + u).astype(x.dtype),
    "steep": lambda u, x: jnp.sin(3e3 * x) + u * jnp.arange(3),
    "shuffled once for all types": lambda u, x: x[jax.random.permutation(jax.random.key(0), 3)] + u,
}


@pytest.mark.parametrize("step", ROUNDED.values(), ids=list(ROUNDED))
def test_what_rounding_explains_is_let_through(step):
    check_agreement(own(step, 3))


def test_weights_that_jax_is_tracing_are_let_through():
    """Inside of a compiled function they have no values yet."""

    def after(weight):
        cell = own(lambda u, x: weight * x + u)
        return in_double_precision(cell)(jnp.ones(1), jnp.ones(1))[0]

    with double_precision():
        assert jax.grad(after)(0.5) == 1


@pytest.mark.parametrize(
    ("found", "wanted", "apart"),
    [
        ([1.0, np.inf, np.nan], [1.0, np.inf, np.nan], 0.0),
        ([1.5, -np.inf], [1.0, -np.inf], 0.25),
        ([np.inf], [-np.inf], np.inf),
        ([np.nan], [np.inf], np.inf),
        ([1.0], [np.nan], np.inf),
        ([np.inf], [1.0], np.inf),
    ],
)
def test_what_is_not_finite_must_be_the_same(found, wanted, apart):
    """Infinities of opposite signs were not apart at all."""
    assert agreement.deviation(np.array(found), np.array(wanted)) == apart
