"""Scenarios and files of a closed-loop study."""

import jax
import numpy as np
import pytest

from attractor.cells import Linear, PolynomialNARX
from attractor.control import PHNeutralisation, PlantModel, QuadrupleTank
from attractor.control.model import from_network
from attractor.control.plants.process import SimulatedPlant
from attractor.control.plants.quadruple_tank import pilot_plant_tank
from attractor.control.predictive import ClosedLoop, Limits, SolveStatus
from attractor.control.study import (
    ControlSettings,
    cut_back,
    limits_of,
    not_widened,
    read_scenario,
    save_loop,
    stepped_scenario,
)
from attractor.data import Scaling, Signal
from attractor.errors import ConfigError, InputDataError

PLANT = PHNeutralisation()


def written(tmp_path, *lines):
    path = tmp_path / "wish.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_disturbances_in_the_file_are_taken_and_others_are_nominal(tmp_path):
    scenario = read_scenario(written(tmp_path, "q2,pH", "0.5,7.0", "0.7,8.0"), PLANT, 10.0)
    np.testing.assert_array_equal(scenario.references, [[7.0], [8.0]])
    np.testing.assert_array_equal(scenario.disturbances, [[16.6, 0.5], [16.6, 0.7]])


def test_columns_go_by_their_names(tmp_path):
    plant = QuadrupleTank()
    names = [signal.name for signal in plant.outputs]
    path = written(tmp_path, ",".join(reversed(names)), "1.0,2.0", "3.0,4.0")
    np.testing.assert_array_equal(read_scenario(path, plant, 5.0).references, [[2.0, 1.0], [4.0, 3.0]])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("level", "7.0", "7.0"), "no column 'pH'"),
        (("pH", "7.0", "high"), "high"),
        (("pH,experiment", "7.0,a", "7.0,a", "7.0,b", "7.0,b"), "2 experiments"),
    ],
    ids=["no output", "text", "two experiments"],
)
def test_a_file_that_is_no_reference_is_refused(tmp_path, lines, words):
    with pytest.raises(InputDataError, match=words):
        read_scenario(written(tmp_path, *lines), PLANT, 10.0)


@pytest.mark.parametrize(
    ("lines", "row"),
    [(("pH", "7.0", "", "8.0", "8.0"), 3), (("pH,q2", "7.0,0.5", "8.0,", "8.0,0.5"), 3)],
    ids=["a blank line of one column", "a blank cell"],
)
def test_a_gap_in_a_reference_is_named_and_not_closed(tmp_path, lines, row):
    """The rows below it moved up: a reference shorter than its file, of which nothing was said."""
    with pytest.raises(InputDataError, match=f"row {row}, column '.*a value for every sample"):
        read_scenario(written(tmp_path, *lines), PLANT, 10.0)


def test_blank_lines_at_the_end_of_a_reference_are_nothing(tmp_path):
    scenario = read_scenario(written(tmp_path, "pH", "7.0", "8.0", "", ""), PLANT, 10.0)
    np.testing.assert_array_equal(scenario.references, [[7.0], [8.0]])


def test_steps_stay_within_the_range_of_the_outputs():
    """Around a mean of 7 with a spread of 2: shares 0.5, 0.8, 0.25, 0.5 of what lies from 5 to 9."""
    model = PlantModel()
    model.output_scaling_ = Scaling(np.array([7.0]), np.array([2.0]))
    references = stepped_scenario(model, 2).references
    np.testing.assert_allclose(references[:, 0], np.repeat([7.0, 8.2, 6.0, 7.0], 2))


def test_a_loop_is_written_with_all_its_signals(tmp_path):
    rows = np.arange(3.0)[:, None]
    loop = ClosedLoop(
        times=10.0 * np.arange(3),
        references=rows + 1,
        measured=rows + 2,
        outputs=rows + 3,
        inputs=rows + 4,
        disturbances=np.hstack([rows + 5, rows + 6]),
        estimates=rows,
        offsets=rows,
        reachable=np.ones(3, bool),
        statuses=(SolveStatus.CONVERGED,) * 3,
        solve_seconds=np.zeros(3),
        seconds=np.zeros(3),
    )
    save_loop(tmp_path / "loop.csv", PLANT, loop)
    head, *lines = (tmp_path / "loop.csv").read_text().splitlines()
    assert head == "time [s],pH_reference,pH,pH_measured,q3 [ml/s],q1 [ml/s],q2 [ml/s]"
    table = np.loadtxt(lines, delimiter=",")
    np.testing.assert_array_equal(table, np.hstack([10 * rows, rows + np.array([1, 3, 2, 4, 5, 6])]))


def test_limits_are_narrowed_and_what_would_widen_them_is_told():
    """--input-high 30 of a pump that gives 2.8 changed nothing, without a word."""
    plant = SimulatedPlant(pilot_plant_tank(), 15.0)  # 0.8 to 2.3, and 1 to 2.8
    wide = ControlSettings(input_low=(0.9, 1.0), input_high=(2.5,))
    (told,) = not_widened(plant, wide)
    assert told.startswith("--input-high 2.5 lies beyond the limit of qa [m^3/h], 2.3, which stays")
    limits = limits_of(plant, wide)
    np.testing.assert_array_equal([limits.input_low, limits.input_high], [[0.9, 1.0], [2.3, 2.5]])
    assert not_widened(plant, ControlSettings()) == []
    with pytest.raises(ConfigError, match=r"leave no input of those that the plant.*\[0\.8 1\. \] to"):
        limits_of(plant, ControlSettings(input_low=(2.5,)))


def test_moves_cost_more_where_the_model_is_a_polynomial():
    """With 0.1 its plans chattered from sample to sample, on a plant where all other families settled."""
    usual = ControlSettings()
    polynomial = from_network(PolynomialNARX(1, 1, key=jax.random.key(0)), [[1.0]], [0.0])
    linear = from_network(Linear(1, 1, key=jax.random.key(0)), [[1.0]], [0.0])
    assert (usual.move_weight_of(polynomial), usual.move_weight_of(linear)) == (1.0, 0.1)
    assert usual.objective_of(polynomial).move_weight == 1.0
    assert ControlSettings(move_weight=0.2).move_weight_of(polynomial) == 0.2


def test_a_limit_that_is_cut_back_to_the_training_is_told():
    """40 became 40.2 without a word."""
    signals = Signal("Valve", "%"), Signal("Heater", "%")
    used = np.array([[40.2, 11.4], [79.8, 94.9]])
    (told,) = cut_back(Limits([40.0, 11.4], [79.8, 94.9]), used, signals)
    assert "Valve [%], 40 to 79.8, reach beyond the range of the training" in told
    assert "40.2 to 79.8 is used" in told
    assert cut_back(Limits([50.0, 20.0], [60.0, 30.0]), used, signals) == []
