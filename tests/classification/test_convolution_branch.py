"""The ridge regression on random convolutions, and the network that corrects it."""

import jax.numpy as jnp
import numpy as np
import pytest
from labelled_ramps import classifier, ramps
from sklearn.linear_model import RidgeCV

from attractor.classification import ReadoutSettings, SequenceClassifier, robustness_study
from attractor.classification.convolution_branch import recurrent_share, reweighted_ridge
from attractor.classification.ridge import PENALTIES, fit_ridge
from attractor.classification.suspects import confidently_other
from attractor.errors import DataWarning

DRAW = np.random.default_rng(0)
BRANCHED = {"readout__convolutions": 168, "training__epochs": 3}


def refitted(features, targets, penalty, weights):
    """Weights and intercept of one ridge regression, from its normal equations."""
    rows = np.hstack([features, np.ones((len(features), 1))])
    matrix = rows.T @ (weights[:, None] * rows) + penalty * np.diag([*np.ones(features.shape[1]), 0])
    return np.linalg.solve(matrix, rows.T @ (weights[:, None] * targets))


@pytest.mark.parametrize("features", [5, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_out_is_what_a_fit_without_the_case_says(features, weighted):
    rows, labels = DRAW.normal(size=(20, features)), np.arange(20) % 3
    targets = 2.0 * np.eye(3)[labels] - 1
    weights = DRAW.uniform(0.2, 3, 20) if weighted else np.ones(20)
    weights /= weights.mean()
    found = fit_ridge(rows, targets, weights if weighted else None)
    whole = refitted(rows, targets, found.penalty, weights)
    np.testing.assert_allclose(found.weight, whole[:-1], atol=1e-9)
    np.testing.assert_allclose(found.bias, whole[-1], atol=1e-9)
    for case in range(20):
        others = np.arange(20) != case
        centre = weights[others] @ rows[others] / weights[others].sum()
        one = refitted(rows[others] - centre, targets[others], found.penalty, weights[others])
        left_out = (rows[case] - centre) @ one[:-1] + one[-1]
        np.testing.assert_allclose(found.left_out[case], left_out, atol=1e-8)


@pytest.mark.parametrize("features", [5, 40])
@pytest.mark.parametrize("related", [None, np.arange(20) // 4])
def test_a_case_without_weight_does_not_vouch_for_its_own_label(features, related):
    """What a fit without it says of it was its own label, with certainty."""
    rows, labels = DRAW.normal(size=(20, features)), np.arange(20) % 3
    targets, weights = 2.0 * np.eye(3)[labels] - 1, (np.arange(20) % 7 > 0).astype(float)
    found = fit_ridge(rows, targets, weights, related)
    for case in np.flatnonzero(weights == 0):
        others = (weights > 0) & (np.arange(20) != case if related is None else related != related[case])
        centre = rows[others].mean(axis=0)
        # The penalty stands beside the sum over cases that count 1 on average.
        one = refitted(
            rows[others] - centre, targets[others], found.penalty * weights.mean(), np.ones(others.sum())
        )
        said = (rows[case] - centre) @ one[:-1] + one[-1]
        np.testing.assert_allclose(found.left_out[case], said, atol=1e-6)


def test_the_penalty_is_the_one_that_scikit_learn_chooses():
    rows = DRAW.normal(size=(30, 12))
    targets = rows[:, :2] + 2 * DRAW.normal(size=(30, 2))
    peer = RidgeCV(alphas=PENALTIES * 12).fit(rows, targets)
    found = fit_ridge(rows, targets)
    assert found.penalty == pytest.approx(peer.alpha_)
    np.testing.assert_allclose(found.weight, peer.coef_.T, atol=1e-8)


def test_a_network_that_adds_nothing_gets_no_share():
    labels = np.arange(40) % 2
    good = 3.0 * (2.0 * np.eye(2)[labels] - 1) + DRAW.normal(size=(40, 2))
    assert recurrent_share(good, np.zeros((40, 2)), labels) == 0
    assert recurrent_share(good, 5 * DRAW.normal(size=(40, 2)), labels) == 0
    assert recurrent_share(good[:1], good[:1], labels[:1]) == 0


def test_a_network_that_helps_gets_one():
    labels = np.arange(40) % 2
    poor = DRAW.normal(size=(40, 2))
    assert recurrent_share(poor, 3.0 * np.eye(2)[labels], labels) == 1


@pytest.fixture(scope="module")
def model():
    return classifier(**BRANCHED).fit(ramps(cases=40))


def test_convolutions_alone_tell_the_ramps_apart(model):
    assert model.score(ramps(cases=60, seed=1)) > 0.95
    assert 0 <= model.share_ <= 1


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_stream_ends_where_the_whole_series_does(pooling):
    data = ramps(cases=24)
    fresh = classifier(**BRANCHED, readout__pooling=pooling, training__validation_share=0.0).fit(data)
    stream = fresh.start()
    for row in data.one(3):
        probabilities, stream = fresh.predict_step(row, stream)
    np.testing.assert_allclose(probabilities, fresh.predict_proba(data.select([3]))[0], atol=1e-5)


def test_a_case_alone_gets_what_it_gets_among_others(model):
    data = ramps(cases=12, seed=2)
    alone = np.concatenate([model.logits(data.select([case])) for case in range(3)])
    np.testing.assert_allclose(alone, model.logits(data)[:3], atol=1e-5)


def test_a_folder_gives_the_same_bits_back(model, tmp_path):
    data = ramps(cases=12, seed=2)
    model.save(tmp_path)
    again = SequenceClassifier.load(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))
    assert (again.share_, again.longest_, again.origin) == (model.share_, model.longest_, model.origin)


def test_a_missing_value_counts_as_the_mean():
    cells = {"cell": "mgrn", "hidden_size": 2, "missing": "cell"}
    gappy = classifier(**cells, **BRANCHED).fit(ramps(missing=0.2))
    assert np.isfinite(gappy.predict_proba(ramps(cases=8, seed=3, missing=0.3))).all()


def test_wrong_labels_do_not_stand_in_what_is_said_of_their_own_cases():
    """Of every training case the convolutions say what a fit without it says: flipped ones come first."""
    data = ramps(cases=60)
    labels = np.asarray(data.labels).copy()
    labels[:6] = 1 - labels[:6]
    found = classifier(**BRANCHED, training__validation_share=0.0).fit(
        [data.one(case) for case in range(60)], labels
    )
    worst = {int(name.split()[1]) for name in found.suspects().ids[:6]}
    assert len(worst & set(range(6))) >= 5


def test_readings_of_the_network_alone_say_so(model):
    study = robustness_study(model, ramps(cases=8, seed=1))
    assert "convolutions=0" in study.radii
    assert "convolutions=0" in study.fragility


def test_the_recurrent_network_alone_is_an_option():
    alone = classifier(readout=ReadoutSettings(convolutions=0)).fit(ramps())
    assert alone.network().convolutions is None
    assert isinstance(jnp.asarray(alone.logits(ramps())), jnp.ndarray)


@pytest.mark.parametrize("features", [5, 40])
def test_cases_that_belong_together_are_left_out_together(features):
    rows, related = DRAW.normal(size=(20, features)), np.repeat(np.arange(6), [1, 2, 3, 4, 5, 5])
    targets = 2.0 * np.eye(2)[np.arange(20) % 2] - 1
    found = fit_ridge(rows, targets, None, related)
    for one in range(6):
        inside, others = related == one, related != one
        centre = rows[others].mean(axis=0)
        fit = refitted(rows[others] - centre, targets[others], found.penalty, np.ones(others.sum()))
        np.testing.assert_allclose(
            found.left_out[inside], (rows[inside] - centre) @ fit[:-1] + fit[-1], atol=1e-8
        )


def test_copies_of_a_case_do_not_vouch_for_one_another():
    """Noise with random labels, every case ten times over: what is said of a case must be chance."""
    series = DRAW.normal(size=(30, 20, 2)).repeat(10, axis=0)
    labels = DRAW.permutation(np.arange(30) % 2).repeat(10)
    quick = {"hidden_size": 2, "readout__convolutions": 168, "training__epochs": 1}
    found = classifier(**quick).fit(series, labels, weight_groups=np.arange(30).repeat(10))
    if found.calibration_.left_out:
        right = found.calibration_.logits.argmax(axis=1) == found.calibration_.labels
        assert right.mean() < 0.75
    assert found.share_ == 0


def test_without_validation_the_convolutions_decide_alone(tmp_path):
    """Nothing could tell whether a network helps: none is trained, none is added, and that is said."""
    data = ramps(cases=40)
    model = classifier(**BRANCHED, training__validation_share=0.0).fit(data)
    assert (model.share_, model.trained_.history) == (0.0, [])
    branch, given = model.network().convolutions, model.prepare(data)
    np.testing.assert_allclose(model.logits(data), branch.of_all(given.inputs, given.lengths), atol=1e-5)
    assert model.score(ramps(cases=60, seed=1)) > 0.95
    assert "fitted: random convolutions decide alone: no case was kept for validation" in str(model)
    assert "validation 0" not in str(model)
    assert "nothing validated" in str(model.trained_)
    sets = model.predict_sets(data, 0.9)
    assert (sets.cases, sets.left_out) == (40, True)
    model.save(tmp_path)
    again = SequenceClassifier.load(tmp_path)
    assert again.decision == model.decision
    assert again.suspects().ids == model.suspects().ids
    np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))


def test_training_without_validation_tells_no_number_of_one():
    told = []

    class Listener:
        def update(self, _done, _total, message=""):
            told.append(message)

        def close(self):
            pass

    model = classifier(training__validation_share=0.0).fit(ramps(), reporter=Listener())
    assert told
    assert not any("validation" in message for message in told)
    assert "validation 0" not in str(model)
    assert "fitted: the recurrent network decides alone" in str(model)
    assert model.share_ == 1


def test_a_gain_within_two_groups_is_no_reason_to_add_a_network():
    """A network that knows one of two patients by heart helps with that one, however many its cases are."""
    labels, groups = np.arange(80) % 2, np.arange(80) // 40
    offsets = DRAW.normal(size=(80, 2))
    own = np.where((groups == 0)[:, None], 3.0 * np.eye(2)[labels], 0.0)
    assert recurrent_share(offsets, own, labels) > 0
    assert recurrent_share(offsets, own, labels, groups) == 0
    many, helps = np.arange(80) // 2, 3.0 * np.eye(2)[labels]
    assert recurrent_share(offsets, helps, labels, groups) == 0, "two groups are too few to judge by"
    assert recurrent_share(offsets, helps, labels, many) == 1


def test_a_ridge_that_weighs_cases_by_their_labels_stands_wrong_ones():
    rng = np.random.default_rng(1)
    truth = np.arange(300) % 3
    centres = 1.5 * rng.normal(size=(3, 30))
    rows, unseen = (centres[truth] + 2.0 * rng.normal(size=(300, 30)) for _ in range(2))
    wrong = rng.random(300) < 0.35
    labels = np.where(wrong, (truth + rng.integers(1, 3, 300)) % 3, truth)
    plain, alike = reweighted_ridge(rows, labels, 3, rounds=0)
    found, weights = reweighted_ridge(rows, labels, 3)
    np.testing.assert_array_equal(alike, 1)
    np.testing.assert_array_equal(plain.weight, fit_ridge(rows, 2.0 * np.eye(3)[labels] - 1).weight)
    right = [((unseen @ fit.weight + fit.bias).argmax(axis=1) == truth).mean() for fit in (plain, found)]
    assert right[1] > right[0] + 0.01
    assert weights[wrong].mean() < 0.5 * weights[~wrong].mean()


def test_reweighting_reaches_the_ridge_and_void_options_are_told():
    data = ramps(cases=40)
    labels = np.asarray(data.labels).copy()
    labels[:8] = 1 - labels[:8]
    cases = [data.one(case) for case in range(40)]
    quick = {**BRANCHED, "training__validation_share": 0.0}
    plain = classifier(**quick).fit(cases, labels)
    weighed = classifier(**quick, labels__reweighting="auto").fit(cases, labels)
    assert np.abs(plain.predict_proba(data) - weighed.predict_proba(data)).max() > 0.01
    assert weighed.suspects().weights[:8].mean() < 0.5
    with pytest.warns(
        UserWarning, match="labels__coteaching acted on the recurrent network alone and changed"
    ):
        classifier(**quick, labels__coteaching=0.2).fit(cases, labels)


def test_suspects_have_names_one_order_and_a_table():
    data = ramps(cases=60)
    labels = np.array(["fall", "rise"])[np.asarray(data.labels)]
    wrong = {3, 10, 21, 34, 47}
    for case in wrong:
        labels[case] = "rise" if labels[case] == "fall" else "fall"
    model = classifier(**BRANCHED).fit([data.one(case) for case in range(60)], labels)
    found = model.suspects()
    assert len(found) == 60, "cases of validation too"
    assert {int(name.split()[1]) for name in found.ids[:5]} == wrong
    assert set(found.labels) == {"fall", "rise"}
    assert found.apart[:4].all()
    assert found.apart.sum() <= 6
    assert (np.diff(found.apart.astype(int)) <= 0).all(), "no case stands apart after one that does not"
    frame = found.to_frame()
    assert list(frame.columns[:3]) == ["case", "given", "proposed"]
    assert frame["stands_apart"].sum() == found.apart.sum()
    assert "rise" in found._repr_html_()
    sets = model.predict_sets(data.select(np.arange(3)))
    assert list(sets.to_frame().columns) == ["fall", "rise", "size"]
    assert sets.to_frame().index.tolist() == list(data.select(np.arange(3)).ids)
    assert "fall" in sets._repr_html_()


def test_a_class_of_one_case_is_told():
    data = ramps(cases=24)
    labels = np.array([*["fall", "rise"] * 11, "fall", "once"])
    with pytest.warns(DataWarning, match="class 'once': a single case"):
        classifier(**BRANCHED, training__validation_share=0.0).fit(
            [data.one(case) for case in range(24)], labels
        )


def test_a_label_is_doubted_where_another_class_is_as_sure_as_usual():
    right = np.tile([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]], (10, 1))
    probabilities = np.vstack([right, [[0.2, 0.8], [0.45, 0.55]]])
    labels = np.array([*[0, 0, 1, 1] * 10, 0, 0])
    # Those of class 1 have it with 0.8 on average: the last but one reaches that, the last does not.
    assert np.flatnonzero(confidently_other(probabilities, labels)).tolist() == [40]


def test_who_has_learned_nothing_accuses_nobody():
    """Of 40 cases of noise all 40 stood apart in one draw: leaving a case out tips it to the other class."""
    for seed in range(20):
        draw = np.random.default_rng(seed)
        labels = np.arange(40) % 2
        one = np.clip(0.5 - 0.1 * np.where(labels == 1, 1, -1) + 0.05 * draw.standard_normal(40), 0, 1)
        assert not confidently_other(np.stack([1 - one, one], axis=1), labels).any()
