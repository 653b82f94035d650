"""From a run folder to a page: true figures and sentences, also for runs that are out of the ordinary."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import PlantModel
from attractor.control.identification.assessment import assess
from attractor.control.identification.identification_contents import collect
from attractor.control.identification.identification_page import write_run_report
from attractor.data import Experiment, Record, Roles, Signal, to_archive
from attractor.errors import RunFolderError
from attractor.origin import origin_of
from attractor.runs import load_run
from attractor.training import TrainingSettings

SETTINGS = TrainingSettings(steps=2, batch_size=2, validate_every=1)


def experiment(name, rows, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, (rows, 1))
    outputs = np.convolve(inputs[:, 0], 0.5 ** np.arange(1, 9))[:rows, None]
    return Experiment(name, inputs, outputs + 0.01 * draw.standard_normal((rows, 1)))


def still(name, rows):
    moving = experiment(name, rows)
    return Experiment(name, moving.inputs, np.zeros((rows, 1)))


def roles_of(*tests):
    def record(*experiments):
        return Record((Signal("u", "V"),), (Signal("y", "m"),), experiments, 1.0)

    return Roles(record(experiment("a", 60)), record(experiment("b", 40, 1)), record(*tests), "by hand")


ROLES = roles_of(experiment("c", 50, 2))


def identified(folder, roles=ROLES, **options):
    """A tiny run of these data, saved as the command line saves it."""
    options = {"cell": "tanh", "hidden_size": 2, "window": 20, "washout": 5, "training": SETTINGS} | options
    model = PlantModel(**options).fit(roles.training, validation=roles.validation)
    save(model, folder, roles)
    return model


def save(model, folder, roles, **changes):
    facts, arrays = to_archive(roles)
    card = {"data": facts, **assess(model, roles), **changes}
    model.save(folder, card=card, evaluation=arrays)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return identified(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(("asked", "word"), [(True, "yes"), (False, "no")])
def test_a_model_that_was_trained_for_a_certificate_is_not_called_certified(
    fitted, tmp_path, asked, word, monkeypatch
):
    monkeypatch.setattr(fitted, "certified", asked)
    save(fitted, tmp_path / "run", ROLES)
    card = contents(fitted, tmp_path / "run", ROLES).model_card
    assert card["Model"]["trained for a certificate"] == word
    assert not any("certified" in label for facts in card.values() for label in facts)


def test_the_card_shows_what_the_run_was_made_from(fitted, tmp_path):
    save(fitted, tmp_path / "run", ROLES)
    run = load_run(tmp_path / "run")
    assert contents(fitted, tmp_path / "run", ROLES).model_card["Files"] == {
        "SHA-256 of the weights": run.origin.weights,
        "SHA-256 of the equation": run.origin.equation,
    }
    assert origin_of(write_run_report(tmp_path / "run")) == run.origin


def contents(model, folder, roles):
    return collect(model, roles, load_run(folder).card)


@pytest.mark.parametrize(
    ("tests", "tone", "words"),
    [
        (
            [experiment("c", 50, 2), still("d", 50)],
            "poor",
            "A simpler model is better (ARX, order 3). On 2 recordings it has never seen, in free run",
        ),
        ([still("d", 50)], "fair", "On a recording it has never seen, FIT is undefined: no measured output"),
    ],
    ids=["one of two does not move", "nothing moves"],
)
def test_an_output_that_does_not_move_has_no_fit_and_the_verdict_says_so(
    fitted, tmp_path, tests, tone, words
):
    roles = roles_of(*tests)
    save(fitted, tmp_path / "run", roles)
    page = contents(fitted, tmp_path / "run", roles)
    assert page.tone == tone
    assert words in page.verdict
    assert "nan" not in page.verdict
    assert np.isnan(page.summary.fit) == (len(tests) == 1)


@pytest.mark.slow
def test_a_model_that_runs_away_gets_a_report_that_says_so(fitted, tmp_path):
    lost = PlantModel(**fitted.get_params(deep=False))
    vars(lost).update(vars(fitted))
    bias = np.full(fitted.replicas_.readout.bias.shape, np.nan, np.float32)
    lost.replicas_ = eqx.tree_at(lambda network: network.readout.bias, fitted.replicas_, jnp.asarray(bias))
    save(lost, tmp_path / "run", ROLES)
    page = contents(lost, tmp_path / "run", ROLES)
    assert "runs away" in page.verdict
    assert page.tone == "poor"
    assert page.residuals == ()
    assert write_run_report(tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"cell": "esn", "hidden_size": 30}, 30 + 1 + 1),
        ({"cell": "esn", "hidden_size": 30, "layers": 2, "initial_state": "washout"}, 30 + (30 + 1) + 1),
        ({"cell": "tanh", "initial_state": "washout"}, 2 * (1 + 2 + 1) + 2 + 1),
    ],
    ids=["reservoir", "two reservoirs", "trained"],
)
def test_only_trained_numbers_are_counted(tmp_path, options, trained):
    """A read-out of n numbers has n weights and a bias; a reservoir exposes its units and its input."""
    page = contents(identified(tmp_path / "run", **options), tmp_path / "run", ROLES)
    assert page.summary.parameters == trained
    assert page.model_card["Model"]["parameters"] == str(trained)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"initial_state": "encoder"}, 5),
        pytest.param({"cell": "nnarx", "initial_state": "washout"}, 5, marks=pytest.mark.slow),
        ({"initial_state": "washout"}, 0),
        ({"cell": "esn"}, 0),
        ({"cell": "nnarx", "initial_state": "zero"}, 0),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_the_page_knows_which_measured_outputs_the_model_sees(tmp_path, options, rows):
    model = identified(tmp_path / "run", **options)
    page = contents(model, tmp_path / "run", ROLES)
    assert page.start_rows == rows
    assert ("alone after its first 5 samples" in page.verdict) == (rows > 0)
    [experiment] = ROLES.test.experiments
    hidden = np.where(np.arange(50)[:, None] < rows, experiment.outputs, 0.0)
    seen = model.simulate(Experiment("c", experiment.inputs, hidden))
    np.testing.assert_array_equal(model.simulate(experiment), seen, "it looks at more than it says")


@pytest.mark.parametrize(("rows", "shown"), [(8, 0), (9, 1)], ids=["too few", "enough"])
def test_residuals_of_too_few_rows_are_left_out(fitted, tmp_path, rows, shown):
    """5 rows of washout; one lag needs 4 rows."""
    roles = roles_of(experiment("short", rows, 4))
    save(fitted, tmp_path / "run", roles)
    assert len(contents(fitted, tmp_path / "run", roles).residuals) == shown
    assert write_run_report(tmp_path / "run").exists()


def test_a_run_without_a_history_gets_a_report_that_says_so(fitted, tmp_path):
    training = assess(fitted, ROLES)["training"] | {"history": []}
    save(fitted, tmp_path / "run", ROLES, training=training)
    html = write_run_report(tmp_path / "run").read_text()
    assert "No history of this training was kept." in html
    assert "Every line is one seed" not in html


def test_a_run_without_its_data_has_no_report_and_says_what_to_do(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    with pytest.raises(RunFolderError, match=r"saved without its data.*attractor identify.*card="):
        write_run_report(tmp_path / "model")
    facts, _ = to_archive(ROLES)
    fitted.save(tmp_path / "facts", card={"data": facts, **assess(fitted, ROLES)})
    with pytest.raises(RunFolderError, match=r"saved without its data"):
        write_run_report(tmp_path / "facts")


def test_the_way_out_that_is_named_works(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    facts, arrays = to_archive(ROLES)
    card = {"data": facts, **assess(fitted, ROLES)}
    fitted.save(tmp_path / "run", card=card, evaluation=arrays, overwrite=True)
    assert write_run_report(tmp_path / "run").exists()


def test_bands_are_shown_with_what_they_state_and_what_they_held(fitted, tmp_path):
    save(fitted, tmp_path / "run", ROLES)
    page = contents(fitted, tmp_path / "run", ROLES)
    assert [one["coverage"] for one in page.bands] == [0.8, 0.9, 0.95]
    assert page.predictions[0].band.shape == (2, 50)
    html = write_run_report(tmp_path / "run").read_text()
    assert "Bands that hold the measurement" in html
    assert "80 to" in html
    assert "exchangeable" in html


def test_a_run_of_a_version_without_bands_has_none(fitted, tmp_path):
    lacking = PlantModel(**fitted.get_params(deep=False))
    vars(lacking).update(vars(fitted))
    lacking.calibration_ = None
    save(lacking, tmp_path / "run", ROLES)
    assert contents(lacking, tmp_path / "run", ROLES).bands == ()
    assert "Bands that hold" not in write_run_report(tmp_path / "run").read_text()
