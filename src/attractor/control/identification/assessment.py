"""Judge a model: the figures of every member on every test recording, as plain values for the card."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attractor.control.metrics import Metrics
from attractor.data import Experiment, Record, Roles

from .estimator import PlantModel


def assess(model: PlantModel, roles: Roles) -> dict[str, Any]:
    """Metrics of the free run by role, experiment and member, and how training went.

    Returns:
        Plain JSON values: `metrics[role][experiment]` has one entry a member with `fit`, `rmse`, `nrmse` and
        `max_error` (lists over outputs, engineering units); `training` has the history and its outcome.
    """
    trained = model.trained_
    parts = {"validation": roles.validation, "test": roles.test}
    return {
        "metrics": {role: _by_experiment(model, record) for role, record in parts.items()},
        "split": roles.explanation,
        "training": {
            "seconds": round(trained.seconds, 2),
            "history": trained.history,
            "scores": [float(score) for score in trained.scores],
            "best_steps": [int(step) for step in trained.steps],
            "warnings": list(trained.warnings),
        },
    }


def mean_figures(assessment: Mapping[str, Any], figure: str, role: str = "test") -> np.ndarray:
    """A figure averaged over experiments and outputs, one value a member, shape (members,)."""
    values = [
        [np.nanmean(member[figure]) for member in members] for members in assessment["metrics"][role].values()
    ]
    return np.mean(values, axis=0)


def _by_experiment(model: PlantModel, record: Record) -> dict[str, list[dict[str, Any]]]:
    count = len(model.trained_.scores)
    return {one.name: [_figures(model, one, member) for member in range(count)] for one in record.experiments}


def _figures(model: PlantModel, experiment: Experiment, member: int) -> dict[str, Any]:
    metrics: Metrics = model.evaluate(experiment, member)
    names = ("fit", "rmse", "nrmse", "max_error")
    return {
        **{name: [float(value) for value in getattr(metrics, name)] for name in names},
        "samples": metrics.samples,
    }
