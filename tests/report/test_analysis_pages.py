"""Pages of certificates and closed loops: sections, words, escaping; nothing that runs."""

import re
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from attractor.certify import Attempt, Certificate, StabilityResult, Verdict, Witness
from attractor.certify.stability.certificate_page import CertifiedCell, certificate_page
from attractor.control.identification.recordings import Signals
from attractor.control.loop_page import ControlContents, loop_page
from attractor.control.predictive import ClosedLoop, Limits, SolveStatus, loop_metrics
from attractor.data import Signal
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, render
from attractor.report.publishing import publish

ABOUT = About("run", "attractor certify run")
EVIL = '<script>alert("x")</script>'


def sections(html):
    return re.findall(r'<section id="([^"]+)"', html)


def check_harmless(html):
    assert "<script" not in html
    assert "javascript:" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html), "it loads something"


def test_every_word_of_a_page_is_escaped():
    figure = PageFigure("one", EVIL, EVIL, lambda size: Figure(figsize=(2, 1)), facts=((EVIL, EVIL),))
    table = PageTable(EVIL, (EVIL, EVIL), ((EVIL, EVIL),), EVIL)
    section = Section("part", EVIL, EVIL, (figure,), (table,))
    tile = Tile(EVIL, EVIL, EVIL, EVIL)
    step = Step(EVIL, EVIL)
    page = Page(EVIL, EVIL, "good", EVIL, (step,), (tile,), (section,))
    html = render(page, About(EVIL, EVIL, data=EVIL))
    check_harmless(html)
    assert html.count("&lt;script&gt;") >= 18
    assert sections(html) == ["part", "reproduce"]


class Halving(eqx.Module):
    """x' = x / 2 + u / 2."""

    bias: jnp.ndarray
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return 0.5 * state + 0.5 * input + self.bias

    def initial_state(self):
        return jnp.zeros(2, self.bias.dtype)


ONES = np.ones(2)
CERTIFICATE = Certificate(1, 0.5, ONES, 0.5, -ONES, ONES, -2 * ONES, 2 * ONES, 1, np.array([1.0]))
ATTEMPTS = (Attempt(0, "no published condition", float("nan"), 0.1), Attempt(1, "rate 0.5000", 0.5, 0.25))
PROVED = StabilityResult(Verdict.PROVED, CERTIFICATE, None, ATTEMPTS, 1.5)
WITNESS = Witness(np.array([0.25, 1.0]), np.array([-0.25, 1.0]), np.array([[0.125]]), 0.5, 4000)
REFUTED = StabilityResult(Verdict.REFUTED, None, WITNESS, ATTEMPTS, 2.0)
UNKNOWN = StabilityResult(Verdict.UNKNOWN, None, None, ATTEMPTS, 2.0, "The time budget of 1 s was spent.")


def stability(result):
    cell = Halving(jnp.zeros(2))
    found = CertifiedCell(cell, result, 1.0, 10.0, np.array([-ONES, ONES]) / 2)
    return certificate_page(found, ABOUT)


def test_a_proof_shows_rate_settling_set_and_figures():
    """log(0.01) / log(0.5) = 6.6: 7 steps, and one into the box; at 10 s each."""
    contents = stability(PROVED)
    html = render(contents, ABOUT)
    check_harmless(html)
    assert sections(html) == ["contraction", "set", "attempts", "reproduce"]
    assert contents.tone == "good"
    assert {tile.label: tile.value for tile in contents.tiles} == {
        "Contraction": "0.5000",
        "Settling": "80",
        "Level": "1",
        "State moves": "1.0",
        "Analysis": "1.5",
    }
    assert html.count("<figure") >= 2
    assert "Proved for inputs within ±1 and starts in the certified set" in html


@pytest.mark.parametrize(
    ("level", "norm"), [(0, "see remarks"), (1, "largest |difference|"), (4, "see remarks")]
)
def test_the_norm_of_a_proof_is_named(level, norm):
    proof = replace(CERTIFICATE, level=level)
    (table,) = stability(replace(PROVED, certificate=proof)).sections[1].tables
    assert dict(table.rows)["norm"].startswith(norm)


def test_a_counterexample_is_shown_to_be_repeated():
    contents = stability(REFUTED)
    html = render(contents, ABOUT)
    assert sections(html) == ["witness", "attempts", "reproduce"]
    assert (contents.tone, contents.tiles[0].value) == ("poor", "refuted")
    for text in ("(0.25, 1)", "(-0.25, 1)", "(0.125)", "4000"):
        assert text in html


