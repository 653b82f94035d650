"""A model is judged beside simple models and the noise: what is said, and that it is bound to the numbers."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from attractor.control import PlantModel
from attractor.control.identification.assessment import assess
from attractor.control.identification.comparison import Comparison, Rival
from attractor.control.identification.identification_verdict import (
    TONES,
    advice,
    of_run,
    outlook_of,
    verdict,
)
from attractor.control.identification.plant_network import PlantNetwork
from attractor.control.identification.remarks import _difference, remarks
from attractor.data import Experiment, Record, Roles, Signal
from attractor.report.about import About
from attractor.training import Trained


def rival(fit, gain, name="ARX"):
    return Rival(name, "order 4", fit, gain, 0.02)


NAN = float("nan")
HELD = Rival("persistence", "held", -20.0, 0.9, 0.02)
BASE = Comparison(92.0, 0.0, (HELD, rival(80.0, 0.8)), 99.0, "ARX of order 20, one step ahead", "gru")


@pytest.mark.parametrize(
    ("changes", "outlook"),
    [
        ({}, "follows"),
        ({"fit": 80.0, "rivals": (HELD, rival(60.0, 0.5))}, "partly"),
        ({"fit": 40.0, "rivals": (HELD, rival(20.0, 0.4))}, "partly"),
        ({"fit": -40.0, "rivals": (rival(-60.0, 0.2),)}, "no better"),
        ({"fit": 92.0, "rivals": (HELD, rival(92.4, -0.01))}, "linear"),
        ({"fit": 92.0, "rivals": (HELD, rival(95.0, -1.0))}, "behind"),
        ({"fit": 92.0, "rivals": (rival(95.0, -1.0),), "spread": 4.0}, "linear"),
        ({"fit": 58.2, "rivals": (HELD, rival(58.5, -0.01)), "ceiling": 58.6}, "linear"),
        ({"fit": 58.2, "rivals": (HELD, rival(40.0, 0.5)), "ceiling": 58.6}, "noise"),
        ({"fit": 58.2, "rivals": (), "ceiling": NAN}, "no better"),
        ({"fit": 55.0, "family": "linear", "rivals": (HELD, rival(55.5, -0.01)), "ceiling": 56.0}, "linear"),
        ({"fit": 78.8, "family": "linear", "rivals": (HELD, rival(78.0, 0.01)), "ceiling": 95.6}, "partly"),
        ({"fit": 0.0, "family": "linear", "rivals": (HELD, rival(0.0, 0.0)), "ceiling": 0.5}, "no better"),
        ({"fit": 0.4, "rivals": (HELD, rival(0.0, 0.0)), "ceiling": 0.5}, "no better"),
        ({"fit": NAN}, "undefined"),
    ],
)
def test_what_a_comparison_comes_to(changes, outlook):
    found = replace(BASE, **changes)
    assert outlook_of(found, 1.0) == found.outlook == outlook
    assert outlook_of(found, np.inf) == "lost"
    said = verdict(found, outlook, 1, 20)
    assert "it has never seen" in said
    assert ("FIT" in said) == (outlook != "lost")
    meaning, steps = advice(outlook, About("run", "command"), "gru")
    assert meaning
    assert steps
    known, others = advice(outlook, About("run", "command"), "gru", proved=True)
    assert known == meaning
    assert list(others) == [step for step in steps if "attractor certify" not in step.command]


def test_a_lead_that_may_be_chance_is_not_called_as_good():
    """A headline must not say of 88 % that it is as good as 92 %."""
    for fit, begins in ((91.5, "A linear model does as well."), (88.0, "It is not shown that the model is")):
        found = replace(BASE, fit=92.0, rivals=(rival(fit, 0.03),))
        assert found.outlook == "linear"
        assert verdict(found, "linear", 1, 20).startswith(begins)


def test_only_what_is_behind_or_useless_is_red():
    assert {name for name, tone in TONES.items() if tone == "poor"} == {"lost", "behind", "no better"}


def test_a_comparison_comes_back_from_a_card():
    assert Comparison.of(json.loads(json.dumps(BASE.facts()))) == BASE


def roles_of(inputs, outputs, rows):
    parts = [slice(*pair) for pair in zip((0, *rows), (*rows, len(inputs)), strict=True)]

    def record(name, part):
        one = Experiment(name, inputs[part, None], outputs[part, None])
        return Record((Signal("u"),), (Signal("y"),), (one,))

    names = ("train", "validation", "test")
    return Roles(*(record(*pair) for pair in zip(names, parts, strict=True)), "by hand")


def test_a_model_that_noise_alone_keeps_from_more_is_not_called_bad():
    """A linear system under white noise: the true system itself has a FIT near 55."""
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, 2400)
    clean = lfilter([0, 0.4, 0.2], [1, -1.3, 0.5], inputs)
    outputs = clean + 0.5 * clean.std() * draw.standard_normal(2400)
    roles = roles_of(inputs, outputs, (1400, 1800))
    model = PlantModel("linear").fit(roles.training, validation=roles.validation)
    card = assess(model, roles)
    found = Comparison.of(card["comparison"])
    truth = 100 * (1 - np.std(outputs[1820:] - clean[1820:]) / np.std(outputs[1820:]))
    assert found.fit == pytest.approx(truth, abs=1.0)
    assert found.ceiling == pytest.approx(truth, abs=2.0)
    assert [one.name for one in found.rivals] == ["persistence", "ARX", "polynomial NARX"]
    said = of_run(model, card)
    assert said.startswith("A linear model is enough.")
    assert "down to what looks like noise" in said
    assert TONES[outlook_of(found, 1.0)] == "good"


def history(scores):
    return [{"step": 10 * (index + 1), "validation": [score]} for index, score in enumerate(scores)]


def trained(scores):
    best = 10 * (1 + int(np.argmin(scores)))
    return Trained(None, np.array([min(scores)]), np.array([best]), history(scores), 1.0)


class Counted(eqx.Module):
    """A cell of so many numbers."""

    weights: jax.Array


def told(scores=(1.0,) * 12, count=3, change=lambda values: values):
    """Remarks on 200 rows of training and 100 of validation, whose signals were changed."""
    time = np.arange(300.0)
    inputs, outputs = np.sin(0.1 * time), np.cos(0.1 * time)
    outputs[200:] = change(outputs[200:])
    roles = roles_of(inputs, outputs, (200, 299))
    network = PlantNetwork(Counted(jnp.zeros(count)), None, None, feedthrough=False)
    return " ".join(remarks(network, trained(list(scores)), roles.training, roles.validation))


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (np.linspace(1, 0.2, 12), True),
        (np.linspace(1, 0.2, 12)[::-1], False),
        ([1.0] * 6 + [0.5] * 6, False),
        ([0.9, 0.8], False),
    ],
    ids=["falls", "rises", "rests", "two validations"],
)
def test_a_validation_that_still_falls_is_told(scores, said):
    assert ("still falling after 120 updates" in told(scores)) == said


@pytest.mark.parametrize(("count", "said"), [(201, True), (200, False)])
def test_more_parameters_than_samples_are_told(count, said):
    assert ("201 trained numbers for 200 samples" in told(count=count)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values, ""),
        (lambda values: 0.1 * values, "y moves by 0.06"),
        (lambda values: values + 1.0, "y is outside its training range in"),
        (lambda values: np.cos(1.5 * np.arange(100.0)), "times as fast there"),
    ],
    ids=["alike", "smaller", "elsewhere", "faster"],
)
def test_a_validation_part_that_looks_like_something_else_is_told(change, said):
    text = told(change=change)
    assert said in text
    assert ("looks nothing like" in text) == bool(said)


def test_validation_that_leaves_the_training_range_by_a_hair_is_no_other_world():
    draw = np.random.default_rng(0)
    learned, judged = draw.choice([-1.0, 0.0, 1.0], 400), draw.choice([-1.004, 0.0, 1.004], 400)
    assert not _difference(learned, judged)
    assert "outside its training range" in _difference(learned, 1.2 * judged)
