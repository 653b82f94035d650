"""Lyapunov exponents of systems whose exponents are known: within three standard errors."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, Map, linear
from scipy.special import digamma
from test_low_frequency import autoregressive

from attractor.cells import GRU, LSTM, Cell, Elman, Flow, ResetAfterGRU, discretise
from attractor.dynamics import Ending, LyapunovSettings, lyapunov_exponents
from attractor.errors import ConfigError, DivergedError

ALL = LyapunovSettings(count="all", burn_in=200)
LONG = LyapunovSettings(count="all", burn_in=3_000, alignment=3_000)


HENON = Map(lambda x: jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), 2)
LOGISTIC = Map(lambda x: 4 * x * (1 - x), 1)
CAT = Map(lambda x: jnp.mod(jnp.stack([2 * x[0] + x[1], x[0] + x[1]]), 1.0), 2)


def tent(slope):
    return Map(lambda x: slope * jnp.minimum(x, 1 - x), 1)


class Lorenz(Flow):
    input_size: int = eqx.field(static=True, default=0)
    hidden_size: int = eqx.field(static=True, default=3)

    def vector_field(self, input, state):
        x, y, z = state
        return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


class Product(Cell):
    """state' = M state with the matrix given as the input: products of random matrices."""

    hidden_size: int = eqx.field(static=True)

    @property
    def input_size(self):
        return self.hidden_size**2

    def __call__(self, input, state, *, key=None):
        return input.reshape(self.hidden_size, self.hidden_size) @ state / jnp.linalg.norm(state)


def within(found, expected, least):
    """Three standard errors, which themselves must be small enough to mean something."""
    assert found.standard_error.max() < least
    np.testing.assert_array_less(np.abs(found.per_step - expected), 3 * found.standard_error + 1e-12)


def test_henon():
    found = lyapunov_exponents(HENON, 20_200, jnp.array([0.1, 0.1]), settings=ALL)
    within(found, [0.4192, -1.6232], 0.005)
    assert found.per_step.sum() == pytest.approx(np.log(0.3), rel=1e-10)
    assert found.kaplan_yorke.value == pytest.approx(1.258, abs=0.003)
    assert found.entropy_rate.value == found.per_step[0]
    assert found.ending is Ending.ALL_STEPS
    low, high = found.interval(0.99)
    assert low[0] < 0.4192 < high[0]


@pytest.fixture(scope="module")
def logistic():
    return lyapunov_exponents(LOGISTIC, 20_200, np.array([0.3]), settings=ALL)


def test_logistic_and_almost_tent(logistic):
    within(logistic, np.log(2), 0.005)
    found = lyapunov_exponents(tent(2 - 1e-9), 5_000, jnp.array([0.3]), settings=ALL)
    assert not found.collapsed.any()
    np.testing.assert_allclose(found.per_step, np.log(2), atol=1e-8)


@pytest.mark.parametrize(
    ("cell", "start"),
    [(tent(2.0), 0.3), (Map(lambda x: jnp.mod(2 * x, 1.0), 1), 0.3), (linear([[1.0]]), 0.0)],
)
def test_an_orbit_that_rounding_drives_into_an_unstable_point_is_told(cell, start, logistic):
    assert lyapunov_exponents(cell, 500, jnp.array([start]), settings=ALL).collapsed.all()
    assert not logistic.collapsed.any()
    resting = lyapunov_exponents(linear([[-1.0]]), 500, jnp.array([0.0]), settings=ALL)
    assert not resting.collapsed.any()


def test_cat_map():
    found = lyapunov_exponents(CAT, 2_000, jnp.array([0.1, 0.2]), settings=ALL)
    golden = np.log((3 + 5**0.5) / 2)
    np.testing.assert_allclose(found.per_step, [golden, -golden], atol=1e-12)


def test_lorenz():
    settings = LyapunovSettings(count="all", burn_in=2_000)
    starts = jnp.asarray(np.random.default_rng(0).normal((1, 1, 20), size=(64, 3)))
    found = lyapunov_exponents(discretise(Lorenz(), 0.01), 12_000, starts, settings=settings)
    assert found.standard_error[0] / 0.01 < 0.01
    np.testing.assert_array_less(
        np.abs(found.per_time - [0.9056, 0.0, -14.5723]), 3 * found.standard_error / 0.01 + 2e-3
    )
    assert found.per_time.sum() == pytest.approx(-41 / 3, abs=1e-3)  # of the flow; the map is RK4 of it
    assert found.kaplan_yorke.value == pytest.approx(2.062, abs=0.005)


def test_lorenz_in_small_steps_is_chaotic_from_every_start():
    """60 units of time: blocks of the path would say "edge", for their sums show the ends of the blocks."""
    settings = LyapunovSettings(count=2, burn_in=2_000)
    starts = jnp.asarray(np.random.default_rng(1).normal((1, 1, 20), size=(12, 3)))
    found = lyapunov_exponents(discretise(Lorenz(), 0.005), 14_000, starts, settings=settings)
    alone = [found.alone(run).interval()[:, 0] / 0.005 for run in range(12)]
    assert sum(low > 0 for low, _ in alone) >= 11
    assert sum(low <= 0.9056 <= high for low, high in alone) >= 10


