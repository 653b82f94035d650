"""The memory-gated network against closed forms, a plain loop over groups, and torch's GRU."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from test_partition import partitions_of_six

from attractor import explain
from attractor.cells import GRU, MemoryGated, Stack, exposed_size
from attractor.cells.mgrn import GroupMemory
from attractor.certify import CertifySettings, certify
from attractor.errors import ConfigError
from attractor.scan import unroll
from attractor.scan.split import AHEAD
from attractor.scan.unroll import trace

KEY = jax.random.key(0)
GROUPS = ((0, 3), (1,), (4, 2, 5))
HIDDEN, FACTOR = 4, 1.5


def build(groups=GROUPS, hidden=HIDDEN, factor=FACTOR, **options):
    """A cell in the floating type of the moment whose weights and biases are all different from zero."""
    return made(KEY, sum(map(len, groups)), hidden, {"groups": groups, "initial": "torch"} | options, factor)


@eqx.filter_jit
def made(key, size, hidden, options, factor):
    return MemoryGated(size, hidden, joint_factor=factor, key=key, **options)


def changed(cell, **weights):
    return eqx.tree_at(lambda one: [getattr(one, name) for name in weights], cell, list(weights.values()))


def signal(steps, size, seed=1, missing=0.0):
    """Random inputs; a share of them is NaN."""
    values = np.random.default_rng(seed).normal(size=(steps, size))
    values[np.random.default_rng(seed + 1).random(values.shape) < missing] = np.nan
    return jnp.asarray(values, float)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def loop(cell, inputs, feeds="candidate"):
    """The published equations in NumPy, a group at a time; all states, stacked."""
    weights = {name: np.asarray(getattr(cell, name)) for name in cell.__dataclass_fields__ if "_" in name}
    size = cell.hidden_size
    memories = [np.zeros(size) for _ in cell.partition.groups]
    joint, marginal_states, joint_states = np.zeros(cell.joint_size), [], []
    for raw in np.asarray(inputs):
        filled, shown = np.where(np.isnan(raw), 0, raw), []
        for k, group in enumerate(cell.partition.groups):
            if np.isnan(raw[list(group)]).all():
                shown.append(memories[k])
                continue
            w, u = weights["input_weight"][k][:, : len(group)], weights["state_weight"][k]
            b = np.asarray(cell.bias[k])
            driven, recurrent = w @ filled[list(group)] + b, u @ memories[k]
            r = sigmoid(driven[:size] + recurrent[:size])
            z = sigmoid(driven[size : 2 * size] + recurrent[size : 2 * size])
            n = np.tanh(driven[2 * size :] + r * recurrent[2 * size :])
            memories[k] = (1 - z) * n + z * memories[k]
            shown.append(n if feeds == "candidate" else memories[k])
        if not np.isnan(raw).all():
            c = np.tanh(weights["joint_weight"] @ np.concatenate(shown) + weights["joint_bias"])
            gate = weights["gate_input_weight"] @ filled + weights["gate_bias"]
            g = sigmoid(gate + weights["gate_state_weight"] @ joint)
            joint = (1 - g) * c + g * joint
        marginal_states.append(np.array(memories))
        joint_states.append(joint)
    return np.array(marginal_states), np.array(joint_states)


@pytest.mark.slow
@given(partitions_of_six(), st.sampled_from([0.0, 0.6]), st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_all_groups_at_once_equal_a_loop_over_groups(groups, missing, seed):
    with jax.enable_x64(True):
        cell, inputs = build(groups, 2), signal(2, 6, seed, missing)
        state = cell.initial_state()
        states = [state := cell(one, state) for one in inputs]
        marginal, joint = loop(cell, inputs)
    np.testing.assert_allclose([one.marginal for one in states], marginal, atol=1e-13)
    np.testing.assert_allclose([one.joint for one in states], joint, atol=1e-13)


@pytest.mark.parametrize("feeds", ["candidate", "state"])
def test_a_long_run_in_both_precisions_equals_the_loop(feeds):
    with jax.enable_x64(True):
        cell, inputs = build(feeds=feeds), signal(30, 6, missing=0.3)
        marginal, joint = loop(cell, inputs, feeds)
        states = unroll(cell, inputs).states
        short = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), cell)
        rounded = unroll(short, inputs.astype(jnp.float32)).states
    np.testing.assert_allclose(states.marginal, marginal, atol=1e-13)
    np.testing.assert_allclose(states.joint, joint, atol=1e-13)
    np.testing.assert_allclose(rounded.joint, joint, atol=2e-5)


def test_the_count_of_parameters_is_the_published_formula():
    """K (3 H^2 + 3 H) + H D (3 + s) + s H^2 K + 2 s H + s^2 H^2, and three figures of the paper."""
    generator = np.random.default_rng(0)
    cases = [(2, 8, 10, 1), (16, 1, 4, 1), (2, 1, 64, 2)]
    cases += [tuple(map(int, generator.integers(1, (6, 4, 6, 4)))) for _ in range(20)]
    counts = []
    for groups, variables, hidden, factor in cases:
        inputs = groups * variables
        parted = [range(k * variables, (k + 1) * variables) for k in range(groups)]
        cell = eqx.filter_eval_shape(
            lambda size=inputs, parted=parted, hidden=hidden, factor=factor: MemoryGated(
                size, hidden, groups=parted, joint_factor=factor, initial="torch", key=KEY
            )
        )
        counts.append(sum(leaf.size for leaf in jax.tree.leaves(cell)))
        formula = groups * (3 * hidden**2 + 3 * hidden) + hidden * inputs * (3 + factor)
        formula += factor * hidden**2 * groups + 2 * factor * hidden + factor**2 * hidden**2
        assert counts[-1] == formula
    assert counts[:3] == [1620, 1496, 58624]


@pytest.mark.parametrize("initial", ["chrono", "keras", "torch"])
def test_weights_start_as_the_name_says_and_places_without_a_variable_are_zero(initial):
    with jax.enable_x64(True):
        cell = build(initial=initial, timescales=(3, 9))
    unfilled = np.broadcast_to(~cell.partition.filled[:, None], cell.input_weight.shape)
    np.testing.assert_array_equal(np.asarray(cell.input_weight)[unfilled], 0)
    assert (np.asarray(cell.input_weight)[~unfilled] != 0).all()
    if initial == "torch":
        assert all(np.abs(leaf).max() <= HIDDEN**-0.5 for leaf in jax.tree.leaves(cell))
        assert all(np.abs(leaf).min() > 0 for leaf in (cell.bias, cell.joint_bias, cell.gate_bias))
        return
    products = np.einsum("kga,kgb->kab", *2 * [np.asarray(cell.state_weight)])
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(HIDDEN), (3, HIDDEN, HIDDEN)), atol=1e-12)
    for weight in map(np.asarray, (cell.joint_weight, cell.gate_state_weight)):
        np.testing.assert_allclose(weight @ weight.T, np.eye(6), atol=1e-12)
    bounds = np.sqrt(6 / (3 * HIDDEN + np.array([2, 1, 3])))
    assert (np.abs(cell.input_weight).max(axis=(1, 2)) <= bounds).all()
    np.testing.assert_array_equal(np.delete(cell.bias, np.s_[HIDDEN : 2 * HIDDEN], axis=1), 0)
    keep = 1 / (1 - sigmoid(np.asarray(cell.bias[:, HIDDEN : 2 * HIDDEN])))
    joint = 1 / (1 - sigmoid(np.asarray(cell.gate_bias)))
    expected = (np.geomspace(3, 9, HIDDEN), np.geomspace(3, 9, 6)) if initial == "chrono" else (2, 2)
    np.testing.assert_allclose(keep, np.broadcast_to(expected[0], keep.shape))
    np.testing.assert_allclose(joint, np.broadcast_to(expected[1], joint.shape))


def test_places_without_a_variable_get_no_gradient():
    cell, inputs = build(), signal(4, 6)
    gradient = jax.jit(jax.grad(lambda cell: jnp.sum(unroll(cell, inputs).last.joint ** 2)))(cell)
    unfilled = np.broadcast_to(~cell.partition.filled[:, None], cell.input_weight.shape)
    assert (np.asarray(gradient.input_weight)[unfilled] == 0).all()
    assert (np.asarray(gradient.input_weight)[~unfilled] != 0).all()


def test_the_joint_memory_of_one_constant_candidate_is_a_geometric_sum():
    with jax.enable_x64(True):
        cell = build(((0,),), hidden=2, factor=1)
        zero = jnp.zeros((2, 2))
        cell = changed(cell, joint_weight=zero, gate_state_weight=zero, gate_input_weight=jnp.zeros((2, 1)))
        states = unroll(cell, signal(6, 1)).states.joint
        g, c = sigmoid(np.asarray(cell.gate_bias)), np.tanh(np.asarray(cell.joint_bias))
        np.testing.assert_allclose(states, c * (1 - g ** np.arange(1, 7)[:, None]), atol=1e-15)


@pytest.mark.slow
def test_gates_far_open_or_shut_freeze_or_forget():
    cell, inputs = build(), signal(4, 6)
    keep = slice(HIDDEN, 2 * HIDDEN)
    frozen = changed(cell, bias=cell.bias.at[:, keep].set(50.0), gate_bias=jnp.full(6, 50.0))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(unroll(frozen, inputs).states))
    open_ = changed(cell, bias=cell.bias.at[:, keep].set(-200.0), gate_bias=jnp.full(6, -200.0))
    state = unroll(open_, inputs[:3]).last
    gates = open_.gates(inputs[3], state)
    new = open_(inputs[3], state)
    np.testing.assert_array_equal(new.marginal, gates.candidate)
    np.testing.assert_array_equal(new.joint, gates.joint_candidate)


def whole_jacobian(cell, input, state):
    """Of one step in the state, marginal memories of all groups first."""
    flat, back = ravel_pytree(state)
    return jax.jacfwd(lambda one: ravel_pytree(cell(input, back(one)))[0])(flat)


@pytest.mark.slow
def test_groups_do_not_see_one_another_and_nothing_flows_back():
    with jax.enable_x64(True):
        cell, inputs = build(), signal(5, 6)
        start = unroll(cell, inputs[:2]).last

        def memories(inputs):
            return unroll(cell, inputs, start).last.marginal

        slopes = jax.jacrev(memories)(inputs)  # (group, hidden, time, variable)
        for k, group in enumerate(GROUPS):
            own = np.isin(np.arange(6), group)
            assert (np.asarray(slopes[k])[..., ~own] == 0).all()
            assert (np.asarray(slopes[k])[..., own] != 0).all()
        jacobian = np.asarray(whole_jacobian(cell, inputs[0], start))
    edge = len(GROUPS) * HIDDEN
    blocks = jacobian[:edge, :edge].reshape(len(GROUPS), HIDDEN, len(GROUPS), HIDDEN)
    across = ~np.eye(len(GROUPS), dtype=bool)
    assert (blocks.transpose(0, 2, 1, 3)[across] == 0).all()
    assert (jacobian[:edge, edge:] == 0).all()
    assert (jacobian[edge:, :edge] != 0).any()


@pytest.mark.slow
def test_the_joint_block_of_the_jacobian_is_the_published_one():
    """d j' / d j = diag(g) + diag((j - c) g (1 - g)) U_z."""
    with jax.enable_x64(True):
        cell, inputs = build(), signal(5, 6)
        state = unroll(cell, inputs).last
        gates = cell.gates(inputs[0], state)
        edge = len(GROUPS) * HIDDEN
        found = whole_jacobian(cell, inputs[0], state)[edge:, edge:]
        g = gates.joint_keep
        slope = ((state.joint - gates.joint_candidate) * g * (1 - g))[:, None] * cell.gate_state_weight
        np.testing.assert_allclose(found, jnp.diag(g) + slope, atol=1e-14)


