"""Judge a model: the figures of every replica on every test recording, as plain values for the card."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attractor.control.metrics import Metrics
from attractor.data import Experiment, Record, Roles

from .plant_model import PlantModel


def assess(model: PlantModel, roles: Roles) -> dict[str, Any]:
    """Metrics of the free run by role, experiment and replica, and how training went.

    Returns:
        Plain JSON values: `metrics[role][experiment]` has one entry a replica with `fit`, `rmse`, `nrmse` and
        `max_error` (lists over outputs, engineering units); `training` has the history and its outcome.
    """
    trained = model.trained_
    parts = {"validation": roles.validation, "test": roles.test}
    return {
        "metrics": {role: _by_experiment(model, record) for role, record in parts.items()},
        "training": {
            "seconds": round(trained.seconds, 2),
            "history": trained.history,
            "scores": [float(score) for score in trained.scores],
            "best_steps": [int(step) for step in trained.steps],
            "warnings": list(trained.warnings),
        },
    }


def mean_figures(assessment: Mapping[str, Any], figure: str, role: str = "test") -> np.ndarray:
    """A figure averaged over outputs, then over experiments; one value a replica, shape (replicas,).

    An output that never moves has no FIT and is left out; NaN if none is left. A simulation that is not
    finite is never left out: the mean is not finite then, so that no good experiment hides a failure.
    """
    experiments = assessment["metrics"][role].values()

    def of(name: str) -> np.ndarray:
        return np.array([[replica[name] for replica in replicas] for replicas in experiments], float)

    values = of(figure)
    counted = ~np.isnan(values) | ~np.isfinite(of("rmse"))
    return _mean(_mean(values, counted, 2), np.any(counted, axis=2), 0)


def _mean(values: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what counts; NaN where nothing does."""
    number = counted.sum(axis)
    total = np.where(counted, values, 0.0).sum(axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _by_experiment(model: PlantModel, record: Record) -> dict[str, list[dict[str, Any]]]:
    replicas = range(len(model.trained_.scores))
    return {one.name: [_figures(model, one, replica) for replica in replicas] for one in record.experiments}


def _figures(model: PlantModel, experiment: Experiment, replica: int) -> dict[str, Any]:
    metrics: Metrics = model.evaluate(experiment, replica)
    names = ("fit", "rmse", "nrmse", "max_error")
    return {
        **{name: [float(value) for value in getattr(metrics, name)] for name in names},
        "samples": metrics.samples,
    }
