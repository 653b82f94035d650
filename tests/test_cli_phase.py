"""phase on the command line: what it writes, and what it says of options that cannot be."""

import pytest
from test_cli_classify import call

from attractor.theory.phase import load_diagram

AXES = ("--x", "g_h", "0.5:2:3", "--y", "b_r", "-1:1:2")
QUICK = ("--size", "10", "--time", "8", "--transient", "4", "--workers", "1")


def test_phase_writes_a_diagram_and_goes_on_with_it(tmp_path, capsys):
    out = tmp_path / "diagram"
    words = (
        "phase",
        *AXES,
        *QUICK,
        "--fixed",
        "alpha_r=0.5",
        "tau_r=2",
        "--mark",
        "gain=1",
        "b_r=0",
        "--out",
        out,
    )
    assert call(*words) == 0
    assert {path.name for path in out.iterdir()} == {
        "SHA256SUMS",
        "diagram.csv",
        "diagram.html",
        "diagram.json",
        "diagram.svg",
        "lock",
        "parts",
    }
    diagram = load_diagram(out)
    assert diagram.plan.form.open_update, "a gate that nobody names is open"
    assert (diagram.plan.form.reset_gain, diagram.plan.form.reset_time) == (0.5, 2.0)
    assert (diagram.exponent[0, 0, 0] < 0).all()
    assert [line.name for line in diagram.theory.lines] == ["zero", "fold", "chaos"]
    shown = capsys.readouterr().out
    assert "100.0 %" in shown or "settles from both starts" in shown
    assert "At (1, 0), by the nearest point" in shown
    assert call(*words) == 0
    assert load_diagram(out).seconds < diagram.seconds
    assert call("phase", *AXES, *QUICK, "--out", out) == 2
    assert "holds the diagram of another plan" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--x", "g_h", "1:2", "--y", "b_r", "0:1:2"), "--x g_h 1:2: expected first:last:points"),
        (("--x", "g_h", "2:1:3", "--y", "b_r", "0:1:2"), "--x: axis gain: 2.0 to 1.0"),
        (("--x", "speed", "1:2:3", "--y", "b_r", "0:1:2"), "x: 'speed' is no parameter of a gated network"),
        ((*AXES, "--fixed", "b_r=1"), "--fixed reset_bias: it is on an axis"),
        ((*AXES, "--fixed", "speed=1"), "--fixed speed: unknown; give one of gain"),
        ((*AXES, "--fixed", "alpha_r"), "--fixed alpha_r: expected name=value"),
        ((*AXES, "--fixed", "alpha_r=much"), "--fixed reset_gain=much: expected a number"),
        ((*AXES, "--fixed", "open_update=perhaps"), "expected true or false"),
        ((*AXES, "--mark", "gain=1"), "--mark needs reset_bias, too"),
        ((*AXES, "--step", "0"), "step=0.0: expected a positive number"),
    ],
)
def test_options_that_cannot_be_are_named(words, message, tmp_path, capsys):
    assert call("phase", *words, "--out", tmp_path) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
