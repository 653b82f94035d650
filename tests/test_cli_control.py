"""certify, control and export on the command line: what they write, and the status they end with."""

import json
import shutil
import sys
from functools import cache
from types import SimpleNamespace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel, cli
from attractor.cli.own_cells import own_cell
from attractor.control import PHNeutralisation, plant_by_name, record_experiments
from attractor.control.identification.assessment import assess
from attractor.control.identification.certification import Use, stored_certificate, stored_statement
from attractor.control.model import control_model
from attractor.control.predictive import CertifiedTerminal
from attractor.control.study import ControlSettings, make_controller
from attractor.data import Roles, to_archive
from attractor.errors import ConfigError, UnsupportedError
from attractor.export.c.c_step import c_compiler
from attractor.origin import Origin, derived_files, origin_of
from attractor.program.digest import cell_identity
from attractor.runs import load_run
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


@cache
def recorded():
    """Short experiments on the pH plant, which both benches share."""
    return record_experiments(PHNeutralisation(), {"train": 120, "validation": 60, "test": 60})


class Bench:
    """A tiny fitted model of the pH plant, saved with weights of our choice; its cell is a user's file."""

    def __init__(self, folder, cell=CELL, assessed=assess):
        self.cell = folder / "cell.py"
        self.cell.write_text(cell)
        self.name = f"{self.cell}:Mine"
        plant = recorded()
        parts = [plant.with_experiments([one]) for one in plant.experiments]
        self.roles = Roles(*parts, "by hand")
        training = TrainingSettings(steps=1, batch_size=2, validate_every=1)
        options = {"hidden_size": 2, "window": 20, "washout": 5, "feedthrough": False, "training": training}
        model = PlantModel(cell=own_cell(self.name), initial_state="washout", **options)
        self.model = model.fit(self.roles.training, validation=self.roles.validation)
        self.facts, self.arrays = to_archive(self.roles)
        self.assessed = assessed(self.model, self.roles)

    def save(self, folder, weight, **options):
        weights = jnp.asarray(weight, jnp.float32)[None]
        self.model.replicas_ = eqx.tree_at(lambda one: one.cell.weight, self.model.replicas_, weights)
        card = {"data": self.facts, **self.assessed}
        self.model.save(folder, card=card, evaluation=self.arrays, **options)
        return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def stable(bench, tmp_path_factory):
    return bench.save(tmp_path_factory.mktemp("stable") / "run", STABLE)


@pytest.fixture(scope="module")
def certified(bench, tmp_path_factory):
    """A run that was certified, with all that it left; to be copied, not changed."""
    run = bench.save(tmp_path_factory.mktemp("certified") / "run", STABLE)
    assert call("certify", run, "--cell", bench.name, "--no-tighten") == 0
    return run


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_a_proof_ends_with_status_0_and_leaves_file_and_page(certified):
    content = json.loads((certified / "stability.json").read_text())
    assert content["verdict"] == "proved"
    # |x'| <= (1/2 + 0.4/2) |x| in the maximum norm: the largest row of STABLE adds up to 0.4
    assert 0.5 < content["certificate"]["rate"] <= 0.7 + 1e-9
    html = (certified / "certificate.html").read_text()
    assert "Proved for inputs within ±1 and starts in the certified set" in html
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
    assert (
        "Unknown for inputs within ±1: that the model forgets its past"
        in (run / "certificate.html").read_text()
    )


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
        ("ph-2", "there is no plant 'ph-2'. Give one of the house (ph, "),
        ("nowhere.py:Plant", "there is no Python file nowhere.py"),
    ],
)
def test_another_plant_is_refused(bench, stable, capsys, plant, words):
    assert call("control", stable, "--plant", plant, "--cell", bench.name) == 2
    assert words in said(capsys)


PLANT = """
import numpy as np

class Acid:
    inputs, outputs = ["q3 [ml/s]"], ["pH"]
    start = [7.0]
    input_low, input_high = [12.5], [17.0]
    disturbances, nominal_disturbances = ["q2"], [0.55]

    def step(self, state, inputs, disturbances):
        return state + 0.2 * (7.0 + 0.5 * (inputs - 15.0) + disturbances - 0.55 - state)

def wrong(state):
    return state
"""


@pytest.fixture
def acid(tmp_path):
    path = tmp_path / "acid.py"
    path.write_text(PLANT)
    return path


def controlled(bench, run, plant, *words):
    """Status of a short loop, with what the files say."""
    short = ("--rows", 4, "--horizon", 3, "--no-compare", "--cell", bench.name)
    return call("control", run, "--plant", plant, *short, *words)


