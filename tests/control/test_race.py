"""A race of families: what wins, what is kept of it, and that a kill changes nothing."""

import io

import jax
import numpy as np
import pytest
from scipy.signal import lfilter

from attractor.control import PlantModel
from attractor.control.identification.race import Result, Structure, entrants, forecast, in_words
from attractor.control.identification.recordings import as_record
from attractor.control.model import control_model
from attractor.errors import ConfigError, InputDataError, RunFolderError
from attractor.progress import LineReporter
from attractor.training import TrainingSettings

SETTINGS = TrainingSettings(steps=300, batch_size=16, learning_rate=2e-2, validate_every=100)
OPTIONS = {"hidden_size": 2, "window": 20, "washout": 5, "training": SETTINGS}


def bent(rows=400, seed=0):
    """A linear system behind a bent actuator."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows).repeat(2)[:rows]
    outputs = lfilter(
        [0, 0.3], [1, -0.7], inputs * np.abs(inputs) + 0.5 * inputs**2
    ) + 1e-3 * draw.standard_normal(rows)
    return inputs, outputs


def straight(rows=400, seed=0):
    """A linear system under noise."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows)
    return inputs, lfilter([0, 0.3], [1, -0.7], inputs) + 0.1 * draw.standard_normal(rows)


@pytest.fixture(scope="module")
def raced():
    return PlantModel(**OPTIONS).fit(*bent())


def test_every_family_is_told_and_the_lowest_error_wins(raced):
    assert [one.cell for one in raced.race_] == ["linear", "state-space", "polynomial-narx", "gru"]
    [winner] = [one for one in raced.race_ if one.won]
    assert winner.error == min(one.error for one in raced.race_)
    assert raced.family == winner.cell != "linear"
    assert winner.error == pytest.approx(float(raced.trained_.scores.min()))
    for family in ("linear", "gru"):
        assert f"{family} with" in in_words(raced.race_)


def test_training_never_leaves_a_network_behind_the_linear_model_that_it_starts_from(raced):
    linear, network, *_ = raced.race_
    assert network.error <= linear.error * (1 + 1e-5)


def test_a_race_comes_back_from_a_run_folder_with_its_results(raced, tmp_path):
    inputs, outputs = bent(100, 1)
    raced.save(tmp_path / "run")
    again = PlantModel.load(tmp_path / "run")
    assert (again.cell, again.family, again.race_) == ("auto", raced.family, raced.race_)
    np.testing.assert_array_equal(again.predict(inputs, outputs), raced.predict(inputs, outputs))
    assert control_model(again)[0].state_size == control_model(raced)[0].state_size


def test_a_linear_model_that_is_as_good_wins():
    model = PlantModel(**OPTIONS).fit(*straight())
    assert model.family == "linear"
    assert "linear with" in in_words(model.race_).split(" was chosen")[0]


class InterruptedError(Exception):
    """What stops a training."""


class Stopping:
    """A reporter that stops a race at a certain report of its trainings."""

    def __init__(self, at):
        self.left = at

    def update(self, done, total, message=""):
        self.left -= "linear models" not in message
        if self.left == 0:
            raise InterruptedError

    def close(self):
        pass


@pytest.mark.parametrize("at", [1, 4], ids=["in the first training", "in the second one"])
def test_a_race_that_was_killed_ends_in_the_same_bits(raced, tmp_path, at):
    with pytest.raises(InterruptedError):
        PlantModel(**OPTIONS).fit(*bent(), folder=tmp_path, reporter=Stopping(at))
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert (tmp_path / "checkpoint-2.safetensors").exists() == (at > 3)
    with pytest.raises(RunFolderError, match="belongs to a training"):
        PlantModel(**OPTIONS, seed=1).fit(*bent(), folder=tmp_path)
    again = PlantModel(**OPTIONS).fit(*bent(), folder=tmp_path)
    inputs, outputs = bent(100, 1)
    np.testing.assert_array_equal(again.predict(inputs, outputs), raced.predict(inputs, outputs))
    assert [one.error for one in again.race_] == [one.error for one in raced.race_]
    again.save(tmp_path)
    assert not list(tmp_path.glob("checkpoint*"))


def test_a_model_for_a_certificate_is_a_gru():
    """`test_a_model_that_is_trained_to_be_certified_is_proved` trains one."""
    model = PlantModel(**OPTIONS, certified=True)
    assert "gru, at most 300 updates" in model.forecast(as_record(*bent()))


def test_a_linear_model_alone_is_not_trained():
    model = PlantModel("linear", washout=5).fit(*straight(800))
    assert (model.family, len(model.race_), model.trained_.seconds) == ("linear", 1, 0.0)
    assert model.score(*straight(seed=3)) > 56  # the true system has 56.9


def test_too_few_rows_are_refused_by_name():
    with pytest.raises(InputDataError, match="washout of 5 rows leaves nothing"):
        PlantModel("linear", washout=5).fit(*straight(20))


def test_without_a_linear_start_the_trained_families_race_alone():
    plan = PlantModel("gru")
    plan.signals_ = type("Both", (), {"inputs": (0,), "outputs": (0,)})
    plan.timing_ = type("Plain", (), {"feedthrough": False, "delays": ()})
    plan.structure_ = None
    assert [one.structure.cell for one in entrants(plan.make_plan(), 8, None)] == ["state-space", "gru"]


def test_words_of_a_race_say_by_how_much():
    results = (
        Result("linear", 4, 0.4, 0.0),
        Result("state-space", 6, 0.1, 30.0, won=True),
        Result("gru", 8, float("inf"), 20.0),
    )
    said = in_words(results)
    assert said.startswith("state-space with 6 states was chosen")
    assert "linear with 4 states by 75.0 %" in said
    assert "diverged" in said
    assert in_words(()) == ""


def test_a_forecast_names_families_and_a_time():
    said = forecast(("state-space", "gru"), TrainingSettings(), 170, 2000)
    assert "state-space and gru race" in said
    assert "about 40 s" in said
    assert forecast(("linear",), TrainingSettings(), 170, 2000) == "fitting linear: about 6 s on two cores"


def test_what_comes_before_the_trainings_is_told_as_well():
    told = io.StringIO()
    reporter = LineReporter("training", told, every=0.0)
    PlantModel("linear", washout=5).fit(*straight(800), reporter=reporter)
    assert "training: 6/22" in told.getvalue()
    assert "linear models of order 8" in told.getvalue()
    assert "training: 22/22" in told.getvalue()


@pytest.mark.parametrize("wrong", [{"cell": 3}, {"hidden_size": 0}, {"encoder_width": "wide"}])
def test_a_structure_is_read_with_its_kinds_checked(wrong):
    good = {"cell": "gru", "hidden_size": 4, "encoder_width": 32}
    assert Structure.of(good) == Structure("gru", 4, 32)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Structure.of(good | wrong)


def test_a_race_over_another_log_of_the_same_size_compiles_nothing():
    """As in a cross-validation. The numbers of a regression were constants of the programs before."""
    options = {
        "washout": 5,
        "window": 20,
        "training": TrainingSettings(steps=2, batch_size=4, validate_every=1),
    }
    first, second = PlantModel(**options), PlantModel(**options)
    first.fit(*bent(300))
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        second.fit(*(2 * side for side in bent(300)))
    finally:
        jax.monitoring.clear_event_listeners()
    assert [one.hidden_size for one in first.race_] == [one.hidden_size for one in second.race_]
    assert not compiled
    assert not np.allclose(first.predict(*bent(300))[5:], second.predict(*bent(300))[5:])
