"""What both estimators share: parameters, pickling, names of columns, and scikit-learn's own checks."""

import pickle
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from attractor import PlantModel, SequenceClassifier, estimators
from attractor.cells import Elman
from attractor.classification import EpochSettings, LabelSettings, NoiseSettings, ReadoutSettings
from attractor.data import Experiment, Record, Sequences, Signal
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.settings import Settings
from attractor.training import Reweighting, TrainingSettings

DRAW = np.random.default_rng(0)
WAVES = DRAW.normal(size=(24, 8, 2)) + np.linspace(0, 1, 8)[:, None] * np.repeat([-3, 3], 12)[:, None, None]
KINDS = np.repeat(["down", "up"], 12)
LOG = DRAW.uniform(-1, 1, (60, 2))
ANSWER = np.convolve(LOG[:, 0] - LOG[:, 1], 0.5 ** np.arange(1, 6))[:60]


def classifier(**options):
    training = EpochSettings(epochs=4, batch_size=12, learning_rate=0.05)
    readout = ReadoutSettings(convolutions=84)
    usual = {"cell": "tanh", "hidden_size": 3, "readout": readout, "training": training}
    return SequenceClassifier(**{**usual, **options})


def plant(**options):
    training = TrainingSettings(steps=2, validate_every=2, batch_size=2)
    usual = {
        "cell": "esn",
        "hidden_size": 4,
        "washout": 1,
        "window": 5,
        "initial_state": "zero",
        "validation_share": 0.3,  # the checks give ten rows: of them three, more than the washout takes
    }
    return PlantModel(**{**usual, "training": training, **options})


@pytest.fixture(scope="module")
def fitted():
    return classifier().fit(WAVES, KINDS)


@pytest.fixture(scope="module")
def identified():
    return plant().fit(LOG, ANSWER)


NO_BASE = "it raises the house's own NotFittedError, with the same bases; scikit-learn is no dependency"
EARLY = "options are checked when an estimator is made, so that a mistake is told where it is written"
NESTED = "settings of their own kind are defaults; scikit-learn allows plain values only"
NAN = "the message names the value as Python prints it, nan, and says what to do about it"
SHAPES = "the house's messages name shapes in their own words"
TIME = "rows are samples in time: what comes before a row decides the output"
DRAWN = "validation is drawn from all cases, also from those that count nothing"
TIMES = "columns of a table (cases, time) are times; series of any length are taken"
PLANT_EXCLUDED = {
    "check_fit_score_takes_y": "its arguments are inputs and outputs, the words of the field",
    "check_estimators_unfitted": NO_BASE,
    "check_do_not_raise_errors_in_init_or_set_params": EARLY,
    "check_parameters_default_constructible": NESTED,
    "check_dtype_object": "a dictionary among the numbers is refused in the house's own words",
    "check_estimators_nan_inf": NAN,
    "check_n_features_in_after_fitting": SHAPES,
    "check_estimators_empty_data_messages": SHAPES,
    "check_fit2d_1sample": SHAPES,
    "check_fit2d_predict1d": SHAPES,
    "check_regressors_train": "a list holds one array for each recording, not the rows of one",
    "check_methods_sample_order_invariance": TIME,
    "check_methods_subset_invariance": TIME,
    "check_fit1d": "an array (time,) is one input",
}
CLASSIFIER_EXCLUDED = {
    "check_estimators_unfitted": NO_BASE,
    "check_do_not_raise_errors_in_init_or_set_params": EARLY,
    "check_parameters_default_constructible": NESTED,
    "check_dtype_object": "arrays of objects are refused: their numbers may be anything",
    "check_estimators_nan_inf": "NaN is a missing value; the message says which policies there are",
    "check_estimators_empty_data_messages": SHAPES,
    "check_fit2d_1sample": SHAPES,
    "check_fit2d_predict1d": SHAPES,
    "check_n_features_in": TIMES,
    "check_n_features_in_after_fitting": TIMES,
    "check_classifiers_train": "series of any length are taken",
    "check_sample_weight_equivalence_on_dense_data": DRAWN,
    "check_methods_subset_invariance": "float32: a case alone is rounded in another way than among others",
    "check_supervised_y_2d": "labels (cases, 1) are refused: they scored a perfect model 0.5",
}
COMPILE_MUCH = {
    "check_class_weight_classifiers",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit_check_is_fitted",
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_regressor_data_not_an_array",
    "check_regressor_multioutput",
    "check_regressors_int",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weights_list",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_shape",
}
"""Several trainings, or data of other shapes: seconds each, in programs to build; run with the slow tests."""


