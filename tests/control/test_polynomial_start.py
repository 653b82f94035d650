"""The polynomial regression as a network: what it computes, where it wins, and what can be done with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel
from attractor.cells import PolynomialNARX
from attractor.control.baselines import fit_polynomial_narx
from attractor.control.identification.certification import repair, repairable, retrained
from attractor.control.identification.regressions import WEIGHTS, Start, find_polynomial_start
from attractor.errors import ConfigError, ShapeError
from attractor.export import check_parity
from attractor.training import TrainingSettings

DRAW = np.random.default_rng(0)
ROWS, WASHOUT = 400, 10


def bilinear(inputs, direct=0.0):
    """A plant whose gain hangs on its state: two outputs, two inputs."""
    outputs = np.zeros((len(inputs), 2))
    for row in range(1, len(inputs)):
        u, y = inputs[row - 1], outputs[row - 1]
        outputs[row] = 0.7 * y + 0.4 * u + 0.5 * y * u[::-1] + 0.1 * y[::-1] ** 2
        outputs[row] += direct * inputs[row]
    return outputs


INPUTS = DRAW.uniform(-0.5, 0.5, (ROWS, 2))
OUTPUTS = bilinear(INPUTS)
FITTED = {"washout": WASHOUT, "window": 40, "training": TrainingSettings(steps=2, validate_every=2)}


@pytest.mark.parametrize("feedthrough", [False, True])
def test_the_network_computes_what_the_regression_simulates(feedthrough):
    outputs = bilinear(INPUTS, 0.3 if feedthrough else 0.0)
    model = PlantModel(cell="polynomial-narx", feedthrough=feedthrough, **FITTED).fit(INPUTS, outputs)
    sides = [
        (model.input_scaling_.to_unit(INPUTS[part]), model.output_scaling_.to_unit(outputs[part]))
        for part in (slice(0, 320), slice(320, 400))
    ]
    found = fit_polynomial_narx(sides[:1], sides[1:], WASHOUT, (0 if feedthrough else 1,), WEIGHTS)
    assert found is not None
    scaled = found.simulate(*sides[1], WASHOUT)
    simulated = model.predict(INPUTS[320:], outputs[320:])
    np.testing.assert_allclose(
        simulated[WASHOUT:], model.output_scaling_.to_engineering(scaled)[WASHOUT:], atol=1e-4
    )
    assert model.score(INPUTS[320:], outputs[320:]) > 99


def test_it_is_among_the_families_that_race_and_wins_where_products_act():
    model = PlantModel(**FITTED).fit(INPUTS, OUTPUTS)
    assert {one.cell for one in model.race_} == {"linear", "polynomial-narx", "state-space", "gru"}
    assert next(one.cell for one in model.race_ if one.won) == "polynomial-narx"
    again = model.predict(INPUTS[:50], OUTPUTS[:50])
    assert np.isfinite(again[WASHOUT:]).all()
    # It ended in an AttributeError, after a minute.
    assert not repairable(model)
    with pytest.raises(ConfigError, match=r"polynomial-narx\), which nothing trains.*--certified"):
        repair(model, (INPUTS, OUTPUTS))


def test_the_command_towards_a_proof_leaves_out_a_family_that_nothing_trains():
    made = "attractor identify 'my log.csv' --cell polynomial-narx --out runs/a --seed 3"
    wanted = "attractor identify 'my log.csv' --out runs/a-certified --seed 3 --certified"
    assert retrained(made) == wanted
    assert retrained(made.replace("--cell polynomial-narx", "--cell=polynomial-narx")) == wanted
    assert "--cell gru" in retrained(made.replace("polynomial-narx", "gru"))
    assert retrained("python train.py") == retrained(f"{made} --certified") == ""


def test_a_run_gives_it_back(tmp_path):
    model = PlantModel(cell="polynomial-narx", **FITTED).fit(INPUTS, OUTPUTS)
    model.save(tmp_path)
    again = PlantModel.load(tmp_path)
    np.testing.assert_array_equal(again.predict(INPUTS, OUTPUTS), model.predict(INPUTS, OUTPUTS))
    assert max(check_parity(again.network(), samples=20).values()) < 1e-9


def test_rows_that_do_not_hold_its_past_rule_it_out():
    sides = [(INPUTS[:300], OUTPUTS[:300])], [(INPUTS[300:], OUTPUTS[300:])]
    assert find_polynomial_start(*sides, Start(feedthrough=False, settled=20, past=20)) is not None
    few = [(INPUTS[:20], OUTPUTS[:20])]
    assert find_polynomial_start(few, few, Start(feedthrough=False, settled=5, past=5)) is None


def test_it_stays_within_its_bounds():
    cell = PolynomialNARX(1, 2, output_size=1, key=jax.random.key(0))
    state = cell(jnp.full(1, 1e3), cell.initial_state() + 1e3)
    assert float(cell.exposed(state)[0]) in (-3.0, 3.0)
    with pytest.raises(ShapeError, match="1 past samples for a regressor of order 2"):
        cell.measured_state(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    with pytest.raises(ConfigError, match="at least one past sample"):
        PolynomialNARX(1, 0, key=jax.random.key(0))


@pytest.mark.parametrize("cell", ["polynomial-narx", "linear", "esn"])
def test_what_nothing_trains_is_not_trained_towards_a_proof(cell):
    """`--cell linear --certified` trained a GRU, and said nothing; of a reservoir it changed nothing."""
    with pytest.raises(ConfigError, match=f"nothing trains {cell}: take another cell"):
        PlantModel(cell=cell, certified=True).fit(INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell": "linear", "hidden_size": 4}, "hidden_size=4: the size of linear follows from the data"),
        ({"cell": "polynomial-narx", "layers": 2}, "layers=2: the size of polynomial-narx follows"),
        ({"cell": "esn", "training": TrainingSettings(refine=2)}, "refine=2: .* esn stay as they were drawn"),
    ],
)
def test_options_that_would_change_nothing_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        PlantModel(**options).fit(INPUTS, OUTPUTS)
