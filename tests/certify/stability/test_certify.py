"""The ladder from end to end: what is proved holds in simulation, what is false is never proved."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from written import Written, step_of

from attractor.cells import GRU, LSTM, Cell, EchoState, Lipschitz, ResetAfterGRU
from attractor.certify import CertificateError, CertifySettings, Verdict, certify, step_bounds, unit_box
from attractor.certify.domains import Box, centred_image, step_image
from attractor.certify.stability import ladder
from attractor.certify.stability.invariant import settle, shrink
from attractor.certify.stability.premises import checked_bound
from attractor.certify.stability.published import published_condition
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import in_double_precision
from attractor.progress import SilentReporter

SIZE = 2


def gru(scale, seed=0, layout=GRU):
    draw = np.random.default_rng(seed).uniform
    cell = layout(1, SIZE, key=jax.random.key(0))
    return jax.tree.map(
        lambda leaf: scale * draw(-1, 1, leaf.shape) if eqx.is_inexact_array(leaf) else leaf, cell
    )


def bistable():
    """x' = tanh(2 x) unit by unit, written as a GRU whose keep gate is shut: two attractors at least."""
    cell = gru(0.0)
    bias = np.concatenate([np.full(SIZE, -20.0), np.full(SIZE, 20.0), np.zeros(SIZE)])
    return eqx.tree_at(lambda c: (c.candidate_weight, c.bias), cell, (2.0 * np.eye(SIZE), bias))


def only(*levels, **options):
    return CertifySettings(levels=levels, refute=False, **options)


@pytest.fixture(scope="module")
def proofs():
    """Certificates of one cell by the levels 0 to 2, and the cell in float64."""
    cell = gru(0.35, seed=3)
    found = {level: certify(cell, settings=only(level)).require() for level in (0, 1, 2)}
    with jax.enable_x64(True):
        return in_double_precision(cell), found


def test_levels_are_in_order_and_each_says_which_it_is(proofs):
    _, found = proofs
    assert [found[level].level for level in found] == [0, 1, 2]
    assert found[2].rate <= found[1].rate * (1 + 1e-12)
    assert found[1].rate <= found[0].rate * (1 + 1e-12)
    assert (found[2].low >= found[1].low).all()
    assert (found[2].high <= found[1].high).all()


def test_one_step_of_random_pairs_keeps_the_inequality(proofs):
    """State and input differences together, pairs drawn over the whole box and at its corners."""
    cell, found = proofs
    generator = np.random.default_rng(0)
    with jax.enable_x64(True):
        step = jax.jit(jax.vmap(step_of(cell)))
        for proof in found.values():
            low, high = (
                np.concatenate([end, side * proof.input_bound])
                for end, side in ((proof.low, -1), (proof.high, 1))
            )
            shares = generator.uniform(0, 1, (2, 20_000, len(low)))
            shares[1, ::2] = shares[0, ::2] + 1e-6 * generator.uniform(-1, 1, shares[0, ::2].shape)
            shares[:, ::3] = np.round(shares[:, ::3])
            one, other = low + np.clip(shares, 0, 1) * (high - low)
            after = np.abs(np.asarray(step(one)) - np.asarray(step(other)))
            before = np.abs(one - other)
            allowed = proof.rate * (before[:, :SIZE] / proof.weights).max(axis=1) + proof.input_gain * before[
                :, SIZE:
            ].max(axis=1)
            assert ((after / proof.weights).max(axis=1) <= allowed + 1e-14).all()


def test_trajectories_stay_in_the_start_box_and_enter_the_box_in_time(proofs):
    cell, found = proofs
    proof, generator = found[2], np.random.default_rng(1)
    states = proof.start_low + np.round(generator.uniform(0, 1, (500, SIZE))) * (
        proof.start_high - proof.start_low
    )
    assert proof.contains(states[0])
    assert not proof.contains(proof.start_high + 0.1)
    with jax.enable_x64(True):
        step = jax.jit(jax.vmap(step_of(cell)))
        for count in range(proof.transient + 20):
            if count >= proof.transient:
                assert ((states >= proof.low - 1e-14) & (states <= proof.high + 1e-14)).all()
            assert ((states >= proof.start_low - 1e-14) & (states <= proof.start_high + 1e-14)).all()
            inputs = np.sign(generator.uniform(-1, 1, (len(states), 1)))
            states = np.asarray(step(np.concatenate([states, inputs], axis=1)))


