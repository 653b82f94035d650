"""Read-outs by ridge regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import EchoState
from attractor.control.identification.identification_task import IdentificationTask, fit_readout, pad
from attractor.control.identification.plant_network import NetworkPlan
from attractor.training import Windows


class OneBlind(IdentificationTask):
    """Validation says nothing about networks with one certain reservoir."""

    blind: jax.Array | None = None

    def validation(self, model):
        score = super().validation(model)
        return score if self.blind is None else jnp.where(model.cell.bias[0] == self.blind, jnp.nan, score)


@pytest.mark.slow
def test_a_reservoir_whose_validation_is_not_finite_is_never_chosen():
    draw = np.random.default_rng(0)
    inputs = [draw.uniform(-1, 1, (80, 1))]
    outputs = [np.convolve(inputs[0][:, 0], 0.5 ** np.arange(1, 9))[:80, None]]
    data = pad(inputs, outputs)
    plan = NetworkPlan(EchoState, 5, 1, 1, 1, 0, False)
    sizes = {"washout": 5, "settled": 5, "batch_size": 2}
    task = OneBlind(plan, Windows(inputs, outputs, 20), data, **sizes)
    plain = fit_readout(task, data, 2, 0)
    blind = OneBlind(plan, task.windows, data, **sizes, blind=plain.model().cell.bias[0])
    trained = fit_readout(blind, data, 2, 0)
    assert trained.scores[plain.chosen] == np.inf
    assert trained.chosen == 1 - plain.chosen
    assert trained.history[0]["validation"] == list(trained.scores)
