"""A checkpoint is resumed by its own training only: every argument is changed once."""

from dataclasses import fields, replace

import equinox as eqx
import jax
import numpy as np
import pytest

from attractor import PlantModel, SequenceClassifier
from attractor.classification import EpochSettings
from attractor.classification import classifier as classifiers
from attractor.cli.classify_commands import Classifier, ClassifyCommand, Labels, Readout
from attractor.cli.model_commands import IdentifyCommand, Model
from attractor.cli.model_commands import TestData as RowsOfRoles
from attractor.control.identification import plant_model as plants
from attractor.data import Experiment, Record, Sequences, Signal
from attractor.settings import Settings
from attractor.training import Reweighting, TrainingSettings


class StopError(Exception):
    """In place of a training."""


@pytest.fixture
def known_as(monkeypatch):
    """Begin a training; by what it is known."""
    seen = []

    def train(task, settings, seed, log):
        seen.append(log.fingerprint)
        begin.task = task
        raise StopError

    for module in (plants, classifiers):
        monkeypatch.setattr(module, "train", train)

    def begin(act, *arguments, **options):
        with pytest.raises(StopError):
            act(*arguments, **options)
        return seen.pop()

    return begin


DRAW = np.random.default_rng(0)
LOGS = [(DRAW.normal(size=(60, 1)), DRAW.normal(size=(60, 1))) for _ in range(3)]


def record(*logs, time=1.0, name="q"):
    experiments = [Experiment(f"e{place}", *log) for place, log in enumerate(logs)]
    return Record((Signal(name),), (Signal("h"),), tuple(experiments), time)


PLANT = PlantModel("gru", hidden_size=2, window=20, washout=5)
CHANGED_PLANTS = {
    "cell": "lstm",
    "hidden_size": 3,
    "layers": 2,
    "initial_state": "washout",
    "washout": 6,
    "feedthrough": True,
    "delay": 2,
    "window": 21,
    "validation_share": 0.3,
    "certified": True,
    "training": TrainingSettings(steps=7),
    "seed": 1,
}
CHANGED_SETTINGS = {
    "steps": 7,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "final_rate": 1e-2,
    "clip_norm": 2.0,
    "validate_every": 100,
    "patience": 3,
    "seeds": 2,
    "refine": 2,
    "weight_decay": 1e-3,
    "momentum": 0.5,
}


def test_every_option_of_a_plant_model_is_told(known_as):
    assert set(CHANGED_PLANTS) == {one.name for one in fields(PLANT)}
    found = {known_as(PLANT.fit, record(*LOGS))}
    found |= {known_as(replace(PLANT, **{n: v}).fit, record(*LOGS)) for n, v in CHANGED_PLANTS.items()}
    assert len(found) == 1 + len(CHANGED_PLANTS)


def test_every_setting_of_a_training_is_told(known_as):
    settings = TrainingSettings()
    assert set(CHANGED_SETTINGS) == {one.name for one in fields(settings)}
    found = {known_as(PLANT.fit, record(*LOGS))}
    for name, value in CHANGED_SETTINGS.items():
        found.add(known_as(replace(PLANT, training=replace(settings, **{name: value})).fit, record(*LOGS)))
    assert len(found) == 1 + len(CHANGED_SETTINGS)


def test_every_array_and_boundary_of_a_plant_model_is_told(known_as):
    a, b, c = LOGS
    fit = PLANT.fit
    other = (a[0] + 1e-12, a[1])
    found = [
        known_as(fit, record(a), validation=record(b, c)),
        known_as(fit, record(a, b), validation=record(c)),
        known_as(fit, record(b, a), validation=record(c)),
        known_as(fit, record(a, b), validation=record(a)),
        known_as(fit, record(a, b, c)),
        known_as(fit, record(other), validation=record(b, c)),
        known_as(fit, record(a), validation=record(b, other)),
        known_as(fit, record(a), validation=record((np.vstack([b[0], c[0]]), np.vstack([b[1], c[1]])))),
    ]
    assert len(set(found)) == len(found)
    assert known_as(fit, record(a), validation=record(b, c)) == found[0]


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_the_network_that_a_training_starts_from_is_told(known_as, scale):
    model = replace(PLANT)
    known_as(model.fit, record(*LOGS))
    start = known_as.task.initial(jax.random.key(0))
    moved = jax.tree.map(lambda leaf: scale * leaf if eqx.is_array(leaf) else leaf, start)
    same = known_as(model.fit, record(*LOGS), start=start) == known_as(model.fit, record(*LOGS), start=moved)
    assert same == (scale == 1.0)
    assert known_as(model.fit, record(*LOGS)) != known_as(model.fit, record(*LOGS), start=start)


