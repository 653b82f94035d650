"""A fitted classifier in use: labels of new series as a table, and one step of the stream for exports."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attractor.data import LongColumns, Sequences, Severity, read_sequences, write_csv

from .classifier import SequenceClassifier
from .classifier_study import known_cases
from .label_sets import LabelSets

if TYPE_CHECKING:
    import pandas as pd
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import Cell, State
from attractor.errors import UnsupportedError

from .sequence_network import SequenceNetwork, Stream


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
    notes = (one.message for one in cases.remarks if one.severity is Severity.NOTE)  # others were warnings
    told = "".join(f". {text[0].upper()}{text[1:]}" for text in notes)
    if cases.labels is not None:
        right = int((model.predict(cases) == model.classes_[model.labels_of(cases)]).sum())
        said += f"; {right} of them as the labels of the file have it"
    said += told
    if coverage is None:
        return said
    sets = model.predict_sets(cases, coverage)
    if sets.objection:
        return f"{said}. {sets.objection}"
    whose = "such cases" if sets.groups is None else "cases of new groups"
    return (
        f"{said}. The sets hold the true label of at least {100 * coverage:g} % of {whose}, about "
        f"{100 * sets.stated:.0f} % by {sets.calibrated_by}, and have {sets.sizes.mean():.2f} labels on "
        f"average. {sets.assumption}"
    )


class StreamCell(Cell):
    """The state of a classifier after one more sample.

    Args:
        network: takes scaled samples.
        offset: what is taken off every variable.
        scale: by what it is then divided.
    """

    network: SequenceNetwork
    offset: Float[Array, " variables"]
    scale: Float[Array, " variables"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, network: SequenceNetwork, offset: np.ndarray, scale: np.ndarray) -> None:
        self.network = network
        self.offset, self.scale = (jnp.asarray(part, jnp.float32) for part in (offset, scale))
        self.input_size = len(offset)
        self.hidden_size = sum(np.size(leaf) for leaf in jax.tree.leaves(network.start()))

    def __call__(
        self, input: Float[Array, " variables"], state: State, *, key: PRNGKeyArray | None = None
    ) -> State:
        """One more sample, in the unit of the data."""
        _, stream = self.network.step((input - self.offset) / self.scale, cast(Stream, state))
        return stream

    def initial_state(self) -> State:
        """Nothing seen."""
        return self.network.start()


class StreamedClassifier(eqx.Module):
    """A cell and its output: the probabilities of the classes after the samples so far.

    Args:
        cell: takes samples in the unit of the data.
        temperature: by which logits are divided.
    """

    cell: StreamCell
    temperature: float = eqx.field(static=True)

    def read(self, state: State) -> Float[Array, " classes"]:
        """Calibrated probabilities, in the order of the classes."""
        logits = self.cell.network.logits(cast(Stream, state)) / self.temperature
        weights = jnp.exp(logits - jnp.max(logits))
        return weights / jnp.sum(weights)


def streamed(model: SequenceClassifier) -> StreamedClassifier:
    """A fitted classifier as a step that can be exported.

    Raises:
        UnsupportedError: a model that fills gaps, which an exported step cannot.
    """
    if model.missing != "error":
        raise UnsupportedError(
            f"this model was trained with missing={model.missing!r}; an exported step takes samples without "
            "gaps: train with missing='error' for it"
        )
    scaling = model.scaling_
    cell = StreamCell(model.network(), np.asarray(scaling.offset), np.asarray(scaling.scale))
    return StreamedClassifier(cell, float(model.temperature_))
