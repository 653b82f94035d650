"""Published conditions: closed forms, invariances, contraction in simulation, and formulas kept apart."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from attractor.cells import GRU, LSTM, NNARX, EchoState, Elman, NeuralStateSpace, ResetAfterGRU, Stack
from attractor.certify.stability.published import published_condition
from attractor.errors import ConfigError

KEY = jax.random.key(0)
FREE = NeuralStateSpace(2, 2, key=KEY)
SIZE = 3


def with_arrays(cell, **arrays):
    """The cell with other weights, in float64 NumPy."""
    names = list(arrays)
    values = [np.asarray(arrays[name], float) for name in names]
    return eqx.tree_at(lambda one: [getattr(one, name) for name in names], cell, values)


def gru(size=SIZE, inputs=2, seed=0, scale=1.0, bias=1.0):
    draw = np.random.default_rng(seed).uniform
    return with_arrays(
        GRU(inputs, size, key=KEY),
        input_weight=draw(-1, 1, (3 * size, inputs)),
        gate_weight=scale * draw(-1, 1, (2 * size, size)),
        candidate_weight=scale * draw(-1, 1, (size, size)),
        bias=bias * draw(-1, 1, 3 * size),
    )


def reset_after(size=SIZE, inputs=2, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).uniform
    return with_arrays(
        ResetAfterGRU(inputs, size, key=KEY),
        input_weight=draw(-1, 1, (3 * size, inputs)),
        state_weight=scale * draw(-1, 1, (3 * size, size)),
        bias=draw(-1, 1, 3 * size),
        candidate_bias=draw(-1, 1, size),
    )


def lstm(size=SIZE, inputs=2, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).uniform
    return with_arrays(
        LSTM(inputs, size, key=KEY),
        input_weight=draw(-1, 1, (4 * size, inputs)),
        state_weight=scale * draw(-1, 1, (4 * size, size)),
        bias=draw(-1, 1, 4 * size),
    )


def elman(size=SIZE, inputs=2, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).uniform
    return with_arrays(
        Elman(inputs, size, key=KEY),
        input_weight=draw(-1, 1, (size, inputs)),
        state_weight=scale * draw(-1, 1, (size, size)),
        bias=draw(-1, 1, size),
    )


RECURRENT = {
    GRU: ("gate_weight", "candidate_weight"),
    ResetAfterGRU: ("state_weight",),
    LSTM: ("state_weight",),
    Elman: ("state_weight",),
}


def scaled(cell, factor):
    names = RECURRENT[type(cell)]
    return with_arrays(cell, **{name: factor * getattr(cell, name) for name in names})


def scaled_to(cell, residual):
    """All recurrent matrices scaled by one factor so that the residual is just below `residual`."""
    factor = brentq(lambda s: published_condition(scaled(cell, s)).residual - residual, 0.0, 4.0, xtol=1e-6)
    return scaled(cell, factor * (1 - 1e-4))


def row_sums(*blocks):
    return np.concatenate([np.abs(np.reshape(b, (len(b), -1))) for b in blocks], axis=1).sum(axis=1).max()


# --- closed forms ---------------------------------------------------------------------------------------


def test_a_gru_without_recurrent_weights_forgets_at_the_rate_of_its_keep_gate():
    found = published_condition(gru(scale=0.0))
    cell = gru(scale=0.0)
    keep = expit(row_sums(cell.input_weight[:SIZE], cell.bias[:SIZE]))
    assert found.residual == pytest.approx(-1, abs=1e-12)
    assert found.rate == pytest.approx(keep, rel=1e-11)
    assert found.iss_residual == -1
    one = with_arrays(gru(1, 1, scale=0.0), input_weight=[[2.0], [0.3], [0.4]], bias=[1.0, 0.0, 0.0])
    with jax.enable_x64(True):  # equality: the input that maximises the argument of the gate
        apart = one(jnp.ones(1), jnp.array([0.7])) - one(jnp.ones(1), jnp.array([-0.4]))
    assert float(apart[0]) / 1.1 == pytest.approx(published_condition(one).rate, rel=1e-10)


def test_the_gru_formula_is_the_published_one_written_out():
    cell = gru(seed=3, scale=0.3)
    keep_u, reset_u = np.split(cell.gate_weight, 2)
    inputs, biases = np.split(0.7 * cell.input_weight, 3), np.split(cell.bias, 3)
    keep = expit(row_sums(inputs[0], keep_u, biases[0]))
    reset = expit(row_sums(inputs[1], reset_u, biases[1]))
    reach = np.tanh(row_sums(inputs[2], cell.candidate_weight, biases[2]))
    beta = row_sums(cell.candidate_weight) * (row_sums(reset_u) / 4 + reset)
    nu = beta - 1 + (1 + reach) / (4 * (1 - keep)) * row_sums(keep_u)
    found = published_condition(cell, 0.7)
    assert found.residual == pytest.approx(nu, abs=1e-9)
    assert beta < 1  # the rate has the closed form then
    assert found.rate == pytest.approx(1 + (1 - keep) * nu, abs=1e-9)
    assert found.iss_residual == pytest.approx(row_sums(cell.candidate_weight) * reset - 1, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_smaller_recurrent_weights_never_make_a_gru_worse(seed):
    residuals = [published_condition(gru(seed=seed, scale=s)).residual for s in np.linspace(0, 1.5, 7)]
    assert np.all(np.diff(residuals) >= 0)


def test_an_lstm_without_recurrent_weights_forgets_at_the_rate_of_its_keep_gate():
    cell = lstm(scale=0.0)
    keep = expit(row_sums(np.split(cell.input_weight, 4)[1], np.split(cell.bias, 4)[1]))
    found = published_condition(cell)
    assert found.rate == pytest.approx(keep, rel=1e-11)
    assert found.residual == pytest.approx(keep - 1, rel=1e-9)


def lstm_matrix(cell, order):
    """A_d of the LSTM, by its definition."""
    inputs, state, biases = (np.split(a, 4) for a in (cell.input_weight, cell.state_weight, cell.bias))
    largest = [row_sums(w, u, b) for w, u, b in zip(inputs, state, biases, strict=True)]
    write, keep, show, reach = (*expit(np.array(largest))[[0, 1, 3]], np.tanh(largest[2]))
    memory = write * reach / (1 - keep)
    norms = [np.linalg.norm(u, order) for u in state]
    alpha = norms[1] * memory / 4 + write * norms[2] + norms[0] * reach / 4
    shown = np.tanh(memory)
    return np.array([[keep, alpha], [show * keep, alpha * show + shown * norms[3] / 4]])


@pytest.mark.parametrize("seed", range(20))
def test_the_lstm_residual_is_negative_exactly_if_the_spectral_radius_is_below_one(seed):
    cell = lstm(seed=seed, scale=[0.05, 0.1, 0.2, 0.4][seed % 4])
    radii = [np.abs(np.linalg.eigvals(lstm_matrix(cell, order))).max() for order in (2, np.inf)]
    found = published_condition(cell)
    assert found.rate == pytest.approx(min(radii), rel=1e-9)
    assert (found.residual < 0) == (min(radii) < 1)


def nnarx(order=1, depth=2, seed=0, scale=1.0):
    cell = NNARX(2, 4, order=order, depth=depth, key=jax.random.key(seed))
    weights = [scale * np.asarray(layer.weight, float) for layer in cell.network.layers]
    return with_layers(cell, weights)


def with_layers(cell, weights):
    return eqx.tree_at(lambda one: [layer.weight for layer in one.network.layers], cell, weights)


def test_the_threshold_of_nnarx_is_one_over_the_root_of_the_order():
    for order in (1, 4):
        cell = nnarx(order)
        weights = [layer.weight for layer in cell.network.layers]
        product = np.linalg.norm(weights[0][:, : 3 * order], 2)
        product *= np.prod([np.linalg.norm(weight, 2) for weight in weights[1:]])
        found = published_condition(cell)
        assert found.residual == pytest.approx(product - order**-0.5, abs=1e-9)
        assert found.rate == pytest.approx(np.sqrt(1 - 1 / order + product**2), abs=1e-9)
        assert (found.rate < 1) == found.satisfied


def test_doubling_one_layer_of_nnarx_and_halving_the_next_changes_nothing():
    cell = nnarx(3)
    first, second, last = (layer.weight for layer in cell.network.layers)
    other = with_layers(cell, [2 * first, second / 2, last])
    assert published_condition(other).residual == pytest.approx(published_condition(cell).residual, abs=1e-12)


def test_a_nnarx_of_another_activation_has_no_published_condition():
    cell = eqx.tree_at(lambda one: one.network.activation, NNARX(1, 2, key=KEY), jnp.sin)
    assert published_condition(cell) is None


def test_a_leaky_reservoir_contracts_by_the_norm_it_was_built_with():
    found = published_condition(EchoState(1, 1, norm=0.8, leak=0.25, key=KEY))
    assert found.rate == pytest.approx(0.75 + 0.25 * 0.8, rel=1e-6)  # the reservoir is stored in float32
    assert found.residual == pytest.approx(-0.2, rel=1e-5)


def test_a_tanh_cell_takes_the_better_norm():
    euclidean = with_arrays(elman(2), state_weight=[[0.7, 0.4], [-0.4, 0.7]])
    largest = with_arrays(elman(2), state_weight=[[0.9, 0.0], [0.9, 0.0]])
    assert published_condition(euclidean).rate == pytest.approx(np.hypot(0.7, 0.4), rel=1e-9)
    assert published_condition(largest).rate == pytest.approx(0.9, rel=1e-9)
    assert published_condition(largest).norm.startswith("largest component")


# --- invariance ------------------------------------------------------------------------------------------


def reordered(cell, order, sign):
    """The same cell with hidden units in another order and some of them with the other sign."""
    gates = np.concatenate([order, order + SIZE])
    flip = np.sign(sign)[order]
    inputs = np.split(np.asarray(cell.input_weight), 3)
    biases = np.split(np.asarray(cell.bias), 3)
    return with_arrays(
        cell,
        gate_weight=np.asarray(cell.gate_weight)[gates][:, order] * flip,
        candidate_weight=flip[:, None] * np.asarray(cell.candidate_weight)[np.ix_(order, order)] * flip,
        input_weight=np.concatenate([inputs[0][order], inputs[1][order], flip[:, None] * inputs[2][order]]),
        bias=np.concatenate([biases[0][order], biases[1][order], flip * biases[2][order]]),
    )


@pytest.mark.parametrize("sign", [[1, 1, 1], [1, -1, -1]])
def test_order_and_sign_of_hidden_units_play_no_role(sign):
    cell, order = gru(seed=5), np.array([2, 0, 1])
    other, flip = reordered(cell, order, sign), np.array(sign)
    with jax.enable_x64(True):  # it is the same cell, in other coordinates
        state, given = jnp.array([0.2, -0.5, 0.9]), jnp.array([0.3, -0.8])
        moved = other(given, (flip * state)[order])
        np.testing.assert_allclose(moved, (flip * cell(given, state))[order], atol=1e-14)
    first, second = published_condition(cell), published_condition(other)
    for name in ("residual", "rate", "iss_residual", "input_gain"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-12)


# --- contraction in simulation ----------------------------------------------------------------------------


def simulated_pairs(cells, states, inputs):
    """Pairs of states of many cells under common and under different inputs, one step on."""
    _, static = eqx.partition(cells[0], eqx.is_array)
    stacked = jax.tree.map(lambda *leaf: jnp.stack(leaf), *[eqx.filter(one, eqx.is_array) for one in cells])

    @jax.jit
    def step(arrays, given, state):
        return jax.vmap(lambda a, u, x: eqx.combine(a, static)(u, x))(arrays, given, state)

    for row in inputs:
        new = step(stacked, row[0], states[0]), step(stacked, row[1], states[1])
        yield states, row, new
        states = new


def lengths(conditions, values):
    """The norm that each condition means, of one row of `values` a network."""
    euclidean = np.array(["Euclidean" in found.norm for found in conditions])
    return np.where(euclidean, np.linalg.norm(values, axis=1), np.abs(values).max(axis=1))


def distances(conditions, first, second):
    """The difference of states of every network in the norm of its condition."""
    apart = jax.tree.map(lambda a, b: np.asarray(a - b), first, second)
    if not isinstance(apart, tuple):
        return lengths(conditions, apart)
    weights = np.array([float(found.norm.split("|dc| /")[1].split()[0]) for found in conditions])
    return np.maximum(lengths(conditions, apart[1]) / weights, lengths(conditions, apart[0]))


@pytest.mark.parametrize("build", [gru, reset_after, lstm, elman])
@pytest.mark.parametrize("networks", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_marginal_networks_contract_at_least_at_the_rate(build, networks):
    """Half of them under equal inputs, the others under inputs that differ."""
    draws = np.random.default_rng(1)
    cells = [scaled_to(build(seed=seed), -0.01) for seed in range(networks)]
    inputs = draws.uniform(-1, 1, (30, 2, networks, 2))
    inputs[::2] = np.sign(inputs[::2])  # extreme ones
    inputs[:, 1, : networks // 2] = inputs[:, 0, : networks // 2]
    conditions = [published_condition(cell) for cell in cells]
    assert all(-0.011 < found.residual < 0 and found.rate < 1 for found in conditions)
    rates, gains = np.array([[found.rate, found.input_gain] for found in conditions]).T
    slack = 1e-5 if build is lstm else 1e-12  # the weight of |dc| is read off a text of six digits
    with jax.enable_x64(True):
        states = tuple(jnp.asarray(draws.uniform(-1, 1, (networks, SIZE))) for _ in range(2))
        if build is lstm:  # (h, c) within the invariant set, |c| <= |c| bound of the note >= 0.5
            states = tuple((x, 0.1 * x) for x in states)
        for old, given, new in simulated_pairs(cells, states, jnp.asarray(inputs)):
            before, after = distances(conditions, *old), distances(conditions, *new)
            driven = gains * lengths(conditions, np.asarray(given[0] - given[1]))
            assert np.all(after <= (rates * before + driven) * (1 + slack) + 1e-15)


def test_nnarx_contracts_in_its_weighted_norm():
    draws = np.random.default_rng(2)
    for seed in range(10):
        cell = nnarx(3, depth=1, seed=seed, scale=1.4)
        condition = published_condition(cell)
        weights = np.sqrt([1.0, 2.0, 3.0])[:, None]
        with jax.enable_x64(True):
            first, second = jnp.asarray(draws.normal(size=(2, 3, 3)))
            u, v = jnp.asarray(draws.normal(size=(2, 2)))
            same = np.asarray(cell(u, first) - cell(u, second))
            moved = np.asarray(cell(u, first) - cell(v, second))
        before = np.linalg.norm(weights * np.asarray(first - second))
        assert np.linalg.norm(weights * same) <= condition.rate * before
        bound = condition.rate * before + condition.input_gain * np.linalg.norm(np.asarray(u - v))
        assert np.linalg.norm(weights * moved) <= bound


# --- formulas kept apart ----------------------------------------------------------------------------------


def test_the_formula_of_the_other_layout_would_accept_a_bistable_cell():
    """n = 1: two starts end at +1 and -1, and the formula of the other layout says -0.902."""
    cell = with_arrays(
        ResetAfterGRU(1, 1, key=KEY),
        input_weight=np.zeros((3, 1)),
        state_weight=[[1.0], [0.0], [0.1]],
        bias=[0.0, 0.0, -25.0],
        candidate_bias=[50.0],
    )
    wrong = with_arrays(
        GRU(1, 1, key=KEY),
        input_weight=np.zeros((3, 1)),
        gate_weight=[[0.0], [1.0]],
        candidate_weight=[[0.1]],
        bias=[0.0, 0.0, 25.0],
    )
    assert published_condition(wrong).residual == pytest.approx(-0.902, abs=1e-3)
    found = published_condition(cell)
    assert found.residual > 0
    assert not found.satisfied
    with jax.enable_x64(True):
        ends = []
        for state in (jnp.array([0.3]), jnp.array([-0.3])):
            for _ in range(60):
                state = cell(jnp.zeros(1), state)
            ends.append(float(state[0]))
    np.testing.assert_allclose(ends, [1, -1], atol=1e-6)


def assert_same(one, other):
    np.testing.assert_equal(vars(one), vars(other))


def test_equinox_cells_have_the_formula_of_their_layout_with_and_without_biases():
    own = reset_after()
    cell = eqx.nn.GRUCell(2, SIZE, key=KEY)
    twin = with_arrays(
        cell, weight_ih=own.input_weight, weight_hh=own.state_weight, bias=own.bias, bias_n=own.candidate_bias
    )
    assert_same(published_condition(twin), published_condition(own))
    bare = eqx.nn.GRUCell(2, SIZE, use_bias=False, key=KEY)
    zeros = with_arrays(
        own,
        input_weight=bare.weight_ih,
        state_weight=bare.weight_hh,
        bias=np.zeros(3 * SIZE),
        candidate_bias=np.zeros(SIZE),
    )
    assert_same(published_condition(bare), published_condition(zeros))
    memory = lstm()
    copy = with_arrays(
        eqx.nn.LSTMCell(2, SIZE, key=KEY),
        weight_ih=memory.input_weight,
        weight_hh=memory.state_weight,
        bias=memory.bias,
    )
    assert_same(published_condition(copy), published_condition(memory))
    assert published_condition(eqx.nn.LSTMCell(2, SIZE, use_bias=False, key=KEY)).rate > 0


class Overridden(GRU):
    """A cell of the user's own that does something else."""

    def __call__(self, input, state, *, key=None):
        return 2.0 * state


