"""The study of heart beats: classes, the choice of a level, curves over seeds, and the page."""

from dataclasses import replace

import numpy as np
import pytest

from attractor.audit import InputScale, RobustnessCurve, RobustnessCurves
from attractor.report import page as report_page
from attractor.report.about import About
from experiments.compared_curves import compared_contents
from experiments.noisy_ecg import Trial, _followed, beats, chosen_level, merged, render


def curves(clean, seed):
    one = np.ones(1)
    white = RobustnessCurve("white", "noise", "unit of the inputs", (0.1, 0.2), np.full((2, 1), clean - 0.1))
    pgd = RobustnessCurve("pgd linf", "worst", "unit of the inputs", (0.1,), np.full((1, 1), clean - 0.4))
    return RobustnessCurves(clean, 7, (seed,), False, InputScale(one, one, one, one), (white, pgd))


FOUND = {
    "noisy": merged([curves(0.9, 0), curves(0.8, 1)]),
    "plain": merged([curves(0.7, 0), curves(0.7, 1)]),
}


def test_seeds_stand_side_by_side():
    one = FOUND["noisy"]
    assert (one.clean, one.seeds) == (pytest.approx(0.85), (0, 1))
    np.testing.assert_allclose(one.curve("white").accuracies, [[0.8, 0.7], [0.8, 0.7]])


def test_the_level_is_chosen_over_all_seeds():
    trials = [Trial("lipschitz", level, seed) for level in (0.02, 0.05) for seed in (0, 1)]
    assert chosen_level(trials, [(0.9, 0.5), (0.9, 0.9), (0.9, 0.8), (0.9, 0.8)]) == 0.05
    assert chosen_level(trials, [(0.9, 0.8)] * 4) == 0.02  # the lower one of equals


def test_results_come_back_in_their_order():
    assert _followed(iter([3, 1, 2]), 3, "beats") == [3, 1, 2]


def test_classes_are_told_apart_as_asked(tmp_path):
    labels = np.array([0, 0, 1, 1, 2, 2])
    for part in ("train", "test"):
        np.savez(tmp_path / f"ECG5000_{part}.npz", X=np.zeros((6, 4, 1)), y=labels)
    two, all_of_them = beats(tmp_path, "normal or abnormal"), beats(tmp_path, "five classes")
    assert two.test.classes == ("normal", "abnormal")
    assert two.test.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert all_of_them.training.labels.tolist() == labels.tolist()


def test_the_table_and_the_page_hold_the_networks_beside_each_other():
    assert render("task", FOUND).row_count == 2
    html = report_page.render(compared_contents({"task": FOUND}), About("beats", "command"))
    assert "noisy: 60.0 % right on average" in html
    assert "+15.0 points against plain" in html.replace("\n", " ")
    assert "<svg" in html
    alone = replace(FOUND["noisy"], seeds=(0,))
    assert alone.curve("pgd linf").levels == (0.1,)