CASES = Sequences(DRAW.normal(size=(24, 6, 2)), np.full(24, 6), ("u", "v"), np.arange(24) % 2, ("no", "yes"))
CLASSIFIER = SequenceClassifier(hidden_size=2).set_params(training__epochs=2, readout__convolutions=0)
CHANGED_CLASSIFIERS = {
    "cell": "lstm",
    "hidden_size": 3,
    "layers": 2,
    "groups": "0-1",
    "standardise": False,
    "readout__pooling": "mean",
    "readout__convolutions": 84,
    "noise__additive": 0.1,
    "noise__multiplicative": 0.1,
    "noise__form": "flatness",
    "noise__annealing": 0.5,
    "noise__dropout": 0.1,
    "noise__input_dropout": 0.1,
    "noise__within": 0.1,
    "noise__worst_share": 0.4,
    "noise__worst_ramp": 0.3,
    "noise__worst_bound": "relaxation",
    "class_weight": "balanced",
    "missing": "zero",
    "labels__loss": "label-smoothing",
    "labels__reweighting": "auto",
    "labels__coteaching": 0.1,
    "training__epochs": 3,
    "training__patience": 1,
    "training__updates": 7,
    "training__batch_size": 8,
    "training__learning_rate": 1e-3,
    "training__weight_decay": 1e-3,
    "training__validation_share": 0.3,
    "training__keep": "last",
    "training__seeds": 2,
    "seed": 1,
}
NEEDED = {
    "groups": {"cell": "mgrn"},
    "noise__form": {"noise__additive": 0.2},
    "noise__worst_share": {"noise__within": 0.2},
    "noise__worst_ramp": {"noise__within": 0.3},
    "noise__worst_bound": {"noise__within": 0.4},
}


def changed(**options):
    return replace(CLASSIFIER).set_params(**options)


def test_every_option_of_a_classifier_is_told(known_as):
    options = CLASSIFIER.get_params().items()
    assert set(CHANGED_CLASSIFIERS) == {name for name, value in options if not isinstance(value, Settings)}
    found = [known_as(CLASSIFIER.fit, CASES)]
    for name, value in CHANGED_CLASSIFIERS.items():
        needed = NEEDED.get(name, {})
        found += [known_as(changed(**needed).fit, CASES)] if needed else []
        found.append(known_as(changed(**needed, **{name: value}).fit, CASES))
    found.append(known_as(changed(labels__reweighting=Reweighting(strength=2.0)).fit, CASES))
    assert len(set(found)) == len(found)


class OwnLoss:
    """A loss of the user's own; two of them differ in what they compute only."""

    def __init__(self, power):
        self.power = power

    def start(self, examples, classes):
        return None

    def __call__(self, logits, labels, rows):
        return (logits**self.power).sum(axis=1), rows


class OtherLoss(OwnLoss):
    """The other one."""

    def __call__(self, logits, labels, rows):
        return -(logits**self.power).sum(axis=1), rows