@pytest.mark.slow
def test_growth_rates_of_the_whole_are_those_of_its_parts():
    """A block triangular product: its Lyapunov exponents are those of the groups and of the joint memory."""

    def at(states):
        return jax.tree.map(lambda leaf: leaf[:-1], states)

    def exponents(factors):
        basis, sums = np.eye(len(factors[0])), 0.0
        for factor in factors:
            basis, upper = np.linalg.qr(factor @ basis)
            sums = sums + np.log(np.abs(np.diag(upper)))
        return np.sort(sums / len(factors))

    with jax.enable_x64(True):
        cell, inputs = build(hidden=1, factor=1), signal(600, 6)
        states = unroll(cell, inputs).states
        jacobians = np.asarray(jax.vmap(lambda *one: whole_jacobian(cell, *one))(inputs[1:], at(states)))
    # Every part is one unit here: its exponent is the mean logarithm of its own factor, without any product.
    separate = np.log(np.abs(np.diagonal(jacobians, axis1=1, axis2=2))).mean(axis=0)
    np.testing.assert_allclose(exponents(jacobians), np.sort(separate), atol=2e-2)


def test_all_memories_stay_inside_one():
    cell = jax.tree.map(lambda leaf: jax.device_put(3 * np.asarray(leaf)), build())
    states = unroll(cell, 2 * signal(40, 6)).states
    assert all((np.abs(leaf) < 1).all() for leaf in jax.tree.leaves(states))
    start = GroupMemory(jnp.full((3, HIDDEN), -2.0), jnp.full(6, 2.0))
    from_outside = unroll(cell, signal(40, 6), start).states
    assert all((np.abs(leaf) <= 2).all() for leaf in jax.tree.leaves(from_outside))


