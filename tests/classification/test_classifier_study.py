"""From data to a run: roles that share no case, the facts of a card, the files of a command."""

import csv
import json

import numpy as np
import pytest
from labelled_ramps import NAMES, classifier, ramps

from attractor.classification.classifier_study import (
    _kept,
    data_facts,
    divide,
    known_cases,
    run_contents,
    write_suspects,
)
from attractor.classification.suspects import left_out_history, rank_suspects
from attractor.data import Sequences
from attractor.errors import InputDataError


def test_without_a_test_a_fifth_of_every_class_is_held_out_and_it_says_so():
    roles = divide(ramps(cases=50), None, 0.2, seed=3)
    assert roles.test.counts() == {"fall": 5, "rise": 5}
    assert roles.validation.counts() == {"fall": 4, "rise": 4}
    parts = [set(part.ids) for part in (roles.training, roles.validation, roles.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 50
    assert "No test file was given: 10 cases, 20 % of every class, drawn with seed 3" in roles.explanation
    assert set(divide(ramps(cases=50), None, 0.2, seed=4).test.ids) != parts[2]


def test_a_test_is_used_whole_and_validation_may_be_left_out():
    data, test = ramps(cases=20), ramps(cases=7, seed=1)
    roles = divide(data, test, 0.0, seed=0)
    assert len(roles.training) == 20
    assert len(roles.test) == 7
    assert roles.validation is None
    assert "No case is kept for validation" in roles.explanation


def test_cases_without_labels_and_too_few_cases_are_refused():
    data = ramps()
    unlabelled = type(data)(data.values, data.lengths, data.names)
    with pytest.raises(InputDataError, match="training cases have no labels"):
        divide(unlabelled, None, 0.2, 0)
    with pytest.raises(InputDataError, match="test cases have no labels"):
        divide(data, unlabelled, 0.2, 0)
    with pytest.raises(InputDataError, match="too few"):
        divide(ramps(cases=4), None, 0.2, 0)


def test_facts_of_the_data_are_those_of_their_valid_steps():
    roles = divide(ramps(cases=40, missing=0.1), None, 0.2, 0)
    facts = data_facts(roles)
    training = roles.training
    seen = np.concatenate([training.one(case) for case in range(len(training))])
    np.testing.assert_allclose(facts["low"], np.nanmin(seen, axis=0))
    np.testing.assert_allclose(facts["high"], np.nanmax(seen, axis=0))
    assert facts["missing"]["training"] == pytest.approx(np.isnan(seen).mean())
    assert facts["counts"]["test"] == {"fall": 4, "rise": 4}


@pytest.mark.slow
def test_a_run_keeps_what_a_report_draws(tmp_path):
    roles = divide(ramps(cases=40), None, 0.2, 0)
    model = classifier().fit(roles.training, validation=roles.validation)
    card, arrays = run_contents(model, roles, {"source": "here"})
    assert json.loads(json.dumps(card, allow_nan=False))["data"]["source"] == "here"
    assert card["groups"] is None
    first = roles.training.ids.index(card["suspects"][0])
    length = roles.training.lengths[first]
    assert arrays["suspects.lengths"][0] == length
    np.testing.assert_allclose(arrays["suspects.values"][0, :length], roles.training.one(first), rtol=1e-6)
    assert arrays["examples.labels"].tolist() == [0, 1]
    suspects = model.suspects()
    write_suspects(tmp_path / "new" / "s.csv", suspects)
    with (tmp_path / "new" / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(suspects.ids)
    assert rows[0]["given"] == suspects.labels[0]
    assert float(rows[0]["weight"]) == pytest.approx(suspects.weights[0], rel=1e-5)
    like = known_cases(model)
    assert (like.names, like.classes) == (NAMES, ("fall", "rise"))
    assert ramps(cases=3).aligned(like).names == NAMES


def test_groups_of_test_cases_are_kept_where_they_are_given_or_found():
    data = ramps(cases=40)
    names = np.array([f"patient {case // 4}" for case in range(40)])
    roles = divide(data, None, 0.2, 0, names)
    assert len(roles.test_groups) == len(roles.test)
    assert set(roles.test_groups).isdisjoint(roles.groups)
    assert divide(data, None, 0.2, 0).test_groups is None
    walk = np.random.default_rng(0).normal(size=(6, 40, 2)).cumsum(axis=1)
    windows = [walk[one, first : first + 20] for one in range(6) for first in (0, 10, 20)]
    cut = Sequences.from_arrays(windows, np.repeat(["a", "b"], 9))
    found = divide(cut, None, 0.2, 0).test_groups
    assert len(np.unique(found)) == len(found) // 3
    assert len(np.unique(divide(cut, cut, 0.0, 0).test_groups)) == 6


def test_of_validation_is_spoken_only_where_there_was_some():
    labels = np.arange(12) % 2
    history = left_out_history(labels, np.eye(2)[labels], np.ones(12))
    ids = tuple(f"case {case}" for case in range(12))
    ranked = [rank_suspects(history, ids, np.eye(2)[labels], np.array(["a", "b"]), held) for held in (0, 3)]
    assert ["validation" in one.scope for one in ranked] == [False, True]


def test_series_at_the_ends_of_the_numbers_are_kept_for_the_report():
    usual = ramps(cases=6).values
    assert _kept(usual).dtype == np.float32
    for values in (1e300 * usual, 1e-300 * usual, 1e9 + usual):
        np.testing.assert_array_equal(_kept(values), values)
