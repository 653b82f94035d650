"""A fitted classifier in use: labels of new series as a table, and one step of the stream for exports."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import Cell, State
from attractor.data import LongColumns, Sequences, Severity, channel_blocks, read_sequences, write_csv
from attractor.shown import counted

from .classifier import SequenceClassifier
from .classifier_study import known_cases
from .label_sets import LabelSets
from .sequence_network import SequenceNetwork, Stream

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
    said = f"{counted(len(cases), 'case')} named"
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
    """The state of a classifier after one more sample, in which values may be missing (NaN).

    What becomes of them is what `attractor.data.FillState` makes of a stream: beside the state of the network
    stand the last value of every variable, and how many steps ago it was measured, where the policy asks.

    Args:
        network: takes scaled samples without gaps.
        offset: what is taken off every variable.
        scale: by what it is then divided.
        missing: the policy, a name of `attractor.data.MISSING`; "error" takes no missing values.
    """

    network: SequenceNetwork
    offset: Float[Array, " variables"]
    scale: Float[Array, " variables"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    missing: str = eqx.field(static=True)

    def __init__(
        self, network: SequenceNetwork, offset: np.ndarray, scale: np.ndarray, missing: str = "error"
    ) -> None:
        self.network, self.missing = network, missing
        self.offset, self.scale = (jnp.asarray(part, jnp.float32) for part in (offset, scale))
        self.input_size = len(offset)
        self.hidden_size = sum(np.size(leaf) for leaf in jax.tree.leaves(self.initial_state()))

    @property
    def takes_missing(self) -> bool:
        """Whether a value of a sample may be NaN."""
        return self.missing != "error"

    def __call__(
        self, input: Float[Array, " variables"], state: State, *, key: PRNGKeyArray | None = None
    ) -> State:
        """One more sample, in the unit of the data."""
        stream, gaps = cast(tuple[Stream, tuple[Array, ...]], state)
        channels, gaps = self._filled((input - self.offset) / self.scale, gaps)
        _, stream = self.network.step(channels, stream)
        return stream, gaps

    def initial_state(self) -> State:
        """Nothing seen."""
        blank = jnp.zeros(self.input_size)
        kept = {"forward+mask+age": (blank, blank - 1)}  # the first sample makes an age of 0
        held = (blank,) if self.missing.startswith("forward") else ()
        return self.network.start(), kept.get(self.missing, held)

    def _filled(
        self, values: Float[Array, " variables"], gaps: tuple[Array, ...]
    ) -> tuple[Float[Array, " channels"], tuple[Array, ...]]:
        """The channels of a scaled sample, and what is kept of it."""
        if self.missing in ("error", "cell"):
            return values, gaps
        is_missing = jnp.isnan(values)
        if self.missing == "zero":
            return jnp.where(is_missing, 0.0, values), gaps
        held = jnp.where(is_missing, gaps[0], values)
        blocks, kept = [held, 1.0 - is_missing.astype(values.dtype)], (held,)
        if len(gaps) > 1:
            age = jnp.where(is_missing, gaps[1] + 1, 0.0)
            blocks, kept = [*blocks, jnp.log1p(jnp.maximum(age, 0.0))], (held, age)
        return jnp.concatenate(blocks[: channel_blocks(self.missing)]), kept


class StreamedClassifier(eqx.Module):
    """A cell and its output: the probabilities of the classes after the samples so far.

    Args:
        cell: takes samples in the unit of the data.
        temperature: by which logits are divided.
        about: what an exported file says of samples and classes.
    """

    cell: StreamCell
    temperature: float = eqx.field(static=True)
    about: tuple[str, ...] = eqx.field(static=True, default=())

    def read(self, state: State) -> Float[Array, " classes"]:
        """Calibrated probabilities, in the order of the classes."""
        stream, _ = cast(tuple[Stream, tuple[Array, ...]], state)
        logits = self.cell.network.logits(stream) / self.temperature
        weights = jnp.exp(logits - jnp.max(logits))
        return weights / jnp.sum(weights)


def streamed(model: SequenceClassifier) -> StreamedClassifier:
    """A fitted classifier as a step that can be exported; gaps are filled as the model fills them."""
    scaling, policy = model.scaling_, model.missing
    cell = StreamCell(model.network(), np.asarray(scaling.offset), np.asarray(scaling.scale), policy)
    gaps = f"NaN where a value is missing ({policy})" if cell.takes_missing else "without missing values"
    about = (
        f"u: one sample in the units of the data, {gaps}: {', '.join(model.names_)}",
        f"output: probabilities of the classes in this order: {', '.join(map(str, model.classes_))}",
    )
    return StreamedClassifier(cell, float(model.temperature_), about)