def test_a_plant_of_ones_own_is_controlled(bench, stable, acid, capsys):
    """From a log of one's own to a closed loop, with nothing of the house in it."""
    assert controlled(bench, stable, f"{acid}:Acid", "--lost", "pH=6:9", "--input-high", "15.5") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Acid states no measurement_noise: its sensors are exact here." in shown
    assert "3 samples without a sensor" in shown
    head, *lines = (stable / "closed_loop.csv").read_text().splitlines()
    assert head == "time [s],pH_reference,pH,pH_measured,q3 [ml/s],q2"
    table = np.genfromtxt(lines, delimiter=",")
    assert table.shape == (16, 6)
    outputs, inputs = table[:, 2], table[:, 4]
    assert outputs[0] == 7.0
    assert inputs.max() <= 15.5
    np.testing.assert_allclose(
        outputs[1:], (outputs + 0.2 * (7.0 + 0.5 * (inputs - 15.0) - outputs))[:-1], atol=1e-9
    )
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(table[:, 3])), [6, 7, 8])
    html = (stable / "control.html").read_text()
    assert "the plant written down by its user answers" in html
    assert "In 3 samples a sensor showed nothing" in html


def test_the_model_itself_may_be_the_plant_and_page_and_prompt_say_so(bench, stable, capsys):
    assert controlled(bench, stable, "model") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "nothing about what the model gets wrong" in shown
    assert "answers otherwise" not in shown
    html = (stable / "control.html").read_text()
    assert "The model, controlled in the place of a plant," in html
    assert "nothing about what the model gets wrong" in html
    assert 'class="verdict good"' not in html


def test_a_second_run_may_be_the_plant(bench, stable, tmp_path, capsys):
    other = bench.save(tmp_path / "other", [[0.3, 0.0, 1.2], [0.0, 0.3, 0.4]])
    call("export", other, "--to", "numpy", "--cell", bench.name)  # its cell is one of ours from now on
    assert controlled(bench, stable, other) == 0
    assert "the model of another run answers" in (stable / "control.html").read_text()
    shown = " ".join(capsys.readouterr().out.split())
    assert "are exact unless a noise is given" in shown
    assert (
        "which --input-low and --input-high narrow" in shown
    )  # "The input limits are those of the training"
    twin = shutil.copytree(stable, tmp_path / "twin")
    assert controlled(bench, stable, twin) == 0  # the same weights: the model itself
    assert "nothing about what the model gets wrong" in (stable / "control.html").read_text()


def test_a_plant_of_another_sign_is_told_at_the_prompt_and_heads_the_page(
    bench, tmp_path, acid, capsys, monkeypatch
):
    """The model of a plant whose pump was wired the other way round: nothing was said of that."""
    monkeypatch.setattr("attractor.control.study.usual_errors", lambda *_: np.array([0.01]))  # of a good one
    run = bench.save(tmp_path / "run", STABLE)
    wrong = acid.read_text().replace("0.5 * (inputs - 15.0)", "gain * (inputs - 15.0)")
    told = []
    for gain in (4.0, -4.0):  # one of them has the sign of this untrained model
        acid.write_text(f"gain = {gain}\n{wrong}")
        words = ("--plant", f"{acid}:Acid", "--rows", 20, "--horizon", 3, "--no-compare")
        assert call("control", run, *words, "--cell", bench.name) == 0
        shown = " ".join(capsys.readouterr().out.split())
        told.append("pH moves the other way than foreseen" in shown)
        page = (run / "control.html").read_text()
        assert ("pH moves the other way than foreseen" in page) == told[-1]
    assert sorted(told) == [False, True]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (":Gone", "has no class or function Gone"),
        ("", "which class or function of the file?"),
        (":wrong", "wrong: step takes (state); expected (state, inputs)"),
    ],
)
def test_a_plant_that_is_none_is_told_why(bench, stable, acid, capsys, name, words):
    assert controlled(bench, stable, f"{acid}{name}") == 2
    assert words in said(capsys)


def test_exports_are_written_and_compared(bench, stable, tmp_path, capsys):
    assert call("export", stable, "--to", "numpy", "c", "--out", tmp_path, "--cell", bench.name) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"step.py", "step.c"}
    compared = 1 if c_compiler() is None else 2
    assert " ".join(capsys.readouterr().out.split()).count("differs from the model by at most") == compared


