"""`PlantModel` on a small known plant."""

import json
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import attractor
from attractor import Cell, PlantModel
from attractor.cells import GRU, Constant, constant
from attractor.errors import ConfigError, InputDataError, NotFittedError, RunFolderError, ShapeError
from attractor.runs import Run, load_run, save_run
from attractor.training import TrainingSettings

TINY = TrainingSettings(steps=40, batch_size=8, validate_every=20)
ONE_STEP = TrainingSettings(steps=1, batch_size=2, validate_every=1)
QUICK = {"cell": "esn", "training": ONE_STEP}
"""For what has nothing to do with the network: the fit of an echo state network compiles least."""


def plant(samples, seed=0, direct=0.0, noise=1e-3):
    """y_{k+1} = 0.8 y_k + 0.2 tanh(2 u_k), seen with a direct path if asked."""
    inputs = np.random.default_rng(seed).uniform(-1, 1, (samples, 1)).repeat(3, axis=0)[:samples]
    outputs = np.zeros((samples, 1))
    for step in range(1, samples):
        outputs[step] = 0.8 * outputs[step - 1] + 0.2 * np.tanh(2 * inputs[step - 1])
    noise = noise * np.random.default_rng(seed + 1).standard_normal(outputs.shape)
    return inputs, outputs + direct * inputs + noise


class Leaky(Cell):
    weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, input_size + hidden_size)) / hidden_size
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        return 0.8 * state + 0.2 * jnp.tanh(self.weight @ jnp.concatenate([input, state]))


def tiny(**options):
    defaults = {"cell": "gru", "hidden_size": 3, "window": 20, "washout": 5, "training": TINY}
    return PlantModel(**{**defaults, **options})


def follower():
    """A model that learns the plant; whoever trains it on as many rows runs the same programs."""
    return tiny(training=TrainingSettings(steps=400, batch_size=16, learning_rate=2e-2, validate_every=100))


@pytest.fixture(scope="module")
def fitted():
    return follower().fit(*plant(400))


def test_a_simple_plant_is_followed_on_unseen_data(fitted):
    assert fitted.score(*plant(200, seed=7)) > 80


@pytest.mark.parametrize("cell", ["gru", "esn"])
def test_what_the_process_has_set_of_jax_changes_no_bit(cell, tmp_path):
    """`JAX_ENABLE_X64=1` made every fit fail and a sound run unreadable, strict promotion likewise."""
    model, data = tiny(cell=cell, training=ONE_STEP), plant(60)
    usual = model.fit(*data).predict(*data)
    model.save(tmp_path)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        np.testing.assert_array_equal(PlantModel.load(tmp_path).predict(*data), usual)
        again = clone(model).fit(*data)
        np.testing.assert_array_equal(again.predict(*data), usual)
        again.save(tmp_path, overwrite=True)
    np.testing.assert_array_equal(PlantModel.load(tmp_path).predict(*data), usual)


def test_values_outside_float32_are_errors_of_the_input():
    inputs, outputs = plant(60)
    model = tiny(**QUICK).fit(inputs, outputs)
    wrong = np.where(np.arange(60)[:, None] == 7, 1e39, inputs)
    with pytest.raises(InputDataError, match=r"'u0' in row 7 of the inputs, 1e\+39, is outside the numbers"):
        model.predict(wrong)
    validation = (inputs, np.where(np.arange(60)[:, None] == 9, -1e39, outputs))
    with pytest.raises(InputDataError, match=r"in row 9 of recording .*, -1e\+39, is outside the numbers"):
        tiny(**QUICK).fit(inputs, outputs, validation=validation)


def test_rows_that_set_the_state_are_not_predicted(fitted):
    inputs, outputs = plant(60, seed=3)
    predicted = fitted.predict(inputs, outputs)
    assert predicted.shape == (60, 1)
    np.testing.assert_array_equal(np.isnan(predicted[:, 0]), np.arange(60) < 5)
    assert np.isfinite(fitted.predict(inputs)).all()


def test_lists_come_back_as_lists_of_unequal_lengths(fitted):
    runs = [plant(30)[0], plant(50)[0]]
    assert [one.shape for one in fitted.predict(runs)] == [(30, 1), (50, 1)]


def test_saved_and_loaded_it_predicts_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    inputs = plant(40, seed=5)[0]
    np.testing.assert_array_equal(PlantModel.load(tmp_path / "run").predict(inputs), fitted.predict(inputs))


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_data_alone(fitted):
    inputs, outputs = plant(400)
    kept = inputs.copy(), outputs.copy()
    again = follower().fit(inputs, outputs)
    np.testing.assert_array_equal(again.predict(inputs), fitted.predict(inputs))
    np.testing.assert_array_equal(inputs, kept[0])
    np.testing.assert_array_equal(outputs, kept[1])


