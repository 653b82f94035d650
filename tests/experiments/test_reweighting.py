"""The study of reweighting, shortened."""

import io

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from experiments.reweighting import Line, Outcome, area_under_curve, render
from experiments.reweighting_digits import digits, fit_digits, out_of_sample


def test_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, wrong = np.round(rng.normal(size=200), 1), rng.random(200) < 0.3
    assert abs(area_under_curve(scores, wrong) - roc_auc_score(wrong, scores)) < 1e-12
    assert np.isnan(area_under_curve(scores, np.zeros(200, bool)))


@pytest.mark.slow
def test_wrong_labels_of_the_digits_are_found_and_fade():
    data = digits(0.4, 0)
    assert data.wrong.sum() == 400
    fitted = fit_digits(data, {"reweighting": "auto"}, 0, 20)
    assert area_under_curve(fitted.totals, data.wrong) > 0.97
    assert fitted.weights[data.wrong].sum() < 0.2
    assert fitted.accuracy > 0.8  # a third of the epochs of the study
    assert fitted.accuracy > fitted.attacked[0] > fitted.attacked[1] > fitted.attacked[2]
    probabilities = out_of_sample(data._replace(inputs=data.inputs[:100], labels=data.labels[:100]), 0, 1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_table_shows_means_and_leaves_out_what_is_not_there():
    nothing = float("nan")
    lines = [
        Line("digits", 0.0, "cross-entropy", (Outcome(0.9, nothing, nothing, nothing, 1.0, nothing),) * 2)
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(lines))
    assert "90.0 ± 0.0" in console.export_text()
    assert "nan" not in console.export_text()
