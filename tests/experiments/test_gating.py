"""The page about gating, on networks that are too small to show much but take every step."""

import re

import numpy as np
import pytest

from attractor.cells import GatedForm
from attractor.report.about import About
from attractor.report.page import render
from attractor.theory.mean_field import GatedParameters, solve_mean_field
from experiments.gating import Effort, contents, parts, reproduce
from experiments.gating_experiments import Size, memory, pulses, simulated_exponent
from experiments.gating_sections import JUMP, _branches

TINY = Size(24, range(2), 5.0, 10.0)
EFFORT = Effort(TINY, TINY, TINY, (24, 3), 3, 40, TINY)


def test_pulses_come_three_times():
    shape = pulses(1000)
    assert shape.max() == 1
    assert np.sum(np.diff(shape) == 1) == 3
    assert shape.sum() == 3 * 20


@pytest.mark.slow
def test_a_strong_gate_remembers_and_an_open_one_does_not():
    size = Size(100, range(1), 30.0, 30.0)
    weak, strong = (memory(gain, size) for gain in (0.0, 20.0))
    assert strong.at_end > 0.8
    assert strong.at_end > weak.at_end + 0.1
    assert strong.reset[0] < strong.at_end / 2
    assert strong.overlap.shape == (1, 300)
    assert strong.trace[-1] > 2 * strong.trace[60]  # later pulses are added to the first


@pytest.mark.slow
def test_drawn_branches_turn_at_the_fold_and_meet_there():
    (gains, heights), (others, lower) = _branches(JUMP, 4.1)
    assert gains.min() == pytest.approx(2.28679, abs=2e-4)
    assert (others[-1], lower[-1]) == (gains[0], heights[0])
    at = np.interp(2.8, gains, heights)
    solved = solve_mean_field(
        GatedParameters.of(GatedForm(2.8, reset_gain=10, reset_bias=-1, open_update=True))
    )
    assert at == pytest.approx(solved.correlators.variance, abs=2e-4)


@pytest.mark.slow
def test_a_network_below_its_onset_settles():
    form = GatedForm(0.5, open_update=True, open_reset=True)
    exponents, squares = simulated_exponent(form, Size(60, range(2), 40.0, 20.0)).T
    assert np.all(exponents < -0.2)
    assert np.all(squares < 1e-3)


@pytest.mark.slow
def test_every_part_has_its_section(tmp_path):
    found = reproduce(EFFORT, tmp_path)
    html = render(contents(found), About("gating", "command"))
    assert re.findall(r'<section id="([^"]+)"', html) == [*parts(EFFORT, None), "reproduce"]
    assert "<script" not in html
    assert all(part.sentence.endswith(".") for part in found)
