"""A data set as named arrays and plain facts, so that a run folder can keep it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from .record import Experiment, Record, Signal
from .roles import Roles

_PARTS = ("training", "validation", "test")


def to_archive(roles: Roles) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Facts (names, signals, sampling time) and arrays of a data set."""
    facts: dict[str, Any] = {
        "inputs": [asdict(signal) for signal in roles.training.inputs],
        "outputs": [asdict(signal) for signal in roles.training.outputs],
        "sampling_time": roles.training.sampling_time,
        "source": roles.training.source.name if roles.training.source else None,
        "explanation": roles.explanation,
        "experiments": {},
    }
    arrays = {}
    for part in _PARTS:
        experiments = getattr(roles, part).experiments
        facts["experiments"][part] = [experiment.name for experiment in experiments]
        for index, experiment in enumerate(experiments):
            arrays[f"{part}.{index}.inputs"] = np.ascontiguousarray(experiment.inputs, float)
            arrays[f"{part}.{index}.outputs"] = np.ascontiguousarray(experiment.outputs, float)
    return facts, arrays


def from_archive(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Roles:
    """The data set back.

    Raises:
        KeyError: a fact or an array is missing.
        TypeError: one is of another kind.
        ValueError: arrays do not fit the signals.
    """
    inputs = tuple(Signal(**one) for one in facts["inputs"])
    outputs = tuple(Signal(**one) for one in facts["outputs"])

    def part(name: str) -> Record:
        experiments = [
            _experiment(title, [arrays[f"{name}.{index}.{side}"] for side in ("inputs", "outputs")], signals)
            for index, title in enumerate(facts["experiments"][name])
        ]
        return Record(inputs, outputs, tuple(experiments), float(facts["sampling_time"]))

    signals = len(inputs), len(outputs)

    training, validation, test = (part(name) for name in _PARTS)
    return Roles(training, validation, test, str(facts["explanation"]))


def _experiment(title: str, values: list[np.ndarray], signals: tuple[int, int]) -> Experiment:
    """A recording, once its arrays have a column for every signal and the same rows."""
    shapes = [array.shape for array in values]
    if shapes != [(len(values[0]), signals[0]), (len(values[0]), signals[1])]:
        message = f"experiment {title!r} has arrays of shapes {shapes} for {signals} inputs and outputs"
        raise ValueError(message)
    return Experiment(str(title), values[0].astype(float), values[1].astype(float))