def test_scaling_looks_at_the_training_part_only():
    inputs, outputs = plant(120)
    changed = outputs.copy()
    changed[100:] += 50.0
    model = tiny(**QUICK)
    plain = model.fit(inputs, outputs).output_scaling_
    other = model.fit(inputs, changed).output_scaling_
    np.testing.assert_array_equal(plain.offset, other.offset)
    np.testing.assert_array_equal(plain.scale, other.scale)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"cell": "lstm", "layers": 2}, marks=pytest.mark.slow),
        {"cell": "nnarx", "washout": 6},
        {"cell": "esn", "hidden_size": 20},
        pytest.param({"cell": "state-space", "initial_state": "washout"}, marks=pytest.mark.slow),
        pytest.param({"cell": "ren", "initial_state": "washout"}, marks=pytest.mark.slow),
        pytest.param({"cell": eqx.nn.GRUCell, "initial_state": "zero"}, marks=pytest.mark.slow),
    ],
    ids=lambda options: str(options["cell"]),
)
def test_every_kind_of_cell_and_start_trains_and_simulates(options):
    inputs, outputs = plant(120)
    model = tiny(**options).fit(inputs, outputs[:, 0])
    assert model.predict(inputs).shape == (120,)
    assert np.isfinite(model.score(inputs, outputs[:, 0]))


@pytest.mark.slow
def test_a_measurable_state_can_be_refined():
    settings = TrainingSettings(steps=20, batch_size=8, validate_every=20, refine=2)
    model = tiny(cell="nnarx", washout=6, training=settings).fit(*plant(120))
    assert model.trained_.history[-1]["method"] == "Gauss-Newton"


def one_step(cell, **options):
    return tiny(cell=cell, training=ONE_STEP, initial_state="washout", **options).fit(*plant(120))


@pytest.fixture(scope="module")
def leaky_model():
    return one_step(Leaky)


@pytest.fixture(scope="module")
def leaky_run(leaky_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaky") / "run"
    leaky_model.save(folder)
    return folder


def test_a_cell_of_the_users_own_must_be_handed_in_again(leaky_model, leaky_run):
    with pytest.raises(RunFolderError, match="cell of your own"):
        PlantModel.load(leaky_run)
    again = PlantModel.load(leaky_run, cell=Leaky)
    inputs = plant(40, seed=5)[0]
    np.testing.assert_array_equal(again.predict(inputs), leaky_model.predict(inputs))


def leaky(leak):
    """A class called Leaky with another update equation."""

    def step(self, input, state, *, key=None):
        return leak * state + (1 - leak) * jnp.tanh(self.weight @ jnp.concatenate([input, state]))

    return type("Leaky", (Leaky,), {"__call__": step, "__qualname__": "Leaky"})


class Stopped(Exception):
    pass


class StopsSoon:
    """A reporter that stops a training at its first validation, after the checkpoint."""

    def update(self, done, total, message):
        raise Stopped

    def close(self):
        pass


def interrupted(model, folder):
    with pytest.raises(Stopped):
        model.fit(*plant(400), folder=folder, reporter=StopsSoon())
    assert (folder / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_training_is_not_resumed_with_another_equation(tmp_path):
    interrupted(tiny(cell=leaky(0.8)), tmp_path)
    with pytest.raises(
        RunFolderError, match="belongs to a training with other data, model, settings, seed or optimiser"
    ):
        tiny(cell=leaky(0.2)).fit(*plant(400), folder=tmp_path)
    tiny(cell=leaky(0.8)).fit(*plant(400), folder=tmp_path)


def test_nothing_deletes_the_checkpoint_of_another_training(tmp_path):
    interrupted(follower(), tmp_path)
    echo = tiny(cell="esn", hidden_size=20)
    with pytest.raises(RunFolderError, match="belongs to a training"):
        echo.fit(*plant(120), folder=tmp_path)
    with pytest.raises(RunFolderError, match="belongs to a training"):
        echo.fit(*plant(120)).save(tmp_path)
    assert (tmp_path / "checkpoint.safetensors").exists()
    follower().fit(*plant(400), folder=tmp_path).save(tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_options_of_a_cell_survive_a_run_folder(tmp_path):
    model, (inputs, _) = one_step(partial(GRU, timescales=(2.0, 30.0))), plant(120)
    model.save(tmp_path / "run")
    again = PlantModel.load(tmp_path / "run")
    assert again.cell.keywords == {"timescales": (2.0, 30.0)}
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))


@pytest.mark.parametrize("noise", [1e-3, 0.0])
@pytest.mark.parametrize(("direct", "expected"), [(0.0, False), (0.5, True)])
def test_a_direct_path_is_found_in_the_data(direct, expected, noise):
    assert tiny(**QUICK).fit(*plant(300, direct=direct, noise=noise)).feedthrough_ is expected


def test_scikit_learn_can_clone_and_set_it():
    model = tiny(cell="lstm")
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    copy.set_params(hidden_size=5, training__steps=7)
    assert (copy.hidden_size, copy.training.steps) == (5, 7)
    with pytest.raises(ConfigError, match="no option"):
        copy.set_params(hiden_size=5)


@pytest.mark.slow
def test_scikit_learn_can_search_over_whole_experiments():
    experiments = [plant(40 + 10 * index, seed=index) for index in range(4)]
    inputs, outputs = zip(*experiments, strict=True)
    # An option that changes no shape: every fit runs the same programs.
    search = GridSearchCV(tiny(**QUICK), {"seed": [0, 1]}, cv=2, error_score="raise")
    search.fit(list(inputs), list(outputs))
    assert [len(one) for one in search.predict(list(inputs))] == [40, 50, 60, 70]
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))


