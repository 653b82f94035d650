"""Cases as scikit-learn takes them apart: rows by position, for cross-validation, grids and pipelines."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import _safe_indexing

from attractor.data import Sequences
from attractor.errors import InputDataError

CASES = Sequences.from_arrays(
    [np.full((3 + case % 3, 2), float(case % 2)) for case in range(24)],
    np.array(["a", "b"])[np.arange(24) % 2],
).grouped(np.arange(24) // 4)
LABELS = np.array(["a", "b"])[np.arange(24) % 2]


class Threshold(ClassifierMixin, BaseEstimator):
    """Reads the mean of `Sequences`, and fails on anything else."""

    def __init__(self, at=0.5):
        self.at = at

    def fit(self, X, y=None):
        assert isinstance(X, Sequences)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(np.nanmean(X.values, axis=(1, 2)) > self.at).astype(int)]


def test_cases_go_through_cross_validation():
    groups = np.arange(24) // 4
    options = {"groups": groups, "cv": GroupKFold(4)}
    np.testing.assert_array_equal(cross_val_score(Threshold(), CASES, LABELS, **options), 1.0)
    np.testing.assert_array_equal(cross_val_predict(Threshold(), CASES, LABELS, **options), LABELS)
    model = make_pipeline(FunctionTransformer(), Threshold())
    grid = GridSearchCV(model, {"threshold__at": [0.5, 2.0]}, cv=3).fit(CASES, LABELS)
    assert grid.best_params_ == {"threshold__at": 0.5}
    learn, judge, _, truth = train_test_split(CASES, LABELS, random_state=0)
    assert (len(learn), len(judge)) == (18, 6)
    np.testing.assert_array_equal(np.array(judge.classes)[judge.labels], truth)


def test_rows_are_taken_in_every_way():
    some = np.array([5, 0, 7])
    mask = np.isin(np.arange(24), some)
    for key in (some, some.tolist(), tuple(some)):
        assert _safe_indexing(CASES, key).ids == ("case 5", "case 0", "case 7")
    assert CASES[some].groups.tolist() == ["1", "0", "1"]
    assert CASES.take(some).ids == CASES[some, ...].ids == CASES.select(some).ids
    assert _safe_indexing(CASES, mask).ids == ("case 0", "case 5", "case 7")
    assert CASES[2:8:3].ids == ("case 2", "case 5")
    np.testing.assert_array_equal(CASES[4], CASES.one(4))
    assert [len(case) for case in CASES] == CASES.lengths.tolist()
    assert CASES.shape == (24, 5, 2)


def test_rows_that_are_not_there():
    with pytest.raises(IndexError, match="there is no case 24 of 24"):
        CASES[24]
    with pytest.raises(InputDataError, match="there is no case 30"):
        CASES[[30]]
    with pytest.raises(InputDataError, match="none of the 24 cases is chosen"):
        CASES[:0]
