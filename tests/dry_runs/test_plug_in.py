"""Another package adds to every open table; no file of the house changes."""

import sys
from importlib import import_module
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel, check_cell, cli
from attractor.cells import FAMILIES, cell_class
from attractor.certify import CertifySettings, Verdict, certify
from attractor.certify.stability.published import PUBLISHED
from attractor.data import Experiment, Record, Signal
from attractor.export import EXPORTERS, check_parity
from attractor.export.c.c_step import c_compiler
from attractor.program import PRIMITIVES, RULES, Kind, of_kind
from attractor.run_kinds import RUN_KINDS
from attractor.training import TrainingSettings

TABLES = (EXPORTERS, FAMILIES, PRIMITIVES, PUBLISHED, RULES, RUN_KINDS)


@pytest.fixture
def plugged(monkeypatch):
    """The package `plugged` as if it were installed; the tables have not been read yet."""
    for table in TABLES:
        dict(table)  # the files of the house, so that only the package is new
        for name in ("_entries", "_sources"):
            monkeypatch.setattr(table, name, dict(getattr(table, name)))
        monkeypatch.setattr(table, "_complete", False)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugged"))
    yield
    sys.modules.pop("plugged", None)


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["attractor", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_a_cell_and_the_rules_of_its_primitive(plugged):
    cell = cell_class("soft-step")(1, 2, key=jax.random.key(0))
    targets = ["plain", "numpy", "casadi", *(["c"] if c_compiler() else [])]
    assert max(check_parity(cell, targets=targets, samples=20).values()) < 1e-12
    assert check_cell(cell)["plain text"].reason == "for people"
    assert "softstep" in check_cell(cell)["ONNX"].reason, "no rule was registered for it"


def test_facts_of_its_primitives_reach_every_reading(plugged):
    assert "softstep" in of_kind(Kind.ELEMENTWISE)
    assert "mirrored" in set(of_kind(Kind.MOVING))
    cell = cell_class("soft-step")(1, 2, key=jax.random.key(0))
    assert check_cell(cell)["NumPy"].available, "'mirrored' has no rule of its own"


def test_a_published_condition_for_its_cell(plugged):
    cell = cell_class("soft-step")(1, 2, key=jax.random.key(0))
    weak = eqx.tree_at(lambda one: one.state_weight, cell, jnp.full((2, 2), 0.1))
    settings = CertifySettings(levels=(0,), refute=False)
    found = certify(weak, settings=settings)
    assert found.verdict is Verdict.PROVED
    assert found.certificate.rate == pytest.approx(0.6)
    assert certify(cell, settings=settings).verdict is Verdict.UNKNOWN


def test_a_model_is_identified_with_a_cell_by_its_name(plugged, tmp_path):
    inputs = np.sin(np.arange(80.0))[:, None]
    record = Record((Signal("u"),), (Signal("y"),), (Experiment("a", inputs, 0.5 * inputs),), 1.0)
    training = TrainingSettings(steps=2, batch_size=2)
    options = {"hidden_size": 2, "initial_state": "zero", "window": 20, "washout": 5, "training": training}
    model = PlantModel(cell="soft-step", **options)
    model.fit(record).save(tmp_path / "run")
    assert type(PlantModel.load(tmp_path / "run").network().cell).__name__ == "SoftStep"


def test_a_run_of_a_kind_of_its_own(plugged, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    assert "Toy" in RUN_KINDS
    import_module("plugged").save(folder)
    assert call(monkeypatch, "report", folder) == 0
    assert "report of the toy network" in capsys.readouterr().out
    assert call(monkeypatch, "export", folder, "--to", "plain") == 0
    assert "differs from the model by at most" in capsys.readouterr().out
    assert "attractor-origin" in (folder / "step.txt").read_text()
    assert call(monkeypatch, "certify", folder) == 2
    assert "holds a toy network; `attractor certify` is for runs of: plant model" in " ".join(
        capsys.readouterr().err.split()
    )
    assert call(monkeypatch, "export", folder, "--to", "plane") == 2
    assert "unknown export target 'plane'; did you mean 'plain'?" in " ".join(capsys.readouterr().err.split())
