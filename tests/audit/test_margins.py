"""Margins and radii: exact for linear networks, and no attack inside a certified radius."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import KEY, Weighted, tanh_classifier

from attractor.audit import (
    ATTACKS,
    LastStateLogits,
    StepGains,
    certified_margins,
    certified_radii,
    class_margins,
    drift_bounds,
    estimated_radii,
    labelled_sequences,
    lipschitz_gains,
    run_attack,
    score_separations,
)
from attractor.cells import GRU, Lipschitz, LipschitzForm
from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError
from attractor.program import in_double_precision

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(6, 5, 2))
LENGTHS = np.array([5, 4, 3, 2, 1, 5])
DATA = labelled_sequences(INPUTS, RANDOM.integers(0, 3, 6), LENGTHS)


def lipschitz(learned_step="fixed", scale=3.0, damping=0.5):
    form = LipschitzForm(scale=scale, damping=damping, learned_step=learned_step)
    cell = Lipschitz(2, 4, step=0.2, form=form, key=KEY)
    if learned_step == "each":
        cell = eqx.tree_at(lambda cell: cell.raw_step, cell, jnp.array([-2.0, -1.5, -1.0, -2.5]))
    return cell


def test_margins_are_score_differences_to_the_best_other_class():
    weight = RANDOM.normal(size=(3, 5, 2))
    valid = (np.arange(5) < LENGTHS[:, None])[:, :, None]
    scores = np.einsum("ktc,ntc->nk", weight, INPUTS * valid)
    found = class_margins(Weighted(jnp.asarray(weight)), DATA, batch=4)
    for case, label in enumerate(DATA.labels):
        expected = scores[case, label] - np.delete(scores[case], label).max()
        np.testing.assert_allclose(found[case], expected, atol=1e-5)


def test_the_estimated_radius_is_exact_for_linear_scores():
    """The distance to the plane between two classes; NaN and padding do not move."""
    weight = RANDOM.normal(size=(3, 5, 2))
    holed = INPUTS.copy()
    holed[0, 1, 1] = np.nan
    data = labelled_sequences(holed, DATA.labels, LENGTHS)

    def network(inputs, length):
        return Weighted(jnp.asarray(weight))(jnp.nan_to_num(inputs), length)

    found = estimated_radii(network, data, batch=4)
    free = (np.arange(5) < LENGTHS[:, None])[:, :, None] & ~np.isnan(holed)
    scores = np.einsum("ktc,ntc->nk", weight, np.where(free, holed, 0))
    for case, label in enumerate(data.labels):
        slopes = [np.linalg.norm((weight[label] - other)[free[case]]) for other in weight]
        radii = [(scores[case, label] - scores[case, j]) / slopes[j] for j in range(3) if j != label]
        np.testing.assert_allclose(found.radii[case], max(min(radii), 0), rtol=1e-4, atol=1e-6)
    assert (found.radii > 0).any()
    assert ((found.radii > 0) == (found.margins > 0)).all()


def test_a_gap_without_slope_is_never_closed():
    flat = Weighted(jnp.zeros((2, 5, 2)))
    data = labelled_sequences(INPUTS, np.zeros(6, int))
    constant = estimated_radii(lambda inputs, length: flat(inputs, length) + jnp.array([1.0, 0.0]), data)
    assert (constant.radii == np.inf).all()
    assert (estimated_radii(flat, data).radii == 0).all()


def test_gains_of_a_sequence_are_those_of_its_steps():
    states, inputs = np.array([0.5, 2.0, 0.25]), np.array([1.0, 3.0, 2.0])
    found = StepGains(states, inputs).to_last_state(3)
    np.testing.assert_allclose(found, np.linalg.norm([1 * 2 * 0.25, 3 * 0.25, 2]), rtol=1e-9)
    constant = StepGains(0.9, 2.0).to_last_state(50)
    np.testing.assert_allclose(constant, 2 * ((1 - 0.81**50) / (1 - 0.81)) ** 0.5, rtol=1e-9)
    assert StepGains(1e200, 1.0).to_last_state(10) == np.inf
    with pytest.raises(ShapeError, match="2 bounds for a sequence of 3"):
        StepGains(states[:2], 1.0).to_last_state(3)
    with pytest.raises(ConfigError, match="state="):
        StepGains(-1.0, 1.0)


@pytest.mark.parametrize("learned_step", ["fixed", "each"])
def test_bounds_of_the_drift_hold_for_random_pairs(learned_step):
    cell = lipschitz(learned_step)
    bounds, gains = drift_bounds(cell), lipschitz_gains(cell)
    with jax.enable_x64(True):
        wide = in_double_precision(cell)
        keys = jax.random.split(KEY, 4)
        h, other = (3 * jax.random.normal(key, (500, 4), jnp.float64) for key in keys[:2])
        u, moved = (3 * jax.random.normal(key, (500, 2), jnp.float64) for key in keys[2:])
        flow = jax.vmap(lambda u, h: wide.step / jnp.mean(wide.step) * wide.drift(u, h))
        turned = np.asarray(flow(u, h) - flow(u, other))
        after = np.asarray(jax.vmap(wide)(u, h) - jax.vmap(wide)(u, other))
        pushed = np.asarray(jax.vmap(wide)(u, h) - jax.vmap(wide)(moved, h))
    apart = np.asarray(h - other)
    square = np.sum(apart**2, axis=1)
    growth = np.sum(turned * apart, axis=1) / square
    assert growth.max() <= bounds.one_sided
    assert growth.min() >= bounds.one_sided_low
    assert (np.linalg.norm(turned, axis=1) <= bounds.size * square**0.5).all()
    assert (np.linalg.norm(after, axis=1) <= gains.state * square**0.5).all()
    assert (np.linalg.norm(pushed, axis=1) <= gains.inputs * np.linalg.norm(u - moved, axis=1)).all()


def test_bounds_are_no_worse_than_the_published_ones():
    """The published ones are taken from the two matrices on their own."""
    cell = lipschitz()
    bounds = drift_bounds(cell)
    linear, coupling = map(np.asarray, cell.matrices)
    coupled = np.linalg.norm(coupling, 2)
    assert bounds.one_sided <= np.linalg.eigvalsh((linear + linear.T) / 2).max() + coupled + 1e-5
    assert bounds.step_factor <= np.linalg.norm(np.eye(4) + 0.2 * linear, 2) + 0.2 * coupled + 1e-5


@pytest.fixture(scope="module")
def certified():
    """A network, cases that it classifies as labelled, and what is certified of them."""
    cell, readout = lipschitz("each"), eqx.nn.Linear(4, 3, key=KEY)
    first = certified_margins(cell, readout, DATA)
    data = labelled_sequences(INPUTS, first.scores.argmax(axis=1), LENGTHS)
    with jax.enable_x64(True):
        network = in_double_precision(LastStateLogits(cell, readout))
    return network, data, certified_margins(cell, readout, data, batch=4)


@pytest.mark.slow
def test_nothing_inside_a_certified_radius_changes_the_class(certified):
    network, data, found = certified
    assert (found.radii > 0).all()
    valid = (np.arange(5) < LENGTHS[:, None])[:, :, None]
    with jax.enable_x64(True):
        for case, radius in enumerate(found.radii):
            one = labelled_sequences(
                data.inputs[case : case + 1], data.labels[case : case + 1], LENGTHS[case : case + 1]
            )
            attacked = run_attack(network, one, ATTACKS["pgd l2"], 0.999 * radius)
            assert attacked.margins[0] > 0
        drawn = RANDOM.normal(size=(100, *INPUTS.shape)) * valid
        size = np.linalg.norm(drawn.reshape(100, 6, -1), axis=2)
        noise = drawn * (0.999 * found.radii / size)[:, :, None, None]
        many = labelled_sequences(
            (data.inputs + noise).reshape(600, 5, 2), np.tile(data.labels, 100), np.tile(LENGTHS, 100)
        )
        assert class_margins(network, many).min() > 0
        # The estimate is about how far it really is: no certificate may exceed a flip that was found.
        reached = run_attack(network, data, ATTACKS["pgd l2"], 20.0)
    flipped = reached.margins < 0
    moved = np.linalg.norm((reached.inputs - data.inputs).reshape(6, -1), axis=1)
    assert flipped.any()
    assert (found.radii < moved)[flipped].all()


def test_the_certificate_is_tight_for_one_linear_step():
    """One step from rest, h = d U u to first order: scores are then linear and the radius is the distance."""
    cell = lipschitz(scale=0.0, damping=0.0)
    cell = eqx.tree_at(lambda cell: cell.input_weight, cell, jnp.eye(4, 2))
    readout = eqx.nn.Linear(4, 2, key=KEY)
    weight = np.zeros((2, 4))
    weight[0, 0], weight[1, 0] = 1.0, -1.0
    readout = eqx.tree_at(lambda one: (one.weight, one.bias), readout, (jnp.asarray(weight), jnp.zeros(2)))
    data = labelled_sequences(np.full((1, 1, 2), 1e-4), np.array([0]))
    found = certified_margins(cell, readout, data)
    np.testing.assert_allclose(found.radii, 1e-4, rtol=1e-6)  # the class changes where the first input does


def test_bounds_of_ones_own_certify_another_cell(certified):
    """An Elman cell: |U| bounds its Jacobian in the state and |W| that in the input, for all states."""
    network = tanh_classifier()
    gains = StepGains(
        np.linalg.norm(np.asarray(network.cell.state_weight), 2),
        np.linalg.norm(np.asarray(network.cell.input_weight), 2),
    )
    scores = np.asarray(jax.vmap(network)(jnp.asarray(INPUTS), jnp.asarray(LENGTHS)))
    data = labelled_sequences(INPUTS, scores.argmax(axis=1), LENGTHS)
    radii = certified_radii(scores, data, gains, score_separations(np.asarray(network.readout.weight)))
    assert (radii > 0).all()
    with jax.enable_x64(True):
        wide = in_double_precision(network)
        for case, radius in enumerate(radii):
            attacked = run_attack(wide, data, ATTACKS["pgd l2"], 0.99 * radius)
            assert attacked.margins[case] > 0
    wrong = labelled_sequences(INPUTS, (data.labels + 1) % 3, LENGTHS)
    assert (certified_radii(scores, wrong, gains, score_separations(np.eye(3))) == 0).all()


def test_mistakes_are_named():
    readout = eqx.nn.Linear(4, 3, key=KEY)
    with pytest.raises(UnsupportedError, match="GRU is no Lipschitz cell"):
        certified_margins(GRU(2, 4, key=KEY), readout, DATA)
    with pytest.raises(UnsupportedError, match="certified_radii"):
        certified_margins(lipschitz(), eqx.nn.Identity(), DATA)
    with pytest.raises(ShapeError, match=r"scores of shape \(5, 3\)"):
        certified_radii(np.ones((5, 3)), DATA, StepGains(0.5, 1.0), score_separations(np.eye(3)))
    with pytest.raises(InputDataError, match="not finite"):
        drift_bounds(eqx.tree_at(lambda cell: cell.linear_weight, lipschitz(), jnp.full((4, 4), jnp.nan)))
    holed = labelled_sequences(np.full((1, 2, 2), np.nan), np.array([0]))
    with pytest.raises(InputDataError, match="case 0"):
        certified_margins(lipschitz(), readout, holed)
