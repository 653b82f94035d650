"""From a result to its page: the table, the head, the links between pages of a run."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version

import numpy as np
import pytest
from report_example import example_contents
from test_analysis_pages import UNKNOWN, Halving, control_contents, loop
from test_classifier_figures import study
from test_phase_page import DIAGRAM

from attractor.audit import RobustnessCurves
from attractor.certify.stability.certificate_page import CertifiedCell
from attractor.classification import RobustnessStudy
from attractor.classification.classifier_page import ClassifierRun
from attractor.control.identification.identification_contents import IdentificationContents
from attractor.control.loop_page import ControlContents
from attractor.errors import ConfigError
from attractor.origin import Origin, find_origin
from attractor.report.about import About
from attractor.report.page import Page, Section, Step
from attractor.report.publishing import PAGES, PageKind, link_pages, publish
from attractor.theory import DynamicsStudy
from attractor.theory.phase import PhaseDiagram

KINDS = {
    IdentificationContents: "report.html",
    ClassifierRun: "report.html",
    RobustnessStudy: "robustness.html",
    RobustnessCurves: "curves.html",
    ControlContents: "control.html",
    CertifiedCell: "certificate.html",
    DynamicsStudy: "dynamics.html",
    PhaseDiagram: "diagram.html",
}
ORIGIN = Origin("1" * 64, "2" * 64)
EVIL = '"><script>alert(1)</script>'


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_study_has_a_page_that_stands_beside_it(kind):
    entry = PAGES[kind]
    assert entry.file == KINDS[kind]
    module, _, name = entry.build.partition(":")
    assert callable(getattr(import_module(module), name))
    assert module.split(".")[1] == kind.__module__.split(".")[1], "in the room of its result"


def undecided():
    return CertifiedCell(Halving(np.zeros(2)), UNKNOWN, 1.0, 10.0)


@pytest.mark.parametrize(
    "result",
    [
        lambda: example_contents(lengths=(300, 200, 200)),
        study,
        lambda: study().curves,
        lambda: control_contents(loop()),
        undecided,
        lambda: DIAGRAM,
    ],
    ids=["identification", "robustness", "curves", "loop", "certificate", "phase"],
)
def test_a_page_leads_from_the_verdict_to_the_details(result, tmp_path):
    made = result()
    html = publish(made, tmp_path, About("title", "attractor x", ORIGIN, "log.csv")).read_text()
    places = [
        html.index(f'class="{name}') for name in ("head", "verdict ", "meaning", "steps", "tiles", "columns")
    ]
    assert places == sorted(places)
    assert html.index("<figure>" if "<figure>" in html else "<table") > places[-1]
    assert re.search(r'<p class="meaning">\w.{30,}</p>', html)
    assert re.search(r"<li>[^<]+ <code>attractor [^<]+</code></li>", html)
    head = re.search(r'<p class="head">(.*?)</p>', html)[1]
    today = datetime.now(UTC).date().isoformat()
    for said in ("111111111111", "log.csv", today, f"Attractor {version('attractor')}"):
        assert said in head
    assert find_origin(html.encode()) == ORIGIN
    assert "<script" not in html


def test_a_result_without_a_page_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"results of type dict have no page; .*DynamicsStudy"):
        publish({}, tmp_path)


@dataclass(frozen=True)
class Own:
    """A result of another package."""

    def to_dict(self):
        return {"answer": 42}


def own_page(result, about, extra=""):
    section = Section("one", extra, "lead")
    return Page(
        "Own", "verdict", "good", "meaning", (Step("why", f"do {about.run}"),), (), (section,), {"b": 1}
    )


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(PAGES, "_entries", dict(PAGES._entries))
    monkeypatch.setattr(PAGES, "_sources", dict(PAGES._sources))
    PAGES.register(Own, PageKind("own.html", f"{__name__}:own_page", "own.json"))


def test_another_package_adds_a_page_with_its_numbers(own, tmp_path):
    class Derived(Own):
        """What derives from a result has its page."""

    folder = tmp_path / "a run"
    page = publish(Derived(), folder, About(command="x", data="log.csv"), extra=EVIL)
    html = page.read_text()
    assert "<h1>a run</h1>" in html
    assert f"do &#39;{folder}&#39;" in html
    assert "<script" not in html
    facts = {"origin": "", "source": "log.csv", "command": "x", "answer": 42, "b": 1}
    assert json.loads((folder / "own.json").read_text()) == facts


def links(path):
    return re.findall(r'<a href="([^"#]+)">', path.read_text())


def test_pages_of_the_same_weights_link_one_another(own, tmp_path):
    about = About("run", "x", ORIGIN)
    first = publish(undecided(), tmp_path, about)
    assert links(first) == []
    second = publish(Own(), tmp_path, about)
    report = tmp_path / "report.html"
    report.write_text(second.read_text().replace('content="Own"', 'content="Report"'))
    other = tmp_path / "old.html"
    other.write_text(second.read_text().replace("1" * 64, "9" * 64))
    (tmp_path / "notes.html").write_text("<p>of the user</p>")
    (tmp_path / "link.html").symlink_to(second)
    publish(Own(), tmp_path, about)
    assert links(first) == ["report.html", "own.html"]
    assert links(second) == ["report.html", "certificate.html"]
    assert (tmp_path / "notes.html").read_text() == "<p>of the user</p>"
    assert (tmp_path / "link.html").is_symlink()
    assert "old.html" not in "".join(links(first))
    before = first.read_bytes()
    link_pages(tmp_path, ORIGIN)
    assert first.read_bytes() == before


def test_a_page_cannot_smuggle_words_into_the_others(own, tmp_path):
    first = publish(Own(), tmp_path)
    (tmp_path / "evil.html").write_text(f'<meta name="attractor-page" content="{EVIL}">')
    (tmp_path / 'a"b.html').write_text(first.read_text())
    publish(Own(), tmp_path)
    assert "<script" not in first.read_text()
    assert links(first) == ["a&quot;b.html"]


def test_the_table_is_read_without_drawing_anything():
    program = "import sys, attractor.theory; sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