def test_differences_settle_in_the_time_that_is_stated(proofs):
    cell, found = proofs
    proof, generator = found[2], np.random.default_rng(2)
    ends = np.stack([proof.start_low, proof.start_high])
    with jax.enable_x64(True):
        step = jax.jit(jax.vmap(step_of(cell)))
        states = ends
        for _ in range(proof.settling_steps(0.01)):
            inputs = np.repeat(generator.uniform(-1, 1, (1, 1)), 2, axis=0)
            states = np.asarray(step(np.concatenate([states, inputs], axis=1)))
    left = (np.abs(states[0] - states[1]) / proof.weights).max()
    assert left <= 0.01 * ((proof.high - proof.low) / proof.weights).max()


def test_without_recurrence_the_bound_is_the_keep_gate():
    """U = 0: x' = z x + (1 - z) r with z free of x, so the rate is the largest z, elementwise."""
    cell = eqx.tree_at(
        lambda c: (c.gate_weight, c.candidate_weight), gru(1.0), (np.zeros((4, 2)), np.zeros((2, 2)))
    )
    proof = certify(cell, settings=only(1)).require()
    keep = expit(np.abs(cell.input_weight[:SIZE, 0]) + cell.bias[:SIZE])
    np.testing.assert_allclose(proof.rate, keep.max(), rtol=1e-12)
    assert proof.rate >= keep.max()


def test_order_and_sign_of_units_do_not_matter():
    cell = gru(0.5, seed=4)
    swap = np.array([1, 0])
    rows = np.concatenate([swap, swap + 2, swap + 4])
    signs = np.array([1.0, -1.0])
    candidate = np.concatenate([np.ones(4), signs])
    swapped = jax.tree.map(lambda leaf: leaf, cell)
    swapped = eqx.tree_at(
        lambda c: (c.input_weight, c.gate_weight, c.candidate_weight, c.bias),
        swapped,
        (
            cell.input_weight[rows],
            cell.gate_weight[rows[:4]][:, swap],
            cell.candidate_weight[swap][:, swap],
            cell.bias[rows],
        ),
    )
    flipped = eqx.tree_at(
        lambda c: (c.input_weight, c.gate_weight, c.candidate_weight, c.bias),
        cell,
        (
            cell.input_weight * candidate[:, None], cell.gate_weight * signs,
            signs[:, None] * cell.candidate_weight * signs, cell.bias * candidate,
        ),
    )  # fmt: skip
    rates = [certify(one, settings=only(2)).attempts[-1].rate for one in (cell, swapped, flipped)]
    np.testing.assert_allclose(rates, rates[0], rtol=1e-9)


@pytest.mark.slow
def test_branch_and_bound_proves_more_and_never_less():
    for seed in range(3):
        cell = gru(0.9, seed=seed)
        two, three = (certify(cell, settings=only(*levels)) for levels in ((2,), (2, 3)))
        if two.certificate is not None:
            assert three.certificate.rate <= two.certificate.rate
        if three.certificate is not None and three.certificate.level == 3:
            assert three.attempts[-1].rate < 1


def test_a_bistable_cell_is_refuted_and_its_witness_replays():
    cell = bistable()
    result = certify(cell, settings=CertifySettings(levels=(0, 1, 2)))
    assert result.verdict is Verdict.REFUTED
    assert result.certificate is None
    with pytest.raises(CertificateError, match="do not meet"):
        result.require()
    with jax.enable_x64(True):
        step = jax.jit(step_of(in_double_precision(cell)))
        one, other = result.witness.first, result.witness.second
        for count in range(2000):
            given = result.witness.inputs[count % len(result.witness.inputs)]
            one, other = (np.asarray(step(np.concatenate([state, given]))) for state in (one, other))
    assert np.abs(one - other).max() > 0.9 * result.witness.distance > 1e-3


