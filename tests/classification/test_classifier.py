"""The estimator: protocol, options, streams, storage, resumption."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_ramps import classifier, ramps
from sklearn.base import clone
from waves import waves

import attractor
from attractor.cells import GRU, Cell
from attractor.classification import NoiseSettings, SequenceClassifier
from attractor.data import Sequences
from attractor.errors import (
    ConfigError,
    DivergedError,
    InputDataError,
    NotFittedError,
    RunFolderError,
    ShapeError,
)
from attractor.training import Reweighting

OPTIONS = {
    "cell": "tanh",
    "hidden_size": 6,
    "readout__convolutions": 0,
    "training__epochs": 12,
    "training__batch_size": 12,
    "training__learning_rate": 0.03,
}


def made(**options):
    """A small classifier; options of nested settings as scikit-learn names them."""
    return SequenceClassifier().set_params(**{**OPTIONS, **options})


class Leaky(Cell):
    input_size: int
    hidden_size: int
    weight: jnp.ndarray

    def __init__(self, input_size, hidden_size, *, key):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = GRU(input_size, hidden_size, key=key).input_weight[:hidden_size]

    def __call__(self, input, state, *, key=None):
        return 0.8 * state + 0.2 * jnp.tanh(self.weight @ input + state)


@pytest.fixture(scope="module")
def data():
    return waves()


@pytest.fixture(scope="module")
def model(data):
    return made().fit(data)


def test_it_learns_what_can_be_learned_and_knows_the_classes(model, data):
    unseen = waves(seed=1)
    assert model.score(unseen) > 0.9
    assert list(model.classes_) == ["fast", "slow"]
    assert set(model.predict(unseen)) <= {"fast", "slow"}
    probabilities = model.predict_proba(unseen)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (probabilities.argmax(axis=1) == model.logits(unseen).argmax(axis=1)).all()


def test_arrays_and_lists_are_as_good_as_sequences(model, data):
    cases = [data.one(case) for case in range(len(data))]
    labels = [data.classes[label] for label in data.labels]
    same = made().fit(cases, labels)
    np.testing.assert_array_equal(same.predict_proba(cases), model.predict_proba(data))
    assert same.score(cases, labels) == model.score(data)


def test_what_the_process_has_set_of_jax_changes_no_bit(tmp_path):
    data = ramps(cases=24)
    model = classifier(labels__reweighting="auto").fit(data)
    usual = model.predict_proba(data), model.predict_step(data.one(0)[0], model.start())[0]
    suspects = model.suspects()
    model.save(tmp_path)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for again in (SequenceClassifier.load(tmp_path), classifier(labels__reweighting="auto").fit(data)):
            np.testing.assert_array_equal(again.predict_proba(data), usual[0])
            np.testing.assert_array_equal(again.predict_step(data.one(0)[0], again.start())[0], usual[1])
        np.testing.assert_array_equal(again.suspects().weights, suspects.weights)


@pytest.mark.parametrize("value", [1e39, -1e39, np.inf])
def test_a_value_outside_float32_is_an_error_of_the_input_and_poisons_no_stream(value):
    """It was checked in float64 and computed in float32: NaN for ever, after twenty good samples too."""
    data, model = ramps(cases=24), classifier().fit(ramps(cases=24))
    row, bad = data.one(0)[0], np.array([value, 0.0, 0.0])
    _, stream = model.predict_step(row, model.start())
    with pytest.raises(InputDataError, match=r"'up_x' of this sample, -?(1e\+39|inf), is outside"):
        model.predict_step(bad, stream)
    assert np.isfinite(model.predict_step(row, stream)[0]).all()
    if np.isfinite(value):
        with pytest.raises(InputDataError, match=r"case 1, step 0, variable 'up_x': -?1e\+39 is out"):
            model.predict_proba(Sequences(np.array([[row], [bad]]), np.ones(2, int), data.names))


def test_a_stream_that_holds_no_numbers_says_so_and_can_be_begun_anew():
    data, model = ramps(cases=24), classifier().fit(ramps(cases=24))
    row = data.one(0)[0]
    (state, shown, steps, none), gaps = model.start()
    poisoned = (state * np.nan, shown, steps, none), gaps
    with pytest.raises(DivergedError, match="since an earlier sample; begin anew with `start`"):
        model.predict_step(row, poisoned)
    model.replicas_ = jax.tree.map(
        lambda leaf: leaf * np.inf if hasattr(leaf, "shape") else leaf, model.replicas_
    )
    with pytest.raises(DivergedError, match="as good as before: leave the sample out"):
        model.predict_step(row, model.start())
    with pytest.raises(DivergedError, match="case 0: the network left the finite numbers"):
        model.predict(data)


def test_whole_numbers_come_back_as_they_were(data):
    model = made(training__epochs=1).fit(data.values[:, :8], data.labels + 5)
    assert model.classes_.tolist() == [5, 6]
    assert model.predict(data.values[:, :8]).dtype.kind == "i"


@pytest.mark.slow
def test_a_stream_ends_where_the_whole_sequence_does(model, data):
    for pooling in ("last", "mean"):
        other = model if pooling == "last" else made(readout__pooling="mean").fit(data)
        stream = other.start()
        for row in data.one(3):
            probabilities, stream = other.predict_step(row, stream)
        np.testing.assert_allclose(probabilities, other.predict_proba(data.select([3]))[0], atol=1e-5)


def test_variables_are_found_by_name(model, data):
    turned = data.chosen(("noise", "wave"))
    np.testing.assert_array_equal(model.predict_proba(turned), model.predict_proba(data))


def test_what_lies_beyond_a_case_changes_nothing(model, data):
    whole = data.values.copy()
    whole[~data.valid] = 7.0
    garbage = Sequences(whole, data.lengths, data.names)
    np.testing.assert_array_equal(model.predict_proba(garbage), model.predict_proba(data))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"cell": "lstm", "noise__additive": 0.05, "noise__multiplicative": 0.1, "noise__annealing": 0.0},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "cell": "lipschitz",
                "readout__pooling": "mean",
                "noise": NoiseSettings(0.05, dropout=0.1, input_dropout=0.1),
            },
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"cell": "mgrn", "groups": "wave, noise", "hidden_size": 4, "labels__coteaching": 0.2},
            marks=pytest.mark.slow,
        ),
        {"cell": Leaky, "layers": 2, "labels__reweighting": "auto"},
        pytest.param(
            {"cell": "gru", "noise": NoiseSettings(0.1, form="flatness+curvature")}, marks=pytest.mark.slow
        ),
        pytest.param(
            {
                "cell": "gru",
                "labels__loss": "early-learning",
                "labels__reweighting": Reweighting(strength=0.1, balance="class"),
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["lstm", "lipschitz", "mgrn", "own cell", "curvature", "early learning"],
)
def test_every_kind_trains_and_comes_back_from_a_folder(options, data, tmp_path):
    model = made(**{"training__epochs": 4, **options}).fit(data)
    model.save(tmp_path / "run")
    own = options["cell"] if options["cell"] is Leaky else None
    again = SequenceClassifier.load(tmp_path / "run", cell=own)
    np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))
    np.testing.assert_array_equal(again.suspects().positions, model.suspects().positions)
    assert again.labels.reweighting == model.labels.reweighting


class Drawn(Leaky):
    """A gain that Python draws while the cell is built."""

    gain: float

    def __init__(self, input_size, hidden_size, *, key):
        super().__init__(input_size, hidden_size, key=key)
        self.gain = float(np.random.default_rng().uniform(0.1, 0.9))

    def __call__(self, input, state, *, key=None):
        return self.gain * super().__call__(input, state)


class Edited(Drawn):
    def __call__(self, input, state, *, key=None):
        return self.gain * jnp.sin(super().__call__(input, state))


@pytest.fixture(scope="module")
def drawn(data):
    return made(training__epochs=1, cell=Drawn).fit(data)


@pytest.fixture(scope="module")
def drawn_run(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "run"
    drawn.save(folder)
    return folder


def test_a_cell_of_ones_own_must_be_handed_in_again(drawn_run):
    with pytest.raises(RunFolderError, match="cell of your own"):
        SequenceClassifier.load(drawn_run)


def test_a_run_keeps_what_a_cell_drew_and_is_not_read_with_another_equation(drawn, drawn_run, data):
    again = SequenceClassifier.load(drawn_run, cell=Drawn)
    assert isinstance(again.network().cell.gain, float)
    np.testing.assert_array_equal(again.predict_proba(data), drawn.predict_proba(data))
    with pytest.raises(RunFolderError, match=r"was trained with another equation.*read with Edited in"):
        SequenceClassifier.load(drawn_run, cell=Edited)


def test_missing_values_need_a_policy_and_stream():
    gaps = waves(missing=0.2)
    with pytest.raises(InputDataError, match="choose what becomes of missing"):
        made().fit(gaps)
    model = made(training__epochs=3, missing="forward+mask+age").fit(gaps)
    stream = model.start()
    for row in gaps.one(0):
        probabilities, stream = model.predict_step(row, stream)
    np.testing.assert_allclose(probabilities, model.predict_proba(gaps.select([0]))[0], atol=1e-5)


@pytest.mark.slow
def test_mgrn_takes_missing_values_as_they_are_and_owns_the_masks():
    gaps = waves(missing=0.2)
    model = made(training__epochs=2, cell="mgrn", missing="cell").fit(gaps)
    assert np.isfinite(model.predict_proba(gaps)).all()
    assert model.set_params(missing="forward+mask").make_plan().groups == ((0, 2), (1, 3))


@pytest.mark.slow
def test_wrong_labels_are_ranked_first_and_lose_weight():
    data = waves(cases=60, seed=2)
    wrong = np.arange(0, 60, 7)
    labels = data.labels.copy()
    labels[wrong] = 1 - labels[wrong]
    noisy = data.relabelled(np.array(data.classes)[labels])
    model = made(  # a network that learns the task: the losses of one that has not say nothing of labels
        cell="gru",
        hidden_size=8,
        training__epochs=25,
        labels__reweighting="auto",
        training__validation_share=0,
        training__keep="last",
    ).fit(noisy)
    suspects = model.suspects()
    assert len(set(suspects.positions[: len(wrong)]) & set(wrong)) >= len(wrong) - 1
    assert suspects.weights[: len(wrong)].mean() < 0.2
    assert (suspects.proposed[:3] != suspects.labels[:3]).all()
    assert suspects.ids[0] == f"case {suspects.positions[0]}"
    np.testing.assert_array_equal(
        np.argsort(-suspects.in_order_of_cases(), kind="stable"), suspects.positions
    )
    weights = model.case_history_.weights_over_time()
    np.testing.assert_allclose(
        weights[-1], model.case_history_.weights, rtol=0.05, atol=0.01
    )  # half precision


@pytest.mark.slow
def test_cases_of_one_patient_stay_together_and_share_a_weight(data):
    patients = np.arange(len(data)) // 4
    model = made(training__epochs=4, labels__reweighting=Reweighting(strength=1.0, warmup=0.0))
    model.fit(data, weight_groups=patients)
    kept = np.array([int(name.split()[1]) for name in model.training_ids_]) // 4
    assert all((kept == patient).sum() in (0, 4) for patient in range(12))
    for patient in np.unique(kept):
        assert np.ptp(model.case_history_.weights[kept == patient]) == 0


def test_a_killed_fit_goes_on_to_the_same_bits(model, data, tmp_path):
    class Killed(Exception):
        pass

    class Killer:
        left = 5

        def update(self, *_):
            self.left -= 1
            if not self.left:
                raise Killed

        def close(self):
            pass

    with pytest.raises(Killed):
        made().fit(data, folder=tmp_path, reporter=Killer())
    with pytest.raises(RunFolderError, match="another"):
        made(seed=1).fit(data, folder=tmp_path)
    again = made().fit(data, folder=tmp_path)
    np.testing.assert_array_equal(again.decision_function(data), model.decision_function(data))


def test_the_protocol_of_scikit_learn(model, data):
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(data)
    assert copy.set_params(hidden_size=3).hidden_size == 3
    with pytest.raises(ConfigError, match="hiden_size"):
        copy.set_params(hiden_size=3)
    assert attractor.SequenceClassifier is SequenceClassifier


def test_too_few_patients_for_a_validation_are_told(data):
    with pytest.warns(UserWarning, match="no case could be kept for validation"):
        made(training__epochs=1).fit(data, weight_groups=np.zeros(len(data), int))


def test_validation_cases_of_ones_own_are_used(model, data):
    kept = len(model.training_ids_)  # as many as without: the same programs
    own = made().fit(data.select(np.arange(kept)), validation=data.select(np.arange(kept, len(data))))
    assert kept < len(data)
    assert len(own.training_ids_) == kept


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hidden_size", 0),
        ("training__epochs", 0),
        ("noise__additive", -1.0),
        ("noise__dropout", 1.0),
        ("noise__annealing", 2.0),
        ("training__learning_rate", 0.0),
        ("readout__pooling", "max"),
        ("missing", "guess"),
        ("training__keep", "all"),
        ("labels__reweighting", "strong"),
        ("training__validation_share", 1.0),
    ],
)
def test_bad_options_are_named(option, value, data):
    with pytest.raises(ConfigError, match=option.rpartition("__")[2]):
        made(**{option: value}).fit(data)


def test_bad_data_say_where(model, data):
    with pytest.raises(InputDataError, match="labels for 48 cases"):
        made().fit(data, [1, 2])
    with pytest.raises(InputDataError, match="needs two or more"):
        made().fit(data, ["a"] * len(data))
    with pytest.raises(ShapeError, match="trained with 2"):
        model.predict(np.zeros((3, 8, 5)))
    with pytest.raises(ConfigError, match="without noise"):
        made(noise__form="flatness").fit(data)
    with pytest.raises(ConfigError, match="without dropout"):
        made(noise=NoiseSettings(0.1, form="flatness"), readout__pooling="mean").fit(data)
    with pytest.raises(ShapeError, match=r"expected \(2,\)"):
        model.predict_step(np.zeros(3), model.start())
    with pytest.raises(InputDataError, match="does not know: other"):
        model.score(waves(cases=2).relabelled(["fast", "other"]))
    with pytest.raises(ConfigError, match="unknown loss"):
        made(labels__loss="crossentropy").fit(data)
    with pytest.raises(ConfigError, match="takes none"):
        made(groups="wave, noise").fit(data)