def checks(estimator, excluded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it derives from no class of scikit-learn
        found = list(estimator_checks_generator(estimator))
    assert set(excluded) <= {check.func.__name__ for _, check in found}
    for made, check in found:
        name = check.func.__name__
        marks = [pytest.mark.xfail(reason=excluded[name])] if name in excluded else []
        slow = name in COMPILE_MUCH
        yield pytest.param(made, check, marks=[*marks, *([pytest.mark.slow] if slow else [])])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [*checks(plant(), PLANT_EXCLUDED), *checks(classifier(), CLASSIFIER_EXCLUDED)],
    ids=lambda one: getattr(getattr(one, "func", None), "__name__", type(one).__name__),
)
def test_what_scikit_learn_asks_of_every_estimator(estimator, check):
    check(estimator)


def test_options_of_settings_are_reached_at_any_depth():
    model = classifier(labels=LabelSettings(reweighting=Reweighting(strength=1.0)))
    names = set(model.get_params())
    assert {"training__epochs", "labels__reweighting__strength", "noise__additive"} <= names
    model.set_params(labels__reweighting__strength=2, training__epochs=7, training__keep="last", seed=5)
    assert (model.labels.reweighting.strength, model.training.epochs, model.seed) == (2.0, 7, 5)
    copy = clone(model)
    same = {name: value for name, value in copy.get_params().items() if not isinstance(value, Settings)}
    assert same.items() <= model.get_params().items()
    assert len(model.get_params(deep=False)) <= 12
    assert len(plant().get_params(deep=False)) <= 12


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("hiden_size", 3, r"has no option 'hiden_size'; did you mean 'hidden_size'\?"),
        ("training__epoch", 3, r"training \(EpochSettings\) has no option 'epoch'; did you mean 'epochs'\?"),
        ("training__epochs", "2", "epochs='2': expected a whole number .*; write 2, without quotes"),
        ("labels__reweighting__strength", 1.0, "reweighting is None, which has no options of its own"),
        ("hidden_size__units", 3, "hidden_size is 3, which has no options of its own"),
    ],
)
def test_an_option_that_cannot_be_set_is_named(option, value, message):
    with pytest.raises(ConfigError, match=message):
        classifier().set_params(**{option: value})


@pytest.mark.parametrize(
    "options", [{"hidden_size": 8.5}, {"seed": -1}, {"layers": True}, {"missing": "guess"}]
)
def test_a_value_that_makes_no_sense_is_named_when_the_estimator_is_made(options):
    (name, _), *_ = options.items()
    with pytest.raises(ConfigError, match=f"{name}=.*: expected"):
        classifier(**options)
    with pytest.raises(ConfigError, match=f"{name}=.*: expected"):
        classifier().set_params(**options).fit(WAVES, KINDS)


def test_fitted_estimators_can_be_pickled(fitted, identified, tmp_path):
    encoded = plant(cell="tanh", hidden_size=2, initial_state="encoder").fit(LOG, ANSWER)
    chain = plant(cell="nnarx", hidden_size=2, washout=5, window=8).fit(LOG, ANSWER)
    for model, data in ((fitted, WAVES), (identified, LOG), (encoded, LOG), (chain, LOG)):
        joblib.dump(model, tmp_path / "model")
        for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):  # noqa: S301
            np.testing.assert_array_equal(again.predict(data), model.predict(data))
            assert again.origin == model.origin


@pytest.mark.slow
def test_fitted_estimators_work_in_other_processes(fitted, identified):
    for model, data in ((fitted, WAVES), (identified, LOG)):
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(model.predict)(data) for _ in range(2))
        for one in found:
            np.testing.assert_array_equal(one, model.predict(data))


def test_two_classes_have_one_decision_value(fitted):
    values, chances = fitted.decision_function(WAVES), fitted.predict_proba(WAVES)
    assert values.shape == (24,)
    np.testing.assert_array_equal(values > 0, fitted.predict(WAVES) == "up")
    np.testing.assert_allclose(values, fitted.temperature_ * np.log(chances[:, 1] / chances[:, 0]), rtol=1e-6)
    assert get_scorer("roc_auc")(fitted, WAVES, KINDS) > 0.9
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), cv=2).fit(WAVES, KINDS)
    assert (calibrated.predict(WAVES) == KINDS).mean() > 0.9


def test_a_fit_that_fails_leaves_nothing_learned():
    model = plant().fit(LOG, ANSWER)
    check_is_fitted(model)
    with pytest.raises(InputDataError, match="nan in row 0"):
        model.fit(LOG * np.nan, ANSWER)
    asked = classifier(noise=NoiseSettings(additive=0.1), cell="no such cell")
    with pytest.raises(ConfigError, match="no such cell"):
        asked.fit(WAVES, KINDS)
    for failed in (model, asked):
        assert not [name for name in vars(failed) if name.endswith("_")]
        with pytest.raises(SklearnNotFittedError):
            check_is_fitted(failed)


