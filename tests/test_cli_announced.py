"""No command is silent: what is being done is said before it begins, and again while it lasts."""

import json
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from attractor import PlantModel, cells, cli
from attractor.certify import CertifySettings
from attractor.cli import classify_commands, console, data_commands, estimates, model_commands
from attractor.cli.control_commands import ControlCommand
from attractor.cli.own_cells import RunCommand
from attractor.control.identification import assessment, identification_page
from attractor.data import Experiment, Record, Roles, Signal
from attractor.dynamics import LyapunovSettings
from attractor.errors import ConfigError
from attractor.progress import LineReporter

RUN = "runs/x"
ROWS = np.random.default_rng(0).normal(size=(60, 1))
RECORD = Record((Signal("u"),), (Signal("y"),), (Experiment("a", ROWS, ROWS),), 1.0)
ROLES = Roles(RECORD, RECORD, RECORD, "")
COMMANDS = {
    "identify": "identify log.csv --inputs u --outputs y --out OUT",
    "repair": f"repair {RUN} --out OUT",
    "classify": "classify a.npz --out OUT",
    "predict": f"predict {RUN} log.csv --out OUT",
    "control": f"control {RUN} --plant ph",
    "export": f"export {RUN} --to c",
    "doctor": "doctor log.csv",
    "dynamics": "dynamics gru --hidden 2 --out OUT",
    "lyapunov": "lyapunov gru --hidden 2 --steps 300",
    "phase": "phase --x gain 1:2:3 --y reset_gain 1:2:2 --size 10 --out OUT",
    "robustness": f"robustness {RUN} test.npz",
    "suspects": f"suspects {RUN}",
    "certify": f"certify {RUN}",
    "recheck": "recheck c.npz",
    "verify": f"verify {RUN}",
    "report": f"report {RUN}",
    "plant": "plant ph --out OUT --samples 300",
}


def test_every_command_is_asked():
    assert set(COMMANDS) == set(cli.COMMANDS)


