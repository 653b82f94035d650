"""The bound as a penalty: its value, its gradient, and weights that are brought below a target."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from attractor.cells import GRU, LSTM, Cell
from attractor.certify import CertifySettings, Verdict, certify
from attractor.certify.stability.penalty import (
    ContractionTarget,
    contract_weights,
    contraction_bound,
    contraction_penalty,
)
from attractor.control import PlantModel
from attractor.training import Task, TrainingSettings, train

TARGET = ContractionTarget(growing=60, shrinking=200, iterations=200)


class Leaky(Cell):
    """A cell of a user's own."""

    weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __call__(self, input, state, *, key=None):
        return 0.8 * state + 0.4 * jnp.tanh(self.weight @ state + input)


def random_cell(build, scale, seed=0):
    cell = Leaky(jnp.zeros((2, 2)), 1, 2) if build is Leaky else build(1, 2, key=jax.random.key(0))
    draw = np.random.default_rng(seed).uniform
    return jax.tree.map(
        lambda leaf: jnp.asarray(scale * draw(-1, 1, leaf.shape)) if eqx.is_inexact_array(leaf) else leaf,
        cell,
    )


@pytest.mark.slow
def test_the_value_is_that_of_level_2():
    with jax.enable_x64(True):
        cell = random_cell(GRU, 0.5, seed=1)
        value = float(eqx.filter_jit(contraction_bound)(cell, TARGET)[0])
    level_2 = certify(cell, settings=CertifySettings(levels=(2,), refute=False)).attempts[-1].rate
    np.testing.assert_allclose(value, level_2, rtol=1e-4)  # level 2 stops shrinking at a tolerance


@pytest.mark.slow
def test_the_gradient_is_that_of_differences():
    """On the unit box, which does not move with the weights."""
    target = ContractionTarget(growing=60, shrinking=0, iterations=400)
    with jax.enable_x64(True):
        cell = random_cell(GRU, 0.5, seed=1)
        flat, restore = ravel_pytree(eqx.filter(cell, eqx.is_inexact_array))
        rest = eqx.filter(cell, eqx.is_inexact_array, inverse=True)
        bound = jax.jit(
            jax.value_and_grad(lambda flat: contraction_bound(eqx.combine(restore(flat), rest), target)[0])
        )
        slope, step = np.asarray(bound(flat)[1]), 1e-6
        moved = [[bound(flat.at[i].add(side * step))[0] for side in (1, -1)] for i in range(len(flat))]
        differences = np.asarray([(up - down) / (2 * step) for up, down in moved])
    np.testing.assert_allclose(slope, differences, atol=2e-3 * np.abs(differences).max())


def test_the_penalty_sets_in_at_the_target():
    calm, wild = random_cell(Leaky, 0.05), random_cell(Leaky, 3.0)
    target = ContractionTarget(rate=0.98)
    penalties = [float(eqx.filter_jit(contraction_penalty)(cell, target)) for cell in (calm, wild)]
    assert penalties[0] < 1e-3
    assert penalties[1] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("build", "scale"), [(GRU, 1.5), (LSTM, 1.5), (Leaky, 4.0)])
def test_weights_are_brought_below_the_target_and_are_then_proved(build, scale):
    cell = random_cell(build, scale, seed=3)
    target = ContractionTarget()
    assert float(eqx.filter_jit(contraction_bound)(cell, target)[0]) > 1
    moved = eqx.filter_jit(contract_weights)(cell, target)
    assert float(eqx.filter_jit(contraction_bound)(moved, target)[0]) <= target.rate
    assert certify(moved, settings=CertifySettings(levels=(1, 2), refute=False)).verdict is Verdict.PROVED


@pytest.mark.slow
def test_weights_below_the_target_stay_as_they_are():
    cell = random_cell(Leaky, 0.05)
    moved = eqx.filter_jit(contract_weights)(cell, ContractionTarget())
    np.testing.assert_array_equal(moved.weight, cell.weight)


def slow_plant(samples, seed):
    """y_{k+1} = 0.95 y_k + 0.05 tanh(2 u_k): memories that are long enough to tempt a network."""
    inputs = np.random.default_rng(seed).uniform(-1, 1, (samples, 1)).repeat(5, axis=0)[:samples]
    outputs = np.zeros((samples, 1))
    for step in range(1, samples):
        outputs[step] = 0.95 * outputs[step - 1] + 0.05 * np.tanh(2 * inputs[step - 1])
    return inputs, outputs


@pytest.mark.slow
def test_a_model_that_is_trained_to_be_certified_is_proved():
    training = TrainingSettings(steps=150, batch_size=8, learning_rate=2e-2, validate_every=50)
    options = {"hidden_size": 3, "window": 30, "washout": 5, "training": training}
    certified = PlantModel(certified=True, **options).fit(*slow_plant(400, 0))
    assert (certified.family, certified.race_) == ("gru", ())
    assert certified.certify(settings=CertifySettings(levels=(1, 2), refute=False)).verdict is Verdict.PROVED
    assert certified.score(*slow_plant(200, 1)) > 60


class Noted(Task):
    """A task whose weight runs away, with or without a bound on what is delivered."""

    def initial(self, key):
        return jnp.asarray(0.0)

    def losses(self, model, batch, context):
        return jnp.full(2, (model - 5.0) ** 2)

    def validation(self, model):
        return (model - 5.0) ** 2


class Settling(Noted):
    def settle(self, model):
        return jnp.minimum(model, 1.0)


@pytest.mark.parametrize(("task", "delivered"), [(Noted(), 4.0), (Settling(), 0.9)])
def test_what_is_delivered_is_what_the_task_settles_on(task, delivered):
    settings = TrainingSettings(steps=300, batch_size=2, learning_rate=0.1, validate_every=50)
    best = float(np.ravel(train(task, settings).models)[0])
    assert delivered < best <= (1.0 if isinstance(task, Settling) else 6.0)
