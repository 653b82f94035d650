"""Exponents of many networks in one program: against closed forms, and against the spectrum of each alone."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from phase_cases import FORM, GATED, LEAKY, SHORT, Line, line

from attractor.cells import GatedFlow, discretise
from attractor.errors import ConfigError
from attractor.program import in_double_precision
from attractor.theory.phase import Outcome, PhaseAxis, PhasePlan, PhaseSimulation
from attractor.theory.phase.diagram import mean_and_interval, outcome_of, signs
from attractor.theory.phase.phase_simulation import family, networks_at, simulate_points, starts_of

RATES, NOTHING = PhaseAxis("rate", -1.0, 12.0, 2), PhaseAxis("nothing", 0.0, 1.0, 2)


def test_a_linear_flow_has_the_exponent_of_its_heun_map():
    """ln(1 + d r + (d r)^2 / 2) / d for a step d; the fast one leaves the range of float32."""
    plan = PhasePlan(RATES, NOTHING, build=line, simulation=SHORT)
    found = simulate_points(plan, plan.points, 0)
    product = -1.0 * SHORT.step
    expected = np.log(1 + product + product**2 / 2) / SHORT.step
    np.testing.assert_allclose(found["growth"][0], expected, rtol=2e-5)
    assert found["growth"].shape == (4, 2, 4)
    assert np.isnan(found["growth"][1]).all()


def test_a_point_of_a_family_grows_as_the_product_of_its_jacobians():
    """The last network, from the large start, step by step with whole Jacobians of its map."""
    simulation = replace(SHORT, precision="float64")
    plan = replace(LEAKY, simulation=simulation)
    found = simulate_points(plan, plan.points, 0)
    flow = networks_at(plan.networks, [plan.values_at(plan.points[-1])], 0)[0]
    (states, tangents), cell = starts_of(flow, simulation, 0), discretise(flow, simulation.step, "heun")
    with jax.enable_x64(True):
        cell = in_double_precision(cell)
        step = jax.jit(
            lambda state: (cell(jnp.zeros(0), state), jax.jacfwd(cell, argnums=1)(jnp.zeros(0), state))
        )
        state, tangent = (np.asarray(one[0], np.float64) for one in (states, tangents))
        growth, squares = [], []
        for number in range(simulation.transient_steps + simulation.blocks * simulation.block_steps):
            state, jacobian = step(state)
            if number >= simulation.transient_steps - simulation.transient_steps // 4:
                tangent = np.asarray(jacobian) @ tangent
                growth.append(np.log(np.linalg.norm(tangent)))
                tangent /= np.linalg.norm(tangent)
                squares.append(np.mean(np.asarray(state) ** 2))
    blocks = np.reshape(growth[-80:], (4, 20)).mean(axis=1) / simulation.step
    np.testing.assert_allclose(found["growth"][-1, 0], blocks, rtol=1e-9)
    np.testing.assert_allclose(found["variance"][-1, 0], np.mean(squares[-20:]), rtol=1e-9)
    assert found["variance"][-1, 0] > 0.1, "it does not rest at zero"


def test_networks_of_a_family_share_couplings_and_differ_in_their_numbers():
    points = [{"gain": 0.5, "reset_bias": -1.0}, {"gain": 2.0, "reset_bias": 1.0}]
    flows = networks_at(GATED.networks, points, 3)
    for flow, values in zip(flows, points, strict=True):
        whole = GatedFlow(0, 10, form=replace(FORM, **values), key=jax.random.key(3))
        assert eqx.tree_equal(flow, whole)
    networks = family(flows)
    differs = jax.tree.map(lambda axis: axis == 0, networks.axes, is_leaf=lambda axis: axis is None)
    stacked = jax.tree.leaves(eqx.filter(networks.numbers, differs))
    assert sorted(leaf.shape for leaf in stacked) == [(2,), (2, 10)]
    second = networks.some([1]).numbers
    one = jax.tree.map(
        lambda leaf, own: leaf[0] if own else leaf, second, differs, is_leaf=lambda leaf: leaf is None
    )
    again = networks.member(one)
    assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(flows[1])))


def test_networks_that_differ_in_more_than_numbers_are_refused():
    with pytest.raises(ConfigError, match="in one network and another in the next; make it an array"):
        family([Line(1.0, hidden_size=2), Line(1.0, hidden_size=3)])
    with pytest.raises(ConfigError, match="structure"):
        family([Line(1.0), {"rate": 1.0}])
    with pytest.raises(ConfigError, match="shapes"):
        family([Line(jnp.ones(2)), Line(jnp.ones(3))])
    with pytest.raises(ConfigError, match="dict, which has no `vector_field`"):
        networks_at(GATED.networks._replace(build=lambda values, key: {}), [{}], 0)


@pytest.mark.slow
def test_both_arithmetics_see_one_network():
    points = GATED.points[:5]
    single = simulate_points(GATED, points, 0)
    double = simulate_points(replace(GATED, simulation=replace(SHORT, precision="float64")), points, 0)
    np.testing.assert_allclose(single["growth"], double["growth"], atol=1e-4)
    assert np.abs(single["growth"][0] - simulate_points(GATED, points, 1)["growth"][0]).max() > 0.01


def test_signs_are_sure_or_not_given():
    """Where the growth says nothing, or still drifts, there is no sign."""
    rng = np.random.default_rng(0)
    noise = 0.2 * rng.normal(size=40)
    growth = np.array([[noise - 1.1, noise + 0.01, np.linspace(1.0, 3.0, 40) - 1.0, np.full(40, np.nan)]])
    mean, low, high = mean_and_interval(growth, 0.99)
    np.testing.assert_allclose(mean, growth[0].mean(axis=1))
    assert np.all((low <= mean) & (mean <= high) | np.isnan(mean))
    assert low[2] <= mean[2] - 1.0, "the halves differ by 1.03"
    np.testing.assert_array_equal(signs(low, high), [-1, 0, 0, np.nan])


@pytest.mark.parametrize("memory", [0, 0.1, 0.4])
def test_intervals_hold_where_growth_remembers(memory):
    """Paths with a memory of up to 0.4 of their length: 95 % intervals hold in more than 91 % of cases."""
    rng, steps, paths = np.random.default_rng(1), 400, 300
    decay = np.exp(-1 / (memory * steps)) if memory else 0.0
    path = rng.normal(size=(paths, 1)) / (1 - decay**2) ** 0.5
    rates = []
    for _ in range(steps):
        path = decay * path + rng.normal(size=(paths, 1))
        rates.append(path)
    growth = np.concatenate(rates, axis=1).reshape(1, paths, 40, -1).mean(axis=-1)
    _, low, high = mean_and_interval(growth, 0.95)
    assert np.mean((low <= 0) & (high >= 0)) > 0.91


@pytest.mark.parametrize(
    ("large", "small", "outcome"),
    [
        (1, 1, Outcome.CHAOTIC),
        (-1, -1, Outcome.SETTLES),
        (1, -1, Outcome.START_DECIDES),
        (-1, 1, Outcome.START_DECIDES),
        (1, 0, Outcome.UNDECIDED),
        (np.nan, -1, Outcome.DIVERGED),
    ],
)
def test_two_signs_make_an_outcome(large, small, outcome):
    assert outcome_of(float(large), float(small)) is outcome


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PhaseAxis("gain", 2, 1, 4), "axis gain: 2.0 to 1.0"),
        (lambda: PhaseAxis("gain", 1, 2, 1), "points=1: expected a whole number of at least 2"),
        (lambda: PhaseSimulation(step=0), "step=0: expected a positive number"),
        (lambda: PhaseSimulation(precision="float16"), "one of 'float32', 'float64'"),
        (lambda: PhaseSimulation(time=1), "a step for every block"),
        (lambda: PhaseSimulation(large=1e-4), "above that of the small start"),
        (lambda: PhaseSimulation(seeds=(1, 1)), "all different"),
        (lambda: replace(GATED, x=PhaseAxis("b_r", 0, 1, 3)), "both are reset_bias"),
        (
            lambda: replace(GATED, x=PhaseAxis("speed", 0, 1, 3)),
            r"no parameter of a gated network.*gain \(g_h\)",
        ),
        (lambda: replace(GATED, x=PhaseAxis("tau_r", 0, 1, 3)), "reset_time=0.0: expected a positive number"),
        (lambda: replace(GATED, x=PhaseAxis("g_h", -1, 1, 3)), "gain=-1.0: expected a number of at least 0"),
        (
            lambda: replace(GATED, x=PhaseAxis("tau_r", 0.1, 1, 3)),
            r"step=0.2: too long for the time constant 0.1 of reset_time; take 0.02",
        ),
        (lambda: PhasePlan(PhaseAxis("g_h", 1, 2, 3), PhaseAxis("b_z", 1, 2, 3)), "set open_update=False"),
    ],
)
def test_plans_that_make_no_sense_say_why(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