def test_every_array_and_boundary_of_a_classifier_is_told(known_as):
    fit = CLASSIFIER.fit
    values = CASES.values.copy()
    values[3, 2, 1] += 1e-9
    whole, half = np.arange(24), np.arange(24) // 2
    found = [
        known_as(fit, CASES),
        known_as(fit, replace(CASES, values=values)),
        known_as(fit, replace(CASES, lengths=np.full(24, 5))),
        known_as(fit, replace(CASES, labels=1 - CASES.labels)),
        known_as(fit, replace(CASES, names=("u", "w"))),
        known_as(fit, replace(CASES, classes=("no", "maybe"))),
        known_as(fit, CASES, weight_groups=half),
        known_as(fit, CASES, weight_groups=half[::-1] % 6),
        known_as(fit, CASES.select(whole[:8]), validation=CASES.select(whole[8:])),
        known_as(fit, CASES.select(whole[:16]), validation=CASES.select(whole[16:])),
        known_as(fit, CASES.select(whole[:16]), validation=CASES.select(whole[15:])),
        *(known_as(changed(labels__loss=loss).fit, CASES) for loss in (OwnLoss(2), OwnLoss(3), OtherLoss(2))),
    ]
    assert len(set(found)) == len(found)
    assert known_as(fit, CASES) == found[0]


def test_other_weight_groups_that_divide_alike_are_told(known_as):
    """Two sets of groups that keep the same cases for training are two trainings all the same."""
    fit = changed(training__validation_share=0.0).fit
    one, two = np.arange(24) // 2, np.arange(24) // 3
    assert known_as(fit, CASES, weight_groups=one) != known_as(fit, CASES, weight_groups=two)


def table(path, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def series(path, shift=0.0):
    rows = [("id", "time", "u", "label")]
    rows += [
        (case, step, case % 2 + 0.1 * step + shift, "ab"[case % 2]) for case in range(24) for step in range(4)
    ]
    return table(path, rows)


def test_other_weight_groups_in_the_same_file_are_told_on_the_command_line(known_as, tmp_path):
    data = series(tmp_path / "cases.csv")
    groups = tmp_path / "groups.csv"
    command = ClassifyCommand(
        data,
        tmp_path / "run",
        weight_groups=groups,
        training=EpochSettings(validation_share=0.0),
        readout=Readout(convolutions=0),
    )
    table(groups, [("case", "group"), *((case, case // 2) for case in range(24))])
    first = known_as(command.run)
    assert known_as(command.run) == first
    table(groups, [("case", "group"), *((case, case // 2 % 11) for case in range(24))])
    assert known_as(command.run) != first
    table(groups, [("case", "group"), *((case, case // 2) for case in range(24))])
    series(data, shift=1e-9)
    assert known_as(command.run) != first


def test_options_of_the_command_line_are_told(known_as, tmp_path):
    data = series(tmp_path / "cases.csv")
    found = [
        known_as(ClassifyCommand(data, tmp_path / "run", **options).run)
        for options in (
            {},
            {"model": Classifier(hidden_size=3)},
            {"labels": Labels(reweight="auto")},
            {"labels": Labels(reweight="2")},
            {"labels": Labels(reweight="2", balance="class")},
            {"training": EpochSettings(epochs=7)},
            {"seed": 3},
        )
    ]
    assert len(set(found)) == len(found)


def test_other_rows_of_a_log_are_told_on_the_command_line(known_as, tmp_path):
    rows = [(k, np.sin(0.3 * k), np.cos(0.2 * k)) for k in range(200)]
    log = table(tmp_path / "log.csv", [("time", "q", "h"), *rows])

    def command(train, check, **options):
        parts = RowsOfRoles(train_rows=train, validation_rows=check, test_rows=("150:",))
        options = {"model": Model(cell="gru", washout=5), "window": 20, **options}
        return IdentifyCommand(log, ("q",), ("h",), tmp_path / "run", test_data=parts, **options)

    a, b, c = "a=0:50", "b=50:100", "c=100:150"
    found = [
        known_as(command((a,), (b, c)).run),
        known_as(command((a, b), (c,)).run),
        known_as(command((a,), (c,)).run),
        known_as(command((a,), (b, c), training=TrainingSettings(steps=7)).run),
        known_as(command((a,), (b, c), seed=3).run),
    ]
    assert len(set(found)) == len(found)