def test_a_plant_without_inputs_is_refused():
    with pytest.raises(ShapeError, match=r"inputs\[0\] has shape \(60, 0\).* at least one channel"):
        plant().fit(LOG[:, :0], ANSWER)


def test_a_search_reaches_options_of_settings():
    grid = {"training__seeds": [1, 2], "hidden_size": [3, 4]}
    search = GridSearchCV(plant(), grid, cv=2, error_score="raise").fit(LOG, ANSWER)
    assert search.best_params_.keys() == grid.keys()
    assert search.best_estimator_.training.seeds == search.best_params_["training__seeds"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_searches_and_wrappers_of_scikit_learn_take_a_classifier():
    grid = {"training__epochs": [1, 4], "labels__loss": ["cross-entropy", "label-smoothing"]}
    alone = classifier(readout=ReadoutSettings(convolutions=0))
    search = GridSearchCV(alone, grid, cv=2, error_score="raise").fit(WAVES, KINDS)
    assert search.best_params_.keys() == grid.keys()
    scores = cross_val_score(classifier(), WAVES, KINDS, cv=3, scoring="roc_auc")
    assert np.isfinite(scores).all()
    kinds = np.where(np.arange(24) % 3 == 0, "flat", KINDS)
    assert OneVsRestClassifier(classifier()).fit(WAVES, kinds).predict(WAVES).shape == (24,)


def test_labels_of_another_shape_are_refused(fitted):
    assert fitted.score(WAVES, KINDS) > 0.9
    for truth in (KINDS[:, None], KINDS[:1], KINDS[0]):
        with pytest.raises(ShapeError, match=r"expected \(24,\), one label for each case"):
            fitted.score(WAVES, truth)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", 1] * 12, "labels mix texts and others, such as 'a' and 1"),
        ([0, pd.NA] * 12, r"case 1 has no label \(<NA>\)"),
        ([0.0, np.nan] * 12, "case 1 has no label"),
        ([0.0, 0.5] * 12, "case 1 has the label 0.5; classes are texts or whole numbers"),
    ],
)
def test_labels_that_are_no_classes_are_named(labels, message):
    with pytest.raises(InputDataError, match=message):
        classifier().fit(WAVES, np.array(labels, object) if "mix" in message or "NA" in message else labels)


def test_labels_given_as_floats_know_validation_cases_by_their_class():
    apart = WAVES[[0, 1, -2, -1]]  # as many as `fit` keeps of all: the same programs
    judges = Sequences.from_arrays(apart, np.repeat([0, 1], 2))
    model = classifier().fit(WAVES[2:-2], np.repeat([0.0, 1.0], 10), validation=judges)
    assert model.classes_.dtype.kind == "f"
    assert model.score(judges) == model.score(apart, np.repeat([0.0, 1.0], 2))


def frames(columns=("a", "b")):
    return [pd.DataFrame(case, columns=list(columns)) for case in WAVES]


def test_columns_of_tables_are_found_by_name(fitted):
    model = classifier().fit(frames(), KINDS)
    assert model.names_ == ("a", "b")
    expected = fitted.predict_proba(WAVES)
    turned = [frame[["b", "a"]].assign(c=0.0) for frame in frames()]
    mixed = [frame if place % 2 else turned[place] for place, frame in enumerate(frames())]
    for cases in (frames(), turned, mixed, WAVES):
        np.testing.assert_array_equal(model.predict_proba(cases), expected)
    np.testing.assert_array_equal(
        fitted.predict_proba(frames()), expected
    )  # it has no names: the order counts
    np.testing.assert_array_equal(
        classifier().fit([frames()[0], *mixed[1:]], KINDS).predict_proba(WAVES), expected
    )
    with pytest.raises(InputDataError, match=r"no variable 'a'; there are: x, b"):
        model.predict(frames(("x", "b")))
    with pytest.raises(InputDataError, match=r"case 3 has no column 'b'; it has a"):
        model.predict([*frames()[:3], frames()[3][["a"]]])


