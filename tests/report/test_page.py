"""The page: valid, self-contained, escaped, small, and robust against strange data."""

import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_example import ABOUT, example_contents, two_by_two_contents

from attractor.control.identification.identification_page import identification_page
from attractor.data import Signal
from attractor.errors import StorageError
from attractor.report.about import About
from attractor.report.page import Note, render, write_document
from attractor.report.publishing import publish
from attractor.report.wording import count, duration, mean_and_spread, significant, span

VOID = {"meta", "br", "link", "img", "input", "hr"}
SECTIONS = [
    "prediction",
    "comparison",
    "data",
    "training",
    "residuals",
    "steady-state",
    "metrics",
    "model-card",
    "reproduce",
]
EVIL = '<script>alert("q3")</script>'


def rendered(contents, about=ABOUT):
    return render(identification_page(contents, about), about)


class Balance(HTMLParser):
    """Collects ids and complains about tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


@pytest.fixture(scope="module")
def contents():
    return example_contents(lengths=(900, 400, 400))


@pytest.fixture(scope="module")
def page(contents):
    return rendered(contents)


def test_the_page_is_balanced_and_its_ids_are_unique(page):
    parser = parsed(page)
    assert len(parser.ids) == len(set(parser.ids))
    assert [name for name in parser.ids if name in SECTIONS] == SECTIONS
    assert page.startswith("<!doctype html>")


def test_every_entry_of_the_contents_leads_somewhere(page):
    targets = re.findall(r'<a href="#([^"]+)"', page)
    assert targets == SECTIONS


def test_the_page_runs_and_loads_nothing(page):
    tags = set(parsed(page).tags)
    assert tags.isdisjoint({"script", "link", "iframe", "img", "object", "embed", "form", "base"})
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|\son\w+=|javascript:", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    assert "script-src" not in policy[1]


def test_every_colour_of_the_figures_is_defined_for_light_dark_and_print(page):
    used = set(re.findall(r"var\(--([\w-]+)\)", page))
    light, dark, printed = (
        set(re.findall(r"--([\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    )
    assert used <= light
    assert used - {"font", "mono"} <= dark
    assert used - {"font", "mono"} <= printed
    assert "#0101" not in page


def test_every_figure_is_xml_and_small(page):
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(figures) == 14
    for figure in figures:
        ET.fromstring(figure)  # noqa: S314
        assert len(figure.encode()) < 60_000


@pytest.mark.slow
def test_a_full_size_page_stays_below_its_limit():
    html = rendered(two_by_two_contents())
    assert len(html.encode()) < 1_500_000
    assert max(len(figure.encode()) for figure in re.findall(r"<svg.*?</svg>", html, re.DOTALL)) < 60_000
    parsed(html)


def test_names_from_the_user_are_escaped(contents):
    signal = Signal(EVIL, "<b>")
    record = replace(contents.data.training, inputs=(signal,), outputs=(signal,))
    evil = replace(
        contents,
        verdict=EVIL,
        summary=replace(contents.summary, output=signal),
        data=replace(contents.data, training=record, findings=(Note(EVIL, EVIL, EVIL),)),
        predictions=tuple(replace(p, experiment=EVIL, output=signal) for p in contents.predictions),
        residuals=tuple(
            replace(p, experiment=EVIL, inputs=(signal,), outputs=(signal,)) for p in contents.residuals
        ),
        steady_states=tuple(replace(p, input=signal, outputs=(signal,)) for p in contents.steady_states),
        metrics=tuple(replace(row, experiment=EVIL, output=signal) for row in contents.metrics),
        model_card={EVIL: {EVIL: EVIL}},
    )
    html = rendered(evil, About(EVIL, EVIL, data=EVIL, folder=Path(EVIL)))
    assert "<script" not in html
    assert "<b>]" not in html
    parser = parsed(html)
    assert parser.text.count(EVIL) >= 5
    for figure in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(figure)  # noqa: S314


def with_gaps(contents):
    """The contents with NaN and infinity wherever a number can go wrong."""

    def spoil(values):
        spoiled = np.array(values, float)
        spoiled[:: max(2, len(spoiled) // 7)] = np.nan
        spoiled[1:2] = np.inf
        return spoiled

    return replace(
        contents,
        summary=replace(contents.summary, fit=np.nan, rmse=np.nan),
        predictions=tuple(
            replace(p, measured=spoil(p.measured), predicted=spoil(p.predicted), fit=np.nan)
            for p in contents.predictions
        ),
        training=replace(
            contents.training,
            runs=tuple(
                replace(r, training_loss=spoil(r.training_loss), validation_fit=spoil(r.validation_fit))
                for r in contents.training.runs
            ),
        ),
        steady_states=tuple(replace(p, equilibria=spoil(p.equilibria)) for p in contents.steady_states),
        metrics=tuple(
            replace(row, fit=np.nan, fit_per_seed=spoil(row.fit_per_seed)) for row in contents.metrics
        ),
    )


def with_nothing_finite(contents):
    """A training that diverged at once and a model that says nothing."""
    return replace(
        contents,
        predictions=tuple(
            replace(p, predicted=np.full_like(p.predicted, np.nan), rmse=np.nan) for p in contents.predictions
        ),
        training=replace(
            contents.training,
            runs=tuple(
                replace(
                    r,
                    training_loss=np.full_like(r.training_loss, np.nan),
                    validation_fit=np.full_like(r.validation_fit, np.nan),
                )
                for r in contents.training.runs
            ),
        ),
        steady_states=tuple(
            replace(p, equilibria=np.full_like(p.equilibria, np.nan)) for p in contents.steady_states
        ),
    )


def with_constants(contents):
    """An input that never moves, and a log without noise; the parts that show no log are those of others."""
    experiment = contents.data.training.experiments[0]
    still = replace(experiment, inputs=np.full_like(experiment.inputs, 3.0))
    return replace(
        contents,
        data=replace(contents.data, training=contents.data.training.with_experiments([still])),
        training=replace(contents.training, runs=()),
        residuals=(),
    )


def with_little(contents):
    """A report of a run without residuals, steady states, findings, metrics or test data."""
    nothing = contents.data.test.with_experiments([])
    return replace(
        contents,
        predictions=(),
        residuals=(),
        steady_states=(),
        metrics=(),
        model_card={},
        training=replace(contents.training, runs=()),
        data=replace(contents.data, validation=nothing, test=nothing, findings=()),
    )


@pytest.mark.parametrize(
    "spoil",
    [with_nothing_finite, pytest.param(with_gaps, marks=pytest.mark.slow), with_constants, with_little],
)
def test_strange_numbers_do_not_break_the_page(contents, spoil):
    html = rendered(spoil(contents))
    parsed(html)
    for figure in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(figure)  # noqa: S314
        assert not re.search(r"\b(?:nan|inf)\b", re.sub(r"<text.*?</text>", "", figure))


def test_sections_without_contents_are_left_out(contents):
    html = rendered(with_little(contents))
    assert 'href="#residuals"' not in html
    assert 'id="steady-state"' not in html


NEVER = "It never sees a measured output of a test experiment"
FIRST = "the measured outputs of its first 5 samples"


@pytest.mark.parametrize(
    ("start_rows", "washout", "said", "unsaid"),
    [
        (5, 5, [FIRST, "first 5 samples are washout: they set the initial state"], [NEVER, "forgets"]),
        (0, 5, [NEVER, "first 5 samples are washout: there a wrong initial state may still show"], [FIRST]),
        (0, 0, [NEVER], [FIRST, "are washout"]),
    ],
    ids=["read from measured outputs", "forgotten", "at rest"],
)
def test_the_page_says_what_the_model_sees_of_a_test_experiment(contents, start_rows, washout, said, unsaid):
    page = replace(
        with_little(contents),
        start_rows=start_rows,
        predictions=tuple(replace(p, washout=washout) for p in contents.predictions),
    )
    html = rendered(page)
    assert [words in html for words in said] == [True] * len(said)
    assert [words in html for words in unsaid] == [False] * len(unsaid)


def test_the_report_is_written_whole(contents, tmp_path):
    path = publish(with_little(contents), tmp_path / "runs", ABOUT)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_an_error_of_ours(contents, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        publish(with_little(contents), tmp_path / "file", ABOUT)


def test_the_same_contents_give_the_same_page(contents, page):
    assert rendered(contents) == page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0152, "0.0152"),
        (12.345, "12.3"),
        (123456.0, "123456"),
        (1e-9, "1.00e-09"),
        (-0.5, "-0.500"),
        (0.0, "0"),
    ],
)
def test_significant_digits(value, text):
    assert significant(value) == text


def test_words_for_numbers():
    assert significant(np.nan) == "—"
    assert count(13000) == "13\u202f000"
    assert duration(94.0) == ("94", "s")
    assert duration(600.0) == ("10", "min")
    assert span(16800.0, 19300.0) == "4.67 to 5.36 h"
    assert mean_and_spread(np.array([1.0, 3.0])) == "2.0 ± 1.4"
    assert mean_and_spread(np.array([np.nan, 3.0])) == "3.0"
    assert mean_and_spread(np.empty(0)) == "—"
    assert (Note("error", "").tone, Note("anything", "").tone) == ("bad", "info")


def test_a_file_name_that_is_not_utf8_can_stand_on_a_page(tmp_path):
    path = tmp_path / os.fsdecode(b"r\xffun") / "report.html"
    write_document(f"<p>{path.parent.name}\x1b[31m</p>\n", path)
    assert path.read_bytes() == rb"<p>r\xffun\x1b[31m</p>" + b"\n"
