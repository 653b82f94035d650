"""Sound samples of every kind of file that Attractor reads, and what reads them."""

from functools import cache
from pathlib import Path

import numpy as np
import safetensors.numpy
from mutations import Reader

from attractor import PlantModel, SequenceClassifier
from attractor.arrays import read_arrays
from attractor.cells import LSTM, LipschitzForm
from attractor.certify import Attempt, Certificate, StabilityResult, Verdict
from attractor.classification import EpochSettings
from attractor.control.identification.certification import Use, save_stability, stored_statement
from attractor.data import ColumnOptions, read_case_groups, read_csv, read_table
from attractor.data.archive_text import read_arff, read_ts
from attractor.data.sequence_file import read_long_csv, read_npz
from attractor.export import from_lipschitz_state, from_mgrn_state, load_torch, save_torch
from attractor.origin import Origin
from attractor.runs import load_run
from attractor.sweeps import TaskStore
from attractor.theory.phase import (
    PhaseAxis,
    PhaseDiagram,
    PhasePlan,
    Theory,
    TheoryLine,
    load_diagram,
    save_diagram,
)
from attractor.theory.phase.diagram import tile_tasks
from attractor.training import RunLog, TrainingSettings, train
from attractor.training.checkpoint import check_own

DRAW = np.random.default_rng(0)
RUN = ("weights.safetensors", "evaluation.safetensors", "card.json")
PLAN = PhasePlan(PhaseAxis("gain", 0.5, 2, 3), PhaseAxis("reset_bias", -1, 1, 2))


def sample_csv(folder):
    rows = [f"{0.5 * k},{DRAW.normal():.6f},{DRAW.normal():.6f},a{k // 12}" for k in range(24)]
    rows[3] += ',"in quotes, and ""twice"""'
    head = "time [s],q3 [ml/s],pH,experiment,remark"
    text = "\n".join([
        head,
        *(row + "," * (4 - row.replace('"in quotes, and', "").count(",")) for row in rows),
    ])
    (folder / "log.csv").write_text("# a log\n" + text + "\n")


def read_log(folder):
    read_csv(folder / "log.csv", inputs=["q3"], outputs=["pH"], columns=ColumnOptions(missing="split"))
    read_table(folder / "log.csv")


def sample_long(folder):
    rows = [f"case {k // 4},{k % 4},{DRAW.normal():.4f},{k},{'ab'[k // 4 % 2]}" for k in range(24)]
    (folder / "cases.csv").write_text("\n".join(["id;time;u;v;label".replace(";", ","), *rows]) + "\n")
    groups = [f"case {k},patient {k // 2}" for k in range(6)]
    (folder / "groups.csv").write_text("\n".join(["case,group", *groups]) + "\n")


def read_cases(folder):
    cases = read_long_csv(folder / "cases.csv")
    read_case_groups(folder / "groups.csv", cases)


def sample_npz(folder):
    arrays = {"X": DRAW.normal(size=(6, 4, 2)), "y": np.arange(6) % 2, "length": np.array([4, 3, 2, 4, 4, 1])}
    save = np.savez_compressed if len(list(folder.parent.iterdir())) % 2 else np.savez
    save(folder / "cases.npz", **arrays, classes=np.array(["no", "yes"]), names=np.array(["u", "v"]))


def sample_ts(folder):
    head = "@problemName p\n@timestamps false\n@univariate false\n@dimensions 2\n@equalLength true\n"
    rows = [
        ":".join([*(",".join(f"{v:.3f}" for v in DRAW.normal(size=5)) for _ in range(2)), "ab"[k % 2]])
        for k in range(6)
    ]
    (folder / "cases.ts").write_text(
        head + "@seriesLength 5\n@classLabel true a b\n@data\n" + "\n".join(rows) + "\n"
    )


def sample_arff(folder):
    attributes = "".join(f"@attribute t{k} numeric\n" for k in range(4))
    head = f"@relation r\n@attribute series relational\n{attributes}@end series\n"
    head += "@attribute class {a,'b c'}\n@data\n"
    rows = []
    for k in range(6):
        series = "\\n".join(",".join(f"{v:.3f}" for v in DRAW.normal(size=4)) for _ in range(2))
        rows.append(f"'{series}',{('a', chr(39) + 'b c' + chr(39))[k % 2]}")
    (folder / "cases.arff").write_text(head + "\n".join(rows) + "\n")


def sample_plant_run(folder):
    u, y = DRAW.normal(size=(80, 2)), DRAW.normal(size=80)
    settings = TrainingSettings(steps=2, validate_every=2, seeds=2, batch_size=2)
    model = PlantModel("tanh", 3, window=10, washout=4, training=settings, feedthrough=False)
    model.fit(u, y).save(folder, card={"command": "attractor identify"}, evaluation={"extra": np.ones(3)})


def sample_classifier_run(folder):
    model = SequenceClassifier("tanh", 3, training=EpochSettings(1, 8, validation_share=0.0))
    x = DRAW.normal(size=(16, 5, 2))
    model.fit(x, np.where(np.arange(16) % 2, "up", "down")).save(folder)


def read_plant_run(folder):
    model = PlantModel.load(folder)
    model.predict(np.zeros((12, len(model.signals_.inputs))))


