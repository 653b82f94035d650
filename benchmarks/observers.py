"""Observers side by side: a network identified on the pH plant estimates the state of the true plant.

From the estimate at sample k, which has seen the samples before k only, the next output and the outputs of
the next 30 samples are predicted; errors are against the noise-free plant, root mean square, in pH.

    python -m benchmarks.observers --cells gru lstm
"""

import argparse
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.control import PHNeutralisation, PlantModel, multilevel, record_experiments, simulate
from attractor.control.model import control_model
from attractor.control.observer import estimates, open_loop_observer
from attractor.control.observers import (
    NoiseLevels,
    esn_observer,
    gru_observer,
    kalman_observer,
    learned_observer,
    lstm_observer,
    measured_observer,
)
from attractor.control.plants.experiments import hold_for
from attractor.errors import UnsupportedError
from attractor.training import TrainingSettings
from benchmarks.recording import record

HORIZON = 30
SETTLED = 60
"""Samples that the observers may take to find the state."""

CAPS = (None, 1.0, 0.1)


def identified(cell, steps, seed):
    """A model of the pH plant, and what its signals mean."""
    options = {"hidden_size": 100} if cell == "esn" else {}
    model = PlantModel(
        cell=cell, washout=40, feedthrough=False, training=TrainingSettings(steps=steps), seed=seed, **options
    )
    record = record_experiments(PHNeutralisation(), {"train": 4800, "validation": 1600}, seed=seed)
    return control_model(model.fit(record))


def recording(disturbed, samples, seed):
    """Inputs and noise-free outputs of the plant; from the middle on with less buffer than in training."""
    plant = PHNeutralisation()
    hold = hold_for(plant.settling_time, plant.sampling_time)
    inputs = multilevel(seed, samples, plant.input_low, plant.input_high, hold=hold)
    flows = np.tile(plant.nominal_disturbances, (samples, 1))
    if disturbed:
        flows[samples // 2 :, 1] = 0.45
    return inputs, simulate(plant, inputs, disturbances=flows)[1]


def candidates(model):
    """Pairs of a name and an observer, for all that fit the model."""
    builders = {
        "open loop": open_loop_observer,
        "encoder": learned_observer,
        "read off": measured_observer,
    }
    for process in (0.005, 0.02, 0.1):
        builders[f"Kalman, process {process}"] = partial(kalman_observer, noise=NoiseLevels(process=process))
    for name, build in {"GRU": gru_observer, "LSTM": lstm_observer, "reservoir": esn_observer}.items():
        for cap in CAPS:
            builders[f"{name} gains <= {cap}"] = partial(build, largest_gain=cap)
    found = {}
    for name, build in builders.items():
        try:
            found[name] = build(model)
        except UnsupportedError:
            continue
    return found


@eqx.filter_jit
def predictions(model, state, inputs):
    """Outputs of the model from a state on, one more than there are inputs."""

    def one(state, given):
        return model.step(state, given), model.output(state)

    last, outputs = jax.lax.scan(one, state, inputs)
    return jnp.concatenate([outputs, model.output(last)[None]])


@eqx.filter_jit
def ahead(model, states, inputs):
    """Outputs of the next samples from every state on."""
    return jax.vmap(partial(predictions, model))(states, inputs)


def score(model, card, observer, inputs, truth, noise):
    """Errors one sample and up to `HORIZON` samples ahead, pH."""
    given = card.inputs.to_unit(inputs)
    seen = card.outputs.to_unit(truth + noise)
    found = estimates(observer.update_map, observer.estimate, given, seen)
    places = np.arange(SETTLED, len(inputs) - HORIZON)
    windows = places[:, None] + np.arange(HORIZON)
    with jax.enable_x64(True):
        scaled = np.asarray(ahead(model, jnp.asarray(found[places]), jnp.asarray(given[windows])))
    outputs = card.outputs.to_engineering(scaled[:, :-1].reshape(-1, truth.shape[1]))
    errors = outputs.reshape(len(places), HORIZON, -1) - truth[windows]
    return np.sqrt(np.mean(errors[:, 0] ** 2)), np.sqrt(np.mean(errors**2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["gru", "gru-reset-after", "lstm", "esn", "nnarx"])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=1200)
    options = parser.parse_args()
    console, tables = Console(), []
    draws = np.random.default_rng(1)
    cases = {
        "noise 0.01": (False, 0.01),
        "noise 0.05": (False, 0.05),
        "less buffer, noise 0.01": (True, 0.01),
    }
    for cell in options.cells:
        model, card = identified(cell, options.steps, 0)
        table = Table("observer", "proved rate", *cases, title=f"{cell}: one sample / {HORIZON} ahead, pH")
        for name, observer in candidates(model).items():
            row = []
            for disturbed, deviation in cases.values():
                inputs, truth = recording(disturbed, options.samples, 7)
                noise = deviation * draws.normal(size=truth.shape)
                row.append("{:.4f} / {:.4f}".format(*score(model, card, observer, inputs, truth, noise)))
            rate = observer.statement.rate
            table.add_row(name, "-" if rate is None else f"{rate:.4f}", *row)
        console.print(table)
        tables.append(table)
    record("observers", *tables)


if __name__ == "__main__":
    main()