def test_a_failed_fit_leaves_no_half_changed_model():
    model = tiny(**QUICK).fit(*plant(60))
    with pytest.raises(InputDataError):
        model.fit(*broken("constant"))
    with pytest.raises(NotFittedError):
        model.predict(plant(60)[0])


def test_measured_outputs_set_the_state_and_must_fit(fitted):
    inputs, outputs = plant(40, seed=3)
    with pytest.raises(ShapeError, match=r"measured outputs of shape \(39, 1\), expected \(40, 1\)"):
        fitted.predict(inputs, outputs[:-1])
    with pytest.raises(ShapeError, match="2 input columns given, the model was trained with 1"):
        fitted.predict(np.hstack([inputs, inputs]))
    with pytest.raises(InputDataError, match="not longer than the washout"):
        fitted.predict(inputs[:5], outputs[:5])
    gone, later = outputs.copy(), outputs.copy()
    gone[2], later[20] = np.nan, np.nan
    with pytest.raises(InputDataError, match="nan in row 2"):
        fitted.predict(inputs, gone)
    np.testing.assert_array_equal(fitted.predict(inputs, later), fitted.predict(inputs, outputs))


def test_recordings_that_do_not_move_have_no_part_in_the_score(fitted):
    inputs, outputs = plant(60, seed=3)
    resting = np.ones_like(outputs)
    assert fitted.score([inputs, inputs], [outputs, resting]) == fitted.score(inputs, outputs)
    assert np.isnan(fitted.score(inputs, resting))


def test_before_fit_it_says_so():
    with pytest.raises(NotFittedError, match="not fitted") as caught:
        tiny().predict(plant(10)[0])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AttributeError)


def broken(kind):
    inputs, outputs = plant(60)
    if kind == "nan":
        inputs[7] = np.nan
    if kind == "constant":
        inputs[:] = 1.0
    if kind == "short":
        inputs, outputs = inputs[:5], outputs[:5]
    if kind == "unequal":
        outputs = outputs[:-1]
    return inputs, outputs


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", r"'u0' is nan in row 7"),
        ("constant", "'u0' is constant"),
        ("short", "rows"),
        ("unequal", "60 rows of inputs and 59 of outputs"),
    ],
)
def test_recordings_that_cannot_be_used_are_refused_with_the_place(kind, message):
    with pytest.raises(InputDataError, match=message):
        tiny().fit(*broken(kind))


def test_unknown_starts_and_cells_are_refused():
    with pytest.raises(ConfigError, match="initial_state"):
        tiny(initial_state="guess").fit(*plant(60))
    with pytest.raises(ConfigError, match="seed=-1"):
        tiny(seed=-1).fit(*plant(60))
    with pytest.raises(ConfigError, match="did you mean 'gru'"):
        tiny(cell="gro").fit(*plant(60))


def edited(equation, name="Leaky"):
    """`Leaky` as it is after an edit of its step."""

    def step(self, input, state, *, key=None):
        return equation(self, input, state)

    return type(name, (Leaky,), {"__call__": step, "__qualname__": name})


def tanh_to_sin(cell, input, state):
    return 0.8 * state + 0.2 * jnp.sin(cell.weight @ jnp.concatenate([input, state]))


def reordered(cell, input, state):
    return 0.8 * state + 0.2 * jnp.tanh(cell.weight @ jnp.concatenate([state, input]))


@pytest.mark.parametrize("equation", [tanh_to_sin, reordered])
def test_a_run_is_not_read_with_another_equation_of_the_same_shapes(leaky_run, equation):
    with pytest.raises(RunFolderError, match=r"trained with another equation.*a probe differs by 0\.\d+"):
        PlantModel.load(leaky_run, cell=edited(equation))


def test_a_class_of_another_name_and_the_same_equation_is_read(leaky_run):
    renamed = edited(lambda cell, input, state: Leaky.__call__(cell, input, state), "Renamed")
    PlantModel.load(leaky_run, cell=renamed)


