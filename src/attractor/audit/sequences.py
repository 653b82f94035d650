"""What every audit of a classifier starts from: labelled, padded sequences, checked once, cut into pieces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.shown import Shown

Logits = Callable[[Array, Array], Array]
"""A classifier of one sequence: `logits(inputs (time, channels), length) -> (classes,)`."""


@dataclass(frozen=True, eq=False)
class LabelledSequences(Shown):
    """Sequences of one batch, padded to the same number of steps, with a class each.

    Make it with `labelled_sequences`. A NaN at a valid step is a missing sample, which only some classifiers
    take; what stands in the padding is never looked at.

    Args:
        inputs: shape (cases, time, channels).
        lengths: number of valid steps, shape (cases,), each in 1..time.
        labels: true classes, shape (cases,), counted from 0.

    Raises:
        ShapeError: no case, no step, no channel, or sizes that do not fit.
        InputDataError: an infinite sample, a length or a label that is impossible; the case is named.
    """

    inputs: Float[np.ndarray, "cases time channels"]
    lengths: Int[np.ndarray, "..."]
    labels: Int[np.ndarray, "..."]

    def __post_init__(self) -> None:
        check_padded(self.inputs, self.lengths)
        if self.labels.shape != self.lengths.shape:
            raise ShapeError(
                f"labels of shape {self.labels.shape}, expected one for each of {len(self.inputs)} cases"
            )
        for case in np.flatnonzero(self.labels < 0)[:1]:
            raise InputDataError(f"case {case} has the label {self.labels[case]}; classes are counted from 0")

    def __len__(self) -> int:
        return len(self.inputs)


def labelled_sequences(
    inputs: ArrayLike, labels: ArrayLike, lengths: ArrayLike | None = None
) -> LabelledSequences:
    """Labelled sequences from arrays of any kind.

    Args:
        inputs: shape (cases, time, channels).
        labels: true classes, whole numbers, shape (cases,).
        lengths: number of valid steps, shape (cases,); None means that nothing is padded.

    Raises:
        ShapeError: sizes that do not fit.
        InputDataError: values that are impossible, or labels that are no whole numbers.
    """
    return LabelledSequences(*padded_batch(inputs, lengths), whole_numbers("labels", labels))


def padded_batch(
    inputs: ArrayLike, lengths: ArrayLike | None
) -> tuple[Float[np.ndarray, "cases time channels"], Int[np.ndarray, " cases"]]:
    """Inputs as a floating NumPy array of three axes, and their lengths; None means that nothing is padded.

    Raises:
        ShapeError: another number of axes, an axis of size 0, or not one length for each case.
        InputDataError: an impossible length or an infinite sample; case and step are named.
    """
    values = np.asarray(inputs)
    if values.ndim != 3 or 0 in values.shape:
        raise ShapeError(
            f"inputs of shape {values.shape}, expected (cases, time, channels) with at least one of each"
        )
    values = values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float32)
    steps = np.full(len(values), values.shape[1]) if lengths is None else whole_numbers("lengths", lengths)
    check_padded(values, steps)
    return values, steps


def whole_numbers(name: str, values: ArrayLike) -> Int[np.ndarray, "..."]:
    """Whole numbers as a NumPy array.

    Raises:
        InputDataError: numbers of another kind.
    """
    found = np.asarray(values)
    if not np.issubdtype(found.dtype, np.integer):
        raise InputDataError(f"{name} have the type {found.dtype}, expected whole numbers")
    return found


def check_padded(inputs: np.ndarray, lengths: np.ndarray) -> None:
    """Refuse lengths that do not fit and infinite samples at valid steps.

    Raises:
        ShapeError: not one length for each case.
        InputDataError: an impossible length or an infinite sample; case and step are named.
    """
    cases, time = inputs.shape[:2]
    if lengths.shape != (cases,):
        raise ShapeError(f"lengths of shape {lengths.shape}, expected one for each of {cases} cases")
    for case in np.flatnonzero((lengths < 1) | (lengths > time))[:1]:
        raise InputDataError(f"case {case} has the length {lengths[case]}; expected 1 to {time}")
    infinite = np.isinf(inputs) & valid_steps(lengths, time)[:, :, None]
    for case, step, channel in np.argwhere(infinite)[:1]:
        raise InputDataError(
            f"infinite sample in case {case}, step {step}, channel {channel}; repair or drop the case"
        )


def valid_steps(lengths: np.ndarray, time: int) -> np.ndarray:
    """Which steps are no padding, shape (cases, time)."""
    return np.arange(time) < lengths[:, None]


class Piece(NamedTuple):
    """Some cases that are computed together, on the device; all pieces of a batch have the same size.

    Args:
        inputs: shape (size, time, channels).
        lengths: shape (size,).
        labels: shape (size,).
        numbers: which cases of the whole they are, shape (size,); random draws follow from it.
    """

    inputs: Array
    lengths: Array
    labels: Array
    numbers: Array


def pieces(data: LabelledSequences, size: int) -> Iterator[tuple[Piece, int]]:
    """The data piece by piece, and how many cases of a piece count.

    The last piece is filled up with its first case, so that one compiled function serves all.

    Args:
        data: what to cut.
        size: cases in a piece; memory grows with it.

    Yields:
        A piece and the number of its cases that are not filling.

    Raises:
        ConfigError: a size below 1.
    """
    if size < 1:
        raise ConfigError(f"batch={size}: expected at least 1")
    size = min(size, len(data))
    for first in range(0, len(data), size):
        numbers = np.arange(first, min(first + size, len(data)))
        filled = np.concatenate([numbers, np.full(size - len(numbers), first)])
        chosen = (data.inputs[filled], data.lengths[filled], data.labels[filled], filled)
        yield Piece(*map(jnp.asarray, chosen)), len(numbers)


def in_pieces(
    compute: Callable[[Piece], Sequence[Array | np.ndarray]], data: LabelledSequences, size: int
) -> tuple[np.ndarray, ...]:
    """Arrays with a row for each case, computed piece by piece.

    Args:
        compute: of one piece, arrays with a row for each of its cases.
        data: the cases.
        size: of a piece.

    Raises:
        ConfigError: a size below 1.
    """
    found = [[np.asarray(part)[:count] for part in compute(piece)] for piece, count in pieces(data, size)]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def piece_count(data: LabelledSequences, size: int) -> int:
    """How many pieces `pieces` gives."""
    return -(-len(data) // min(size, len(data)))


def check_classes(logits: Logits, data: LabelledSequences) -> int:
    """The number of classes, found without computing anything.

    Raises:
        ShapeError: logits that are not a vector of at least two classes.
        InputDataError: a label beyond the last class; the case is named.
    """
    row = jax.ShapeDtypeStruct(data.inputs.shape[1:], jnp.result_type(float))
    shape = eqx.filter_eval_shape(logits, row, jax.ShapeDtypeStruct((), jnp.result_type(int))).shape
    if len(shape) != 1 or shape[0] < 2:
        raise ShapeError(f"logits of one sequence have the shape {shape}, expected (classes,), two or more")
    for case in np.flatnonzero(data.labels >= shape[0])[:1]:
        raise InputDataError(
            f"case {case} has the label {data.labels[case]}, but there are {shape[0]} classes"
        )
    return shape[0]


def check_finite_margins(margins: np.ndarray, data: LabelledSequences) -> None:
    """Refuse a classifier that answers clean inputs with something that is not a number.

    Raises:
        InputDataError: the case is named, and the first missing sample in it, if there is one.
    """
    for case in np.flatnonzero(~np.isfinite(margins))[:1]:
        valid = data.inputs[case, : data.lengths[case]]
        missing = np.argwhere(np.isnan(valid))
        where = f"; its step {missing[0, 0]}, channel {missing[0, 1]}, is missing" if len(missing) else ""
        raise InputDataError(f"the logits of case {case} are not finite{where}")
