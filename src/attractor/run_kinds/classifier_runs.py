"""Runs of `SequenceClassifier`: trained on labelled series."""

from typing import Any

import numpy as np

from attractor.classification import SequenceClassifier
from attractor.classification.classifier_page import write_classifier_report
from attractor.classification.classifier_study import known_cases, stored_cases
from attractor.classification.reading import bare_cell, driving_inputs
from attractor.data import read_sequences
from attractor.errors import ConfigError

from . import RUN_KINDS, Driving, RunKind


def _drive(model: SequenceClassifier, asked: Driving) -> tuple[Any, np.ndarray]:
    if asked.columns is not None:
        raise ConfigError("options about columns are for the log of a plant; this run classifies series")
    if asked.data is not None:
        cases = read_sequences(asked.data, like=known_cases(model))
        return bare_cell(model.network()), driving_inputs(model, cases, asked.steps)
    inputs = driving_inputs(model, stored_cases(model, asked.folder), asked.steps)
    # A run keeps a few cases only: they come again until there are steps enough.
    return bare_cell(model.network()), np.resize(inputs, (asked.steps, inputs.shape[1]))


RUN_KINDS.register(
    "SequenceClassifier",
    RunKind("classifier", SequenceClassifier.load, write_classifier_report, _drive),
    source=__name__,
)
