"""The page of a phase diagram: what it says for outcomes that were written by hand; nothing that runs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from attractor.cells import GatedForm
from attractor.report.about import About
from attractor.report.page import render
from attractor.report.publishing import publish
from attractor.report.style import NARROW, WIDE, house_style
from attractor.theory.phase import (
    PhaseAxis,
    PhaseDiagram,
    PhasePlan,
    PhaseSimulation,
    Theory,
    TheoryLine,
    position_in,
)
from attractor.theory.phase.phase_page import phase_page, phase_svg

PLAN = PhasePlan(
    PhaseAxis("g_h", 1.0, 4.0, 4),
    PhaseAxis("alpha_z", 0.0, 2.0, 3),
    form=GatedForm(reset_bias=-1.0),
    simulation=PhaseSimulation(seeds=(0, 3)),
)
LARGE = [[-1, -1, 1, 1], [-1, 1, 1, 1], [-1, 1, 1, np.nan]]
SMALL = [[-1, -1, -1, 1], [-1, -1, 1, 1], [-1, 0.001, 1, 1]]
LINE = TheoryLine(
    "zero", np.array([2.0, np.nan, 2.5]), np.array([0.0, np.nan, 2.0]), np.array([0.0, np.nan, 1e-9])
)
THEORY = Theory(
    (LINE,),
    ("No line for that.",),
    np.array([1.0, 4.0]),
    np.array([0.0, 2.0]),
    np.array([[0.0, 3.0], [1.0, np.nan]]),
)
DIAGRAM = PhaseDiagram(
    PLAN,
    "ab" * 32,
    np.array([LARGE, SMALL]) * 0.25,
    np.array([LARGE, SMALL]) * 0.25 - 0.03,
    np.array([LARGE, SMALL]) * 0.25 + 0.03,
    np.full((2, 3, 4), 0.3),
    THEORY,
    95.0,
    {"jax": "0.0"},
)
MARK = position_in(DIAGRAM, {"gain": 2.2, "alpha_z": 0.9})


def test_the_page_counts_outcomes_and_shows_both_pictures():
    """4 of 12 settle, 4 are chaotic, 2 depend on the start, one is undecided and one left the numbers."""
    about = About("axes", "attractor phase <x>")
    contents = phase_page(DIAGRAM, about, (MARK,))
    html = render(contents, about)
    assert "<script" not in html
    assert re.findall(r'<section id="([^"]+)"', html) == [
        "outcomes",
        "exponents",
        "relaxation",
        "facts",
        "reproduce",
    ]
    values = {tile.label: f"{tile.value} {tile.unit}" for tile in contents.tiles}
    assert values == {
        "Settles": "33.3 %",
        "Chaotic": "33.3 %",
        "The start decides": "16.7 %",
        "No answer": "16.7 %",
        "Computed in": "95 s",
    }
    assert contents.tone == "fair"
    assert "at 16.7 % the start decides" in contents.verdict
    assert "No line for that." in html
    assert "&lt;x&gt;" in html
    assert "zero loses stability" in html
    assert "b of the reset gate = -1" in html
    assert "seed 0, seed 3" in html
    assert "2 of 3" in html


def test_outcomes_differ_in_shape_and_colour():
    from attractor.theory.phase.phase_page import phase_figure

    for size in (WIDE, NARROW):
        with house_style(size, "test"):
            figure = phase_figure(DIAGRAM, (MARK,), size)
        patches = figure.axes[0].patches
        shapes = {
            len(path) // count
            for path, count in zip((p.get_path() for p in patches), (4, 4, 2, 1, 1), strict=True)
        }
        assert len({patch.get_facecolor() for patch in patches}) == 5
        assert shapes == {4, 5}, "closed triangles and quadrangles"
        texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert set(texts) == {
            "settles",
            "chaotic",
            "the start decides",
            "undecided",
            "diverged",
            "zero loses stability",
            "marked network",
        }


def test_a_diagram_without_theory_has_no_lines(tmp_path):
    empty = Theory((), (), np.empty(0), np.empty(0), np.empty((0, 0)))
    figures = {"exponent": -0.5, "low": -0.6, "high": -0.4}
    grids = {name: np.full((2, 3, 4), value) for name, value in figures.items()}
    settled = replace(DIAGRAM, theory=empty, **grids)
    contents = phase_page(settled, About())
    assert [section.name for section in contents.sections] == ["outcomes", "exponents", "facts"]
    assert "nowhere does the start decide" in contents.verdict
    assert contents.tone == "good"
    page = publish(settled, tmp_path, About("axes", "attractor phase"))
    assert page == tmp_path / "diagram.html"
    svg = phase_svg(settled)
    assert svg.startswith("<svg xmlns=")
    assert "--model: #1f56d8" in svg, "it brings its colours along"
    assert svg.count("<svg") == svg.count("</svg>") == 1


@pytest.mark.parametrize("exponent", [np.full((2, 3, 4), 0.5), np.full((2, 3, 4), np.nan)])
def test_any_field_of_exponents_can_be_drawn(exponent):
    assert render(phase_page(replace(DIAGRAM, exponent=exponent), About()), About())
