"""certify, control and export on the command line: what they write, and the status they end with."""

import json
import sys

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel, cli
from attractor.cli.options import own_cell
from attractor.control import PHNeutralisation, record_experiments
from attractor.control.identification.assessment import assess
from attractor.data import Roles, to_archive
from attractor.export.c import c_compiler
from attractor.training import TrainingSettings

CELL = """
import jax
import jax.numpy as jnp
import attractor

class Mine(attractor.Cell):
    weight: jax.Array
    input_size: int
    hidden_size: int

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = 0.1 * jax.random.normal(key, (hidden_size, hidden_size + input_size))
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        both = jnp.concatenate([state, input])
        return 0.5 * state + 0.5 * jnp.tanh(self.weight @ both)
"""
STABLE = [[0.2, 0.1, 1.0], [-0.1, 0.3, 0.5]]
BISTABLE = [[4.0, 0.0, 0.1], [0.0, 4.0, 0.1]]
"""x = x/2 + tanh(4 x)/2 rests at about 1 and at about -1."""


def call(*words):
    """Exit status of a command, run in this process."""
    before = sys.argv
    sys.argv = ["attractor", *map(str, words)]
    try:
        cli.main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


class Bench:
    """A tiny fitted model of the pH plant, saved with weights of our choice; its cell is a user's file."""

    def __init__(self, folder):
        self.cell = folder / "cell.py"
        self.cell.write_text(CELL)
        self.name = f"{self.cell}:Mine"
        plant = record_experiments(PHNeutralisation(), {"train": 120, "validation": 60, "test": 60})
        parts = [plant.with_experiments([one]) for one in plant.experiments]
        self.roles = Roles(*parts, "by hand")
        training = TrainingSettings(steps=2, batch_size=2, validate_every=1)
        options = {"hidden_size": 2, "window": 20, "washout": 5, "feedthrough": False, "training": training}
        model = PlantModel(cell=own_cell(self.name), initial_state="washout", **options)
        self.model = model.fit(self.roles.training, validation=self.roles.validation)
        self.facts, self.arrays = to_archive(self.roles)
        self.assessed = assess(self.model, self.roles)

    def save(self, folder, weight):
        weights = jnp.asarray(weight, jnp.float32)[None]
        self.model.members_ = eqx.tree_at(lambda one: one.cell.weight, self.model.members_, weights)
        card = {"data": self.facts, **self.assessed}
        self.model.save(folder, card=card, evaluation=self.arrays)
        return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def stable(bench, tmp_path_factory):
    return bench.save(tmp_path_factory.mktemp("stable") / "run", STABLE)


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_a_proof_ends_with_status_0_and_leaves_file_and_page(bench, stable):
    assert call("certify", stable, "--cell", bench.name, "--no-tighten") == 0
    content = json.loads((stable / "stability.json").read_text())
    assert content["verdict"] == "proved"
    # |x'| <= (1/2 + 0.4/2) |x| in the maximum norm: the largest row of STABLE adds up to 0.4
    assert 0.5 < content["certificate"]["rate"] <= 0.7 + 1e-9
    html = (stable / "certificate.html").read_text()
    assert "Proved: whatever inputs" in html
    assert "<script" not in html


@pytest.mark.slow
def test_a_counterexample_ends_with_status_5(bench, tmp_path, capsys):
    run = bench.save(tmp_path / "run", BISTABLE)
    assert call("certify", run, "--cell", bench.name) == 5
    assert "a counterexample was found" in said(capsys)
    assert json.loads((run / "stability.json").read_text())["verdict"] == "refuted"
    assert 'id="witness"' in (run / "certificate.html").read_text()


def test_no_time_ends_with_status_5(bench, tmp_path, capsys):
    run = bench.save(tmp_path / "run", STABLE)
    assert call("certify", run, "--cell", bench.name, "--time-budget", "1e-9") == 5
    assert "time budget" in said(capsys)
    assert json.loads((run / "stability.json").read_text())["verdict"] == "unknown"
    assert "Unknown: neither" in (run / "certificate.html").read_text()


def reference(path, columns):
    """Twelve samples of constant columns."""
    rows = [",".join(columns), *[",".join(str(value) for value in columns.values())] * 12]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.slow
def test_a_loop_follows_a_file_and_its_disturbances(bench, stable, tmp_path):
    wish = reference(tmp_path / "wish.csv", {"pH": 7.5, "q2": 0.6})
    words = ("--reference", wish, "--cell", bench.name, "--no-compare", "--horizon", 3, "--noise", 0)
    assert call("control", stable, "--plant", "ph", *words) == 0
    lines = (stable / "closed_loop.csv").read_text().splitlines()
    columns = lines[0].split(",")
    assert columns == ["time [s]", "pH_reference", "pH", "pH_measured", "q3 [ml/s]", "q1 [ml/s]", "q2 [ml/s]"]
    table = np.loadtxt(lines[1:], delimiter=",")
    assert table.shape == (12, 7)
    np.testing.assert_array_equal(table[:, [1, 6]], np.tile([7.5, 0.6], (12, 1)))
    np.testing.assert_array_equal(table[:, 5], 16.6)  # not in the file: the nominal flow
    np.testing.assert_array_equal(table[:, 2], table[:, 3])  # without noise
    html = (stable / "control.html").read_text()
    assert 'id="trajectories"' in html
    assert "attractor control" in html


def test_a_reference_without_the_output_is_named(bench, stable, tmp_path, capsys):
    wish = reference(tmp_path / "wish.csv", {"level": 7.5, "q2": 0.6})
    assert call("control", stable, "--plant", "ph", "--reference", wish, "--cell", bench.name) == 2
    assert "no column 'pH'" in said(capsys)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        ("quadruple-tank", "the model has the inputs q3, the plant"),
        ("ph-2", "ph-2"),
    ],
)
def test_another_plant_is_refused(bench, stable, capsys, plant, words):
    assert call("control", stable, "--plant", plant, "--cell", bench.name) == 2
    assert words in said(capsys)


def test_exports_are_written_and_compared(bench, stable, tmp_path, capsys):
    assert call("export", stable, "--to", "numpy", "c", "--out", tmp_path, "--cell", bench.name) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"step.py", "step.c"}
    compared = 1 if c_compiler() is None else 2
    assert " ".join(capsys.readouterr().out.split()).count("differs from the model by at most") == compared


def test_without_a_compiler_a_c_file_is_written_all_the_same(bench, stable, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("--horizon", 3, "--cell", bench.name)
    assert call("export", stable, "--to", "c", "controller", "--out", tmp_path, *words) == 0
    assert "model_step" in (tmp_path / "step.c").read_text()
    assert "HORIZON = 3" in (tmp_path / "controller.c").read_text()
    assert "differs" not in capsys.readouterr().out


def test_a_primitive_without_a_rule_is_named_with_its_line(bench, stable, tmp_path, capsys):
    other = tmp_path / "other.py"
    other.write_text(CELL.replace("jnp.tanh(self.weight @ both)", "jnp.sort(self.weight @ both)"))
    line = 1 + CELL[: CELL.index("return 0.5")].count("\n")
    words = ("--out", tmp_path, "--cell", f"{other}:Mine")
    for target in ("numpy", "c", "controller"):
        assert call("export", stable, "--to", target, *words) == 2
        message = said(capsys)
        assert "sort" in message
        assert f"other.py:{line}" in message