def test_the_formula_of_the_other_layout_proves_nothing():
    """U_r 0.1, U_f 1, inner bias 50, outer -25: the published residual is -0.9, yet +-0.3 end at +-1."""
    cell = ResetAfterGRU(1, 1, key=jax.random.key(0))
    arrays = (
        np.zeros((3, 1)),
        np.array([[1.0], [0.0], [0.1]]),
        np.array([0.0, 0.0, -25.0]),
        np.array([50.0]),
    )
    cell = eqx.tree_at(lambda c: (c.input_weight, c.state_weight, c.bias, c.candidate_bias), cell, arrays)
    assert certify(cell, settings=only(0, 1)).verdict is Verdict.UNKNOWN


@pytest.mark.slow
def test_the_cell_that_another_formula_would_prove_is_refuted():
    cell = ResetAfterGRU(1, 1, key=jax.random.key(0))
    arrays = (
        np.zeros((3, 1)),
        np.array([[1.0], [0.0], [0.1]]),
        np.array([0.0, 0.0, -25.0]),
        np.array([50.0]),
    )
    cell = eqx.tree_at(lambda c: (c.input_weight, c.state_weight, c.bias, c.candidate_bias), cell, arrays)
    assert certify(cell).verdict is Verdict.REFUTED


def test_no_time_means_unknown_at_once():
    result = certify(gru(0.1), settings=CertifySettings(time_budget=0))
    assert result.verdict is Verdict.UNKNOWN
    assert result.seconds < 1
    assert "time budget" in result.reason


def test_an_operation_without_a_rule_is_named():
    cell = Written(lambda u, x: 0.3 * jnp.sort(x), 2)
    result = certify(cell, settings=CertifySettings(refute=False))
    assert result.verdict is Verdict.UNKNOWN
    assert "'sort'" in result.reason


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_never_proved(value):
    cell = gru(0.1)
    broken = eqx.tree_at(lambda c: c.candidate_weight, cell, np.array([[value, 0.0], [0.0, 0.1]]))
    result = certify(broken, settings=only(0, 1, 2))
    assert result.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "update",
    [
        lambda u, x: 0.5 * x + jnp.tanh(jnp.log(u)),  # not defined for u <= 0
        lambda u, x: 0.5 * x + jnp.tanh(1 / u),
        lambda u, x: 0.5 * x + jnp.tanh(jnp.sqrt(u - 2)),
        lambda u, x: 1.01 * x + u,  # leaves every box
        lambda u, x: 0.5 * x + jnp.floor(x),
        lambda u, x: 0.1 * x + jnp.where(x > 0.05, 0.5, -0.5),
        lambda u, x: 0.1 * x + jnp.where(x > 0.0, x, 0.5 * x + 1e-9),  # the cases do not meet
        lambda u, x: 0.1 * x + jnp.where(x > 0.25, x - 0.2500001, 0.0),
        lambda u, x: 0.1 * x + jnp.where(u > 0.0, 0.5 * x, 0.2 * x),  # they meet elsewhere
    ],
)  # fmt: skip
def test_what_is_undefined_unbounded_or_jumps_is_never_proved(update):
    cell = Written(update, 1)
    assert certify(cell, settings=only(1, 2)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("build", [GRU, Lipschitz])
def test_a_centred_image_holds_samples_and_lies_in_the_plain_one(build):
    generator = np.random.default_rng(0)
    with jax.enable_x64(True):
        cell = in_double_precision(build(2, 4, key=jax.random.key(1)))
        both = jax.jit(lambda box: (centred_image(cell, box), step_image(cell, box)))
        step = jax.vmap(lambda point: cell(point[4:], point[:4]))
        for width in (0.0, 1e-3, 0.3, 2.0):
            middle, half = generator.uniform(-1, 1, 6), width * generator.uniform(0, 1, 6)
            low, high = middle - half, middle + half
            found, plain = both(Box(jnp.asarray(low), jnp.asarray(high), 4))
            points = np.clip(low + generator.choice([0.0, 0.3, 1.0], (500, 6)) * (high - low), low, high)
            after = np.asarray(step(jnp.asarray(points)))
            assert (found.low <= after).all()
            assert (after <= found.high).all()
            assert (plain.low <= found.low).all()
            assert (found.high <= plain.high).all()
            assert width > 0 or (found.width < 1e-13).all()


def _larger(one, other):
    return jnp.where(one > other, one, other)


@pytest.mark.parametrize(
    ("update", "rate"),
    [
        (lambda u, x: 0.8 * jax.nn.leaky_relu(x + u, 0.25), 0.8),
        (lambda u, x: jnp.where(x + u > 0.25, 0.6 * (x + u) - 0.15, 0.0), 0.6),
        (lambda u, x: jnp.where(u > 0.0, 0.5 * x + u, 0.5 * x), 0.5),
        (lambda u, x: 0.7 * jax.nn.elu(x - u), 0.7),
        (lambda u, x: _larger(0.3 * x * u, 0.6 * x - u), 0.6),
        (lambda u, x: 0.1 * x + 0.4 * jax.nn.elu(x * u + 0.5 * u), 0.5),
    ],
)  # fmt: skip
def test_a_choice_whose_cases_meet_is_bounded_by_the_steeper_one(update, rate):
    found = certify(Written(update, 1), settings=only(1)).require()
    assert rate <= found.rate < rate + 1e-9


def test_a_state_in_single_precision_is_bounded_in_double():
    class Single(Cell):
        input_size: int = 1
        hidden_size: int = 2

        def __call__(self, input, state, *, key=None):
            return 0.9 * state + 0.1 * jnp.tanh(input)

        def initial_state(self):
            return jnp.zeros(2, jnp.float32)

    proof = certify(Single(), input_bound=0.1, settings=only(1)).require()
    assert proof.low.dtype == np.float64
    assert proof.input_bound[0] == 0.1
    assert 0.9 <= proof.rate < 0.9 + 1e-9
    assert proof.input_gain >= 0.1


def test_states_that_are_not_real_numbers_are_refused():
    class Counting(Cell):
        input_size: int = 1
        hidden_size: int = 1

        def __call__(self, input, state, *, key=None):
            return 0.5 * state[0] / (1 + state[1]) + input, state[1] + 1

        def initial_state(self):
            return jnp.zeros(1), jnp.zeros((), jnp.int32)

    with pytest.raises(UnsupportedError, match="int32"):
        certify(Counting())


def test_the_input_bound_is_checked_and_used():
    cell = gru(0.3)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match="input_bound"):
            certify(cell, input_bound=wrong)
    with pytest.raises(ShapeError, match="input_bound"):
        certify(cell, input_bound=np.ones(3))
    wide, narrow = (
        certify(cell, input_bound=bound, settings=only(2)).attempts[-1].rate
        for bound in (1.0, np.array([0.0]))
    )
    assert narrow < wide


