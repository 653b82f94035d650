"""Labels and probabilities of new series, as a table with a row for each case."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attractor.data import LongColumns, Sequences, read_sequences, write_csv

from .classifier import SequenceClassifier
from .classifier_study import known_cases
from .label_sets import ASSUMPTION, LabelSets

if TYPE_CHECKING:
    import pandas as pd


def predict_cases(
    model: SequenceClassifier,
    source: Path,
    target: Path,
    columns: LongColumns | None = None,
    coverage: float | None = None,
) -> str:
    """Write what a classifier says of the series of a file: one row for each case.

    Args:
        model: fitted.
        source: series in any format that `read_sequences` knows, with or without labels.
        target: the CSV file to write: case, class, the label of the file where it has one, the probability of
            every class, and the labels that cannot be excluded where a coverage is asked for.
        columns: how a table of series is read.
        coverage: the share of new cases that have their true label in their set; None writes no sets.

    Returns:
        A sentence about what was done.

    Raises:
        InputDataError: cases that cannot be read, or do not fit the model.
        ConfigError: a coverage outside (0, 1), or a model that kept no case for validation.
        StorageError: the file cannot be written.
    """
    cases = read_sequences(source, columns, like=known_cases(model))
    header, parts = _table(model, cases, coverage)
    write_csv(target, header, parts)
    return _sentence(model, cases, coverage)


def predict_frame(model: SequenceClassifier, X: object, coverage: float | None = None) -> "pd.DataFrame":
    """What a classifier says of some cases, as a table with a row for each; see `predict_cases`."""
    import pandas as pd

    header, parts = _table(model, model.as_sequences(X), coverage)
    return pd.DataFrame(dict(zip(header, parts, strict=True)))


def _table(
    model: SequenceClassifier, cases: Sequences, coverage: float | None
) -> tuple[list[str], list[list[str] | np.ndarray]]:
    names = [str(name) for name in model.classes_]
    probabilities = model.predict_proba(cases)
    header = ["case", "class", *(f"p({name})" for name in names)]
    likely = [names[position] for position in probabilities.argmax(axis=1)]
    parts: list[list[str] | np.ndarray] = [list(cases.ids), likely, *probabilities.T]
    if cases.labels is not None:
        header.insert(2, "label")
        parts.insert(2, [str(cases.classes[label]) for label in cases.labels])
    if coverage is not None:
        header.append(f"labels at {100 * coverage:g} %")
        parts.append(_written(model.predict_sets(cases, coverage), names))
    return header, parts


def _written(sets: LabelSets, names: list[str]) -> list[str]:
    return [" | ".join(np.array(names)[row]) for row in sets.members]


def _sentence(model: SequenceClassifier, cases: Sequences, coverage: float | None) -> str:
    said = f"{len(cases)} cases named"
    if cases.labels is not None:
        right = int((model.predict(cases) == model.classes_[model.labels_of(cases)]).sum())
        said += f"; {right} of them as the labels of the file have it"
    if coverage is None:
        return said
    sets = model.predict_sets(cases, coverage)
    return (
        f"{said}. The sets hold the true label of at least {100 * coverage:g} % of such cases, about "
        f"{100 * sets.stated:.0f} % by the {sets.cases} cases of the calibration, and have "
        f"{sets.sizes.mean():.2f} labels on average. {ASSUMPTION}"
    )