def test_a_plant_model_finds_its_signals_by_name():
    log, answer = (
        pd.DataFrame(LOG, columns=["valve", "pump"]),
        pd.DataFrame({"level": ANSWER, "flow": ANSWER**2}),
    )
    model = plant().fit(log, answer)
    assert [one.name for one in model.signals_.inputs] == ["valve", "pump"]
    expected = plant().fit(LOG, answer.to_numpy()).predict(LOG)
    np.testing.assert_array_equal(model.predict(log[["pump", "valve"]]), expected)
    np.testing.assert_array_equal(model.predict(LOG), expected)
    assert model.score(log[["pump", "valve"]], answer[["flow", "level"]]) == model.score(log, answer)
    both = plant().fit([log, log[["pump", "valve"]]], [answer, answer[["flow", "level"]]])
    assert [one.name for one in both.signals_.outputs] == ["level", "flow"]
    np.testing.assert_array_equal(both.input_scaling_.offset, both.input_scaling_.offset)
    with pytest.raises(InputDataError, match=r"inputs\[0\] has no column 'valve'; it has pump"):
        model.predict(log[["pump"]])


def test_what_is_masked_or_marked_is_missing():
    hidden = np.ma.masked_array(WAVES, np.broadcast_to(np.arange(8)[:, None] == [3, 9], WAVES.shape))
    with pytest.raises(InputDataError, match="case 0, step 3, variable 'v1' is missing"):
        classifier().fit(list(hidden), KINDS)
    marked = [pd.DataFrame(one, columns=["a", "b"]).convert_dtypes() for one in WAVES]
    marked[2].iloc[5, 1] = pd.NA
    with pytest.raises(InputDataError, match="case 2, step 5, variable 'b' is missing"):
        classifier().fit(marked, KINDS)
    with pytest.raises(InputDataError, match="'u0' is nan in row 7"):
        plant().fit(np.ma.masked_array(LOG, np.arange(60)[:, None] == [7, 70]), ANSWER)


def test_tables_of_other_forms_are_refused_by_name():
    long = pd.concat(frames(), keys=range(24))
    with pytest.raises(InputDataError, match="a DataFrame with a MultiIndex"):
        classifier().fit(long, KINDS)
    with pytest.raises(InputDataError, match="a long DataFrame with the columns case, t, a, b"):
        classifier().fit(long.reset_index(names=["case", "t"]), KINDS)
    nested = pd.DataFrame({"wave": [pd.Series(one[:, 0]) for one in WAVES]})
    with pytest.raises(InputDataError, match="give series in cells as a list"):
        classifier().fit(nested, KINDS)
    with pytest.raises(InputDataError, match=r"columns \['a', 2\]; expected names that are texts"):
        classifier().fit(frames(("a", 2)), KINDS)
    wide = pd.DataFrame(WAVES[:, :, 0])
    once = EpochSettings(epochs=1, validation_share=0.0)
    assert classifier(training=once).fit(wide, KINDS).names_ == ("v1",)


def test_a_plant_model_predicts_what_it_was_fitted_on():
    log = Record((Signal("valve"), Signal("pump")), (Signal("level"),), (
        Experiment("one", LOG[:40], ANSWER[:40, None]),
        Experiment("two", LOG[40:], ANSWER[40:, None]),
    ))  # fmt: skip
    model = plant(initial_state="washout", washout=3).fit(log)
    first, second = model.predict(log)
    np.testing.assert_array_equal(first, model.predict(LOG[:40], ANSWER[:40]))
    assert second.shape == (20, 1)
    turned = Record(log.inputs[::-1], log.outputs, tuple(
        Experiment(one.name, one.inputs[:, ::-1], one.outputs) for one in log.experiments
    ))  # fmt: skip
    np.testing.assert_array_equal(model.predict(turned)[0], first)
    assert model.score(turned) == model.score(log)


def test_a_cell_that_missing_values_spoil_is_refused_for_them():
    gaps = WAVES.copy()
    gaps[3, 2, 1] = np.nan
    with pytest.raises(
        ConfigError, match="missing='cell': 'tanh' does not know what to do with a missing value"
    ):
        classifier(missing="cell").fit(gaps, KINDS)
    once = EpochSettings(epochs=1, validation_share=0.0)
    model = classifier(cell="mgrn", hidden_size=2, missing="cell", training=once)
    assert np.isfinite(model.fit(gaps, KINDS).logits(gaps)).all()


