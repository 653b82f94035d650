"""`check_cell` and what users hand in: functions, classes, mistakes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from jaxtyping import Array

import attractor
from attractor.cells import GRU, Elman, build_cell
from attractor.dynamics import fixed_points, jacobian_spectrum, lyapunov_exponents
from attractor.errors import CellError, ConfigError, ShapeError, UnsupportedError
from attractor.export import check_parity
from attractor.program.digest import cell_digest
from attractor.training import Task, TrainingSettings, train

KEY = jax.random.key(0)


def vector(step, **options):
    return attractor.cell(step, 2, jnp.zeros(2), **options)


def test_the_table_of_a_plain_function():
    def leaky(input, state):
        return 0.9 * state + 0.1 * jnp.tanh(input)

    report = attractor.check_cell(vector(leaky))
    assert report.complete
    assert (report.name, report.input_size, report.exposed_size, report.noisy) == ("leaky", 2, 2, False)
    assert "yes certificates" in str(report)
    assert report.to_dict()["readings"]["C"] == {"available": True, "reason": ""}


def test_a_class_is_built_for_the_table():
    assert attractor.check_cell(GRU).complete


class Shifting(eqx.Module):
    """A counter that decides, beside a complex vector."""

    factor: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {"n": jnp.asarray(0), "z": jnp.zeros(2, jnp.complex64)}

    def __call__(self, input, state):
        turned = jnp.where(state["n"] % 2 == 0, self.factor, jnp.conj(self.factor)) * state["z"]
        return {"n": state["n"] + 1, "z": turned + input}


def test_the_table_says_why_a_reading_is_not_there():
    report = attractor.check_cell(Shifting(jnp.full(2, 0.5 + 0.1j, jnp.complex64)))
    missing = {one.name: one.reason for one in report.readings if not one.available}
    assert "write `exposed(state)`" in missing["training"]
    assert "depends on ['n']" in missing["fixed points"]
    assert "depends on ['n']" in missing["certificates"]
    assert "complex" in missing["regulariser"]
    assert report["Lyapunov exponents"].available
    assert report["run"].available
    assert not report.complete
    with pytest.raises(KeyError, match="no reading 'speed'"):
        report["speed"]


def test_primitives_without_rules_are_named_reading_by_reading():
    report = attractor.check_cell(vector(lambda u, x: jnp.sort(0.5 * x + u)))
    for name in ("certificates", "NumPy", "C", "CasADi", "ONNX"):
        assert "'sort'" in report[name].reason
        assert "test_readings.py" in report[name].reason


def numpy_inside(u, x):
    return np.array(x) * 0.5


def branching(u, x):
    return x if x[0] > 0 else u


def misshapen(u, x):
    return x @ jnp.ones((3, 3))


def one_argument(u):
    return u


MISTAKES = [
    (numpy_inside, CellError, r"numpy_inside .*NumPy array \(test_readings.py:\d+\); use jax.numpy"),
    (branching, CellError, r"branching .*`if`.*\(test_readings.py:\d+\).*jnp.where"),
    (misshapen, CellError, r"misshapen failed \(test_readings.py:\d+\): TypeError"),
    (one_argument, CellError, r"one_argument cannot be called as step\(input, state\): too many"),
    (lambda u, x: (x, x), ShapeError, r"same structure|new state alone"),
    (lambda u, x: x[:1], ShapeError, r"same (structure, )?shapes"),
]


@pytest.mark.parametrize(("step", "kind", "words"), MISTAKES)
@pytest.mark.parametrize(
    "reading",
    [
        attractor.check_cell,
        lambda cell: attractor.unroll(cell, jnp.zeros((3, 2))),
        lambda cell: lyapunov_exponents(cell, 300),
        fixed_points,
        attractor.certify.certify,
        lambda cell: check_parity(cell, targets=["numpy"]),
    ],
)
def test_a_mistake_in_a_step_is_told_by_every_reading(step, kind, words, reading):
    with pytest.raises(kind, match=words):
        reading(vector(step))


class Sizeless(eqx.Module):
    def initial_state(self):
        return jnp.zeros(2)

    def __call__(self, input, state):
        return 0.5 * state


@pytest.mark.parametrize(
    "reading",
    [
        attractor.check_cell,
        attractor.certify.certify,
        fixed_points,
        lambda cell: jacobian_spectrum(cell, jnp.zeros(2)),
        lambda cell: cell_digest(cell),
    ],
)
def test_a_cell_that_does_not_say_how_many_inputs_it_has_is_told_to(reading):
    with pytest.raises(ConfigError, match=r"Sizeless.* `input_size`"):
        reading(Sizeless())


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (3, "is no cell"),
        (lambda input, state: state, "looks like an update equation"),
        (lambda: jnp.zeros(2), "which is no cell"),
        (lambda first, second, third, *, key: None, "needs third"),
    ],
)
def test_what_is_no_cell_is_told_with_the_remedy(cell, words):
    with pytest.raises(ConfigError, match=words):
        attractor.check_cell(cell)


def test_a_cell_is_built_with_what_its_class_asks_for():
    class Inputs(Elman):
        def __init__(self, inputs):
            super().__init__(inputs, 3, key=KEY)

    assert build_cell(Inputs, 2, 5, key=KEY).hidden_size == 3
    assert build_cell(lambda: Elman(1, 3, key=KEY), 2, 5, key=KEY).input_size == 1
    assert build_cell(Elman, 2, 5, key=KEY).hidden_size == 5
    ready = Elman(2, 3, key=KEY)
    assert build_cell(ready, 2, 5, key=KEY) is ready
    with pytest.raises(ConfigError, match="has 2 inputs, 4 are needed"):
        build_cell(ready, 4, 5, key=KEY)


def test_a_flow_is_told_to_be_discretised():
    class Decay(attractor.Flow):
        input_size: int = 1
        hidden_size: int = 1

        def vector_field(self, input, state):
            return -state

    with pytest.raises(ConfigError, match="discretise"):
        attractor.check_cell(Decay())


def test_a_state_of_several_arrays_needs_to_say_what_it_shows():
    cell = attractor.cell(lambda u, x: (x[0], x[1]), 1, (jnp.zeros(1), jnp.zeros(1)))
    with pytest.raises(UnsupportedError, match=r"write `exposed\(state\)`"):
        attractor.cells.exposed_size(cell)
    shown = attractor.cell(
        lambda u, x: (x[0], x[1]), 1, (jnp.zeros(1), jnp.zeros(2)), exposed=jnp.concatenate
    )
    assert attractor.check_cell(shown).exposed_size == 3


class Fitted(Task):
    """Weights next to things that are none, and a loss that pulls all of them to two."""

    def initial(self, key):
        return {
            "real": jnp.asarray(0.0),
            "complex": jnp.asarray(1j, jnp.complex64),
            "mask": attractor.constant(np.array([0.0, 1.0], np.float32)),
            "stopped": jnp.ones(2),
        }

    def losses(self, model, batch, context):
        away = jnp.abs(model["complex"] - 2) ** 2 + (model["real"] - 2) ** 2
        masked = jnp.sum((model["mask"] - 2) ** 2 + (jax.lax.stop_gradient(model["stopped"]) - 2) ** 2)
        return (away + masked)[None]

    def validation(self, model):
        return jnp.sum(self.losses(model, None, None))


def test_complex_weights_go_downhill_and_constants_stay_where_they_are():
    settings = TrainingSettings(steps=300, validate_every=100, learning_rate=0.1, weight_decay=1e-3)
    found = jax.tree.map(lambda leaf: leaf[0], train(Fitted(), settings).models)
    assert abs(complex(found["complex"]) - 2) < 0.05
    assert abs(float(found["real"]) - 2) < 0.05
    np.testing.assert_array_equal(found["mask"].array, [0, 1])
    np.testing.assert_array_equal(found["stopped"], 1)


class Asking(Elman):
    """A constructor that looks at what it draws."""

    def __init__(self, input_size, hidden_size, *, key):
        super().__init__(input_size, hidden_size, key=key)
        radius = float(jnp.abs(self.state_weight).sum(axis=1).max())
        if radius > 0.9:
            self.state_weight = 0.9 / radius * self.state_weight


class Masked(Elman):
    mask: np.ndarray

    def __init__(self, input_size, hidden_size, *, key):
        super().__init__(input_size, hidden_size, key=key)
        self.mask = np.eye(hidden_size, dtype=np.float32)

    def __call__(self, input, state, *, key=None):
        return super().__call__(input, self.mask @ state)


def small_log():
    inputs = np.random.default_rng(0).uniform(-1, 1, (300, 1))
    return inputs, np.cumsum(inputs[:, 0]) * 0.01


def test_a_constructor_that_asks_for_values_is_trained():
    training = TrainingSettings(steps=4, validate_every=2, seeds=2)
    model = attractor.PlantModel(
        cell=Asking, hidden_size=3, window=30, initial_state="zero", training=training
    )
    model.fit(*small_log())
    assert np.isfinite(model.predict(small_log()[0])).all()


def test_a_numpy_array_in_a_trained_cell_must_be_told_from_a_weight():
    model = attractor.PlantModel(cell=Masked, hidden_size=3, training=TrainingSettings(steps=2))
    with pytest.raises(ConfigError, match=r"Masked\.mask is a NumPy array; write attractor\.constant"):
        model.fit(*small_log())


def test_a_classifier_leaves_a_fixed_cell_alone_and_needs_no_key():
    class Reservoir(Elman):
        fixed = True

        def __call__(self, input, state):
            return super().__call__(input, state)

    cases = [np.random.default_rng(n).normal(size=(8, 1)).astype(np.float32) + n % 2 for n in range(20)]
    model = attractor.SequenceClassifier(cell=Reservoir, hidden_size=4, seed=3).set_params(training__epochs=2)
    model.fit(cases, [n % 2 for n in range(20)])
    one, two = model.trained_.initial, model.trained_.last
    np.testing.assert_array_equal(one.cell.state_weight, two.cell.state_weight)
    assert np.abs(np.asarray(one.readout.weight) - np.asarray(two.readout.weight)).max() > 0


def test_a_complex_read_out_is_refused_before_training():
    cell = attractor.cell(
        lambda w, u, s: w * s + u, 1, jnp.zeros(2, jnp.complex64), weights=jnp.full(2, 0.5 + 0.1j)
    )
    assert "complex" in attractor.check_cell(cell)["training"].reason
    model = attractor.PlantModel(cell=cell, training=TrainingSettings(steps=2))
    with pytest.raises(UnsupportedError, match=r"exposes complex numbers; a read-out is real"):
        model.fit(*small_log())


def test_a_start_that_is_no_array_is_named():
    with pytest.raises(ConfigError, match="initial='a'"):
        attractor.cell(lambda u, x: x, 1, "a")


def test_a_complex_operation_that_is_not_written_out_is_unknown():
    cell = attractor.cell(lambda u, s: 0.9 * jnp.sqrt(s), 1, jnp.ones(1, jnp.complex64))
    found = attractor.certify.certify(cell)
    assert found.certificate is None
    assert found.reason.startswith("'sqrt' of complex numbers")


def calling_python(u, x):
    kind = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(np.tanh, kind, 0.5 * x + u, vmap_method="expand_dims")


def looping(weight, u, x):
    return jax.lax.while_loop(lambda s: jnp.abs(s).sum() > 1, lambda s: 0.5 * s, weight * x + u)


def test_the_table_promises_no_derivative_that_is_not_there():
    report = attractor.check_cell(vector(calling_python))
    missing = {one.name for one in report.readings if not one.available}
    assert {"Lyapunov exponents", "fixed points", "spectral curve", "control"} <= missing
    assert "do not support JVP" in report["fixed points"].reason
    assert report["run"].available
    report = attractor.check_cell(vector(looping, weights=jnp.ones(2)))
    assert "Reverse-mode" in report["training"].reason
    assert not report["regulariser"].available
    assert report["Lyapunov exponents"].available, "forwards, a loop has a derivative"


SWING = np.sin(np.arange(200.0))
RECORDINGS = {
    attractor.PlantModel: (SWING[:, None], np.cumsum(SWING)),
    attractor.SequenceClassifier: (SWING.reshape(20, 10, 1), np.arange(20) % 2),
}


@pytest.mark.parametrize("model", RECORDINGS)
def test_a_step_that_cannot_be_trained_is_told_before_training(model):
    looped = attractor.cell(looping, 1, jnp.zeros(2), weights=jnp.ones(2))
    with pytest.raises(CellError, match=r"derivative of the step of looping failed: .*Reverse-mode"):
        model(cell=looped).fit(*RECORDINGS[model])


def counted():
    calls = [0]

    def aging(u, x):
        calls[0] += 1
        return 0.1 * calls[0] * x + u

    return vector(aging)


class Hoarder:
    """A plain object that keeps a value of every call."""

    input_size, hidden_size, kept = 2, 2, 0.0

    def __call__(self, input, state):
        self.kept = self.kept + input
        return 0.5 * state + self.kept


UNSTEADY = {
    "check": attractor.check_cell,
    "run": lambda cell: attractor.unroll(cell, jnp.ones((4, 2))),
    "certify": attractor.certify.certify,
    "exponents": lambda cell: lyapunov_exponents(cell, jnp.ones((200, 2))),
    "export": lambda cell: check_parity(cell, targets=["c"], samples=2),
}


@pytest.mark.parametrize("reading", UNSTEADY)
@pytest.mark.parametrize("make", [counted, Hoarder])
def test_a_step_that_is_another_one_at_each_call_has_no_reading(make, reading):
    """A proof of rate 0.6 was given for a step whose factor grew with every call."""
    with pytest.raises(CellError, match=r"another one each time it is called|keeps a value of another call"):
        UNSTEADY[reading](make())


def test_a_plain_object_is_read_but_not_trained():
    class Plain:
        input_size, hidden_size = 2, 2

        def __call__(self, input, state):
            return 0.5 * state + input

    report = attractor.check_cell(Plain())
    assert report["certificates"].available
    assert "inherit from" in report["training"].reason
    with pytest.raises(ConfigError, match="Plain is a plain object"):
        attractor.PlantModel(cell=Plain()).fit(np.stack([SWING, SWING**2], axis=1), np.cumsum(SWING))


def test_a_state_without_a_number_and_a_step_without_an_array_are_told():
    with pytest.raises(UnsupportedError, match="state of <lambda> is empty"):
        attractor.check_cell(attractor.cell(lambda u, x: x, 1, jnp.zeros(0)))
    with pytest.raises(ConfigError, match="initial="):
        attractor.cell(lambda u, x: x, 1, np.array([None]))
    with pytest.raises(ShapeError, match="returned object in place of an array"):
        attractor.check_cell(vector(lambda u, x: object()))
    with pytest.raises(ConfigError, match="needs `weights=`"):
        vector(lambda w, u, x: x)
    with pytest.raises(ConfigError, match=r"cannot be called as step\(weights, input, state\)"):
        vector(lambda u, x: x, weights=jnp.ones(2))


def test_fixed_points_of_a_loop_are_found_without_a_derivative_backwards():
    halved = attractor.cell(lambda u, x: looping(0.5, u, x) + 0.1, 1, jnp.zeros(1))
    found = fixed_points(halved)
    np.testing.assert_allclose(found.states, [[0.2]], atol=1e-9)


def test_a_step_that_solves_an_equation_has_a_digest():
    """Its loops hold programs whose constants stand elsewhere, over which the digest stumbled."""

    def solving(u, x):
        solver = optimistix.Newton(rtol=1e-6, atol=1e-6)
        return optimistix.root_find(lambda y, _: y - 0.5 * x, solver, x, throw=False).value + u

    cell = vector(solving)
    assert cell_digest(cell) == cell_digest(cell)
    assert attractor.check_cell(cell)["run"].available


class NeedsKey(attractor.Cell):
    """A step that cannot be had without noise."""

    input_size: int = 1
    hidden_size: int = 2

    def __call__(self, input, state, *, key):
        return jnp.tanh(state + jax.random.normal(key, state.shape))


def test_a_key_without_a_default_is_told_with_the_remedy():
    with pytest.raises(CellError, match="step of NeedsKey has a `key` without a default; write `key=None`"):
        attractor.unroll(NeedsKey(), jnp.ones((3, 1)))
    with pytest.raises(CellError, match="write `key=None`"):
        vector(lambda u, x, key: x + u)


def test_a_module_is_handed_over_as_weights():
    linear = eqx.nn.Linear(2, 2, key=KEY)
    with pytest.raises(ConfigError, match="weights=module"):
        vector(linear)
    cell = vector(lambda module, u, x: jnp.tanh(module(x) + u), weights=linear)
    assert attractor.check_cell(cell)["training"].reason == ""


def test_messages_call_a_function_by_its_name():
    def growing(input, state):
        return jnp.concatenate([state, input])

    with pytest.raises(ShapeError, match="growing turned a state"):
        attractor.check_cell(vector(growing))
