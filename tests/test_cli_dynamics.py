"""Commands about dynamics: of a run, of a cell by its name, of a map of the user's own."""

import json
import re

import numpy as np
import pytest
from test_cli_classify import call, said, write_ramps

from attractor.origin import origin_of
from attractor.runs import load_run

HENON = """
import equinox as eqx
import jax.numpy as jnp
import attractor


class Henon(attractor.Cell):
    input_size: int = eqx.field(static=True, default=0)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return jnp.stack([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])


class Flow(attractor.Flow):
    input_size: int = eqx.field(static=True, default=0)
    hidden_size: int = eqx.field(static=True, default=1)

    def vector_field(self, input, state):
        return -state
"""


@pytest.fixture
def henon(tmp_path):
    (tmp_path / "maps.py").write_text(HENON)
    return f"{tmp_path / 'maps.py'}:Henon"


def test_exponents_of_a_map_of_ones_own(henon, tmp_path, capsys):
    out = tmp_path / "found.json"
    assert call("lyapunov", henon, "--start", 0.1, 0.1, "--steps", 3000, "--out", out) == 0
    assert "Henon: Lyapunov exponents, 2800 steps" in said(capsys)
    found = json.loads(out.read_text())
    assert sum(found["per_step"]) == pytest.approx(np.log(0.3))
    assert found["kaplan_yorke"]["value"] == pytest.approx(1.26, abs=0.03)


@pytest.mark.slow
def test_a_page_about_a_map_of_ones_own(henon, tmp_path, capsys):
    where = ("--steps", 400, "--starts", 8, "--out", tmp_path / "page")
    assert call("dynamics", henon, "--start", 0.1, 0.1, *where) == 0
    assert "chaotic along these inputs" in said(capsys)
    html = (tmp_path / "page" / "dynamics.html").read_text()
    parts = ["exponents", "points", "eigenvalues", "reproduce"]
    assert re.findall(r'<section id="([^"]+)"', html) == parts
    assert "fixed point was not found" not in html  # the map lets some states run away: nothing follows
    assert "<script" not in html
    content = json.loads((tmp_path / "page" / "dynamics.json").read_text())
    assert content["regime"] == "chaotic"
    assert content["proved_exponent"] is None
    assert {point["kind"] for point in content["fixed_points"]} == {"saddle"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The data and the run of a small classifier."""
    folder = tmp_path_factory.mktemp("classifier")
    data, run = write_ramps(folder / "ramps.npz"), folder / "run"
    tiny = ("--cell", "lipschitz", "--hidden", "3", "--epochs", "2", "--batch-size", "8")
    assert call("classify", data, *tiny, "--out", run) == 0
    return data, run


@pytest.mark.slow
def test_exponents_of_a_run_of_the_classifier_under_data(trained, capsys):
    data, run = trained
    assert call("lyapunov", run, data, "--count", "all", "--steps", 200, "--burn-in", 50) == 0
    told = said(capsys)
    assert "150 steps, ramps.npz" in told
    assert "per unit of time" in told


@pytest.mark.slow
def test_a_page_about_a_run_with_the_cases_that_it_keeps(trained, capsys):
    run = trained[1]
    assert call("dynamics", run, "--starts", 8, "--certificate-budget", 2, "--steps", 100) == 0
    assert "report:" in said(capsys)
    assert json.loads((run / "dynamics.json").read_text())["source"] == "data of the run"
    assert "<script" not in (run / "dynamics.html").read_text()
    assert {origin_of(run / f"dynamics.{kind}") for kind in ("json", "html")} == {load_run(run).origin}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "unknown cell 'nothing'"),
        (("gru", "data.csv"), "gru is no run folder"),
        (("{own}:Flow",), "discretise(flow, step)"),
        (("{own}:Henon", "--start", 0.1), "--start has 1 numbers, the state has 2 real ones"),
        (("{own}:Henon", "--count", "many"), "Error parsing --count"),
        (("gru", "--steps", "100"), "burn_in=200"),
    ],
)
def test_mistakes_end_in_one_sentence(henon, words, message, capsys):
    words = [str(word).format(own=henon.rpartition(":")[0]) for word in words]
    assert call("lyapunov", *words) == 2
    told = said(capsys)
    assert message in told
    assert "Traceback" not in told


def test_a_page_without_a_run_needs_a_place(henon, capsys):
    assert call("dynamics", henon) == 2
    assert "--out" in said(capsys)