def test_an_option_that_takes_several_values_grows_when_it_is_given_twice(bench, stable, tmp_path):
    words = ("--out", tmp_path, "--cell", bench.name)
    assert call("export", stable, "--to", "numpy", "--to", "casadi", *words) == 0  # wrote only the second
    assert {path.name for path in tmp_path.iterdir()} == {"step.py", "step.casadi"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("controller", "--observer", "kalman"), "observer"),  # of the loop, not of the file: changed no byte
        (("numpy", "--horizon", "5"), "add controller to --to"),
    ],
)
def test_an_option_without_effect_on_an_export_is_refused(bench, stable, tmp_path, capsys, words, message):
    assert call("export", stable, "--to", *words, "--out", tmp_path, "--cell", bench.name) == 2
    assert message in said(capsys)
    assert not list(tmp_path.iterdir())


def test_a_target_that_fails_leaves_no_file_and_stops_no_other(bench, stable, tmp_path, capsys, monkeypatch):
    from attractor.errors import AttractorError
    from attractor.export import onnx_model

    write = onnx_model.to_onnx

    def fails(*given, sequence, **options):
        if sequence:  # after step.onnx has been written
            raise AttractorError("deviates")
        return write(*given, sequence=sequence, **options)

    monkeypatch.setattr(onnx_model, "to_onnx", fails)
    assert call("export", stable, "--to", "onnx", "numpy", "--out", tmp_path, "--cell", bench.name) == 2
    assert "deviates" in said(capsys)
    assert {path.name for path in tmp_path.iterdir()} == {"step.py"}