def test_a_counterexample_says_where_its_starts_lie_relative_to_the_data():
    """Both had 1 in their second state, where the data visited -0.5 to 0.5."""
    (section,) = (one for one in stability(REFUTED).sections if one.name == "witness")
    rows = dict(section.tables[0].rows)
    told = "1 of 2 states outside of what the data visited, by up to 0.50 times its width"
    assert (rows["first start and the data"], rows["second start and the data"]) == (told, told)
    assert "shown for such starts" in section.notes[0].message
    near = Witness(np.array([0.25, 0.5]), np.array([-0.25, 1.0]), np.array([[0.125]]), 0.5, 4000)
    (section,) = (one for one in stability(replace(REFUTED, witness=near)).sections if one.name == "witness")
    assert dict(section.tables[0].rows)["first start and the data"] == "within what the data visited"
    assert not section.notes


def test_what_is_unknown_is_not_called_stable():
    contents = stability(UNKNOWN)
    assert sections(render(contents, ABOUT)) == ["attempts", "reproduce"]
    assert (contents.tone, contents.tiles[0].value) == ("fair", "unknown")
    assert contents.verdict.startswith(
        "Unknown for inputs within ±1: that the model forgets its past is neither"
    )
    assert "budget" not in contents.verdict  # why the search ended is no news for whoever uses the model
    assert "The time budget of 1 s was spent." in contents.sections[-1].tables[0].caption
    assert "check every use by simulation" in contents.meaning
    assert "attractor repair . --out ../repaired" in contents.steps[0].command
    found = CertifiedCell(
        Halving(jnp.zeros(2)), UNKNOWN, 1.0, 10.0, retraining="attractor identify --certified"
    )
    assert certificate_page(found, ABOUT).steps[1].command == "attractor identify --certified"
    other = certificate_page(replace(found, repairable=False, retraining=""), ABOUT)
    assert not any("repair" in step.command for step in other.steps)


def test_a_gain_is_a_part_of_the_set_or_left_out():
    """A step moves by 0.5 per unit, all by 1; 1 % of the inputs is 0.02, and the set is 2 wide: 1 %."""
    tiles = {tile.label: tile for tile in stability(PROVED).tiles}
    assert (tiles["State moves"].value, tiles["State moves"].unit) == ("1.0", "%")
    wild = replace(CERTIFICATE, input_gain=529_435.0)
    page = stability(replace(PROVED, certificate=wild))
    assert "State moves" not in {tile.label for tile in page.tiles}
    assert "says nothing" in render(page, ABOUT)


def loop(**changes):
    """A reference that steps at row 20; the output follows two rows later, exactly."""
    rows = 40
    references = np.where(np.arange(rows) < 20, 0.0, 1.0)[:, None]
    outputs = np.where(np.arange(rows) < 22, 0.0, 1.0)[:, None]
    nothing = np.zeros((rows, 1))
    made = ClosedLoop(
        times=10.0 * np.arange(rows),
        references=references,
        measured=outputs,
        outputs=outputs,
        inputs=0.5 * references,
        disturbances=nothing,
        estimates=nothing,
        offsets=nothing,
        reachable=np.ones(rows, bool),
        statuses=(SolveStatus.CONVERGED,) * rows,
        solve_seconds=np.full(rows, 2e-3),
        seconds=np.full(rows, 3e-3),
    )
    return replace(made, **changes)


def control_contents(made, other=None, **changes):
    limits = Limits(0.0, 1.0)
    contents = ControlContents(
        plant="ph",
        signals=Signals((Signal("q3", "ml/s"),), (Signal("pH"),), 10.0),
        limits=np.array([[0.0], [1.0]]),
        band=np.array([0.05]),
        loop=made,
        figures=loop_metrics(made, 0.05, limits),
        other=other,
        other_figures=loop_metrics(other, 0.05, limits) if other is not None else None,
        certificate="Nothing is proved of this model.",
        setup={"horizon": "20"},
    )
    return replace(contents, **changes)