def read_classifier_run(folder):
    model = SequenceClassifier.load(folder)
    model.suspects()
    model.predict(np.zeros((2, 5, len(model.names_))))


def sample_checkpoint(folder):
    with np.errstate(all="ignore"):
        _train(folder, 40)


def _train(folder, steps):
    from linear_task import linear_task

    return train(linear_task(), _settings(steps), 1, RunLog(folder, "same"))


@cache
def _settings(steps):
    return TrainingSettings(steps=steps, learning_rate=0.1, validate_every=20, seeds=2)


def read_checkpoint(folder):
    check_own(folder / "checkpoint.safetensors", "same")
    _train(folder, 40)


def sample_torch(folder):
    import jax

    save_torch(LSTM(2, 3, key=jax.random.key(0)), folder / "lstm.safetensors")


def sample_published(folder):
    from test_published_weights import lipschitz_state, mgrn_state

    for name, state in (("mgrn", mgrn_state(np.float32)), ("lipschitz", lipschitz_state())):
        arrays = {key: array.astype(np.float32) for key, array in state.items()}
        (folder / f"{name}.safetensors").write_bytes(safetensors.numpy.save(arrays))


def read_published(folder):
    from_mgrn_state(_state(folder / "mgrn.safetensors"))
    from_lipschitz_state(_state(folder / "lipschitz.safetensors"), form=LipschitzForm(learned_step="each"))


def _state(path: Path):
    return read_arrays(path.read_bytes(), path)


def sample_diagram(folder):
    shape = (2, 2, 3)
    exponent = DRAW.normal(size=shape)
    exponent[0, 0, 0] = np.nan
    line = TheoryLine("zero", np.array([0.5, np.nan]), np.array([-1.0, 1.0]), np.zeros(2))
    theory = Theory(
        (line,), ("a remark",), np.linspace(0, 1, 3), np.linspace(0, 1, 2), DRAW.normal(size=(2, 3))
    )
    diagram = PhaseDiagram(
        PLAN, "ab" * 32, exponent, exponent - 1, exponent + 1, exponent**2, theory, 1.5, {"jax": "0"}
    )
    save_diagram(diagram, folder)
    (folder / "lock").unlink()


def _part():
    (task, *_) = tile_tasks(PLAN)
    return task


def sample_part(folder):
    task = _part()
    arrays = {name: DRAW.normal(size=shape) for name, shape in task.shapes.items()}
    TaskStore(folder, "origin").keep(task.name, arrays)


def read_part(folder):
    task = _part()
    found = TaskStore(folder, "origin").find(task)
    if found is not None:
        assert {name: array.shape for name, array in found.items()} == task.shapes


ORIGIN = Origin("1" * 64, "e" * 64)


def sample_stability(folder):
    wide, metric = np.array([np.inf, 1.0]), np.eye(2)
    box = (-wide, wide, -wide, wide)
    certificate = Certificate(4, 0.875, np.ones(2), 0.5, *box, 0, np.array([1.0]), metric)
    attempts = (Attempt(0, "none", float("nan"), 0.5), Attempt(4, "yes", 0.875, 1.0))
    result = StabilityResult(Verdict.PROVED, certificate, None, attempts, 1.5)
    save_stability(folder, result, 1.0, ORIGIN)


def read_stability(folder):
    said = stored_statement(folder, Use(ORIGIN, np.array([0.5]), np.zeros((3, 2))))
    assert said
    assert len(said) < 2500


READERS = {
    "csv": (sample_csv, Reader(read_log, ("log.csv",))),
    "long csv": (sample_long, Reader(read_cases, ("cases.csv", "groups.csv"))),
    "npz": (sample_npz, Reader(lambda folder: read_npz(folder / "cases.npz"), ("cases.npz",))),
    "ts": (sample_ts, Reader(lambda folder: read_ts(folder / "cases.ts"), ("cases.ts",))),
    "arff": (sample_arff, Reader(lambda folder: read_arff(folder / "cases.arff"), ("cases.arff",))),
    "run": (sample_plant_run, Reader(load_run, (*RUN, "SHA256SUMS"), RUN)),
    "plant model": (sample_plant_run, Reader(read_plant_run, RUN, RUN)),
    "classifier": (sample_classifier_run, Reader(read_classifier_run, RUN, RUN)),
    "checkpoint": (sample_checkpoint, Reader(read_checkpoint, ("checkpoint.safetensors",))),
    "torch weights": (
        sample_torch,
        Reader(lambda folder: load_torch(folder / "lstm.safetensors"), ("lstm.safetensors",)),
    ),
    "published weights": (
        sample_published,
        Reader(read_published, ("mgrn.safetensors", "lipschitz.safetensors")),
    ),
    "stability.json": (sample_stability, Reader(read_stability, ("stability.json",))),
    "diagram": (
        sample_diagram,
        Reader(load_diagram, ("diagram.json", "diagram.csv", "SHA256SUMS"), ("diagram.csv", "diagram.json")),
    ),
    "phase part": (sample_part, Reader(read_part, ("tile-0-00000.safetensors",))),
}
"""What makes a sample, and what reads it, by name."""
