"""What is given for every case of a long table of pandas: it goes by the names of the cases."""

import numpy as np
import pandas as pd
import pytest

from attractor.classification.cases import for_each, labelled
from attractor.classification.classifier_study import divide
from attractor.classification.division import divide_cases, with_groups
from attractor.data import LongColumns, Sequences, hold_out_recordings, read_sequences
from attractor.errors import ConfigError, InputDataError, ShapeError

COLUMNS = LongColumns(case="trial", label="activity", group="subject", variables="acc_*")


def long_table(trials=40, subjects=8, rows=6):
    """A table as a laboratory has it: the subject stands in it, rows are in no order."""
    draws = np.random.default_rng(5)
    table = pd.DataFrame({
        "trial": np.repeat(np.arange(trials), rows),
        "t": np.tile(np.arange(rows) / 50, trials),
    })
    table["subject"] = "S" + (table.trial % subjects).astype(str)
    table["activity"] = np.where(table.trial // subjects % 2, "walk", "sit")
    for name in ("acc_x", "acc_y"):
        table[name] = draws.normal(size=len(table))
    return table.sample(frac=1, random_state=3)


LONG = long_table()
CASES = read_sequences(LONG, COLUMNS)
FIRST = LONG.groupby("trial").first()  # sorted by the trial, not in the order of the cases
TRUTH = np.array(CASES.classes)[CASES.labels]


def words(data):
    return np.array(data.classes)[data.labels]


def test_labels_and_groups_of_a_sorted_series_go_by_its_index():
    assert list(CASES.ids) != [str(name) for name in FIRST.index]
    for index in (FIRST.index, FIRST.index.astype(float), FIRST.index.astype(str)):
        given = FIRST.activity.set_axis(index)
        np.testing.assert_array_equal(words(labelled(CASES, given)[0]), TRUTH)
        np.testing.assert_array_equal(words(CASES.relabelled(given)), TRUTH)
    with_them = with_groups(CASES, CASES, FIRST.subject, None)
    np.testing.assert_array_equal(with_them.groups, CASES.groups)
    counts = pd.Series(FIRST.index.astype(float), FIRST.index)
    np.testing.assert_array_equal(for_each(CASES, counts, "weights"), [float(name) for name in CASES.ids])


def test_no_group_of_a_shuffled_table_is_on_both_sides():
    data = with_groups(CASES, CASES, None, FIRST.subject)
    parts = divide_cases(data, np.array(CASES.classes), None, 0.25, 0)
    assert parts.held is not None
    assert not {*CASES.groups[parts.chosen]} & {*CASES.groups[parts.held]}
    kept = hold_out_recordings(CASES, 0.25, 0)
    assert not {*CASES.groups[kept.kept]} & {*CASES.groups[kept.held]}


def test_the_group_of_a_column_is_what_cases_are_divided_by():
    roles = divide(CASES, None, 0.25, 0)
    parts = (roles.training, roles.validation, roles.test)
    assert sum(len({*part.groups}) for part in parts) == len({*CASES.groups})
    assert "whole groups" in roles.explanation
    np.testing.assert_array_equal(roles.groups, roles.learning.groups)


def test_what_has_no_names_goes_by_position():
    values = np.arange(len(CASES))
    for given in (values, list(values), pd.Series(values, [f"x{one}" for one in values])):
        np.testing.assert_array_equal(for_each(CASES, given, "y"), values)
    renamed = Sequences.from_arrays([np.zeros((3, 1))] * 3)
    np.testing.assert_array_equal(for_each(renamed, pd.Series([3, 1, 2]), "y"), [3, 1, 2])
    np.testing.assert_array_equal(for_each([np.zeros((3, 1))] * 2, pd.Series([1, 2], [1, 0]), "y"), [1, 2])


def test_a_wide_table_has_the_names_of_its_index():
    wide = pd.DataFrame(np.arange(12.0).reshape(4, 3), index=list("abcd")).add_prefix("t")
    given = pd.Series(["u", "v", "v", "u"], list("dcba"))
    np.testing.assert_array_equal(words(labelled(wide, given)[0]), given[list("abcd")])
    np.testing.assert_array_equal(words(Sequences.from_arrays(wide, given)), given[list("abcd")])
    with pytest.raises(InputDataError, match="y: a Series that only counts its rows"):
        labelled(wide.set_axis([2, 0, 1, 3]), given.reset_index(drop=True))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (FIRST.index + 1, r"1 of its names are no cases \('40'\).*to_numpy"),
        ([0, 0, *range(2, 40)], "'0' occurs several times"),
        (range(40), r"only counts its rows, 0 to 39.*rename_axis"),
    ],
)
@pytest.mark.parametrize("use", [CASES.relabelled, CASES.grouped, lambda given: labelled(CASES, given)])
def test_an_index_that_may_mean_two_things_is_refused(index, message, use):
    with pytest.raises(InputDataError, match=message):
        use(FIRST.activity.set_axis(index))


def test_groups_that_are_none():
    with pytest.raises(
        InputDataError, match=r"LongColumns\(case=\.\.\., group='subject'\).*SequenceClassifier"
    ):
        with_groups(CASES, CASES, "subject", None)
    with pytest.raises(ConfigError, match="give one of them"):
        with_groups(CASES, CASES, CASES.groups, CASES.groups)
    with pytest.raises(ShapeError, match=r"shape \(2,\), expected \(40,\)"):
        CASES.grouped(["a", "b"])
    with pytest.raises(InputDataError, match="has no group"):
        CASES.grouped([None, *"a" * 39])
    torn = LONG.assign(subject=LONG.index.astype(str))
    with pytest.raises(InputDataError, match="a case has one group"):
        read_sequences(torn, COLUMNS)


def test_several_columns_call_a_case_together():
    each = LONG.assign(trial=LONG.trial // 8)
    data = read_sequences(each, LongColumns(["subject", "trial"], "activity", variables="acc_*"))
    assert len(data) == len(CASES)
    first = each.groupby(["subject", "trial"]).activity.first()
    np.testing.assert_array_equal(words(data.relabelled(first)), words(data))
    with pytest.raises(InputDataError, match=r'name both: LongColumns\(case=\["subject", "trial"\]\)'):
        read_sequences(each, LongColumns("trial", "activity", variables="acc_*"))


def test_a_group_that_is_masked_is_none_and_bytes_are_letters():
    data = Sequences.from_arrays(np.zeros((3, 2, 1)))
    with pytest.raises(InputDataError, match="case 'case 1' has no group"):
        data.grouped(np.ma.array([1, 2, 3], mask=[False, True, False]))
    assert data.grouped(np.array([b"p1", b"p2", b"p1"])).groups.tolist() == ["p1", "p2", "p1"]


def test_what_is_no_list_of_cases_is_named():
    with pytest.raises(InputDataError, match=r"a dictionary .* list\(cases.values\(\)\)"):
        Sequences.from_arrays({"a": np.zeros((4, 2))})
    with pytest.raises(InputDataError, match="holds no cases"):
        Sequences.from_arrays(np.float64(3.0))
