"""Judge a model: metrics of every replica on every recording, and the static gain, input by input."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import State, initial_state
from attractor.control.metrics import Metrics
from attractor.data import Roles, Signal
from attractor.dynamics.roots import state_of_rest
from attractor.errors import UnsupportedError
from attractor.program import (
    compiled,
    double_precision,
    flat_map,
    in_double_precision,
    single_precision,
    unrounded,
)

from . import bands
from .comparison import compare
from .plant_model import PlantModel
from .plant_network import PlantNetwork
from .simulator import free_runs


def assess(model: PlantModel, roles: Roles) -> dict[str, Any]:
    """Metrics of the free run by role, experiment and replica, and how training went.

    Returns:
        Plain JSON values: `metrics[role][experiment]` has one entry a replica with `fit`, `rmse`, `nrmse` and
        `max_error` (lists over outputs, engineering units); `comparison` has the simple models on the same
        test data; `bands` how often bands held the test rows; `training` has the history and its outcome.
    """
    trained = model.trained_
    replicas = range(len(trained.scores))
    metrics = {
        role: {
            one.name: [_metrics(model.evaluate(one, replica)) for replica in replicas]
            for one in record.experiments
        }
        for role, record in (("validation", roles.validation), ("test", roles.test))
    }
    fits = mean_metric({"metrics": metrics}, "fit")
    return {
        "metrics": metrics,
        "comparison": compare(model, roles, fits).facts(),
        "bands": assess_bands(model, roles),
        "training": {
            "seconds": round(trained.seconds, 2),
            "history": trained.history,
            "scores": [float(score) for score in trained.scores],
            "best_steps": [int(step) for step in trained.steps],
            "warnings": list(trained.warnings),
        },
    }


COVERAGES = (0.8, 0.9, 0.95)
"""For which bands are checked on the test data."""


def assess_bands(model: PlantModel, roles: Roles) -> list[dict[str, Any]]:
    """How often bands of several coverages hold the measured test rows, and how wide they are, by output.

    Returns:
        Nothing where no validation data were held out. Else for each coverage and output the name of the
        `output` and what `attractor.control.identification.bands.assessed` gives.
    """
    calibration = model.calibration_
    if calibration is None or not roles.validation.experiments:
        return []
    runs = free_runs(model.network(), *model.scaled(roles.validation), model.settled)
    fixed = bands.calibrate(runs, calibration.length, grows=False) or calibration
    answers = [one.outputs for one in roles.test.experiments]
    found = []
    for coverage in COVERAGES:
        around = [model.bands(one.inputs, one.outputs, coverage) for one in roles.test.experiments]
        widths = fixed.half_widths(1, coverage)[0] * model.output_scaling_.scale
        rows = bands.assessed(around, answers, model.settled, widths)
        pairs = zip(roles.test.outputs, rows, strict=True)
        found += [{"output": signal.label, **row} for signal, row in pairs]
    return found


def mean_metric(assessment: Mapping[str, Any], metric: str, role: str = "test") -> np.ndarray:
    """A metric averaged over outputs, then over experiments; one value per replica, shape (replicas,).

    An output that never moves has no FIT and is left out; NaN if none is left. A simulation that is not
    finite is never left out: the mean is not finite then, so that no good experiment hides a failure.
    """
    experiments = assessment["metrics"][role].values()

    def of(name: str) -> np.ndarray:
        return np.array([[replica[name] for replica in replicas] for replicas in experiments], float)

    values = of(metric)
    counted = ~np.isnan(values) | ~np.isfinite(of("rmse"))
    return _mean(_mean(values, counted, 2), np.any(counted, axis=2), 0)


def _mean(values: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what counts; NaN where nothing does."""
    number = counted.sum(axis)
    total = np.where(counted, values, 0.0).sum(axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _metrics(metrics: Metrics) -> dict[str, object]:
    names = ("fit", "rmse", "nrmse", "max_error")
    return {**{name: getattr(metrics, name).tolist() for name in names}, "samples": metrics.samples}


LEVELS = 41
HOLD = 2000
_AT_REST = 1e-3
_NEWTON_TOLERANCE, _NEWTON_ROUNDS = 1e-10, 100
"""Of the largest entry of f(x) - x, scaled; and the most rounds that a search takes."""


@dataclass(frozen=True)
class SteadyMap:
    """Outputs at rest while one input is held at each of several levels, the others at mid range.

    Args:
        input: the input that is moved.
        levels: its values, engineering units.
        outputs: the outputs at rest, engineering units; NaN where the model did not come to rest.
    """

    input: Signal
    levels: Float[np.ndarray, " levels"]
    outputs: Float[np.ndarray, "levels outputs"]


@single_precision()
def steady_maps(model: PlantModel) -> list[SteadyMap]:
    """The steady-state map of every input over the range of the training data.

    The model is held for 2000 steps at each level; it counts as at rest when its outputs moved by less than
    a thousandth of their standard deviation over the last tenth. Where it is slower than that, Newton's
    method goes on from there to a state of rest, which counts if the model would come back to it.
    """
    count = len(model.signals_.inputs)
    network = model.network()
    maps = []
    for index, signal in enumerate(model.signals_.inputs):
        scaled = np.zeros((LEVELS, count))
        scaled[:, index] = np.linspace(-1, 1, LEVELS)
        late, last = _hold(network, jnp.asarray(scaled, jnp.float32))
        late = np.asarray(late, float)
        shown = np.where(np.ptp(late, axis=1) < _AT_REST, late[:, -1], np.nan)
        slow = np.flatnonzero(np.isnan(shown).any(axis=1))
        if slow.size:
            found = _rests(network, jax.tree.map(itemgetter(slow), last), scaled[slow])
            shown[slow] = np.where(np.isnan(shown[slow]), found, shown[slow])
        outputs = model.output_scaling_.to_engineering(shown)
        maps.append(SteadyMap(signal, model.input_scaling_.to_engineering(scaled)[:, index], outputs))
    return maps


@compiled
def _hold(
    network: PlantNetwork, levels: Float[Array, "levels inputs"]
) -> tuple[Float[Array, "levels late outputs"], State]:
    """Outputs over the last tenth of a long hold, and the last states."""

    def one(level: Float[Array, " inputs"]) -> tuple[Float[Array, "late outputs"], State]:
        steps = jnp.broadcast_to(level, (HOLD, len(level)))
        outputs, last = network(steps, initial_state(network.cell))
        return outputs[-HOLD // 10 :], last

    return jax.vmap(one)(levels)


def _rests(
    network: PlantNetwork, states: State, levels: Float[np.ndarray, "levels inputs"]
) -> Float[np.ndarray, "levels outputs"]:
    """Outputs at the stable states of rest that Newton's method finds from these; NaN where it finds none."""
    with double_precision():
        double = in_double_precision(network)
        try:
            flat = flat_map(unrounded(double.cell)).still("states of rest")
        except UnsupportedError:
            return np.full((len(levels), 1), np.nan)

        @jax.jit
        @jax.vmap
        def found(state: State, level: Float[Array, " inputs"]) -> tuple[Array, Array, Array]:
            def step(x: Float[Array, " states"]) -> Float[Array, " states"]:
                return flat.step(x, level)

            start = flat.flatten(state).astype(level.dtype)
            rest, error = state_of_rest(step, start, _NEWTON_TOLERANCE, _NEWTON_ROUNDS)
            return double.read(flat.restore(rest)), error, jax.jacfwd(step)(rest)

        outputs, errors, jacobians = map(np.asarray, found(states, jnp.asarray(levels, jnp.float64)))
    known = (errors <= _NEWTON_TOLERANCE) & np.isfinite(jacobians).all(axis=(1, 2))
    radii = np.abs(np.linalg.eigvals(np.where(known[:, None, None], jacobians, 0.0))).max(axis=1)
    return np.where((known & (radii < 1))[:, None], outputs, np.nan)
