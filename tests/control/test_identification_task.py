"""Identification as the trainer and the refinement see it."""

import jax
import numpy as np
import pytest

from attractor import PlantModel
from attractor.cells import GRU
from attractor.control.identification import identification_task as module
from attractor.control.identification.identification_task import IdentificationTask, pad
from attractor.control.identification.plant_network import NetworkPlan
from attractor.training import TrainingSettings, Windows

WASHOUT, WINDOW = 5, 20


def identification(lengths, outputs):
    """Noise as recordings of these lengths."""
    draw = np.random.default_rng(0)
    recordings = (
        [draw.standard_normal((length, 1)) for length in lengths],
        [draw.standard_normal((length, outputs)) for length in lengths],
    )
    return IdentificationTask(
        build=NetworkPlan(GRU, 2, 1, 1, outputs, 0, False),
        windows=Windows(*recordings, WASHOUT + WINDOW),
        validation_data=pad(*recordings),
        washout=WASHOUT,
        settled=WASHOUT,
        batch_size=2,
        stretch=2,
    )


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(
    "lengths", [(45,), (37, 90), pytest.param((200, 31, 64), marks=pytest.mark.slow)], ids=str
)
def test_padding_is_no_residual(monkeypatch, lengths, outputs):
    """Padded rows, and the padded windows that fill the last group."""
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 150)
    task = identification(lengths, outputs)

    @jax.jit
    def found(key):
        groups, model = task.groups(), task.initial(key)
        return jax.vmap(lambda group: task.residuals(model, group))(groups), task.residual_count(groups)

    residuals, count = found(jax.random.key(0))
    assert count == sum(length - WASHOUT for length in lengths) * outputs
    assert count == np.count_nonzero(residuals), "no residual of noise is exactly zero"


@pytest.mark.slow
def test_a_refinement_logs_the_mean_square_of_what_it_validates():
    """Trained and validated on one recording that fits into one window: both say the same."""
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, 150)
    outputs = np.convolve(inputs, 0.5 ** np.arange(1, 9))[:150] + 0.05 * draw.standard_normal(150)
    settings = TrainingSettings(steps=20, validate_every=20, batch_size=4, refine=2)
    model = PlantModel(
        "gru",
        hidden_size=2,
        window=40,
        washout=WASHOUT,
        validation_share=0.0,
        initial_state="washout",
        training=settings,
    ).fit(inputs, outputs)
    rounds = [entry for entry in model.trained_.history if entry.get("method") == "Gauss-Newton"]
    assert len(rounds) == 2
    for entry in rounds:
        # Both in float64, over the same rows in another order of additions.
        np.testing.assert_allclose(entry["loss"], np.square(entry["validation"]), rtol=1e-9)