@pytest.mark.parametrize("wrong", ["1", True, None, 1j, np.array(["a"])])
def test_a_bound_that_is_no_number_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected numbers"):
        checked_bound(wrong, 1)


def test_stopped_gradients_are_part_of_the_map():
    """Read as a constant, the stopped state would not count and the map would look like a contraction."""
    cell = Written(lambda u, x: 0.5 * x + 0.7 * jax.lax.stop_gradient(x), 1)
    assert certify(cell, settings=only(1, 2)).certificate is None
    with jax.enable_x64(True):
        cell = in_double_precision(EchoState(1, 3, norm=0.5, key=jax.random.key(0)))
        sums = jax.jit(lambda box: step_bounds(cell, box).row_sums(jnp.ones(4)))(unit_box(cell))
        assert float(sums.max()) > 0.3


@pytest.mark.slow
def test_boxes_of_a_memory_cell_hold_and_shrink():
    with jax.enable_x64(True):
        cell = in_double_precision(LSTM(1, 2, key=jax.random.key(5)))
        found = jax.jit(lambda box: settle(cell, box, rounds=0)[0])(unit_box(cell))
        smaller = jax.jit(lambda found: shrink(cell, found, rounds=50))(found)
        assert bool(found.found)
        assert (smaller.box.high <= found.box.high).all()
        assert float(smaller.box.state.width.sum()) < float(found.box.state.width.sum())
    keep = published_condition(cell).largest_state.max()
    assert float(np.asarray(found.box.high)[2:4].max()) < 2 * max(keep, 1.0)


def test_a_person_who_waits_for_a_proof_is_told(monkeypatch):
    """In a notebook and at a prompt; scripts stay silent, see `interactive_reporter`."""
    told = []

    class Listening(SilentReporter):
        def update(self, done, total, message=""):
            told.append((done, total))

    monkeypatch.setattr(ladder, "interactive_reporter", lambda title: Listening())
    certify(gru(0.1), settings=only(1))
    assert told