class Grows(Cell):
    """state' = exp(u) state."""

    hidden_size: int = eqx.field(static=True, default=1)
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return jnp.exp(input) * state


class VanDerPol(Flow):
    input_size: int = eqx.field(static=True, default=0)
    hidden_size: int = eqx.field(static=True, default=2)

    def vector_field(self, input, state):
        return jnp.stack([state[1], (1 - state[0] ** 2) * state[1] - state[0]])


def test_the_dimension_of_a_cycle_is_one_from_every_start_and_its_interval_says_what_is_known():
    settings = LyapunovSettings(count="all", burn_in=2_000)
    starts = jnp.array([[1.0, 1.0], [0.1, 2.0], [2.0, -1.0], [-0.5, 0.3]])
    every = lyapunov_exponents(discretise(VanDerPol(), 0.02), 6_000, starts, settings=settings)
    for run in range(4):
        found = every.alone(run)
        low, high = found.interval()[:, 0]
        assert low <= 0 <= high
        dimension = found.kaplan_yorke
        assert dimension.value == 1.0
        assert dimension.may_be(1.0)
        assert dimension.high < 1.02
        assert found.entropy_rate.value == 0.0


def test_a_slow_driven_growth_has_an_interval_that_holds():
    """Memory 200 of 2000 steps: state' = exp(u) state with u an autoregression, so that the exponent is 0."""
    growth = autoregressive(np.random.default_rng(5), 200.0)[:40, :, None]
    found = lyapunov_exponents(Grows(), 0.1 * growth, jnp.ones(1), settings=LyapunovSettings(1, burn_in=0))
    ends = np.stack([found.alone(run).interval()[:, 0] for run in range(40)])
    assert np.sum((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) >= 34


def test_runs_on_different_attractors_are_not_one():
    wells = Map(lambda x: x + 0.1 * (x - x**3 + 0.2), 1)
    found = lyapunov_exponents(wells, 400, jnp.array([[1.0], [-1.0]]), settings=ALL)
    assert not found.one_attractor
    assert "do not share one attractor" in found.remarks[0]
    assert found.kaplan_yorke.value is None
    assert "alone" in str(found)
    roots = [1.08803, -0.878885]  # of x - x^3 + 0.2
    for run, root in enumerate(roots):
        assert found.alone(run).per_step[0] == pytest.approx(np.log(1.1 - 0.3 * root**2), abs=1e-5)
        assert found.alone(run).one_attractor
    assert lyapunov_exponents(wells, 400, jnp.array([[1.0], [1.1]]), settings=ALL).one_attractor
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        found.alone(2)


def test_a_start_that_runs_away_is_left_out_and_named():
    starts = jnp.array([[0.1, 0.1], [5.0, 5.0], [-0.3, 0.1]])
    found = lyapunov_exponents(HENON, 20_200, starts, settings=ALL)  # shapes that other tests have too
    assert found.runs.shape == (2, 2)
    assert found.remarks == ("run 1 is left out: it is not finite at step 8",)
    within(found, [0.4192, -1.6232], 0.02)
    assert found.one_attractor
    with pytest.raises(DivergedError, match="steps 8 to 8 of all runs"):
        lyapunov_exponents(HENON, 20_200, np.full((3, 2), 5.0), settings=ALL)


def test_a_steep_map_does_not_overflow_between_decompositions():
    """Slopes of 1e7 in 64 steps are more than float64 holds: intervals get shorter, the orbit is sound."""
    found = lyapunov_exponents(Map(lambda x: jnp.sin(1e7 * x), 1), 6_000, jnp.array([0.3]))
    assert found.per_step[0] == pytest.approx(np.log(1e7) - np.log(2), abs=0.1)


def test_products_of_ginibre_matrices():
    """Newman 1986: lambda_i = (log(2 / N) + psi((N - i + 1) / 2)) / 2."""
    size, steps = 20, 2_000
    matrices = np.random.default_rng(0).normal(size=(steps, size * size)) / size**0.5
    settings = LyapunovSettings(count="all", burn_in=100)
    start = jnp.ones(size)
    found = lyapunov_exponents(Product(size), matrices, start, settings=settings)
    # The cell divides by the length of its state: that direction neither grows nor falls, all others do.
    free = lyapunov_exponents(_Linear(size), matrices, start, settings=settings)
    expected = 0.5 * (np.log(2 / size) + digamma((size - np.arange(size)) / 2))
    within(free, expected, 0.06)
    assert found.infinite == 1
    np.testing.assert_allclose(
        found.per_step[:-1].mean(), free.per_step[1:].mean() - free.per_step[0], atol=0.02
    )


class _Linear(Product):
    def __call__(self, input, state, *, key=None):
        return input.reshape(self.hidden_size, self.hidden_size) @ state


def _without_recurrence(cell):
    def parts(cell):
        return (cell.gate_weight, cell.candidate_weight) if isinstance(cell, GRU) else (cell.state_weight,)

    return eqx.tree_at(parts, cell, [0 * part for part in parts(cell)])


@pytest.mark.parametrize("build", [GRU, ResetAfterGRU])
def test_a_gru_of_gates_only_forgets_by_its_gates(build):
    cell = _without_recurrence(build(1, 5, key=KEY))
    keep = slice(0, 5) if build is GRU else slice(5, 10)
    pressed = 0.7 * np.asarray(cell.input_weight, float)[keep, 0] + np.asarray(cell.bias, float)[keep]
    found = lyapunov_exponents(cell, np.full((4_000, 1), 0.7), settings=LONG)
    np.testing.assert_allclose(found.per_step, np.sort(-np.log1p(np.exp(-pressed)))[::-1], atol=1e-7)


@pytest.mark.slow
def test_an_lstm_of_gates_only_has_as_many_minus_infinities():
    cell = _without_recurrence(LSTM(1, 5, key=KEY))
    found = lyapunov_exponents(cell, 4_000, settings=LONG)
    forget = np.asarray(cell.bias, float)[5:10]
    np.testing.assert_allclose(found.per_step[:5], np.sort(-np.log1p(np.exp(-forget)))[::-1], atol=1e-7)
    assert found.infinite == 5
    assert np.all(found.standard_error[5:] == 0)
    np.testing.assert_array_equal(found.interval()[:, 5:], -np.inf)


def test_a_matrix_that_is_not_normal_has_the_logarithms_of_its_eigenvalues():
    matrix = np.triu(np.random.default_rng(0).normal(size=(4, 4)), 1) * 3 + np.diag([1.1, 0.9, 0.5, 0.2])
    settings = LyapunovSettings(count="all", burn_in=600, alignment=600)
    rate = (matrix - np.eye(4)) / 0.1
    found = lyapunov_exponents(linear(rate), 2_000, jnp.zeros(4), settings=settings)
    np.testing.assert_allclose(found.per_step, np.log([1.1, 0.9, 0.5, 0.2]), atol=1e-6)


def test_the_intervals_between_decompositions_do_not_matter():
    cell = GRU(1, 12, key=KEY)
    cell = eqx.tree_at(lambda cell: cell.candidate_weight, cell, cell.candidate_weight * 4)
    inputs = np.random.default_rng(0).normal(size=(600, 1))
    many = lyapunov_exponents(cell, inputs, settings=ALL)
    assert many.decompositions < 300
    single = lyapunov_exponents(cell, inputs, settings=replace(ALL, longest=1))
    assert single.decompositions == 400
    np.testing.assert_allclose(many.per_step, single.per_step, atol=1e-8)


@pytest.mark.slow
def test_neither_the_first_basis_nor_the_order_of_units_matters():
    cell = Elman(1, 8, key=KEY)
    long = LyapunovSettings("all", burn_in=300, alignment=300)
    order = np.random.default_rng(1).permutation(8)
    parts = lambda cell: (cell.state_weight, cell.input_weight, cell.bias)  # noqa: E731
    weight, driven, bias = parts(cell)
    turned = eqx.tree_at(parts, cell, (weight[order][:, order], driven[order], bias[order]))
    inputs = np.random.default_rng(0).normal(size=(900, 1))
    found = lyapunov_exponents(cell, inputs, settings=long)
    for other, settings in ((cell, replace(long, seed=5)), (turned, long)):
        again = lyapunov_exponents(other, inputs, settings=settings)
        apart = [0, 6, 7]  # the five between are so close together that their directions take long to part
        np.testing.assert_allclose(again.per_step[apart], found.per_step[apart], atol=1e-6)
        np.testing.assert_allclose(again.per_step.sum(), found.per_step.sum(), atol=1e-6)


def test_a_tolerance_ends_early_and_batches_are_pooled():
    settings = replace(ALL, tolerance=0.02)
    starts = jnp.array([[0.1, 0.1], [0.2, 0.0], [-0.3, 0.1]])
    found = lyapunov_exponents(HENON, 20_200, starts, settings=settings)
    assert found.ending is Ending.TOLERANCE
    assert found.steps < 15_000
    assert found.runs.shape == (3, 2)
    alone = lyapunov_exponents(HENON, 20_200, starts[1], settings=settings)
    np.testing.assert_allclose(found.runs[1], alone.runs[0], atol=1e-2)
    within(found, [0.4192, -1.6232], 0.02)


def test_what_is_known_before_a_path_breaks_is_kept():
    growing = Map(lambda x: jnp.where(x > 1e200, x**2, 3.0 * x), 1)
    settings = LyapunovSettings(burn_in=10, blocks=40)
    with pytest.raises(DivergedError, match=r"not finite at step 4\d\d") as caught:
        lyapunov_exponents(growing, 800, jnp.ones(1), settings=settings)
    partial = caught.value.partial
    np.testing.assert_allclose(partial.per_step, np.log(3), atol=1e-9)
    assert partial.ending is Ending.DIVERGED
