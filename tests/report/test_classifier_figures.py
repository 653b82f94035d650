"""Pages and figures of classifiers from made-up numbers: many classes, one class, groups, missing parts."""

import re

import numpy as np
import pytest

from attractor.audit import (
    InputScale,
    NoiseKind,
    RobustnessCurve,
    RobustnessCurves,
    StabilityBounds,
    StabilityVerdict,
    StateDiffusion,
)
from attractor.classification.baselines import FREQUENT, SUMMARY, Beside, judged
from attractor.classification.classifier_assessment import assess_probabilities
from attractor.classification.classifier_cases_page import GroupPage, group_section
from attractor.classification.classifier_figures import (
    DrawnCase,
    cases_figure,
    class_scores_figure,
    confusion_figure,
    epochs_figure,
    totals_figure,
    weights_figure,
)
from attractor.classification.decision import Decision
from attractor.classification.robustness_page import robustness_page, worst_fall
from attractor.classification.robustness_study import Fragility, RobustnessStudy
from attractor.report.about import About
from attractor.report.page import Page, draw, render
from attractor.report.style import NARROW, WIDE, house_style, segments, to_svg

EVIL = '<script>alert("x")</script>'


def page_of(*sections):
    return render(Page("kind", "verdict", "good", "meaning", (), (), sections), About("title", "command"))


def study(**changes):
    """Two curves that fall by 0.1 and 0.3, five margins, one example."""
    scale = InputScale(*np.zeros((4, 2)))
    curves = tuple(
        RobustnessCurve(name, "what it is", "probability", (0.1, 0.2), 0.8 - np.array(falls))
        for name, falls in (("white", [[0.0, 0.0], [0.1, 0.1]]), ("drift", [[0.1, 0.1], [0.2, 0.4]]))
    )
    trace = np.abs(np.random.default_rng(0).normal(size=(3, 6)))
    parts = {
        "curves": RobustnessCurves(0.8, 5, (0, 1), False, scale, curves),
        "remarks": ("Levels are scaled.",),
        "margins": np.array([-1.0, 0.1, 0.5, 1.0, 2.0]),
        "radii": np.array([0.0, 0.1, 0.2, 0.3, 0.4]),
        "fragility": Fragility(trace, trace / 2, 1, np.zeros((5, 2)), "case 7"),
        "exponent": -0.25,
        "drive": 40,
        "stability": StabilityBounds(
            StabilityVerdict.CONTRACTING,
            "one step shrinks",
            StateDiffusion(NoiseKind.NONE),
            -0.1,
            (0.0, 0.0),
            (-1.0, -0.1),
            0.9,
        ),
    }
    return RobustnessStudy(**(parts | changes))


def test_a_whole_study_says_what_falls_and_what_is_proved():
    about = About("run", "attractor robustness run")
    contents = robustness_page(study(), about, ("a", "b"))
    assert worst_fall(study()) == (pytest.approx(0.3), "drift at level 0.2")
    assert "at worst 30.0 points less, under drift at level 0.2" in contents.verdict
    assert contents.tone == "poor"
    assert contents.tiles[-1].value == "proved"
    html = render(contents, about)
    for words in ("case 7", "Levels are scaled.", "0.200", "-0.2500 a step", "contracting"):
        assert words in html
    assert html.count("<figure") == 3


def test_parts_that_cannot_be_had_say_why():
    reasons = {
        "radii": "no radius here",
        "fragility": EVIL,
        "exponent": "no exponent",
        "stability": "no time",
    }
    about = About(EVIL, EVIL)
    html = render(robustness_page(study(**reasons, drive=0), about, (EVIL,)), about)
    for words in ("no radius here", "no exponent", "not available: no time", "Not available: &lt;script"):
        assert words in html
    assert "<script" not in html
    assert html.count("<figure") == 2


GROUPS = GroupPage(
    shares={"legs": 0.75, EVIL: 0.5, "arms": -0.25},
    time_scales={"legs": [1, 2, 3, 4, 5], EVIL: [np.nan] * 5, "joint memory": [2, 3, 4, 5, 90.0]},
    errors={"legs": 0.01, EVIL: 0.02, "arms": 0.0},
    accuracy_drops={"legs": 0.2, EVIL: 0.1, "arms": 0.0},
    cases=12,
)


