"""Flows: their maps, their orders of accuracy, and the gated network against its equations in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import METHODS, Flow, GatedFlow, GatedForm, discretise, gated_rate
from attractor.errors import ConfigError, DivergedError, ShapeError
from attractor.scan import FlowSolver, solve_flow, unroll

KEY = jax.random.key(0)


class Swing(Flow):
    """x'' = u - x, so that x(t) = cos t from (1, 0) without input."""

    input_size: int = 1
    hidden_size: int = 2

    def vector_field(self, input, state):
        return jnp.stack([state[1], input[0] - state[0]])


class Blowing(Flow):
    """x' = x^2 reaches infinity at time 1 from x = 1."""

    input_size: int = 1
    hidden_size: int = 1

    def vector_field(self, input, state):
        return state**2


@pytest.mark.parametrize(("method", "order"), list(zip(METHODS, (1, 2, 4), strict=True)))
def test_an_error_shrinks_with_the_order_of_the_method(method, order):
    start, errors = jnp.array([1.0, 0.0]), []
    with jax.enable_x64(True):
        for steps in (20, 40):
            cell = discretise(Swing(), 2.0 / steps, method)
            last = unroll(cell, jnp.zeros((steps, 1)), start.astype(jnp.float64)).last
            errors.append(np.abs(np.asarray(last) - [np.cos(2.0), -np.sin(2.0)]).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_a_solved_flow_follows_its_closed_form_under_a_ramp():
    times = np.linspace(0.0, 3.0, 7)
    run = solve_flow(Swing(), jnp.asarray(times), jnp.asarray(times)[:, None])  # x = t - sin t
    np.testing.assert_allclose(run.states[:, 0], times - np.sin(times), atol=1e-5)
    np.testing.assert_array_equal(run.last, run.states[-1])


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("mode", ["gated", "additive"])
def test_the_gated_flow_is_the_published_equation(mode):
    form = GatedForm(2.0, 3.0, 1.5, 0.1, -0.2, 0.3, 2.0, 0.5, input_mode=mode)
    flow = GatedFlow(2, 5, form=form, key=KEY)
    generator = np.random.default_rng(0)
    u, (h, z, r) = generator.normal(size=2), generator.normal(size=(3, 5))
    rate = np.tanh(2.0 * h + 0.1)
    opened, shown = _sigmoid(3.0 * z - 0.2), _sigmoid(1.5 * r + 0.3)
    drive = flow.input_weight @ u
    inside = -h + flow.coupling @ (rate * shown)
    change = opened * (inside + drive) if mode == "gated" else opened * inside + drive
    state = type(flow.initial_state())(*map(jnp.asarray, (h, z, r)))
    found = flow.vector_field(jnp.asarray(u), state)
    np.testing.assert_allclose(found.activity, change, rtol=2e-5)
    np.testing.assert_allclose(found.update, (-z + flow.update_gate.coupling @ rate) / 2.0, rtol=2e-5)
    np.testing.assert_allclose(found.reset, (-r + flow.reset_gate.coupling @ rate) / 0.5, rtol=2e-5)


def test_an_open_gate_has_no_state_and_is_one():
    flow = GatedFlow(1, 4, form=GatedForm(open_update=True, open_reset=True), key=KEY)
    state = flow.initial_state()._replace(activity=jnp.arange(4.0))
    assert state.update is None
    assert state.reset is None
    found = flow.vector_field(jnp.zeros(1), state)
    expected = flow.coupling @ jnp.tanh(1.5 * state.activity) - state.activity
    np.testing.assert_allclose(found.activity, expected, rtol=1e-6)


def test_entries_of_the_couplings_have_variance_one_over_n():
    flow = GatedFlow(1, 200, key=KEY)
    for matrix in (flow.coupling, flow.update_gate.coupling, flow.reset_gate.coupling):
        assert np.std(matrix) * 200**0.5 == pytest.approx(1, abs=0.02)


def test_the_fixed_step_map_trains_all_its_numbers():
    cell = gated_rate(1, 4, key=KEY)
    gradient = eqx.filter_grad(lambda cell: jnp.sum(unroll(cell, jnp.ones((6, 1))).last.activity))(cell)
    for leaf in (gradient.flow.coupling, gradient.flow.gain, gradient.flow.update_gate.log_time):
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: discretise(Swing(), 0.1, "rk45"), ConfigError, "euler, heun, rk4"),
        (lambda: discretise(Swing(), 0.0), ConfigError, "step=0.0"),
        (lambda: GatedForm(update_time=0), ConfigError, "update_time=0"),
        (lambda: GatedForm(gain=-1), ConfigError, "gain=-1"),
        (lambda: GatedForm(reset_bias=float("nan")), ConfigError, "reset_bias=nan"),
        (lambda: GatedForm(input_mode="both"), ConfigError, "input_mode='both'"),
        (lambda: solve_flow(Swing(), jnp.zeros(1)), ShapeError, "at least the first and the last"),
        (lambda: solve_flow(Swing(), jnp.zeros(3)), ConfigError, "increase"),
        (lambda: solve_flow(Swing(), jnp.arange(3.0), jnp.zeros((2, 1))), ShapeError, r"\(3, 1\)"),
        (lambda: FlowSolver(relative=0), ConfigError, "relative=0"),
        (
            lambda: solve_flow(
                Blowing(), jnp.arange(3.0), None, jnp.ones(1), solver=FlowSolver(most_steps=200)
            ),
            DivergedError,
            "200 steps",
        ),
        (
            lambda: GatedFlow(1, 4, key=KEY).vector_field(
                jnp.zeros(1), GatedFlow(1, 4, form=GatedForm(open_update=True), key=KEY).initial_state()
            ),
            ConfigError,
            "initial_state",
        ),
    ],
)
def test_a_mistake_is_named(call, kind, said):
    with pytest.raises(kind, match=said):
        call()
