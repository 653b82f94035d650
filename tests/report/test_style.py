"""Inline figures: valid, themed, small, and never in each other's way."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from attractor.report.layout import panels
from attractor.report.style import (
    INK,
    MODEL,
    NARROW,
    WIDE,
    house_style,
    power_label,
    powers_of_ten,
    to_svg,
)


def drawn(name, size=WIDE, **look):
    with house_style(size, name):
        figure, (axes,) = panels(size, [132])
        axes.plot([1.0, 2.0, 3.0], [1.23456789, 0.1, 0.001], **({"color": MODEL} | look))
        axes.set_ylabel("a < b & $c$")
        powers_of_ten(axes, "y")
        return to_svg(figure, name, 'title with " and <')


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_figure_is_xml_of_the_screens_width(size):
    root = ET.fromstring(drawn("one", size))  # noqa: S314
    assert root.attrib["viewBox"] == f"0 0 {size.width:g} 200"
    assert "width" not in root.attrib
    assert root.attrib["aria-label"] == 'title with " and <'


def test_colours_and_font_come_from_the_page():
    svg = drawn("one")
    assert "var(--model)" in svg
    assert "var(--font)" in svg
    assert INK[:5] not in svg
    assert "DejaVu" not in svg


def test_labels_stay_text():
    assert "a &lt; b &amp; $c$" in drawn("one")
    assert "10⁻²" in drawn("one")


def test_ids_do_not_clash_and_all_references_resolve():
    figures = [str(drawn(name)) for name in ("one", "two")]
    ids = [re.findall(r' id="([^"]+)"', svg) for svg in figures]
    assert set(ids[0]).isdisjoint(ids[1])
    for svg, own in zip(figures, ids, strict=True):
        references = re.findall(r'(?:url\(|href=")#([^")]+)', svg)
        assert set(references) == set(own)
        assert len(own) == len(set(own))


def test_nothing_is_loaded_and_nothing_leaks():
    svg = drawn("one")
    assert set(re.findall(r"https?://[^\s\"]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_the_same_numbers_give_the_same_figure():
    assert drawn("one") == drawn("one")


def test_dots_survive_as_segments_of_no_length():
    svg = drawn("dots", solid_capstyle="round")
    assert "h0" not in svg
    with house_style(WIDE, "dots"):
        figure, (axes,) = panels(WIDE, [50])
        axes.plot([1, 1, np.nan, 2, 2], [1, 1, np.nan, 2, 2], color=MODEL, solid_capstyle="round")
        assert to_svg(figure, "dots", "").count("h0") == 2


def test_a_line_that_begins_with_a_repeated_point_stays_a_line():
    with house_style(WIDE, "stairs"):
        figure, (axes,) = panels(WIDE, [50])
        axes.stairs([0, 2, 0], [0, 1, 2, 3], color=MODEL, fill=True)
        axes.plot([0, 0, 1], [0, 0, 1], color=MODEL)
        svg = to_svg(figure, "stairs", "")
    assert "h0" not in svg
    for path in re.findall(r' d="([^"]*)"', svg):
        assert len(re.findall(r"-?[\d.]+", path)) % 2 == 0


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1.0, "10⁰"),
        (10.0, "10¹"),
        (1e6, "10⁶"),
        (0.1, "10⁻¹"),
        (1e-12, "10⁻¹²"),
        (0.005, "5·10⁻³"),
        (20.0, "2·10¹"),
    ],
)
def test_powers_of_ten_are_written_without_a_formula(value, label):
    assert power_label(value) == label
