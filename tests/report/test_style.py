"""Inline figures: valid, themed, small, and never in each other's way."""

import re
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest

from attractor.report.style import NARROW, WIDE, Hue, house_style, panels, power_label, powers_of_ten, to_svg


def drawn(name, size=WIDE, **look):
    with house_style(size, name):
        figure, (axes,) = panels(size, [132])
        axes.plot([1.0, 2.0, 3.0], [1.23456789, 0.1, 0.001], **({"color": Hue.MODEL} | look))
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
    assert Hue.INK[:5] not in svg
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
        axes.plot([1, 1, np.nan, 2, 2], [1, 1, np.nan, 2, 2], color=Hue.MODEL, solid_capstyle="round")
        assert to_svg(figure, "dots", "").count("h0") == 2


def test_a_line_that_begins_with_a_repeated_point_stays_a_line():
    with house_style(WIDE, "stairs"):
        figure, (axes,) = panels(WIDE, [50])
        axes.stairs([0, 2, 0], [0, 1, 2, 3], color=Hue.MODEL, fill=True)
        axes.plot([0, 0, 1], [0, 0, 1], color=Hue.MODEL)
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


def labelled(text):
    """A figure with a text of the user's in every place where one may stand."""
    with house_style(WIDE, "own"):
        figure, (axes,) = panels(WIDE, [132])
        axes.plot([1.0, 2.0], [1.0, 2.0], label=text, color=Hue.MODEL)
        axes.set_title(text)
        axes.set_ylabel(text)
        axes.set_yticks([1.0, 2.0], [text, "b"])
        axes.legend()
        return str(to_svg(figure, "own", text))


def texts(svg):
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314


@pytest.mark.parametrize(
    "text",
    [
        Hue.INK,
        f"{Hue.MODEL} and {Hue.INK}",
        "font-family: Arial; font: 3px Arial",
        ' d="1.23456 2.34567" id="one" xlink:href="#a"',
        "url(#a) <style>b</style> <defs> </defs> <!-- c -->",
        "M 1 2 L 1 2 M 3.14159",
    ],
)
def test_text_that_looks_like_a_drawing_is_left_as_it_is(text):
    svg = labelled(text)
    assert texts(svg).count(text) == 4
    assert "var(--model)" in svg
    assert Hue.MODEL not in re.sub(r">[^<]*<", "><", svg).replace(f'aria-label="{text}"', "")


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_are_drawn_without_a_warning():
    name = "温度 درجة температура 🌡"
    assert texts(labelled(name)).count(name) == 4


def test_no_command_for_a_terminal_reaches_a_figure():
    svg = labelled("flow \x1b[31m")
    assert "\x1b" not in svg
    assert texts(svg).count(r"flow \x1b[31m") == 4


def test_settings_of_matplotlib_are_unchanged_when_threads_draw():
    before = dict(matplotlib.rcParams)
    names = [f"figure{place}" for place in range(8)]
    with ThreadPoolExecutor(4) as pool:
        figures = list(pool.map(drawn, names))
    assert dict(matplotlib.rcParams) == before
    assert figures == [drawn(name) for name in names]


def test_a_setting_of_the_users_outlives_a_figure():
    before = matplotlib.rcParams["lines.linewidth"]
    try:
        with house_style(WIDE, "one"):
            matplotlib.rcParams["lines.linewidth"] = 7.0
        assert matplotlib.rcParams["lines.linewidth"] == 7.0
    finally:
        matplotlib.rcParams["lines.linewidth"] = before