def test_a_loop_that_settles_is_good(tmp_path):
    other = loop(outputs=loop().outputs + 0.25)
    html = publish(control_contents(loop(), other), tmp_path, ABOUT).read_text()
    check_harmless(html)
    assert sections(html) == ["trajectories", "settling", "solver", "reproduce"]
    assert "The plant settles after every change, and no input leaves its limits. Nothing is proved" in html
    assert 'class="verdict good"' in html
    assert "+0.2500" in html  # the offset of the other loop
    assert "20.0" in html  # settled two samples of 10 s after the change
    assert SolveStatus.CONVERGED.value in html
    assert html.count("<figure") >= 3


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({"outputs": np.zeros((40, 1))}, "fair", "does not settle after every change"),
        ({"inputs": np.full((40, 1), 1.5)}, "poor", "inputs leave their limits"),
        (
            {"inputs": np.where((np.arange(40) > 20) & (np.arange(40) % 2 == 0), 0.8, 0.3)[:, None]},
            "fair",
            "q3 chatters from sample to sample: raise --move-weight.",
        ),
        (
            {"statuses": (SolveStatus.ITERATION_LIMIT,) * 3 + (SolveStatus.CONVERGED,) * 37},
            "fair",
            "leaves its limits. No optimal plan in 3 of 40 samples: iteration limit reached (3).",
        ),
        (
            {"statuses": (SolveStatus.QP_FAILED,) * 40},
            "poor",
            "No optimal plan in 40 of 40 samples: the quadratic program could not be solved (40). The plant",
        ),
        (
            {"statuses": (SolveStatus.STATE_NOT_FINITE,) * 3 + (SolveStatus.CONVERGED,) * 37},
            "poor",
            "In 3 samples no plan could be computed and the last input was held: the state or the "
            "target is not",
        ),
        (
            {"statuses": (SolveStatus.REFERENCE_NOT_FINITE,) + (SolveStatus.CONVERGED,) * 39},
            "poor",
            "the last input was held: the reference is not a finite number.",
        ),
        (
            {"measured": np.where(np.arange(40) < 7, np.nan, 0.0)[:, None]},
            "good",
            "In 7 samples a sensor showed nothing, and what the model expects of it stood in.",
        ),
        ({"reachable": np.arange(40) < 35}, "good", "In 5 samples the reference is out of reach"),
    ],
    ids=[
        "never there",
        "beyond limits",
        "chatter",
        "few fallbacks",
        "fallbacks",
        "alarms",
        "no reference",
        "lost sensor",
        "out of reach",
    ],
)
def test_a_loop_with_a_flaw_says_which(changes, tone, words):
    page = loop_page(control_contents(loop(**changes)), ABOUT)  # the figures are drawn in other tests
    assert page.tone == tone
    assert words in page.verdict
    assert not any(tile.value == "nan" for tile in page.tiles)


def test_a_loop_without_plans_is_no_loop_of_the_controller_and_names_what_helps():
    failed = loop(statuses=(SolveStatus.QP_FAILED,) * 40)
    setup = {"terminal": "auto"}
    page = loop_page(control_contents(failed, certified=True, setup=setup), ABOUT)
    assert page.verdict.startswith("No optimal plan in 40 of 40 samples")
    assert "--terminal local" in page.steps[0].command
    assert not any("certify" in step.command for step in page.steps)
    assert str(failed).startswith("No optimal plan in 40 of 40 samples: the quadratic program could not be")
    assert str(loop()).startswith("closed loop of 40 samples")


def test_a_plant_that_answers_otherwise_is_the_headline():
    """A loop that settles all the same was green, with nothing said of a gain three times as large."""
    said = "The plant answers otherwise than the model: over 20 samples pH moves 3 times as far as foreseen."
    page = loop_page(control_contents(loop(), otherwise=said), ABOUT)
    assert page.verdict.startswith(said)
    assert page.tone == "fair"
    assert "attractor identify LOG.csv" in page.steps[0].command


def test_chattering_inputs_lead_to_a_larger_price_of_moves():
    inputs = np.where(np.arange(40) % 2 == 0, 0.8, 0.3)[:, None]
    page = loop_page(control_contents(loop(inputs=inputs), setup={"move weight": "0.3"}), ABOUT)
    assert page.steps[0].command.endswith("--move-weight 3")


@pytest.mark.parametrize(
    ("kind", "tone", "words", "command"),
    [
        ("itself", "fair", "nothing about what the model gets wrong", "--plant plant.py:Plant"),
        ("run", "good", "What neither of the two models knows", "--plant plant.py:Plant"),
        ("own", "good", "try it on the real one", "--to controller"),
    ],
)
def test_the_page_says_what_the_plant_is(kind, tone, words, command):
    page = loop_page(control_contents(loop(), kind=kind, remarks=("Its sensors are exact.",)), ABOUT)
    assert page.tone == tone
    assert words in page.meaning
    assert command in page.steps[0].command
    assert page.sections[0].notes[0].message == "Its sensors are exact."
    if kind == "itself":
        assert page.verdict.startswith("The model, controlled in the place of a plant, settles")


def test_no_tile_of_a_loop_needs_a_calculator():
    """An offset of 4e-8 of a band of 0.05 is none, and a settling time that does not exist is no number."""
    tiles = {tile.label: tile for tile in loop_page(control_contents(loop()), ABOUT).tiles}
    assert tiles["Steady offset"].value == "none"
    never = loop_page(control_contents(loop(outputs=np.zeros((40, 1)))), ABOUT).tiles
    assert {tile.label: tile.value for tile in never}["Not settled"] == "1 of 1"
    far = loop_page(control_contents(loop(outputs=loop().outputs + 0.02)), ABOUT).tiles
    assert (far[0].value, far[0].note) == ("0.0200", "largest mean at rest, of pH")


def test_names_from_files_are_escaped_on_the_page_of_a_loop(tmp_path):
    contents = control_contents(
        loop(),
        signals=Signals((Signal(EVIL, "ml/s"),), (Signal(EVIL),), 10.0),
        setup={"horizon": EVIL},
    )
    html = publish(contents, tmp_path, About(EVIL, EVIL)).read_text()
    check_harmless(html)