def test_a_model_knows_what_it_is_before_it_is_in_a_folder(fitted, tmp_path):
    before = fitted.origin
    fitted.save(tmp_path / "run")
    assert (
        before
        == fitted.origin
        == PlantModel.load(tmp_path / "run").origin
        == load_run(tmp_path / "run").origin
    )


def test_the_card_names_the_file_of_the_cell(leaky_run):
    facts = json.loads((leaky_run / "card.json").read_text())["equation"]["cell_file"]
    assert facts["path"] == __file__
    assert facts["name"] == "Leaky"


class Drawn(Leaky):
    """A gain that Python draws while the cell is built."""

    gain: float

    def __init__(self, input_size, hidden_size, *, key):
        super().__init__(input_size, hidden_size, key=key)
        self.gain = float(np.random.default_rng().uniform(0.1, 0.9))

    def __call__(self, input, state, *, key=None):
        return self.gain * super().__call__(input, state)


def test_a_number_drawn_while_a_cell_is_built_is_kept(tmp_path):
    model = one_step(Drawn)
    model.save(tmp_path / "run")
    again = PlantModel.load(tmp_path / "run", cell=Drawn)
    assert isinstance(again.network().cell.gain, float)
    assert again.network().cell.gain == model.network().cell.gain
    inputs = plant(40, seed=5)[0]
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))


class Asks(Drawn):
    """The same, drawn from the key, whose value is asked for; and a mask that is never trained."""

    mask: Constant

    def __init__(self, input_size, hidden_size, *, key):
        super().__init__(input_size, hidden_size, key=key)
        self.gain = float(jax.random.uniform(key))
        self.mask = constant(np.random.default_rng().uniform(size=hidden_size).astype(np.float32))

    def __call__(self, input, state, *, key=None):
        return self.mask * super().__call__(input, state)


def test_a_cell_that_asks_for_values_while_it_is_built_comes_back(tmp_path):
    model = one_step(Asks)
    model.save(tmp_path / "run")
    inputs = plant(40, seed=5)[0]
    again = PlantModel.load(tmp_path / "run", cell=Asks)
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))


def halving(weights, input, state):
    return 0.5 * state + jnp.tanh(weights * input)


def sines(weights, input, state):
    return 0.5 * state + jnp.sin(weights * input)


def test_a_cell_made_of_a_function_knows_its_equation(tmp_path):
    cell, other = (attractor.cell(step, 1, jnp.zeros(3), weights=jnp.ones(3)) for step in (halving, sines))
    model = one_step(cell)
    model.save(tmp_path / "run")
    inputs = plant(40, seed=5)[0]
    again = PlantModel.load(tmp_path / "run", cell=cell)
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))
    with pytest.raises(RunFolderError, match=f"that of halving in {__file__}: it is read with sines in"):
        PlantModel.load(tmp_path / "run", cell=other)


class Hidden(Drawn):
    """The same in a field that is no leaf, and so is in no file."""

    gain: float = eqx.field(static=True)


def test_a_number_that_cannot_be_kept_is_told_before_it_is_trained_and_before_it_is_saved(tmp_path):
    model = tiny(cell=Hidden, training=ONE_STEP, initial_state="washout")
    message = "Hidden draws something while it is built that a run folder does not keep"
    with pytest.raises(ConfigError, match=message):
        model.fit(*plant(120), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=message):
        model.fit(*plant(120)).save(tmp_path / "run")


class Global(Leaky):
    """A number that another module, or another day, may set; only its read-out is fitted, which is quick."""

    fixed = True

    def __call__(self, input, state, *, key=None):
        return FACTOR["value"] * super().__call__(input, state)


FACTOR = {"value": 0.5}


def test_a_run_is_not_read_when_a_number_outside_of_its_cell_has_changed(tmp_path, monkeypatch):
    one_step(Global).save(tmp_path / "run")
    PlantModel.load(tmp_path / "run", cell=Global)
    monkeypatch.setitem(FACTOR, "value", 0.4)
    with pytest.raises(RunFolderError, match="what it imports, or draws while it is built, is not the same"):
        PlantModel.load(tmp_path / "run", cell=Global)


def test_a_model_that_predicts_otherwise_than_when_it_was_saved_is_refused(tmp_path):
    model = tiny(**QUICK).fit(*plant(60))
    model.save(tmp_path / "run")
    card = tmp_path / "run" / "card.json"
    facts = json.loads(card.read_text())
    facts["equation"]["probe"][-1] += 0.11
    run = load_run(tmp_path / "run")
    save_run(tmp_path / "run", Run(facts, run.weights, run.evaluation), overwrite=True)
    with pytest.raises(RunFolderError, match=r"does not predict what it did when it was saved"):
        PlantModel.load(tmp_path / "run")