@pytest.mark.parametrize("target", ["numpy", "casadi"])
def test_what_was_written_is_what_is_checked(bench, stable, tmp_path, capsys, monkeypatch, target):
    """A full disk left half a CasADi file, exit status 0, and a check that exported once more."""
    from attractor.export import casadi_function, numpy_step

    def cut(path, content):
        path.write_bytes(content[: len(content) // 2])

    monkeypatch.setattr({"numpy": numpy_step, "casadi": casadi_function}[target], "write_atomically", cut)
    assert call("export", stable, "--to", target, "--out", tmp_path, "--cell", bench.name) == 2
    assert "was not written as it should be" in said(capsys)
    assert not list(tmp_path.iterdir())


def test_a_casadi_file_is_not_written_through_a_symbolic_link(bench, stable, tmp_path):
    private = tmp_path / "private"
    private.write_text("mine")
    (tmp_path / "step.casadi").symlink_to(private)
    assert call("export", stable, "--to", "casadi", "--out", tmp_path, "--cell", bench.name) == 0
    assert private.read_text() == "mine"
    assert not (tmp_path / "step.casadi").is_symlink()


def test_without_a_compiler_a_c_file_is_written_all_the_same(bench, stable, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("--horizon", 3, "--cell", bench.name)
    assert call("export", stable, "--to", "c", "controller", "--out", tmp_path, *words) == 0
    assert "model_step" in (tmp_path / "step.c").read_text()
    assert "HORIZON = 3" in (tmp_path / "controller.c").read_text()
    assert "differs" not in capsys.readouterr().out


def test_a_primitive_without_a_rule_is_named_with_its_line(tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("sorting")
    cell = CELL.replace("jnp.tanh(self.weight @ both)", "jnp.sort(self.weight @ both)")
    sorting = Bench(folder, cell, assessed=lambda *_: {})  # no export asks how good the model is
    run = sorting.save(folder / "run", STABLE)
    line = 1 + CELL[: CELL.index("return 0.5")].count("\n")
    for target in ("numpy", "c", "controller"):
        assert call("export", run, "--to", target, "--out", folder, "--cell", sorting.name) == 2
        message = said(capsys)
        assert "sort" in message
        assert f"cell.py:{line}" in message


EDITS = {
    "tanh to sin": ("jnp.tanh(self.weight @ both)", "jnp.sin(self.weight @ both)"),
    "inputs reordered": ("[state, input]", "[input, state]"),
    "another number": ("0.5 * state", "0.6 * state"),
}


@pytest.mark.parametrize("name", EDITS)
def test_no_command_uses_a_run_whose_cell_was_edited(bench, stable, tmp_path, capsys, name):
    before = {path.name: path.read_bytes() for path in stable.iterdir()}
    bench.cell.write_text(CELL.replace(*EDITS[name]))
    try:
        for words in (
            ("predict", stable, "log.csv", "--out", tmp_path / "new.csv"),
            ("report", stable),
            ("certify", stable),
            ("export", stable, "--to", "numpy"),
            ("control", stable, "--plant", "ph"),
        ):
            assert call(*words, "--cell", bench.name) == 2
            message = said(capsys)
            assert "was trained with another equation, that of Mine in " in message
            assert "that file was edited since" in message
    finally:
        bench.cell.write_text(CELL)
    assert {path.name: path.read_bytes() for path in stable.iterdir()} == before


def test_the_cell_of_a_run_is_found_where_it_was_given_before(bench, stable, capsys):
    call("export", stable, "--to", "numpy", "--cell", bench.name)  # gives it once
    (stable / "step.py").unlink()
    assert call("export", stable, "--to", "numpy") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"the cell is Mine of {bench.cell}" in shown
    assert (stable / "step.py").exists()


def test_a_file_that_only_a_card_names_is_never_run(bench, stable, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # of a user who has given no cell yet
    assert call("export", stable, "--to", "numpy") == 2
    message = said(capsys)
    assert "was never given by --cell here" in message
    assert f"--cell {bench.name}" in message


def test_a_file_that_is_gone_is_named(bench, stable, capsys):
    call("export", stable, "--to", "numpy", "--cell", bench.name)
    bench.cell.rename(bench.cell.with_suffix(".away"))
    try:
        assert call("export", stable, "--to", "numpy") == 2
    finally:
        bench.cell.with_suffix(".away").rename(bench.cell)
    assert f"Mine of {bench.cell}, and that file is gone" in said(capsys)


def test_a_cell_may_import_what_stands_beside_it(tmp_path):
    (tmp_path / "helper_beside.py").write_text("GAIN = 3\n")
    (tmp_path / "mine.py").write_text("from helper_beside import GAIN\nclass Mine:\n    gain = GAIN\n")
    assert own_cell(f"{tmp_path / 'mine.py'}:Mine").gain == 3


def test_what_is_exported_carries_the_weights_and_the_equation(bench, stable, tmp_path):
    origin = load_run(stable).origin
    targets = ("numpy", "c", "controller", "casadi", "onnx")
    words = ("--out", tmp_path, "--horizon", 3, "--cell", bench.name)
    assert call("export", stable, "--to", *targets, *words) == 0
    assert len(derived_files(tmp_path)) == 6
    assert set(derived_files(tmp_path).values()) == {origin}


def test_a_report_asks_for_no_proof_that_is_there(bench, certified, tmp_path, monkeypatch):
    """It advised to prove what a certificate beside it had proved."""
    from attractor.control.identification import identification_page as page

    asked = []

    def published(contents, folder, about):
        asked.append(contents.proved)
        return folder

    monkeypatch.setattr(page, "publish", published)
    run = shutil.copytree(certified, tmp_path / "run")
    page.write_run_report(run, cell=own_cell(bench.name))
    (run / "stability.json").unlink()
    page.write_run_report(run, cell=own_cell(bench.name))
    assert asked == [True, False]


def test_a_report_carries_its_weights_and_names_files_that_belong_to_others(bench, stable, capsys):
    other = stable / "certificate_of_yesterday.html"
    other.write_text(Origin("9" * 64, "e" * 64).stamp)
    assert call("report", stable, "--cell", bench.name) == 0
    other.unlink()
    assert origin_of(stable / "report.html") == load_run(stable).origin
    shown = " ".join(capsys.readouterr().out.split())
    assert "certificate_of_yesterday.html belongs to other weights (999999999999, these are" in shown


def test_a_model_is_not_exported_into_the_folder_of_another_run(bench, stable, tmp_path, capsys):
    other = bench.save(tmp_path / "run", BISTABLE)
    assert call("export", stable, "--to", "numpy", "--out", other, "--cell", bench.name) == 2
    assert "holds another run than the one that was read" in said(capsys)
    assert not (other / "step.py").exists()


def test_a_certificate_does_not_outlive_its_weights(bench, certified, tmp_path, capsys):
    """Certified, then overwritten: nothing is left that speaks of the old weights."""
    run, words = shutil.copytree(certified, tmp_path / "run"), ("--cell", bench.name)
    assert call("export", run, "--to", "c", *words) == 0
    assert call("report", run, *words) == 0
    (run / "notes.txt").write_text("of the user")
    kept = {path.name: path.read_bytes() for path in run.iterdir()}
    bench.save(run, STABLE, overwrite=True)  # the same weights again
    assert {path.name for path in run.iterdir()} >= {"certificate.html", "stability.json", "step.c"}
    bench.save(run, BISTABLE, overwrite=True)
    left = {path.name for path in run.iterdir()}
    assert not left & {"certificate.html", "stability.json", "step.c", "report.html"}
    assert "notes.txt" in left
    (run / "stability.json").write_bytes(kept["stability.json"])  # put back by hand
    said_of_it = stored_statement(run, Use(load_run(run).origin, np.array([1.0])))
    assert "belongs to other weights" in said_of_it
    assert "certified" not in said_of_it


def test_the_certificate_of_a_run_reaches_the_controller(bench, certified, tmp_path, capsys):
    """It gives the terminal cost where it covers the inputs; the page says which cost it is."""
    run = shutil.copytree(certified, tmp_path / "run")
    stored = stored_certificate(run, load_run(run).origin)
    assert stored.in_maximum_norm
    assert 0.5 < stored.rate <= 0.7 + 1e-9
    assert controlled(bench, run, "model") == 0
    assert "a cost that follows from the certificate" in " ".join(capsys.readouterr().out.split())
    assert "a cost that follows from the certificate" in (run / "control.html").read_text()
    assert controlled(bench, run, "model", "--terminal", "local") == 0
    assert "as asked (--terminal local)" in (run / "control.html").read_text()
    model = PlantModel.load(run, cell=own_cell(bench.name))
    controller = make_controller(model, plant_by_name("ph"), ControlSettings(horizon=3), stored)
    assert isinstance(controller.terminal, CertifiedTerminal)
    np.testing.assert_array_equal(controller.terminal.weights, stored.weights)
    assert stored.about == cell_identity(model.network().cell)


def test_a_certificate_for_tiny_inputs_names_them_and_does_not_cover_a_controller(bench, stable, capsys):
    assert call("certify", stable, "--no-tighten", "--input-bound", "0.001", "--cell", bench.name) == 0
    assert "Proved for inputs within ±0.001 and starts" in " ".join(capsys.readouterr().out.split())
    assert "Proved for inputs within ±0.001 and starts" in (stable / "certificate.html").read_text()
    use = Use(load_run(stable).origin, np.array([1.0]))
    assert "certified" not in stored_statement(stable, use)
    assert controlled(bench, stable, "model") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the certificate holds for inputs within ±0.001 (scaled), and the controller may use ±1" in shown
    certificate = SimpleNamespace(weights=np.ones(2), rate=0.7, input_bound=np.array([0.001]))
    with pytest.raises(ConfigError, match=r"within ±0\.001 .*may apply inputs within ±1"):
        make_controller(bench.model, plant_by_name("ph"), ControlSettings(horizon=3), certificate)


def test_what_is_unknown_names_the_next_command(bench, tmp_path, capsys):
    """Not the internals of the search: what follows for the user, and what he can do."""
    run = bench.save(tmp_path / "run", STABLE)
    assert call("certify", run, "--cell", bench.name, "--time-budget", "1e-9") == 5
    html = (run / "certificate.html").read_text()
    assert "check every use by simulation" in html
    assert f"attractor repair {run}" in html
    message = said(capsys)
    assert f"attractor repair {run}" in message


def test_the_doctor_looks_at_the_data_of_a_run(stable, capsys):
    assert call("doctor", stable) == 0
    assert "120 rows of q3 [ml/s] -> pH, every 10 s" in " ".join(capsys.readouterr().out.split())
    assert call("doctor", stable, "--inputs", "q3") == 2
    assert "knows its columns" in said(capsys)


def test_feedthrough_is_refused_with_an_option_that_exists(bench, monkeypatch):
    monkeypatch.setattr(bench.model, "network", lambda replica=None: SimpleNamespace(feedthrough=True))
    with pytest.raises(UnsupportedError, match=r"`--feedthrough shift`.*`--feedthrough False`"):
        control_model(bench.model)


def test_a_float_controller_is_exported_and_compared(bench, stable, tmp_path, capsys):
    words = ("--precision", "float", "--out", tmp_path, "--cell", bench.name)
    assert call("export", stable, "--to", "c", "controller", "--horizon", 3, *words) == 0
    for name in ("step.c", "controller.c"):
        text = (tmp_path / name).read_text()
        assert "float" in text
        assert "double" not in text.replace("double precision", "")
    compared = 0 if c_compiler() is None else 2
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("differs from the model by at most") == compared
    assert call("export", stable, "--to", "numpy", *words) == 2
    assert "not written in single precision" in said(capsys)


def test_options_of_the_offset_and_the_terminal_cost_reach_the_file(bench, stable, tmp_path):
    texts = []
    limited = ("--input-low", "14", "--input-high", "15.5")
    for words in ((), ("--offset-gain", "0"), ("--terminal", "none"), limited):
        folder = tmp_path / str(len(texts))
        given = ("--out", folder, "--horizon", 3, "--cell", bench.name)
        assert call("export", stable, "--to", "controller", *given, *words) == 0
        texts.append((folder / "controller.c").read_text())
    assert len(set(texts)) == 4
    assert "--input-high of `attractor export` narrow */" in texts[0]
    assert "inputs stay within 14 to 15.5: as asked" in texts[3]
    assert "controller_TERMINAL = 0" in texts[2]