def test_groups_are_ordered_and_shown_with_their_memories():
    section = group_section(GROUPS)
    html = page_of(section)
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["legs", EVIL, "arms", "joint memory"]
    assert table.rows[0][1:] == ("75.0", "20.0", "3.00")
    assert table.rows[2] == ("arms", "-25.0", "0.0", "—")
    assert "<script" not in html
    assert "one standard error" in html
    assert html.count("<figure") == 2


def test_groups_that_tell_nothing_have_time_scales_only():
    section = group_section(GroupPage({}, {"joint memory": [1, 2, 3, 4, 5.0]}, {}, {}, 3))
    assert [figure.name for figure in section.figures] == ["time-scales"]
    assert "less than none" in section.lead
    assert page_of(section)


@pytest.mark.parametrize("classes", [2, 9, 70])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: size.name)
def test_confusions_of_few_and_many_classes(classes, size):
    confusion = np.diag(np.arange(classes)) + np.eye(classes, k=1, dtype=int)
    names = [f"class number {place}" for place in range(classes)]
    with house_style(size, "c"):
        figure = confusion_figure(confusion, names, size)
        svg = to_svg(figure, "c", "")
    axes = figure.axes[0]
    assert len(axes.patches) == np.count_nonzero(confusion)
    assert len(axes.texts) == (0 if classes == 70 else np.count_nonzero(confusion))
    assert svg.startswith("<svg")
    labels = axes.get_xticklabels()
    room = axes.get_position().width * size.width / len(labels)
    assert room > 7 * max(len(label.get_text()) for label in labels)