def test_a_cell_without_a_formula_of_its_own_has_none():
    assert published_condition(Overridden(1, 2, key=KEY)) is None
    assert published_condition(FREE) is None
    assert published_condition(SimpleNamespace(input_size=1, hidden_size=2)) is None


def test_weights_that_are_not_finite_satisfy_nothing():
    assert not published_condition(with_arrays(gru(), bias=np.full(9, np.nan))).satisfied
    assert not published_condition(with_arrays(elman(), state_weight=np.full((3, 3), np.inf))).satisfied
    slow = published_condition(with_arrays(gru(), bias=[800.0] * 3 + [0.0] * 6))  # 1 - s_z underflows
    assert slow.residual == np.inf


# --- stacks -----------------------------------------------------------------------------------------------


def test_a_stack_is_as_good_as_its_worst_cell_whose_input_lies_within_one():
    lower, upper = gru(scale=0.02), lstm(inputs=SIZE, scale=0.02)
    found = published_condition(Stack((lower, upper)), 2.0)
    parts = published_condition(lower, 2.0), published_condition(upper, 1.0)
    assert found.residual == max(part.residual for part in parts)
    assert found.rate == max(part.rate for part in parts)
    assert np.isnan(found.input_gain)


def test_nothing_is_said_of_a_stack_whose_lower_cell_exposes_an_unbounded_output():
    lower = NNARX(1, 4, output_size=2, key=KEY)
    assert published_condition(Stack((lower, gru()))) is None
    assert published_condition(Stack((FREE, gru()))) is None
    reservoir = EchoState(1, 1, key=KEY)  # exposes its input: 3 within the bound
    found = published_condition(Stack((reservoir, gru())), 3.0)
    assert found.residual == max(published_condition(gru(), 3.0).residual, found.residual)
    nested = published_condition(Stack((Stack((reservoir,)), gru())), 3.0)
    assert nested.residual == found.residual


def test_an_input_bound_that_makes_no_sense_is_refused():
    for bound in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="input_bound"):
            published_condition(gru(), bound)


def test_the_asymptotic_gain_is_infinite_without_a_proof():
    good, bad = published_condition(gru(scale=0.01)), published_condition(gru(scale=5.0))
    assert good.asymptotic_gain == pytest.approx(good.input_gain / (1 - good.rate))
    assert bad.asymptotic_gain == np.inf
