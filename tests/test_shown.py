"""Whoever looks at a result sees what was found in a few lines, in a notebook with its table and figure."""

import html.parser
import pickle

import matplotlib
import numpy as np
import pytest
from built_results import built, holds_arrays, public_types, returned_types
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.audit import RobustnessCurve, RobustnessCurves
from attractor.certify import StabilityResult, Verdict
from attractor.claims import Estimate, Solution
from attractor.classification import GroupStudy, Suspects
from attractor.data import Sequences
from attractor.data.table import FrameTable
from attractor.dynamics import FixedPoints, LyapunovSpectrum, Portrait
from attractor.dynamics.lyapunov.lyapunov_spectrum import Ending
from attractor.estimators import Estimator
from attractor.report.drawn import Drawn
from attractor.shown import MOST_LINES, Shown, in_words
from attractor.theory import SpectralCurve
from attractor.theory.phase import PhaseAxis, PhaseDiagram, PhasePlan, Theory, TheoryLine
from attractor.theory.phase.hysteresis import HysteresisScan
from attractor.training import Trained

NOT_RESULTS = {
    "Ball",
    "Batch",
    "Bound",
    "ChannelMemory",
    "Box",
    "ExampleContext",
    "ExampleLosses",
    "ControlObjective",
    "EquilibriumMatrices",
    "Examples",
    "GatedState",
    "GroupMemory",
    "HalfStep",
    "Limits",
    "MemoryGates",
    "Observation",
    "StepContext",
    "_Search",
}
"""Options, and what cells and searches hand to each other inside of a step, where nobody sees it."""


def every_result():
    """All types that show themselves, those inside of others as well."""
    public_types()  # imports everything
    found, left = [], [Shown]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.append(kind)
    shown = [
        one
        for one in found
        if one.__module__.startswith("attractor.") and hasattr(one, "__dataclass_fields__")
    ]
    known = {*public_types(), *returned_types()}
    tuples = [one for one in known if hasattr(one, "_fields") and "_repr_html_" in vars(one)]
    return sorted(
        {one for one in (*shown, *tuples) if not issubclass(one, (Estimator, FrameTable))},
        key=lambda one: one.__name__,
    )


def parts_of(kind):
    """Fields that must fit one another, or that the annotations do not tell."""
    axis = PhaseAxis("gain", 0.2, 2.0, 4)
    square = np.array([(x, y) for y in range(4) for x in range(4)], float)
    return {
        FixedPoints: {"flat": None, "conditions": np.zeros(4, int)},
        HysteresisScan: {"axis": axis, **{name: np.ones((2, 3, 4)) for name in ("exponent", "low", "high")}},
        LyapunovSpectrum: {
            "sums": -np.arange(1.0, 13.0).reshape(1, 4, 3),
            "marks": np.arange(1.0, 5.0),
            "ending": Ending.ALL_STEPS,
            "collapsed": np.zeros(1, bool),
            "resting": np.zeros(1, bool),
            "broken": np.full(1, -1),
            "last_basis": np.zeros((1, 3, 3)),
        },
        RobustnessCurve: {"levels": (0.1, 0.2, 0.3, 0.4)},
        RobustnessCurves: {"curves": (built(RobustnessCurve, levels=(0.1, 0.2, 0.3, 0.4)),)},
        Sequences: {"values": np.ones((4, 4, 2)), "lengths": np.full(4, 4), "labels": np.arange(4) % 2},
        SpectralCurve: {"of_single_units": np.zeros(4, bool)},
        TheoryLine: {"name": "zero"},
        Solution: {"value": 0.5, "status": Verdict.PROVED},
        PhaseDiagram: {
            "theory": built(Theory, lines=(built(TheoryLine, name="zero"),)),
            "plan": PhasePlan(axis, PhaseAxis("reset_bias", -1.0, 1.0, 4)),
            **{name: np.ones((2, 4, 4)) for name in ("exponent", "low", "high")},
        },
        Portrait: {"path": np.random.default_rng(0).normal(size=(9, 2)), "grid": square, "drift": 1 - square},
        Trained: {"history": [{"step": 5, "validation": [0.5] * 4}, {"step": 9, "validation": [0.4] * 4}]},
    }.get(kind, {})


def made(kind, fill=None, size=4):
    given = parts_of(kind) if fill is None and size else {}
    if fill is None:  # results in results
        for name, inner in getattr(kind, "__dataclass_fields__", {}).items():
            if inner.type in (FixedPoints, LyapunovSpectrum, Portrait, RobustnessCurves):
                given = {**given, name: made(inner.type)}
    return built(kind, fill, size, **given)


EVERY = every_result()
IDS = [one.__name__ for one in EVERY]


