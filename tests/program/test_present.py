"""What a step reads of globals, closures and objects is read when a reading begins, by every reading."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.certify import CertifySettings, Verdict, certify
from attractor.control import Plant, simulate, steady_state
from attractor.data.record import Signal
from attractor.dynamics import fixed_points, jacobian_norms, jacobian_spectrum, lyapunov_exponents
from attractor.errors import CellError
from attractor.export import check_parity
from attractor.program import compiled, programs_of
from attractor.training import Task, TrainingSettings, train

QUICK = TrainingSettings(steps=4, validate_every=2)


class Box:
    """An object that a step reads."""

    gain = 0.5


def of_global(_, state):
    return GAIN * jnp.tanh(state)


def set_global(gain):
    global GAIN
    GAIN = gain


def of_object(box):
    return lambda _, state: box.gain * jnp.tanh(state)


def of_list(box):
    return lambda _, state: box.list[0] * jnp.tanh(state)


def of_array(box):
    return lambda _, state: box.array * jnp.tanh(state)


def set_box(box, gain):
    box.gain, box.list[0], box.array[...] = gain, gain, gain


def boxed(make):
    """A step and what changes its gain."""
    box = Box()
    box.list, box.array = [0.0], np.zeros(1, np.float32)
    return make(box), lambda gain: set_box(box, gain)


SOURCES = {
    "a global": lambda: (of_global, set_global),
    "an object": lambda: boxed(of_object),
    "a list": lambda: boxed(of_list),
    "an array changed in place": lambda: boxed(of_array),
}
READINGS = {
    "run": lambda cell: attractor.unroll(cell, jnp.zeros((1, 1)), jnp.ones(1)).last[0] / np.tanh(1.0),
    "batch": lambda cell: jax.vmap(lambda u: attractor.unroll(cell, u, jnp.ones(1)).last)(
        jnp.zeros((2, 1, 1))
    )[0, 0] / np.tanh(1.0),
    "gradient": lambda cell: jax.grad(
        lambda x: attractor.unroll(cell, jnp.zeros((1, 1)), x).last.sum()
    )(jnp.zeros(1))[0],
    "exponents": lambda cell: np.exp(lyapunov_exponents(cell, 160).per_step[0]),
    "eigenvalues": lambda cell: jacobian_spectrum(cell, jnp.zeros(1)).values.real.max(),
    "norms": lambda cell: jacobian_norms(cell, np.zeros((2, 1))).largest,
}  # fmt: skip


@pytest.mark.parametrize(
    "source",
    SOURCES,
)
def test_every_reading_sees_what_the_step_is_now(source):
    step, change = SOURCES[source]()
    change(0.5)
    kept = attractor.cell(step, 1, jnp.zeros(1))
    for gain in (0.5, 0.25, 0.5):
        change(gain)
        for cell in (kept, attractor.cell(step, 1, jnp.zeros(1))):
            for name, read in READINGS.items():
                np.testing.assert_allclose(read(cell), gain, rtol=1e-5, err_msg=name)


def test_what_is_proved_is_what_runs():
    set_global(3.0)
    cell = attractor.cell(of_global, 1, jnp.zeros(1))
    runs = jnp.array([[-1.0], [1.0]])

    def apart():
        return float(np.ptp([attractor.unroll(cell, jnp.zeros((50, 1)), one).last[0] for one in runs]))

    assert apart() > 5
    assert len(fixed_points(cell)) == 3
    set_global(0.3)
    assert certify(cell, settings=CertifySettings(levels=(1,))).verdict is Verdict.PROVED
    assert apart() < 1e-6
    assert len(fixed_points(cell)) == 1


def trained(cell):
    inputs = np.random.default_rng(0).uniform(-1, 1, (120, 1))
    model = attractor.PlantModel(cell=cell, window=20, washout=5, initial_state="zero", training=QUICK)
    return model.fit(inputs, np.cumsum(inputs, axis=0)), inputs


def driven(weights, input, state):
    return GAIN * jnp.tanh(weights * state + input)


def test_a_model_whose_step_has_changed_is_neither_used_nor_saved(tmp_path):
    set_global(0.9)
    cell = attractor.cell(driven, 1, jnp.zeros(1), weights=jnp.ones(1))
    model, inputs = trained(cell)
    before = model.predict(inputs)
    set_global(0.0)
    for use in (lambda: model.predict(inputs), model.certify, lambda: model.save(tmp_path / "run")):
        with pytest.raises(CellError, match=r"not the one that this model was trained with"):
            use()
    assert not (tmp_path / "run").exists()
    again, _ = trained(cell)
    assert np.ptp(again.predict(inputs)) < 1e-9, "trained with the step as it is now: the state stays zero"
    set_global(0.9)
    np.testing.assert_array_equal(model.predict(inputs), before)


class Scaled(attractor.Cell):
    """Its constructor reads a global."""

    weight: jax.Array
    input_size: int
    hidden_size: int

    def __init__(self, input_size, hidden_size, *, key):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = GAIN * jnp.ones((hidden_size, input_size))

    def __call__(self, input, state):
        return jnp.tanh(self.weight @ input)


def test_a_constructor_is_read_at_every_training():
    weights = []
    for gain in (0.5, 0.25):
        set_global(gain)
        model = attractor.PlantModel(
            cell=Scaled,
            hidden_size=2,
            window=20,
            washout=5,
            initial_state="zero",
            training=TrainingSettings(steps=1, learning_rate=1e-9),
        )
        inputs = np.random.default_rng(0).uniform(-1, 1, (60, 1))
        weights.append(float(model.fit(inputs, inputs).network().cell.weight[0, 0]))
    np.testing.assert_allclose(weights, [0.5, 0.25], rtol=1e-4)


def test_the_last_digit_of_a_global_counts():
    cell = attractor.cell(of_global, 1, jnp.zeros(1))
    growths = []
    for gain in (0.5, 0.5 + 1e-12):
        set_global(gain)
        growths.append(float(jacobian_spectrum(cell, jnp.zeros(1)).values.real.max()))
    np.testing.assert_allclose(growths[1] - growths[0], 1e-12, rtol=1e-3)


class WithoutInputSize(eqx.Module):
    """A step that only `unroll` takes."""

    hidden_size: int = 1

    def __call__(self, input, state):
        return GAIN * state


class Around(WithoutInputSize):
    """Likewise, around a cell that can be traced and reads nothing."""

    inner: Any = None


@pytest.mark.parametrize("inner", [None, attractor.cell(lambda u, x: 0.5 * x, 1, jnp.zeros(1))])
def test_a_step_that_cannot_be_traced_alone_is_read_anew(inner):
    for gain in (0.5, 0.25):
        set_global(gain)
        last = attractor.unroll(Around(inner=inner), jnp.zeros((1, 1)), jnp.ones(1)).last[0]
        np.testing.assert_allclose(last, gain)


def test_nothing_is_compiled_twice_where_nothing_has_changed():
    traces = []

    @compiled
    def start(cell):
        traces.append(cell)
        return cell.initial_state()

    set_global(0.5)
    for cell in (
        attractor.cell(of_global, 1, jnp.zeros(1)),
        attractor.cells.GRU(1, 2, key=jax.random.key(0)),
    ):
        traces.clear()
        for _ in range(3):
            start(cell)
        assert len(traces) == 1
    assert not programs_of(cell), "a cell of the house needs no tracing"


def test_constants_of_numpy_belong_to_the_precision_of_the_reading():
    """JAX took the float32 copy of a training for an analysis in float64, and failed."""
    halves = np.array([0.5, 0.25])
    cell = attractor.cell(lambda u, x: halves * jnp.tanh(x) + u, 1, jnp.zeros(2))
    for _ in range(2):
        attractor.unroll(cell, jnp.zeros((2, 1)))
        np.testing.assert_allclose(np.exp(lyapunov_exponents(cell, 160).per_step), halves, rtol=1e-12)
        assert max(check_parity(cell, targets=("numpy",), samples=4).values()) < 1e-15
    assert certify(cell, settings=CertifySettings(levels=(1,))).verdict is Verdict.PROVED


def test_arithmetic_with_an_array_of_float32_is_no_mistake_of_the_step():
    matrix = jnp.ones((2, 1))
    cell = attractor.cell(lambda u, x: 1.1 * jnp.tanh(x) + 0.1 * matrix @ u, 1, jnp.zeros(2))
    assert certify(cell, settings=CertifySettings(levels=(1, 2))).verdict is Verdict.REFUTED


class Draining(Plant):
    """dx/dt = u - GAIN x; its equations read a global."""

    inputs: tuple = (Signal("u"),)
    outputs: tuple = (Signal("y"),)
    disturbances: tuple = ()
    input_low: tuple = (0.0,)
    input_high: tuple = (1.0,)
    nominal_inputs: tuple = (1.0,)
    nominal_disturbances: tuple = ()
    sampling_time: float = 1.0
    settling_time: float = 10.0
    state_scale: tuple = (1.0,)
    measurement_noise: tuple = (0.0,)

    def vector_field(self, time, state, forcing):
        return forcing - GAIN * state

    def measure(self, state):
        return state

    def equilibrium(self, forcing):
        return forcing / GAIN


def test_a_plant_is_read_anew():
    for gain in (0.5, 0.25):
        set_global(gain)
        np.testing.assert_allclose(steady_state(Draining())[1], 1 / gain)
        _, outputs = simulate(Draining(), np.zeros((3, 1)), state=np.ones(1))
        np.testing.assert_allclose(outputs[:, 0], np.exp(-gain * np.arange(3)), rtol=1e-6)


class NeverAtRest(Draining):
    """One that has no state of rest to give."""

    def equilibrium(self, forcing):
        raise NotImplementedError


def test_a_plant_of_which_not_all_can_be_traced_is_read_anew():
    for gain in (0.5, 0.25):
        set_global(gain)
        _, outputs = simulate(NeverAtRest(), np.zeros((2, 1)), state=np.ones(1))
        np.testing.assert_allclose(outputs[1, 0], np.exp(-gain), rtol=1e-6)


class Centre(Task):
    """A task whose loss reads a global."""

    def initial(self, key):
        return jnp.zeros(1)

    def losses(self, model, batch, context):
        return ((model - GAIN) ** 2)[None].sum(axis=1)

    def validation(self, model):
        return ((model - GAIN) ** 2).sum()


def test_a_task_is_read_anew():
    for gain in (0.5, -0.5):
        set_global(gain)
        found = train(Centre(), TrainingSettings(steps=200, validate_every=50, learning_rate=0.05))
        np.testing.assert_allclose(found.model(), gain, atol=0.05)