@pytest.fixture
def said_before(monkeypatch, capsys, tmp_path):
    """Runs a command until some work begins, and gives what stood on standard error by then."""

    def run(name, work, *options):
        seen = []

        def stop(*_, **__):
            seen.append(capsys.readouterr().err)
            raise ConfigError("far enough")

        monkeypatch.setattr(*([work] if isinstance(work, str) else work), stop)
        words = COMMANDS[name].replace("OUT", str(tmp_path / "out")).split()
        monkeypatch.setattr(sys, "argv", ["attractor", *words, *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 2
        return seen[0]

    return run


READ = {
    "identify": ("attractor.cli.model_commands._read_roles", "reading log.csv"),
    "repair": ("attractor.control.PlantModel.load", f"reading {RUN}"),
    "classify": ("attractor.cli.classify_commands._read", "reading a.npz"),
    "predict": ("attractor.run_kinds.kind_of", f"reading {RUN}"),
    "control": ("attractor.run_kinds.kind_of", f"reading {RUN}"),
    "export": ("attractor.run_kinds.kind_of", f"reading {RUN}"),
    "doctor": ("attractor.cli.data_commands.DoctorCommand._data", "reading log.csv"),
    "dynamics": ("attractor.cli.dynamics_commands.find_subject", "reading gru"),
    "lyapunov": ("attractor.cli.dynamics_commands.find_subject", "reading gru"),
    "phase": ("attractor.theory.phase.phase_diagram", "6 networks of 10 units, 2000 steps each"),
    "robustness": ("attractor.classification.SequenceClassifier.load", f"reading {RUN} and test.npz"),
    "suspects": ("attractor.classification.SequenceClassifier.load", f"reading {RUN}"),
    "certify": ("attractor.run_kinds.kind_of", f"reading {RUN}"),
    "recheck": ("attractor.certify.recheck.certificate.load", "reading c.npz"),
    "verify": ("attractor.run_kinds.kind_of", f"reading {RUN}"),
    "report": ("attractor.run_kinds.kind_of", f"writing the report of {RUN}"),
    "plant": ("attractor.control.record_experiments", "simulating 300 samples of ph"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_before_it_begins(said_before, monkeypatch, name):
    monkeypatch.setattr(RunCommand, "own_cell", lambda _: None)
    work, words = READ[name]
    assert words in said_before(name, work)


@pytest.fixture
def run(monkeypatch):
    """A run with a small cell, read at once; what is done with it stands in `work`."""
    cell = cells.cell_class("gru")(1, 2, key=jax.random.key(0))
    model = SimpleNamespace(network=lambda: SimpleNamespace(cell=cell))
    kind = SimpleNamespace(work=None, load=lambda *_: model, provable=None)
    kind.able = lambda *_: kind.work
    monkeypatch.setattr(RunCommand, "own_cell", lambda _: None)
    monkeypatch.setattr("attractor.run_kinds.kind_of", lambda _: kind)
    return kind


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("predict", "predicting log.csv"),
        ("export", "writing c, and comparing it with the model"),
        (
            "certify",
            "looking for a proof; 2 states, about 60 s at most, and the time to compile, as an estimate",
        ),
    ],
)
def test_the_work_on_a_run_is_announced(said_before, run, name, words):
    assert words in said_before(name, (run, "work"))


def test_the_start_of_a_closed_loop_is_announced(said_before, run, monkeypatch):
    run.work = lambda model: model
    plant = SimpleNamespace(process=None, kind="built-in")
    assert "preparing ph" in said_before("control", "attractor.cli.plant_choice.chosen_plant")
    monkeypatch.setattr("attractor.cli.plant_choice.chosen_plant", lambda *_: plant)
    monkeypatch.setattr("attractor.control.study.matched", lambda *_: plant)
    monkeypatch.setattr(ControlCommand, "_scenario", lambda *_: SimpleNamespace(references=range(240)))
    monkeypatch.setattr(ControlCommand, "_terminal", lambda *_: (None, ""))
    said = said_before("control", "attractor.control.study.control_study")
    assert "compiling the controller, then 240 samples of closed loop" in said


def test_the_cost_of_exponents_is_announced(said_before):
    said = said_before("lyapunov", "attractor.dynamics.lyapunov_exponents")
    assert "2 of 2 exponents over 300 steps: a few seconds" in said
    assert "as a rough estimate" in said
    assert "measuring 2 states" in said_before("dynamics", "attractor.theory.dynamics_study")


def test_the_cost_of_a_robustness_study_is_announced(said_before, run, monkeypatch):
    monkeypatch.setattr("attractor.classification.SequenceClassifier.load", lambda *_: run.load())
    monkeypatch.setattr(classify_commands, "_read", lambda *_, **__: Cases(np.full(1000, 50)))
    for name in ("known_cases", "training_limits"):
        monkeypatch.setattr(f"attractor.classification.classifier_study.{name}", lambda _: None)
    usual = said_before("robustness", "attractor.classification.robustness_study")
    attacked = said_before("robustness", "attractor.classification.robustness_study", "--attacks")
    assert "1000 cases" in usual
    assert passes(attacked) > 3 * passes(usual)


class Cases:
    remarks = ()

    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)


def passes(said):
    return int(said.split(" passes")[0].rsplit(" ", 1)[1])


def test_a_log_is_examined_aloud(said_before, monkeypatch):
    monkeypatch.setattr(data_commands.DoctorCommand, "_data", lambda _: RECORD)
    assert "examining it ..." in said_before("doctor", "attractor.data.examine")


def test_judging_and_the_report_of_a_training_are_announced(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(PlantModel, "save", lambda *_, **__: None)
    monkeypatch.setattr("attractor.data.to_archive", lambda _: ({}, {}))
    seen = []

    def judged(*_):
        seen.append(capsys.readouterr().err)
        return {}

    def reported(*_, **__):
        seen.append(capsys.readouterr().err)
        raise ConfigError("far enough")

    monkeypatch.setattr(assessment, "assess", judged)
    monkeypatch.setattr(identification_page, "write_run_report", reported)
    with pytest.raises(ConfigError, match="far enough"):
        model_commands._conclude(
            PlantModel("gru"), Roles(RECORD, RECORD, RECORD, ""), tmp_path, overwrite=False
        )
    assert "judging it beside simple models ..." in seen[0]
    assert "writing the report ..." in seen[1]


def test_work_that_lasts_is_told_again_and_ends_with_its_block(monkeypatch, capsys):
    monkeypatch.setattr(console, "EVERY", 0.05)
    monkeypatch.setattr(LineReporter, "spoke", -np.inf)
    with console.working("waiting"):
        time.sleep(0.4)
    said = capsys.readouterr().err
    assert said.startswith("waiting ...\n")
    assert said.count("waiting: 0 s so far") >= 2
    time.sleep(0.15)
    assert capsys.readouterr().err == ""
    with console.working("waiting", at_once=False):
        pass
    assert capsys.readouterr().err == ""


def test_what_a_reporter_tells_is_not_told_twice(monkeypatch, capsys):
    monkeypatch.setattr(console, "EVERY", 0.05)
    monkeypatch.setattr(console, "UNHEARD", 1.0)
    monkeypatch.setattr(LineReporter, "spoke", time.monotonic())
    reporter = LineReporter("training", every=0.1)
    with console.working("training", bar=True):
        for step in range(8):
            reporter.update(step, 100)
            time.sleep(0.05)
        assert "so far" not in capsys.readouterr().err
        time.sleep(1.3)
    assert "s so far" in capsys.readouterr().err


def test_progress_leaves_the_document_of_json_alone(monkeypatch, capsys, tmp_path):
    out = tmp_path / "plant.csv"
    words = ["attractor", "plant", "ph", "--out", str(out), "--samples", "300", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 0
    assert json.loads(said.out)["rows"] == 300
    assert "simulating 300 samples of ph ..." in said.err


def test_the_memory_of_a_proof_grows_with_the_square_of_the_states():
    """512 states were measured to take 3.8 GB."""

    def cell(units):
        return cells.cell_class("gru")(1, units, key=jax.random.key(0))

    assert "3.8 GB" in estimates.proof(cell(512), CertifySettings(time_budget=60.0))
    assert "GB" not in estimates.proof(cell(8), CertifySettings())
    assert "any time" in estimates.proof(cell(8), CertifySettings(time_budget=float("inf")))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "a few seconds"), (14.0, "about 10 s"), (200.0, "about 3.3 min"), (4e4, "about 11 h")],
)
def test_estimates_have_as_many_figures_as_they_deserve(seconds, words):
    assert estimates.in_words(seconds) == words


def test_what_is_no_cell_is_refused_by_the_work_and_not_by_its_estimate():
    assert estimates.states_of(object()) == 0


def test_one_of_something_is_told_in_the_singular():
    """It was "1 states, about 60 s at most"."""
    one = cells.Elman(1, 1, key=jax.random.key(0))
    assert estimates.proof(one, CertifySettings()).startswith("1 state, ")
    assert estimates.exponents(one, 1, LyapunovSettings()).startswith("1 of 1 exponent over 1 step:")
