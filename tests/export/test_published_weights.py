"""Weights of the authors' own layouts compute what their own equations compute, written here row by row."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import LipschitzForm, MemoryGated, StateNoise, official_step
from attractor.errors import ConfigError, InputDataError, UnsupportedError
from attractor.export import from_lipschitz_state, from_mgrn_state
from attractor.program import single_precision
from attractor.scan import unroll

SIZES, HIDDEN, JOINT, CLASSES = (2, 1, 3), 4, 6, 3
STEPS, BATCH = 12, 2
UNITS, INPUTS = 5, 2
FORM = LipschitzForm(skew=0.75, damping=0.02, linear=0.9, learned_step="each")


def drawn(seed, **shapes):
    generator = np.random.default_rng(seed)
    return {name.replace("__", "."): generator.normal(size=shape) * 0.6 for name, shape in shapes.items()}


def mgrn_state(dtype=float):
    shapes = {}
    for k, size in enumerate(SIZES):
        shapes |= {
            f"marginal_{k}__cell__w_ih": (3 * HIDDEN, size),
            f"marginal_{k}__cell__w_hh": (3 * HIDDEN, HIDDEN),
            f"marginal_{k}__cell__b_ih": (3 * HIDDEN,),
        }
    shapes |= {
        "joint__cell__u_c": (JOINT, HIDDEN * len(SIZES)),
        "joint__cell__b_c": (JOINT,),
        "joint__cell__w_z": (JOINT, sum(SIZES)),
        "joint__cell__u_z": (JOINT, JOINT),
        "joint__cell__b_z": (JOINT,),
        "fc1__weight": (CLASSES, JOINT),
        "fc1__bias": (CLASSES,),
    }
    return {name: array.astype(dtype) for name, array in drawn(0, **shapes).items()}


def lipschitz_state(*left_out):
    shapes = {"B": (UNITS, UNITS), "C": (UNITS, UNITS), "d": (UNITS,), "E__weight": (UNITS, INPUTS)}
    shapes |= {"E__bias": (UNITS,), "D__weight": (CLASSES, UNITS), "D__bias": (CLASSES,)}
    state = drawn(1, **shapes)
    state["d"] = np.abs(state["d"]) + 0.01
    return {name: array for name, array in state.items() if name not in left_out}


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def published_mgrn(state, batch):
    """(time, batch, variables): every group through all of time, then the joint layer, then logits."""
    shown, memories, begin = [], [], 0
    for k, size in enumerate(SIZES):
        w, u, b = (state[f"marginal_{k}.cell.{part}"] for part in ("w_ih", "w_hh", "b_ih"))
        memory, candidates, kept = np.zeros((batch.shape[1], HIDDEN)), [], []
        for rows in batch[:, :, begin : begin + size]:
            given, recurrent = np.split(rows @ w.T + b, 3, axis=1), np.split(memory @ u.T, 3, axis=1)
            reset, update = sigmoid(given[0] + recurrent[0]), sigmoid(given[1] + recurrent[1])
            candidates.append(np.tanh(given[2] + reset * recurrent[2]))
            memory = candidates[-1] + update * (memory - candidates[-1])
            kept.append(memory)
        shown.append(candidates)
        memories.append(kept)
        begin += size
    u_c, b_c, w_z, u_z, b_z = (state[f"joint.cell.{part}"] for part in ("u_c", "b_c", "w_z", "u_z", "b_z"))
    joint, states = np.zeros((batch.shape[1], JOINT)), []
    for rows, candidates in zip(batch, np.concatenate(shown, axis=2), strict=True):
        proposed = np.tanh(candidates @ u_c.T + b_c)
        update = sigmoid(rows @ w_z.T + b_z + joint @ u_z.T)
        joint = proposed + update * (joint - proposed)
        states.append(joint)
    return np.array(memories), np.array(states), joint @ state["fc1.weight"].T + state["fc1.bias"]


def published_lipschitz(state, batch, draws=None, step=None, alpha=FORM.linear):
    """(batch, time, inputs), rows times matrices; `draws` are uniform and normal numbers."""
    beta, gamma = (1.0, FORM.damping) if "B" not in state else (FORM.skew, FORM.damping)

    def structured(matrix):
        skew, symmetric = matrix - matrix.T, matrix + matrix.T
        return beta * skew + (1 - beta) * symmetric - gamma * np.eye(UNITS)

    a = structured(state["B"]) if "B" in state else np.zeros((UNITS, UNITS))
    w, size = structured(state["C"]), state["d"] if step is None else step
    hidden, states = np.zeros((len(batch), UNITS)), []
    for t in range(batch.shape[1]):
        z = batch[:, t] @ state["E.weight"].T + state["E.bias"]
        update = alpha * hidden @ a + np.tanh(hidden @ w + z)
        factor, added = 1.0, 0.0
        if draws is not None:
            factor = 0.3 * draws[0][:, t] + (1 - 0.3)
            added = 0.05 * draws[1][:, t]
        hidden = hidden + size * factor * update + added
        states.append(hidden)
    return np.array(states), hidden @ state["D.weight"].T + state["D.bias"]


def logits(network, inputs):
    return network.readout(network.cell.exposed(unroll(network.cell, inputs).last))


@pytest.mark.slow
def test_published_mgrn_weights_give_the_states_and_logits_of_the_published_equations():
    state, batch = mgrn_state(), np.random.default_rng(2).normal(size=(STEPS, BATCH, sum(SIZES)))
    memories, joints, expected = published_mgrn(state, batch)
    with jax.enable_x64(True):
        network = from_mgrn_state(state)
        for row in range(BATCH):
            states = unroll(network.cell, jnp.asarray(batch[:, row])).states
            np.testing.assert_allclose(states.marginal.swapaxes(0, 1), memories[:, :, row], atol=1e-12)
            np.testing.assert_allclose(states.joint, joints[:, row], atol=1e-12)
        found = jax.vmap(lambda one: logits(network, one))(jnp.asarray(batch.swapaxes(0, 1)))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert isinstance(network.cell, MemoryGated)
    assert (network.cell.hidden_size, network.cell.joint_size) == (HIDDEN, JOINT)


def test_groups_say_which_variables_the_columns_are():
    state, batch = mgrn_state(), np.random.default_rng(3).normal(size=(STEPS, 1, sum(SIZES)))
    order = np.array([4, 0, 2, 1, 5, 3])  # column i of the authors is variable order[i]
    groups = ((4, 0), (2,), (1, 5, 3))
    shuffled = np.empty_like(batch)
    shuffled[:, :, order] = batch
    with jax.enable_x64(True):
        network = from_mgrn_state(state, groups=groups)
        found = logits(network, jnp.asarray(shuffled[:, 0]))
    np.testing.assert_allclose(found, published_mgrn(state, batch)[2][0], atol=1e-12)
    assert from_mgrn_state(state, groups=groups, dtype=np.float32).cell.bias.dtype == np.float32


def test_gradients_of_imported_weights_are_those_of_the_published_equations():
    state, batch = mgrn_state(), np.random.default_rng(4).normal(size=(STEPS, 1, sum(SIZES)))
    with jax.enable_x64(True):
        network, inputs = from_mgrn_state(state), jnp.asarray(batch[:, 0])
        found = eqx.filter_grad(lambda one: jnp.sum(logits(one, inputs) ** 2))(network)
    slopes = {
        "joint.cell.u_c": found.cell.joint_weight,
        "joint.cell.w_z": found.cell.gate_input_weight,
        "joint.cell.u_z": found.cell.gate_state_weight,
        "marginal_0.cell.w_ih": found.cell.input_weight[0, :, :2],
        "marginal_2.cell.w_hh": found.cell.state_weight[2],
        "marginal_1.cell.b_ih": found.cell.bias[1],
    }
    for name, slope in slopes.items():
        direction = np.cos(np.arange(state[name].size)).reshape(state[name].shape)
        value = [
            np.sum(published_mgrn(state | {name: state[name] + h * direction}, batch)[2] ** 2)
            for h in (-2e-4, -1e-4, 1e-4, 2e-4)
        ]
        expected = (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / 12e-4  # error of the order h^4
        np.testing.assert_allclose(np.sum(np.asarray(slope) * direction), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", ["noisy", "base", "antisymmetric"])
def test_published_lipschitz_weights_give_the_states_of_the_published_equations(solver):
    left_out = {"noisy": (), "base": ("d",), "antisymmetric": ("d", "B")}[solver]
    state, batch = lipschitz_state(*left_out), np.random.default_rng(5).normal(size=(BATCH, STEPS, INPUTS))
    step = None if solver == "noisy" else 0.07
    form = FORM if solver == "noisy" else LipschitzForm(0.75, 0.02, 0.9, "fixed")
    if solver == "antisymmetric":
        form = LipschitzForm(skew=1, damping=0.02, linear=0, learned_step="fixed")
    expected, ends = published_lipschitz(state, batch, step=step, alpha=form.linear)
    with jax.enable_x64(True):
        network = from_lipschitz_state(state, form=form, step=step)
        found = jax.vmap(lambda one: unroll(network.cell, one).states)(jnp.asarray(batch))
        predicted = jax.vmap(lambda one: logits(network, one))(jnp.asarray(batch))
    np.testing.assert_allclose(found.swapaxes(0, 1), expected, atol=1e-12)
    np.testing.assert_allclose(predicted, ends, atol=1e-12)
    if step is not None:
        assert network.cell.raw_step is None


def test_a_noisy_run_of_the_published_code_is_replayed_with_its_draws():
    state, generator = lipschitz_state(), np.random.default_rng(6)
    batch = generator.normal(size=(BATCH, STEPS, INPUTS))
    uniform, normal = generator.random((BATCH, STEPS, UNITS)), generator.normal(size=(BATCH, STEPS, UNITS))
    expected, _ = published_lipschitz(state, batch, (uniform, normal))
    with jax.enable_x64(True):
        noise = StateNoise(additive=0.05, multiplicative=0.3, kind="official")
        cell = from_lipschitz_state(state, form=FORM, noise=noise).cell
        for row in range(BATCH):
            hidden = cell.initial_state()
            for t in range(STEPS):
                now = (batch[row, t], hidden, uniform[row, t], normal[row, t])
                hidden = official_step(cell, *map(jnp.asarray, now))
                np.testing.assert_allclose(hidden, expected[t, row], atol=1e-12)


def test_a_step_with_official_noise_is_the_one_with_draws_of_its_key():
    noise = StateNoise(additive=0.05, multiplicative=0.3, kind="official")
    cell = from_lipschitz_state(lipschitz_state(), form=FORM, noise=noise, dtype=np.float32).cell
    key, given, state = jax.random.key(3), jnp.ones(INPUTS), jnp.linspace(-1, 1, UNITS)
    first, second = jax.random.split(key)
    uniform, normal = jax.random.uniform(first, (UNITS,)), jax.random.normal(second, (UNITS,))
    found = cell(given, state, key=key)
    np.testing.assert_array_equal(found, official_step(cell, given, state, uniform, normal))
    assert (found != cell(given, state)).all()


@pytest.mark.peer
def test_gradients_of_lipschitz_weights_are_those_of_torch():
    torch = pytest.importorskip("torch")
    state, series = lipschitz_state(), np.random.default_rng(7).normal(size=(STEPS, INPUTS))
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in state.items()}

    def structured(matrix):
        mixed = FORM.skew * (matrix - matrix.T) + (1 - FORM.skew) * (matrix + matrix.T)
        return mixed - FORM.damping * torch.eye(UNITS, dtype=torch.float64)

    hidden = torch.zeros(1, UNITS, dtype=torch.float64)
    for row in torch.tensor(series):
        pushed = torch.tanh(
            hidden @ structured(tensors["C"]) + row @ tensors["E.weight"].T + tensors["E.bias"]
        )
        hidden = hidden + tensors["d"] * (FORM.linear * hidden @ structured(tensors["B"]) + pushed)
    ((hidden @ tensors["D.weight"].T + tensors["D.bias"]) ** 2).sum().backward()
    with jax.enable_x64(True):
        network = from_lipschitz_state(state, form=FORM)
        found = eqx.filter_grad(lambda one: jnp.sum(logits(one, jnp.asarray(series)) ** 2))(network)
        by_step = found.cell.raw_step / jax.nn.sigmoid(network.cell.raw_step)  # d step / d raw is the sigmoid
    pairs = {
        "B": found.cell.linear_weight.T,
        "C": found.cell.state_weight.T,
        "d": by_step,
        "E.weight": found.cell.input_weight,
        "D.weight": found.readout.weight,
    }
    for name, slope in pairs.items():
        np.testing.assert_allclose(slope, tensors[name].grad.numpy(), rtol=1e-9, atol=1e-9)


def mgrn(**changes):
    state = {name.replace("__", "."): array for name, array in changes.items()}
    options = {"groups": state.pop("groups", None), "dtype": state.pop("dtype", np.float32)}
    merged = mgrn_state() | state
    return from_mgrn_state({name: one for name, one in merged.items() if one is not None}, **options)


def lipschitz(form=FORM, step=None, dtype=np.float32, **changes):
    merged = lipschitz_state() | {name.replace("__", "."): array for name, array in changes.items()}
    state = {name: one for name, one in merged.items() if one is not None}
    return from_lipschitz_state(state, form=form, step=step, dtype=dtype)


FIXED = LipschitzForm(learned_step="fixed")


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: mgrn(fc1__bias=None), InputDataError, "missing fc1.bias"),
        (lambda: mgrn(marginal_1__cell__b_ih=None), InputDataError, "missing marginal_1.cell.b_ih"),
        (lambda: mgrn(extra=np.ones(1)), InputDataError, "unexpected extra"),
        (lambda: mgrn(joint__cell__u_z=np.ones((6, 5))), InputDataError, r"u_z has shape \(6, 5\).*\(6, 6\)"),
        (lambda: mgrn(marginal_2__cell__w_ih=np.ones((9, 3))), InputDataError, r"w_ih has shape \(9, 3\)"),
        (lambda: mgrn(fc1__weight=np.ones((3, 7))), InputDataError, r"expected \('any', 6\)"),
        (lambda: mgrn(fc1__bias=np.ones(3, int)), InputDataError, "fc1.bias has type int64"),
        (lambda: mgrn(groups=((0,), (1, 2), (3, 4, 5))), ConfigError, r"sizes \(1, 2, 3\).*\(2, 1, 3\)"),
        (lambda: mgrn(dtype=None), ConfigError, "JAX computes in float32"),
        (lambda: lipschitz(D__weight=None), InputDataError, "missing D.weight"),
        (lambda: lipschitz(B=np.ones((5, 4))), InputDataError, r"B has shape \(5, 4\), expected \(5, 5\)"),
        (lambda: lipschitz(d=np.array([0.1, -0.1, 0.2, 0, 1])), UnsupportedError, r"units 1, 3 .*-0\.1"),
        (lambda: lipschitz(E_gate__weight=np.ones((5, 2))), UnsupportedError, "gated"),
        (lambda: lipschitz(d=None), ConfigError, "has no d"),
        (lambda: lipschitz(FIXED), ConfigError, "step=None: expected"),
        (lambda: lipschitz(LipschitzForm(learned_step="one")), ConfigError, "learned_step='one'"),
        (lambda: lipschitz(B=None), ConfigError, "linear=0, skew=1"),
        (lambda: lipschitz(dtype=None), ConfigError, "JAX computes in float32"),
    ],
)
@single_precision()
def test_entries_that_do_not_fit_are_named(make, error, said):
    with pytest.raises(error, match=said):
        make()