@pytest.mark.slow
def test_the_order_of_groups_and_of_variables_does_not_matter():
    with jax.enable_x64(True):
        cell, inputs = build(), signal(6, 6)
        expected = unroll(cell, inputs).states
        swap = np.array([2, 0, 1])
        blocks = cell.joint_weight.reshape(6, 3, HIDDEN)[:, swap].reshape(6, -1)
        other = build(tuple(GROUPS[k] for k in swap))
        other = changed(
            other,
            **{name: getattr(cell, name)[swap] for name in ("input_weight", "state_weight", "bias")},
            **{name: getattr(cell, name) for name in ("joint_bias", "gate_state_weight", "gate_bias")},
            joint_weight=blocks,
            gate_input_weight=cell.gate_input_weight,
        )
        found = unroll(other, inputs).states
        np.testing.assert_allclose(found.joint, expected.joint, atol=1e-14)
        np.testing.assert_allclose(found.marginal, expected.marginal[:, swap], atol=1e-14)
        order = np.array([3, 1, 5, 0, 2, 4])  # new variable i is the old order[i]
        back = np.argsort(order)
        renamed = build(tuple(tuple(int(back[one]) for one in group) for group in GROUPS))
        weights = {name: getattr(cell, name) for name in cell.__dataclass_fields__ if "weight" in name}
        weights |= {name: getattr(cell, name) for name in ("bias", "joint_bias", "gate_bias")}
        renamed = changed(renamed, **weights | {"gate_input_weight": cell.gate_input_weight[:, order]})
        moved = unroll(renamed, inputs[:, order]).states
        np.testing.assert_allclose(moved.joint, expected.joint, atol=1e-14)