def test_scores_that_are_undefined_leave_gaps():
    facts = assess_probabilities(np.array([[0.9, 0.1, 0.0]] * 3), np.array([0, 0, 1]), ("a", "b", "c"))
    with house_style(WIDE, "s"):
        lines = class_scores_figure(facts["per_class"], WIDE).axes[0].lines
    recalls = lines[1].get_ydata()
    np.testing.assert_allclose(recalls, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(segments(np.ones(1), np.array([[2.0, 3.0]]))[1], [2, 3, np.nan])


@pytest.mark.parametrize(
    ("right", "share", "tone"), [(95, 0.5, "good"), (75, 0.5, "fair"), (52, 0.5, "poor"), (95, 0.95, "poor")]
)
def test_the_verdict_is_measured_against_the_most_frequent_class(right, share, tone):
    ends = [right / 100 - 0.05, right / 100 + 0.03]
    rows = [{"support": round(100 * share)}, {"support": 100 - round(100 * share)}]
    scores = {
        "accuracy": right / 100,
        "accuracy_interval": ends,
        "balanced_accuracy": right / 100,
        "per_class": rows,
        "cases": 100,
    }
    found = judged(scores)
    assert found.tone == tone
    assert f"{right:.1f} %" in found.said
    assert f"({100 * share:.1f} %)" in found.said


@pytest.mark.parametrize(
    ("only_model", "only_other", "said", "tone"),
    [
        (20, 2, "against 77.0 % for a ridge regression on summary statistics and always naming", "good"),
        (3, 4, "A ridge regression on summary statistics does as well: right in 96.0 %", "fair"),
        (4, 3, "against 94.0 % for a ridge regression on summary statistics: not shown to be better", "fair"),
        (7, 1, "against 89.0 % for a ridge regression on summary statistics: not shown to be better", "fair"),
        (1, 30, "Clearly better than this model: a ridge regression on summary statistics, right", "poor"),
    ],
)
def test_the_headline_says_what_the_table_says_of_the_simple_model(only_model, only_other, said, tone):
    accuracy = 0.95 - (only_model - only_other) / 100
    chance = 0.001 if abs(only_model - only_other) > 9 else 0.07
    beside = Beside(SUMMARY, accuracy, (0.6, 0.99), only_model, only_other, chance)
    scores = {
        "accuracy": 0.95,
        "accuracy_interval": [0.9, 0.98],
        "balanced_accuracy": 0.95,
        "per_class": [{"support": 50}, {"support": 50}],
        "cases": 100,
        "beside": [vars(beside), vars(Beside(FREQUENT, 0.3, (0.2, 0.4), 70, 5, 1e-9))],
        "attainable": 0.97,
    }
    known = judged({**scores, "learned_cases": 28})
    assert known.tone == "poor"
    assert known.said.startswith("28 of the 100 test cases were learned from")
    assert "never seen" not in known.said
    assert "unseen" not in known.said
    again = judged({**scores, "groups": 6, "learned_groups": 6}).said
    assert "for new groups" not in again
    assert "6 were trained on" in again
    found = judged(scores, Decision(0.0, convolutions=True, judged=True).said)
    assert said in found.said
    assert "Random convolutions decide alone" in found.said
    assert found.tone == tone
    if "not shown" in said:
        assert "p = 0.07" in found.said
        assert "as well" not in found.said
        assert "Nothing speaks for" not in found.meaning


def test_the_most_frequent_class_has_one_number():
    """That of training, as in the table, and not the share of another class that is frequent in the test."""
    frequent = Beside(FREQUENT, 0.325, (0.2, 0.48), 18, 13, 0.47)
    scores = {
        "accuracy": 0.45,
        "accuracy_interval": [0.31, 0.6],
        "balanced_accuracy": 0.4,
        "per_class": [{"support": 17}, {"support": 23}],
        "cases": 40,
        "beside": [vars(frequent)],
    }
    assert "always naming the most frequent class (32.5 %)" in judged(scores).said
    simple = Beside(SUMMARY, 0.8, (0.65, 0.9), 1, 15, 0.00052)
    found = judged({**scores, "beside": [vars(frequent), vars(simple)]})
    assert (
        "Clearly better than this model: a ridge regression on summary statistics, right in 80.0 %"
        in found.said
    )
    assert "p = 0.00052" in found.said
    assert "take a ridge regression on summary statistics" in found.meaning


def test_a_small_lead_that_is_known_to_be_small_is_as_well():
    close = Beside(SUMMARY, 0.9, (0.89, 0.91), 110, 100, 0.53, ahead=0.015)
    assert close.does_as_well
    assert not Beside(SUMMARY, 0.9, (0.89, 0.91), 110, 100, 0.53, ahead=0.05).does_as_well


def test_training_is_drawn_for_all_replicas_and_marks_the_kept_epoch():
    history = [
        {"step": 4 * (epoch + 1), "loss": [1 / (epoch + 1), 0.5], "validation": [0.5, 0.1 * abs(epoch - 2)]}
        for epoch in range(5)
    ]
    training = {"history": history, "steps_per_epoch": 4, "scores": [0.5, 0.0], "best_steps": [4, 12]}
    with house_style(WIDE, "e"):
        figure = epochs_figure(training, 1, WIDE)
    dot = figure.axes[1].lines[-1]
    assert dot.get_xdata().tolist() == [3.0]
    assert len(figure.axes[0].lines) == 2


def test_weights_and_losses_are_drawn_for_both_screens():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(30), 6) * 30
    drawing = draw("weights", "w", lambda size: weights_figure(weights, np.linspace(0, 1, 6), size))
    assert "ESS / N" in drawing.wide
    assert "strength" in drawing.narrow
    with house_style(WIDE, "t"):
        figure = totals_figure(np.arange(10.0), np.zeros(10, bool), WIDE)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["like most"]


def test_a_value_between_two_gaps_is_a_dot():
    values = np.array([[1.0], [np.nan], [2.0], [np.nan], [3.0], [3.5]])
    with house_style(WIDE, "d"):
        figure = cases_figure([DrawnCase("one", values)] * 2, WIDE)
        svg = to_svg(figure, "d", "")
    assert figure.axes[0].lines[1].get_xdata().tolist() == [0.0, 2.0]
    assert not re.search(r"nan", svg)
