"""Commands about dynamics: of a run, of a cell by its name, of a map of the user's own."""

import json
import re

import numpy as np
import pytest
from test_cli_classify import call, said, write_ramps

from attractor.data import ColumnOptions
from attractor.origin import origin_of
from attractor.run_kinds.bare_cells import rows_of_file
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


def henon(x):
    return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])


def leaky(u, x):
    return 0.5 * jnp.tanh(x) + u


Made = attractor.cell(henon, 0, jnp.full(2, 0.1))
Swing = attractor.cells.discretise(attractor.flow(lambda x: -x, 0, jnp.ones(1)), 0.1)
Two = attractor.cell(leaky, 2, jnp.zeros(2))
Twofold = attractor.cell(lambda u, x: jnp.tanh(3 * x + u), 1, jnp.full(1, 0.5))
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


@pytest.mark.parametrize("name", ["Made", "Swing", "Two"])
def test_a_cell_that_is_built_decides_its_own_sizes(name, henon, capsys):
    own = f"{henon.rpartition(':')[0]}:{name}"
    assert call("lyapunov", own, "--steps", 300, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = {"Made": np.log(0.3), "Swing": -0.1, "Two": 2 * np.log(0.5)}[name]
    assert sum(found["per_step"]) == pytest.approx(expected, rel=1e-3)
    assert len(found["origin"]) > 0


def test_a_cell_may_be_built_without_inputs(capsys):
    assert call("lyapunov", "tanh", "--inputs", 0, "--hidden", 2, "--steps", 300, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["per_step"]) == 2


def test_a_file_drives_a_cell_of_ones_own(henon, tmp_path, capsys):
    """Where 0.5 tanh(x) + u = x rests under a held u, the exponents are log(0.5 / cosh(x)^2)."""
    own, data = f"{henon.rpartition(':')[0]}:Two", tmp_path / "u.csv"
    data.write_text("time,a,b,c\n" + "".join(f"{k},0.0,1.0,5.0\n" for k in range(400)))
    assert call("lyapunov", own, data) == 2
    assert "has 3 columns (a, b, c), leaky has 2 inputs; name the columns" in said(capsys)
    assert call("lyapunov", f"{own.rpartition(':')[0]}:Made", data) == 2
    assert "henon has no inputs" in said(capsys)
    assert call("lyapunov", own, data, "--drive", 1, "--inputs", "a", "b") == 2
    assert "give one of the two" in said(capsys)
    assert call("lyapunov", own, data, "--inputs", "a", "b", "--steps", 300, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rest = 1.0
    for _ in range(200):
        rest = 0.5 * np.tanh(rest) + 1.0
    expected = sorted([np.log(0.5), np.log(0.5 / np.cosh(rest) ** 2)], reverse=True)
    np.testing.assert_allclose(found["per_step"], expected, rtol=1e-3)


def test_names_of_experiments_drive_nothing(tmp_path):
    """What `attractor plant` writes could not drive a cell: the names counted among its inputs."""
    data = tmp_path / "log.csv"
    data.write_text("experiment,time [s],a\n" + "".join(f"{k // 2},{k % 2},{k}.5\n" for k in range(4)))
    rows = rows_of_file(None, data, (), ColumnOptions())
    np.testing.assert_array_equal(rows, [[0.5], [1.5], [2.5], [3.5]])


def test_a_cell_of_ones_own_is_certified_and_its_page_names_it(henon, tmp_path, capsys):
    own = f"{henon.rpartition(':')[0]}:Two"
    assert call("certify", own, "--levels", 1, "--time-budget", 20) == 0
    told = said(capsys)
    assert "Proved for inputs within ±1" in told
    assert "--out FOLDER writes a page" in told
    assert not list(tmp_path.glob("*.html"))
    assert call("certify", own, "--levels", 1, "--time-budget", 20, "--out", tmp_path / "page") == 0
    page = (tmp_path / "page" / "certificate.html").read_text()
    assert "training data" not in page
    assert "repair" not in page
    kept = json.loads((tmp_path / "page" / "stability.json").read_text())
    assert kept["verdict"] == "proved"
    assert origin_of(tmp_path / "page" / "certificate.html") == origin_of(
        tmp_path / "page" / "stability.json"
    )


def test_a_witness_against_a_cell_of_ones_own_is_told(henon, capsys):
    """tanh(3 x) rests at two states, 0.995 and -0.995."""
    own = f"{henon.rpartition(':')[0]}:Twofold"
    assert call("certify", own, "--input-bound", 0.1, "--levels", 1, "--time-budget", 20, "--json") == 5
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "refuted"
    assert found["report"] is None
    ends = [found["witness"][name] for name in ("first", "second")]
    for _ in range(100):
        ends = [np.tanh(3 * np.asarray(x) + found["witness"]["inputs"][0]) for x in ends]
    assert abs(ends[0] - ends[1]) > 1.5


def test_a_cell_of_ones_own_is_exported(henon, tmp_path, capsys):
    own, out = f"{henon.rpartition(':')[0]}:Made", tmp_path / "code"
    assert call("export", own, "--to", "numpy") == 2
    assert "say where the files go by --out" in said(capsys)
    assert call("export", own, "--to", "controller", "--out", out) == 2
    assert "a controller needs a trained model" in said(capsys)
    for _ in range(2):
        assert call("export", own, "--to", "numpy", "--out", out) == 0
    names = {}
    exec((out / "step.py").read_text(), names)  # noqa: S102 (our own export)
    np.testing.assert_allclose(names["step"](np.zeros(0), np.array([0.1, 0.2])), [1.186, 0.03])
    (out / "step.py").write_text("mine")
    assert call("export", own, "--to", "numpy", "--out", out) == 2
    assert "is there already and was not made from a run" in said(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("certify", "{own}:Two", "--inputs", 3), "--inputs 3: leaky has 2 inputs of its own"),
        (("certify", "nowhere"), "there is no run folder nowhere"),
        (("certify", "nowhere", "--out", "x"), "--out is for a cell of your own"),
        (("certify", "nowhere", "--inputs", 2), "--inputs and --hidden are for a cell of your own"),
        (("certify", "{own}:henon"), "write `Henon = attractor.cell(henon, 0"),
        (("export", "{own}:Flow", "--to", "c", "--out", "x"), "is a flow, not a map"),
        (("control", "{own}:Two", "--plant", "ph"), "`attractor control` takes the folder of a run"),
        (("predict", "{own}:Two", "u.csv", "--out", "y.csv"), "`attractor identify LOG.csv ... --cell"),
    ],
)
def test_what_a_cell_of_ones_own_is_not_for(henon, words, message, capsys):
    words = [str(word).format(own=henon.rpartition(":")[0]) for word in words]
    assert call(*words) == 2
    told = said(capsys)
    assert message in told
    assert "Traceback" not in told


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
        (("gru", "data.csv"), "data.csv"),
        (("{own}:Flow",), "discretise(flow, step)"),
        (("{own}:henon",), "write `Henon = attractor.cell(henon, 0, jnp.zeros(STATES))`"),
        (("{own}:henon",), "(at the shell maps.py:Henon)"),
        (("{own}:Hennon",), "maps.py has no class or cell Hennon; did you mean"),
        (("{own}",), "which class or cell of the file?"),
        (("{own}:Two", "--inputs", 3), "--inputs 3: leaky has 2 inputs of its own; leave --inputs out"),
        (("{own}:Henon", "--inputs", 3), "--inputs 3: Henon has 0 inputs of its own"),
        (("{own}:Two", "--hidden", 3), "--hidden 3: leaky is a cell that is built already"),
        (("gru", "--inputs", "-1"), "expected a whole number of at least 0"),
        (("gru", "--inputs", "u", "v"), "names of columns need a data file"),
        (("{own}:Two", "--cell", "x.py:C"), "--cell x.py:C is for a run"),
        (("{own}:Henon", "--start", 0.1), "--start has 1 number, the state has 2 real ones"),
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


def test_a_run_takes_no_options_of_cells(tmp_path, capsys):
    assert call("lyapunov", tmp_path, "--drive", 1, "--start", 0.1) == 2
    assert "--drive, --start: for a cell by its name or file" in said(capsys)


def test_a_page_without_a_run_needs_a_place(henon, capsys):
    assert call("dynamics", henon) == 2
    assert "--out" in said(capsys)