def test_a_group_without_any_value_keeps_its_memory_and_shows_it():
    cell, inputs = build(), signal(4, 6)
    state = unroll(cell, inputs[:3]).last
    holed = inputs[3].at[jnp.array([0, 3, 5])].set(jnp.nan)  # all of group 0, one of group 2
    new, gates = cell(holed, state), cell.gates(holed, state)
    np.testing.assert_array_equal(new.marginal[0], state.marginal[0])
    np.testing.assert_array_equal(gates.candidate[0], state.marginal[0])
    np.testing.assert_array_equal(gates.keep[0], 1)
    filled = cell(inputs[3].at[jnp.array([0, 3, 5])].set(0.0), state)
    np.testing.assert_array_equal(new.marginal[1:], filled.marginal[1:])
    assert (new.marginal[1:] != state.marginal[1:]).all()
    assert (new.joint != state.joint).all()


@pytest.mark.slow
def test_a_step_without_any_value_might_as_well_not_be_there():
    cell, inputs = build(), signal(5, 6)
    holed = jnp.insert(inputs, 2, jnp.nan, axis=0)
    expected, found = unroll(cell, inputs).states, unroll(cell, holed).states
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(np.delete(other, 2, axis=0), one, atol=1e-6)
        np.testing.assert_array_equal(other[2], other[1])


def test_gradients_through_missing_values_are_finite_and_right():
    with jax.enable_x64(True):
        cell, inputs = build(), signal(5, 6, missing=0.5)

        @jax.jit
        def loss(cell, inputs):
            return jnp.sum(unroll(cell, inputs).last.joint ** 2)

        by_cell, by_inputs = jax.jit(jax.grad(loss, argnums=(0, 1)))(cell, inputs)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(by_cell))
        np.testing.assert_array_equal(np.asarray(by_inputs)[np.isnan(inputs)], 0)
        direction = jax.tree.map(lambda leaf: np.cos(np.arange(leaf.size)).reshape(leaf.shape), cell)
        moved = [
            jax.tree.map(lambda a, d, s=s: np.asarray(a) + s * d, cell, direction) for s in (1e-5, -1e-5)
        ]
        slope = (loss(moved[0], inputs) - loss(moved[1], inputs)) / 2e-5
        found = sum(np.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (by_cell, direction)), strict=True))
        np.testing.assert_allclose(found, slope, rtol=1e-8)


