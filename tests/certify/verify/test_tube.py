"""No run leaves its tube, whatever the cell; what stands beside the proof was really reached."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import GRU, LSTM, Elman, exposed
from attractor.certify.dual.bounds import bounds_of
from attractor.certify.dual.lowering import network_of
from attractor.certify.verify import TubeNames, cell_tube, reach_tube
from attractor.certify.verify.trajectories import SteppedRuns, WholeRuns
from attractor.certify.verify.tube import usual_window
from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError
from attractor.program import double_precision, trace


class Written(attractor.Cell):
    """A cell that a user writes, without anything else."""

    weight: jax.Array
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, hidden_size + input_size))
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        both = self.weight @ jnp.concatenate([state, input])
        return 0.6 * state + 0.4 * jnp.sin(both) * jax.nn.sigmoid(both[::-1])

    def initial_state(self):
        return jnp.zeros(self.hidden_size)


def sampled(cell, low, high, count, seed):
    """What a cell shows in single precision over random inputs, half of them corners."""
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(low, high, (count, *low.shape))
    corners = np.where(generator.random(inputs.shape) < 0.5, low, high)
    inputs[count // 2 :] = corners[count // 2 :]

    def run(one):
        return jax.vmap(lambda state: exposed(cell, state))(attractor.unroll(cell, one).states)

    return np.asarray(jax.jit(jax.vmap(run))(jnp.asarray(inputs, jnp.float32)), float)


@pytest.mark.parametrize("kind", [GRU, LSTM, Elman, Written])
@pytest.mark.parametrize("window", [None, 3])
def test_no_run_leaves_the_tube(kind, window):
    for seed, radius in enumerate((0.05, 0.6)):
        cell = kind(2, 3, key=jax.random.key(seed))
        nominal = np.random.default_rng(seed).normal(size=(8, 2))
        low, high = nominal - radius, nominal + radius
        tube = cell_tube(cell, low, high, nominal=nominal, window=window)
        shown = sampled(cell, low, high, 2000, seed)
        assert (shown >= tube.low - 1e-5).all()
        assert (shown <= tube.high + 1e-5).all()
        assert (tube.least >= tube.low - 1e-12).all()
        assert (tube.most <= tube.high + 1e-12).all()
        # the attack finds about what samples find, or more
        assert (tube.most >= shown.max(axis=0) - 1e-5).all()
        assert (tube.least <= shown.min(axis=0) + 1e-5).all()
        assert ((tube.nominal <= tube.most) & (tube.nominal >= tube.least)).all()


def test_a_small_set_has_a_tight_tube_and_windows_only_loosen_it():
    cell = GRU(1, 4, key=jax.random.key(3))
    low, high = np.full((12, 1), -0.05), np.full((12, 1), 0.05)
    whole = cell_tube(cell, low, high)
    assert whole.looseness < 1.3
    windows = cell_tube(cell, low, high, window=4)
    assert windows.window == 4
    assert (windows.high >= whole.high - 1e-12).all()
    assert windows.looseness > whole.looseness
    assert (windows.high - windows.low).max() < 1.0
    assert windows.looseness < 20


def test_the_points_that_reach_the_ends_do_so():
    cell = GRU(1, 2, key=jax.random.key(1))
    low, high = np.full((5, 1), -0.4), np.full((5, 1), 0.7)
    tube = cell_tube(cell, low, high)
    for step in range(5):
        inputs = tube.highest[step, 1, 2:].reshape(5, 1)
        assert ((inputs >= low) & (inputs <= high)).all()
        state = attractor.unroll(cell, jnp.asarray(inputs[: step + 1], jnp.float32)).last
        assert float(state[1]) == pytest.approx(tube.most[step, 1], abs=1e-5)


def test_a_box_of_starts_is_part_of_the_set():
    cell = GRU(1, 2, key=jax.random.key(1))
    inputs = np.zeros((4, 1))
    start = np.array([-0.5, 0.1]), np.array([0.2, 0.6])
    tube = cell_tube(cell, inputs, inputs, start=start, window=2)
    generator = np.random.default_rng(0)
    for state in generator.uniform(*start, (200, 2)):
        run = attractor.unroll(cell, jnp.zeros((4, 1)), jnp.asarray(state, jnp.float32)).states
        assert (np.asarray(run) <= tube.high + 1e-5).all()
        assert (np.asarray(run) >= tube.low - 1e-5).all()
    assert (cell_tube(cell, inputs, inputs).high < tube.high).all()


def test_a_tube_of_a_function_is_exact_where_it_is_affine():
    tube = reach_tube(
        lambda u: jnp.stack([u.sum(axis=1), 2 * u[:, 0] - u[0, 1]], axis=1),
        [[-1.0, 0.0], [0.0, 0.0]],
        [[1.0, 2.0], [3.0, 1.0]],
        names=TubeNames(("sum", "other"), ("a", "b")),
    )
    assert np.allclose(tube.low, [[-1, -4], [0, -2]], atol=1e-9)
    assert np.allclose(tube.high, [[3, 2], [4, 6]], atol=1e-9)
    assert tube.looseness == pytest.approx(1.0)
    # half the width of the second output at the last step: 2 * 1.5 of its own input, 1 of the first row's
    assert np.allclose(tube.sensitivity(1, 1), [[0, 1], [3, 0]], atol=1e-9)
    assert np.allclose(tube.sensitivity(0, 0), [[1, 1], [0, 0]], atol=1e-9)
    assert str(tube).splitlines()[1].startswith("sum: within -1 and 4 (proved)")


def test_what_inputs_account_for_makes_up_the_band():
    cell = GRU(1, 3, key=jax.random.key(2))
    tube = cell_tube(cell, np.full((6, 1), -0.01), np.full((6, 1), 0.01))
    half = (tube.high - tube.low)[-1] / 2
    owed = [tube.sensitivity(output=output).sum() for output in range(3)]
    assert np.allclose(owed, half, rtol=0.1)


def test_a_set_of_one_input_is_a_run():
    cell = LSTM(1, 2, key=jax.random.key(0))
    inputs = np.random.default_rng(0).normal(size=(5, 1))
    tube = cell_tube(cell, inputs, inputs)
    assert np.allclose(tube.low, tube.high, atol=1e-9)
    assert np.allclose(tube.nominal, sampled(cell, inputs, inputs, 2, 0)[0], atol=1e-5)


def test_what_leaves_all_bounds_has_none_and_no_proof():
    cell = attractor.cell(lambda u, x: 1e120 * x**3 + u, 1, jnp.zeros(1))
    with np.errstate(all="ignore"):
        tube = cell_tube(cell, -np.ones((9, 1)), np.ones((9, 1)), window=2)
    assert np.isinf(tube.high[-1]).all()
    assert np.isinf(tube.low[-1]).all()


def test_gradients_of_runs_are_those_of_jax():
    cell = GRU(2, 3, key=jax.random.key(5))
    generator = np.random.default_rng(0)

    def step(point):
        state = cell(point[3:], point[:3])
        return jnp.concatenate([state[:2], state])

    def whole(point):
        state, shown = point[:3], []
        for time_step in range(4):
            state = cell(point[3 + 2 * time_step : 5 + 2 * time_step], state)
            shown.append(state[:2])
        return jnp.concatenate(shown)

    with double_precision():
        stepped = SteppedRuns(network_of(trace(step, jnp.zeros(5))), 3, 4)
        at_once = WholeRuns(network_of(trace(whole, jnp.zeros(11))), 2)
        points, weights = generator.normal(size=(3, 11)), generator.normal(size=(3, 4, 2))
        expected = np.stack([
            jax.grad(lambda one, row=row: whole(one) @ row.ravel())(jnp.asarray(point))
            for point, row in zip(points, weights, strict=True)
        ])
    assert np.allclose(stepped.evaluate(points), at_once.evaluate(points), atol=1e-12)
    assert np.allclose(stepped.gradient(points, weights), expected, atol=1e-9)
    assert np.allclose(at_once.gradient(points, weights), expected, atol=1e-9)


def test_bounds_take_affine_outputs_and_refuse_what_is_no_box():
    with double_precision():
        network = network_of(trace(lambda x: jnp.stack([x[0] - 2 * x[1], jnp.tanh(x[0])]), jnp.zeros(2)))
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
    bounds = bounds_of(network, low, high)
    assert np.allclose([bounds.low[0], bounds.high[0]], [-7, 1], atol=1e-9)
    assert np.allclose(bounds.high_slopes[0], [1, -2])
    assert bounds.high[1] == pytest.approx(np.tanh(1.0), abs=1e-9)
    with pytest.raises(InputDataError, match="input 1"):
        bounds_of(network, low, np.array([1.0, -3.0]))
    with pytest.raises(InputDataError, match="finite"):
        bounds_of(network, low, np.array([1.0, np.inf]))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        bounds_of(network, np.zeros(3), np.ones(3))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"low": np.full((4, 1), 2.0)}, InputDataError, "lower end is larger"),
        ({"low": np.full((4, 1), np.nan)}, InputDataError, "finite"),
        ({"low": np.zeros((4, 2)), "high": np.ones((4, 2))}, ShapeError, "needs"),
        ({"low": np.zeros((0, 1)), "high": np.ones((0, 1))}, ShapeError, "at least one step"),
        ({"nominal": np.full((4, 1), 5.0)}, InputDataError, "outside"),
        ({"window": 1}, ConfigError, "window=1"),
        ({"start": (np.zeros(3), np.zeros(3))}, ShapeError, "3 numbers"),
        ({"names": TubeNames(("a", "b", "c"))}, ShapeError, "names"),
    ],
)
def test_what_is_no_set_is_named(change, error, said):
    given = {"low": np.zeros((4, 1)), "high": np.ones((4, 1)), **change}
    with pytest.raises(error, match=said):
        cell_tube(GRU(1, 2, key=jax.random.key(0)), **given)


def test_a_cell_that_counts_is_refused():
    cell = attractor.cell(lambda u, s: (s[0] * s[1] + u, s[1] + 1), 1, (jnp.zeros(1), jnp.zeros((), int)))
    with pytest.raises(UnsupportedError, match="reach tubes"):
        cell_tube(cell, np.zeros((3, 1)), np.ones((3, 1)))


def test_functions_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="steps, outputs"):
        reach_tube(lambda u: u.sum(), np.zeros((2, 1)), np.ones((2, 1)))


def test_the_usual_window_is_longer_for_small_cells():
    assert usual_window(8) == usual_window(1) == 100
    assert usual_window(16) == 50
    assert usual_window(500) == 20


@pytest.mark.slow
def test_a_hundred_steps_of_eight_units_take_less_than_a_minute():
    began = time.monotonic()
    tube = cell_tube(GRU(1, 8, key=jax.random.key(0)), np.full((100, 1), -0.05), np.full((100, 1), 0.05))
    assert time.monotonic() - began < 60
    assert tube.looseness < 3