class Checked(html.parser.HTMLParser):
    """Counts what is opened and closed, and what is asked from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.images = [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "img"):
            self.open.append(tag)
        self.images += tag == "img"
        self.outside += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(text):
    page = Checked()
    page.feed(text)
    page.close()
    assert not page.open
    assert not page.outside
    return page


def test_whatever_holds_arrays_and_is_returned_to_a_user_shows_itself():
    known = {*public_types(), *returned_types()}
    dumped = {one.__name__ for one in known if holds_arrays(one) and not _is_module(one)}
    assert dumped - {one.__name__ for one in EVERY} <= NOT_RESULTS


def _is_module(one):
    return any(base.__module__.startswith("equinox") for base in one.__mro__)


@pytest.mark.parametrize("kind", EVERY, ids=IDS)
def test_a_result_prints_as_a_few_lines_and_never_as_arrays(kind):
    result = made(kind)
    assert str(result)
    text = repr(result)
    lines = text.splitlines()
    assert 1 <= len(lines) <= MOST_LINES + 1
    assert max(map(len, lines)) < 200
    assert "array(" not in text
    assert "dtype" not in text
    assert " object at 0x" not in text


@pytest.mark.parametrize("kind", EVERY, ids=IDS)
@pytest.mark.parametrize(("fill", "size"), [(np.nan, 4), (np.inf, 4), (None, 0), (0.0, 1)])
def test_nothing_in_a_result_keeps_it_from_being_shown(kind, fill, size):
    result = made(kind, fill, size)
    assert 1 <= len(repr(result).splitlines()) <= MOST_LINES + 1
    if fill is np.nan or not size:
        read(result._repr_html_())


@pytest.mark.parametrize("kind", EVERY, ids=IDS)
def test_a_notebook_shows_it_without_anything_from_elsewhere(kind):
    before = dict(matplotlib.rcParams)
    page = read(made(kind)._repr_html_())
    assert page.images == issubclass(kind, Drawn)
    assert dict(matplotlib.rcParams) == before
    assert not matplotlib.pyplot.get_fignums() if hasattr(matplotlib, "pyplot") else True


@pytest.mark.parametrize(
    "kind", [one for one in EVERY if issubclass(one, Drawn)], ids=lambda one: one.__name__
)
def test_a_picture_is_drawn_into_the_axes_that_are_given(kind):
    axes = Figure().add_subplot()
    assert made(kind).plot(axes) is axes
    assert axes.has_data() or axes.texts or axes.get_legend()
    colours = [line.get_color() for line in axes.lines if isinstance(line.get_color(), str)]
    assert not any(colour.startswith("#0101") for colour in colours)


def test_without_axes_it_opens_a_figure_of_pyplot():
    from matplotlib import pyplot

    axes = made(LyapunovSpectrum).plot()
    try:
        assert isinstance(axes, Axes)
        assert axes.figure.number in pyplot.get_fignums()
    finally:
        pyplot.close(axes.figure)


def test_the_verdict_comes_first_and_the_next_call_last():
    unknown = StabilityResult(Verdict.UNKNOWN, None, None, (), 1.0, "no invariant box was found")
    lines = repr(unknown).splitlines()
    assert lines[0].startswith("unknown: neither a proof nor a counterexample")
    assert lines[-1] == "next: .plot(), .attempts"  # there is no proof to require
    assert "no invariant box was found" in lines


def test_an_estimate_says_its_interval():
    assert repr(Estimate(2.06, 2.05, 2.07)).splitlines()[0] == "2.06, 95 % interval 2.05 to 2.07"


def test_names_of_users_are_text_and_no_commands():
    name = "$x_1^ <script>alert(1)</script>\x1b[31m"
    study = GroupStudy({name: 1.0}, 1.0, {name: 0.1}, {name: 1.0}, {name: 0.1}, {name: [1.0]}, 3, True)
    assert "\x1b" not in repr(study)
    page = study._repr_html_()
    assert "<script>" not in page
    assert "<img" in page
    suspects = made(Suspects)
    object.__setattr__(suspects, "ids", (name,) * 4)
    assert "<script>" not in suspects._repr_html_()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((1000, 3)), "(1000, 3), 0 to 0"),
        (np.array([1.0, np.nan, np.inf, 2.0, 3.0]), "(5), 1 to 3, 2 not finite"),
        (np.zeros((0, 3)), "(0, 3)"),
        (np.array([True, False] * 4), "(8), 4 true"),
        (np.array(["a", "b"]), "(2) <U1"),
        (np.array([1 + 1j] * 9), "(9), modulus up to 1.414"),
        ("x" * 1000, "x" * 59 + "…"),
        ({}, "empty"),
        (list(range(1000)), "1000 entries"),
    ],
)
def test_a_value_is_told_in_a_few_words(value, words):
    assert in_words(value) == words


def test_a_result_is_pickled_as_before():
    spectrum = made(LyapunovSpectrum)
    assert repr(pickle.loads(pickle.dumps(spectrum))) == repr(spectrum)  # noqa: S301