def test_weights_of_cases_and_classes_enter_the_loss():
    rare = np.where(np.arange(24) < 17, "down", "up")  # 20 to train on, as of KINDS: the same programs
    noise = np.random.default_rng(1).normal(size=(24, 8, 2))
    plain, balanced = (classifier(class_weight=one).fit(noise, rare) for one in (None, "balanced"))
    # Of noise no class can be learned but how often it comes: 7 of 24, or half of the weight.
    rare_share = [one.predict_proba(noise)[:, 1].mean() for one in (plain, balanced)]
    assert rare_share[0] + 0.05 < rare_share[1] < 0.6
    by_hand = np.where(rare == "up", 24 / (2 * 7), 24 / (2 * 17))
    for same in (
        classifier(class_weight={"up": by_hand[-1], "down": by_hand[0]}).fit(noise, rare),
        classifier().fit(noise, rare, by_hand),
        classifier(class_weight={"up": 17 / 7}).fit(noise, rare),
    ):
        np.testing.assert_allclose(same.logits(noise), balanced.logits(noise), atol=1e-5)
    np.testing.assert_array_equal(
        classifier().fit(noise, rare, np.ones(24)).logits(noise), plain.logits(noise)
    )
    right = plain.predict(noise) == rare
    assert plain.score(noise, rare, by_hand) == pytest.approx(np.average(right, weights=by_hand))


@pytest.mark.parametrize(
    ("options", "weights", "error", "message"),
    [
        (
            {"class_weight": "equal"},
            None,
            ConfigError,
            "class_weight='equal': expected 'balanced' or a dict or None",
        ),
        ({"class_weight": {"left": 2}}, None, ConfigError, "one of the classes down, up"),
        (
            {"class_weight": {"up": -2}},
            None,
            ConfigError,
            r"class_weight=\{'up': -2\}: expected a number of at least 0",
        ),
        (
            {},
            np.ones(3),
            InputDataError,
            r"sample_weight of shape \(3,\): expected a number of at least 0 for each of 24",
        ),
        ({}, -np.ones(24), InputDataError, "expected a number of at least 0"),
        ({}, np.zeros(24), InputDataError, "the weights of all cases are zero"),
    ],
)
def test_weights_that_cannot_be_are_named(options, weights, error, message):
    with pytest.raises(error, match=message):
        classifier(**options).fit(WAVES, KINDS, weights)


def test_an_estimator_prints_as_scikit_learns_do():
    assert repr(SequenceClassifier(hidden_size=4)) == "SequenceClassifier(hidden_size=4)"
    assert repr(PlantModel()) == "PlantModel()"
    short = SequenceClassifier(cell="lstm", class_weight="balanced").set_params(training__epochs=2)
    assert repr(short) == (
        "SequenceClassifier(cell='lstm', class_weight='balanced', training=EpochSettings(epochs=2))"
    )
    own = PlantModel(cell=Elman)
    assert repr(own) == "PlantModel(cell=Elman)"


def test_a_fitted_estimator_says_what_it_learned(fitted, identified):
    for model in (fitted, identified):
        lines = repr(model).splitlines()
        assert lines[0].startswith(f"{type(model).__name__}(")
        assert lines[-1] == "next: .predict(...), .score(...), .save(folder)"
        assert len(lines) <= 6
        assert any(line.startswith("fitted: ") for line in lines)
    assert any(
        line.startswith(f"fitted: replica {identified.chosen_} is chosen: ")
        for line in repr(identified).splitlines()
    )
    assert any(
        "cross-entropy" in line and "of the validation cases" in line for line in repr(fitted).splitlines()
    )
    assert "24 cases learned from" in repr(fitted).splitlines()[1]
    assert str(fitted.classes_[0]) in repr(fitted).splitlines()[1]


def test_an_estimator_is_shown_in_a_notebook_with_and_without_scikit_learn(fitted, monkeypatch):
    shown = fitted._repr_html_()
    assert "SequenceClassifier" in shown
    assert "fitted: random convolutions" in shown
    assert 'src="http' not in shown
    monkeypatch.setitem(sys.modules, "sklearn.utils", None)
    own = fitted._repr_html_()
    assert own.startswith("<div><p><b>SequenceClassifier(")
    assert "fitted: random convolutions" in own


def test_a_search_shows_itself_with_an_estimator_inside():
    search = GridSearchCV(SequenceClassifier(), {"hidden_size": [2, 4]})
    assert "SequenceClassifier()" in repr(search)
    assert "SequenceClassifier" in search._repr_html_()


def test_a_fit_reports_where_somebody_waits_and_takes_the_reporter_that_is_given(monkeypatch):
    class Heard:
        def __init__(self):
            self.updates = 0

        def update(self, done, total, message=""):
            self.updates += 1

        def close(self):
            pass

    waiting, given = Heard(), Heard()
    monkeypatch.setattr(estimators, "interactive_reporter", lambda title: waiting)
    model = classifier().fit(WAVES, KINDS)
    assert waiting.updates > 0
    before = waiting.updates
    model.fit(WAVES, KINDS, reporter=given)
    assert given.updates > 0
    assert waiting.updates == before