def test_pieces_of_a_sequence_equal_the_whole_and_padding_changes_nothing():
    cell, inputs = build(), signal(7, 6, missing=0.2)
    whole = unroll(cell, inputs)
    last = unroll(cell, inputs[4:], unroll(cell, inputs[:4]).last).last
    beyond = np.concatenate([inputs, np.full((3, 6), 1e30, np.float32)])
    padded = unroll(cell, jax.device_put(beyond), length=7).last
    for one, piece, cut in zip(*map(jax.tree.leaves, (whole.last, last, padded)), strict=True):
        np.testing.assert_array_equal(one, piece)
        np.testing.assert_array_equal(one, cut)


@pytest.mark.slow
def test_work_on_inputs_leaves_the_loop_and_gives_the_same():
    cell, inputs = build(), signal(7, 6, missing=0.3)
    facts = explain(cell, inputs, hoist=True)
    assert facts.hoisted >= 10
    assert facts.stepped <= 30
    wide = build((tuple(range(1024)),), hidden=64, factor=2)
    split, _ = trace(wide, jnp.zeros((2, 1024)), wide.initial_state())
    assert split.count(AHEAD) >= 5  # products large enough to leave by themselves
    for one, other in zip(
        *(jax.tree.leaves(unroll(cell, inputs, hoist=hoist).states) for hoist in (True, False)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_it_stacks_and_a_read_out_sees_the_joint_memory():
    cell = build()
    assert exposed_size(cell) == 6
    stack = Stack((cell, GRU(6, 3, key=KEY)))
    assert unroll(stack, signal(4, 6)).states[1].shape == (4, 3)
    assert unroll(Stack((cell, build(((0, 1, 2), (3, 4, 5))))), signal(2, 6)).last[1].joint.shape == (6,)


@pytest.mark.slow
def test_a_network_of_small_weights_is_proved_to_contract():
    """The question for NaN costs no proof: a bounded quantity is none."""
    cell = jax.tree.map(lambda leaf: 0.3 * leaf, build(((0,), (1,)), hidden=2, factor=1, initial="chrono"))
    proof = certify(cell, settings=CertifySettings(levels=(1,), refute=False)).require()
    assert proof.rate < 1


@pytest.mark.peer
def test_each_group_is_a_gru_of_torch_without_its_second_bias():
    torch = pytest.importorskip("torch")
    with jax.enable_x64(True):
        cell, inputs = build(), signal(9, 6)
        states = np.asarray(unroll(cell, inputs).states.marginal)
    for k, group in enumerate(GROUPS):
        module = torch.nn.GRU(len(group), HIDDEN).double()
        own = np.array(cell.input_weight[k][:, : len(group)])
        weights = (own, np.array(cell.state_weight[k]), np.array(cell.bias[k]), np.zeros(3 * HIDDEN))
        with torch.no_grad():
            for parameter, weight in zip(module.parameters(), weights, strict=True):
                parameter.copy_(torch.tensor(weight))
            outputs, _ = module(torch.tensor(np.array(inputs)[:, list(group)]))
        np.testing.assert_allclose(states[:, k], outputs.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initial": "xavier"}, "initial='xavier': expected one of chrono, keras, torch"),
        ({"feeds": "both"}, "feeds='both': expected one of candidate, state"),
        ({"hidden": 0}, "hidden_size=0"),
        ({"factor": 0.2}, "joint_factor=0.2: the joint memory would have 0 units"),
        ({"initial": "chrono", "timescales": (1, 9)}, r"timescales=\(1.0, 9.0\)"),
    ],
)
def test_options_that_make_no_sense_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        build(**options)


def test_groups_that_do_not_fit_the_input_are_refused():
    with pytest.raises(ConfigError, match="not all of the 4 variables 0 to 3; look at 2, 3"):
        MemoryGated(4, 2, groups=((0,), (1,)), key=KEY)
