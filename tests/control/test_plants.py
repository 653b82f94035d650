"""Plants against closed forms, an independent integrator, published operating points and published data."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.io import loadmat

from attractor.control.metrics import evaluate
from attractor.control.plants import PLANTS, plant_by_name
from attractor.control.plants.ph import PHNeutralisation, charge_balance, ph_of
from attractor.control.plants.plant import simulate, steady_state
from attractor.control.plants.quadruple_tank import QuadrupleTank, nonminimum_phase_tank, pilot_plant_tank
from attractor.errors import AttractorError, ConfigError, InputDataError, ShapeError

PUBLISHED = Path(__file__).resolve().parents[3] / "shared/data/control/ph_bonassi_6000.mat"
PKS = (6.35, 10.25)
ph_at = jax.jit(lambda charge, carbonate: ph_of(charge, carbonate, PKS))
balance_at = jax.jit(lambda ph, charge, carbonate: charge_balance(ph, charge, carbonate, PKS))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def inputs_for(plant, samples=40):
    """The same staircase for every plant, so that compiled functions are shared."""
    steps = np.random.default_rng(0).random((samples // 4, len(plant.inputs))).repeat(4, axis=0)
    low, high = np.array(plant.input_low), np.array(plant.input_high)
    return low + (high - low) * steps


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_simulation_agrees_with_an_independent_integrator(name):
    plant = plant_by_name(name)
    inputs = inputs_for(plant)
    states, outputs = simulate(plant, inputs)
    field = jax.jit(plant.vector_field)
    state, reference = states[0], []
    for row in inputs:
        reference.append(state)
        forcing = jnp.concatenate([row, np.array(plant.nominal_disturbances)])
        reference_step = solve_ivp(
            lambda t, x, forcing=forcing: np.asarray(field(t, x, forcing)),
            (0.0, plant.sampling_time),
            state,
            rtol=1e-10,
            atol=1e-10 * np.array(plant.state_scale),
            method="DOP853",
        )
        state = reference_step.y[:, -1]
    # Both solvers control the local error at about 1e-9; forty samples may add a little.
    np.testing.assert_allclose(states, np.array(reference), rtol=1e-7, atol=0)
    np.testing.assert_allclose(outputs, jax.vmap(plant.measure)(jnp.asarray(states)), rtol=1e-14)


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_stays_at_its_equilibrium(name):
    plant = plant_by_name(name)
    state, output = steady_state(plant)
    states, outputs = simulate(plant, np.tile(plant.nominal_inputs, (40, 1)))
    np.testing.assert_allclose(states, np.tile(state, (40, 1)), rtol=1e-9)
    np.testing.assert_allclose(outputs[-1], output, rtol=1e-9)


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_finds_its_equilibrium_from_elsewhere(name):
    plant = plant_by_name(name)
    state, _ = steady_state(plant)
    states, _ = simulate(
        plant, np.tile(plant.nominal_inputs, (40, 1)), plant.settling_time / 2, state=1.2 * state
    )
    np.testing.assert_allclose(states[-1], state, rtol=1e-6)


@pytest.mark.parametrize("name", PLANTS)
def test_signals_ranges_and_noise_have_one_entry_each(name):
    plant = plant_by_name(name)
    sizes = {len(plant.inputs), len(plant.input_low), len(plant.input_high), len(plant.nominal_inputs)}
    assert sizes == {len(plant.inputs)}
    assert len(plant.outputs) == len(plant.measurement_noise)
    assert len(plant.disturbances) == len(plant.nominal_disturbances)
    assert all(
        low < middle < high
        for low, middle, high in zip(plant.input_low, plant.nominal_inputs, plant.input_high, strict=True)
    )


def test_the_charge_balance_is_zero_at_the_ph():
    charge, carbonate = np.meshgrid(np.linspace(-0.03, 0.03, 41), np.geomspace(1e-6, 0.03, 41))
    charge, carbonate = charge.ravel(), carbonate.ravel()
    ph = np.asarray(ph_at(charge, carbonate))
    assert np.abs(balance_at(ph, charge, carbonate)).max() < 1e-12
    assert np.all((ph > 1) & (ph < 14))


def test_the_charge_balance_increases_with_the_ph():
    ph = np.linspace(-1, 15, 2001)
    balance = balance_at(ph, np.full_like(ph, -4e-4), np.full_like(ph, 5e-4))
    assert np.all(np.diff(balance) > 0)


def test_pure_water_has_ph_seven():
    assert ph_at(0.0, 0.0) == pytest.approx(7.0, abs=1e-12)


def test_the_derivative_of_the_ph_is_that_of_the_implicit_function():
    point = np.array([-4e-4, 5e-4])
    gradient = jax.jit(jax.grad(lambda w: ph_of(w[0], w[1], PKS)))(point)
    for axis in range(2):
        step = 1e-8 * np.eye(2)[axis]
        ahead, behind = (ph_at(*(point + sign * step)) for sign in (1, -1))
        assert float(gradient[axis]) == pytest.approx(float(ahead - behind) / 2e-8, rel=1e-5)


def test_the_ph_rises_with_the_base_flow():
    plant = PHNeutralisation()
    values = [steady_state(plant, [flow])[1][0] for flow in np.linspace(12.5, 17.0, 46)]
    assert np.all(np.diff(values) > 0)
    assert values[0] == pytest.approx(6.0, abs=0.3)
    assert values[-1] == pytest.approx(9.0, abs=0.3)


def test_the_invariants_settle_at_the_flow_weighted_means():
    plant = PHNeutralisation()
    flows = np.array([15.0, 0.6, 16.0])
    (charge, carbonate, level), _ = steady_state(plant, [16.0], [15.0, 0.6])
    assert charge == pytest.approx(flows @ plant.charge_of_streams / flows.sum(), rel=1e-14)
    assert carbonate == pytest.approx(flows @ plant.carbonate_of_streams / flows.sum(), rel=1e-14)
    assert level == pytest.approx((flows.sum() / 4.59) ** (1 / 0.607) - 11.5, rel=1e-12)


def test_the_published_operating_point_of_the_ph_process():
    (charge, carbonate, level), (ph,) = steady_state(PHNeutralisation())
    assert ph == pytest.approx(7.03, abs=0.01)
    assert level == pytest.approx(13.96, abs=0.01)
    assert charge == pytest.approx(-4.32e-4, abs=5e-6)
    assert carbonate == pytest.approx(5.28e-4, abs=5e-6)
    assert steady_state(PHNeutralisation(), [15.55])[1][0] == pytest.approx(7.0, abs=0.01)


def test_the_matter_in_the_tank_is_what_came_in_less_what_went_out():
    plant = PHNeutralisation()
    forcing = np.array([16.5, 16.0, 0.4])
    state = np.array([-3e-4, 6e-4, 12.0])
    rate = np.asarray(jax.jit(plant.vector_field)(0.0, state, forcing))
    stored = plant.tank_area * (rate[0] * state[2] + state[0] * rate[2])
    entering = np.array([16.0, 0.4, 16.5]) @ np.array(plant.charge_of_streams)
    leaving = float(jax.jit(plant.outflow)(state[2])) * state[0]
    assert float(stored) == pytest.approx(float(entering - leaving), rel=1e-12)


def test_a_buffer_disturbance_moves_the_ph():
    plant = PHNeutralisation()
    inputs = np.full((40, 1), 15.6)
    disturbances = np.tile([16.6, 0.35], (40, 1))
    disturbances[:5] = plant.nominal_disturbances
    _, disturbed = simulate(plant, inputs, disturbances=disturbances)
    _, calm = simulate(plant, inputs)
    np.testing.assert_allclose(disturbed[:6], calm[:6], rtol=1e-9)
    assert np.abs(disturbed[-1] - calm[-1]) > 0.1


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published pH data are not on this machine")
def test_the_ph_process_reproduces_published_data_to_the_noise():
    data = loadmat(PUBLISHED, squeeze_me=True)
    _, outputs = simulate(PHNeutralisation(pk2=10.40), data["U_train"][:, None])
    metrics = evaluate(data["Y_train"][:, None], outputs, washout=100)
    assert metrics.fit[0] == pytest.approx(98.3, abs=0.3)
    assert metrics.rmse[0] == pytest.approx(0.0134, abs=0.001)


@pytest.mark.parametrize(
    ("tank", "published"),
    [
        (QuadrupleTank(), [12.4, 12.7, 1.8, 1.4]),
        (nonminimum_phase_tank(), [12.6, 13.0, 4.8, 4.9]),
        (pilot_plant_tank(), [0.65, 0.65, 0.65, 0.65]),
    ],
)
def test_published_operating_points_of_the_tanks(tank, published):
    # The papers round parameters to two or three digits.
    np.testing.assert_allclose(steady_state(tank)[0], published, rtol=0.12)


def test_the_tanks_rest_at_the_closed_form():
    tank = QuadrupleTank()
    (g1, g2), (k1, k2), (a1, a2, a3, a4) = tank.splits, tank.pump_gains, tank.outlets
    v1, v2 = 2.5, 3.2
    expected = [
        ((g1 * k1 * v1 + (1 - g2) * k2 * v2) / a1) ** 2 / (2 * 981),
        ((g2 * k2 * v2 + (1 - g1) * k1 * v1) / a2) ** 2 / (2 * 981),
        ((1 - g2) * k2 * v2 / a3) ** 2 / (2 * 981),
        ((1 - g1) * k1 * v1 / a4) ** 2 / (2 * 981),
    ]
    np.testing.assert_allclose(steady_state(tank, [v1, v2])[0], expected, rtol=1e-13)
    np.testing.assert_allclose(steady_state(tank)[0], [12.26, 12.78, 1.63, 1.41], atol=0.005)


def test_the_side_of_the_tanks_zero_follows_the_valves():
    """A right-half-plane zero makes the determinant of the transfer matrix change sign on s > 0."""

    def changes_sign(tank):
        state = steady_state(tank)[0]
        slopes = jax.jit(jax.jacobian(tank.vector_field, argnums=(1, 2)))
        a, b = map(np.asarray, slopes(0.0, state, np.array(tank.nominal_inputs)))
        values = [np.linalg.det(np.linalg.solve(s * np.eye(4) - a, b)[:2]) for s in np.geomspace(1e-4, 1, 99)]
        return len(set(np.sign(values))) > 1

    assert not changes_sign(QuadrupleTank())
    assert changes_sign(nonminimum_phase_tank())


def test_empty_tanks_stay_finite_and_do_not_drain():
    tank = QuadrupleTank()
    levels = np.array([-0.1, 0.0, -1.0, 2.0])
    drained, slopes = jax.jit(lambda h: (tank.drain(h), jax.jacobian(tank.drain)(h)))(levels)
    np.testing.assert_array_equal(np.asarray(drained) > 0, [False, False, False, True])
    assert np.isfinite(slopes).all()
    states, _ = simulate(tank, np.zeros((40, 2)), 30.0)
    assert np.isfinite(states).all()
    assert states[-1].min() > -1e-3


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"inputs": np.zeros((5, 2))}, ShapeError, "one column for q3"),
        ({"inputs": np.zeros((0, 1))}, ShapeError, "inputs has shape"),
        ({"inputs": np.array([[15.0], [np.nan]])}, InputDataError, "row 1"),
        ({"inputs": np.full((5, 1), 15.0), "sampling_time": 0.0}, InputDataError, "positive"),
        ({"inputs": np.full((5, 1), 15.0), "disturbances": np.ones((5, 1))}, ShapeError, "q1, q2"),
    ],
)
def test_wrong_inputs_are_named(arguments, error, text):
    with pytest.raises(error, match=text):
        simulate(PHNeutralisation(), **arguments)


@pytest.mark.slow
def test_a_tank_that_runs_dry_is_reported_with_its_row():
    with pytest.raises(AttractorError, match="equations do not hold"):
        simulate(
            PHNeutralisation(),
            np.full((200, 1), -17.15),
            1000.0,
            disturbances=np.tile([16.6, 0.55], (200, 1)),
        )


def test_an_unknown_plant_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="quadruple-tank"):
        plant_by_name("reactor")


def test_a_wrong_number_of_steady_inputs_is_refused():
    with pytest.raises(ShapeError, match="expected 1 values"):
        steady_state(PHNeutralisation(), [1.0, 2.0])


def test_a_tank_that_runs_dry_of_acid_or_backwards_is_no_plant():
    with pytest.raises(InputDataError, match=r"at row [0-9]+ the plant is where its equations do not hold"):
        simulate(PHNeutralisation(), np.zeros((40, 1)), 112.5)
    with pytest.raises(InputDataError, match=r"at row 0 .* equations do not hold"):
        simulate(QuadrupleTank(), -np.ones((40, 2)))
    with pytest.raises(InputDataError, match="no state of rest"):
        steady_state(PHNeutralisation(), (2.0,))
    with pytest.raises(InputDataError, match="no state of rest"):
        steady_state(QuadrupleTank(), (-1.0, -1.0))


def test_a_start_must_be_a_state():
    with pytest.raises(ShapeError, match="the plant has 3 states"):
        simulate(PHNeutralisation(), np.full((3, 1), 15.0), state=np.zeros(2))
    with pytest.raises(InputDataError, match="not finite"):
        simulate(QuadrupleTank(), np.ones((3, 2)), state=np.full(4, np.nan))


def test_an_empty_tank_may_be_filled():
    states, _ = simulate(QuadrupleTank(), np.vstack([np.zeros((3, 2)), np.ones((37, 2))]), state=np.zeros(4))
    assert states[-1].min() > 0
