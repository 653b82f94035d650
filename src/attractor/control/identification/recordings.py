"""From what a user has (arrays, lists, a `Record`) to recordings that can be trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.data import Experiment, Record, Signal, check_representable, hold_out
from attractor.errors import InputDataError, ShapeError


@dataclass(frozen=True)
class Signals:
    """What the columns of a model mean."""

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    sampling_time: float = 1.0


def as_experiments(signals: Any) -> list[np.ndarray]:
    """A list of arrays from one array or a list of them.

    Raises:
        InputDataError: the list is empty.
    """
    if not isinstance(signals, list | tuple):
        return [np.asarray(signals)]
    if not signals:
        message = "an empty list of recordings was given; give at least one array (time, channels)"
        raise InputDataError(message)
    return [np.asarray(one) for one in signals]


def as_record(inputs: Any, outputs: Any = None) -> Record:
    """A `Record` from arrays (signals are called u0, u1, ... and y0, y1, ...), or the record itself.

    Raises:
        InputDataError: outputs are missing, or recordings do not pair up.
        ShapeError: an array has the wrong rank, or recordings differ in their number of columns.
    """
    if isinstance(inputs, Record):
        return inputs
    if outputs is None:
        message = "outputs are missing: give `fit(inputs, outputs)` or `fit(record)`"
        raise InputDataError(message)
    applied = [as_columns(one, f"inputs[{index}]") for index, one in enumerate(as_experiments(inputs))]
    answered = [as_columns(one, f"outputs[{index}]") for index, one in enumerate(as_experiments(outputs))]
    if len(applied) != len(answered):
        message = f"{len(applied)} recordings of inputs and {len(answered)} of outputs"
        raise InputDataError(message)
    experiments = []
    for index, (u, y) in enumerate(zip(applied, answered, strict=True)):
        if len(u) != len(y):
            message = f"recording {index} has {len(u)} rows of inputs and {len(y)} of outputs"
            raise InputDataError(message)
        experiments.append(Experiment(f"experiment {index}", u, y))
    return Record(_names("u", applied), _names("y", answered), tuple(experiments))


def check_recordings(record: Record, washout: int, *, constant_allowed: bool = False) -> None:
    """Refuse recordings that cannot be used.

    Raises:
        InputDataError: too short, not finite, or constant; the message names recording, signal and row.
    """
    if not record.experiments:
        message = "there is no recording to train on"
        raise InputDataError(message)
    for experiment in record.experiments:
        if len(experiment) <= washout + 1:
            message = (
                f"{experiment.name} has {len(experiment)} rows; the washout of {washout} rows leaves nothing "
                "to learn from. Give longer recordings or a shorter washout"
            )
            raise InputDataError(message)
        for signals, values in ((record.inputs, experiment.inputs), (record.outputs, experiment.outputs)):
            check_finite(experiment.name, signals, values)
    if not constant_allowed:
        _check_moving(record)


def check_judges(training: Record, judging: Record, washout: int, role: str) -> None:
    """Refuse validation or test recordings that cannot judge a model of the training recordings.

    Raises:
        ShapeError: they have other numbers of signals.
        InputDataError: too short, not finite, or in other units or at another sampling time.
    """
    expected, found = (
        f"{len(one.inputs)} inputs and {len(one.outputs)} outputs" for one in (training, judging)
    )
    if expected != found:
        message = f"the {role} data have {found}, the training data {expected}"
        raise ShapeError(message)
    for trained, given in zip(
        training.inputs + training.outputs, judging.inputs + judging.outputs, strict=True
    ):
        check_unit(trained, given, f"the {role} data")
    check_sampling_time(training.sampling_time, judging.sampling_time, f"the {role} data")
    try:
        check_recordings(judging, washout, constant_allowed=True)
    except InputDataError as problem:
        message = f"{role} data: {problem}"
        raise InputDataError(message) from problem


def check_unit(trained: Signal, given: Signal, where: str) -> None:
    """Refuse a signal in another unit; a signal without a unit is taken as it is.

    Raises:
        InputDataError: both units are known and differ.
    """
    if trained.unit and given.unit and trained.unit != given.unit:
        message = (
            f"{where} give {given.name!r} in {given.unit}, the model was trained in {trained.unit}; convert "
            "the column, or correct its unit in the header"
        )
        raise InputDataError(message)


def check_sampling_time(trained: float, given: float, where: str) -> None:
    """Refuse samples that are not as far apart as those of the training data.

    Raises:
        InputDataError: the sampling times differ by more than a thousandth.
    """
    if abs(given - trained) > 1e-3 * trained:
        message = (
            f"{where} have a sampling time of {given:g} s, the training data {trained:g} s; a discrete-time "
            "model holds for one sampling time only: resample the data, or state sampling_time if the time "
            "column is wrong"
        )
        raise InputDataError(message)


def split_validation(record: Record, validation: Record | None, share: float) -> tuple[Record, Record]:
    """Training and validation recordings: those given, the last part of what there is, or all for both.

    With a share of 0 nothing is held out: all recordings train, and the free run over them chooses the
    weights. That is for a second training, after the options were chosen on held-out data.
    """
    if validation is not None and validation.experiments:
        return record, validation
    if share == 0:
        return record, record
    split = hold_out(record, share, shortest=2)
    return split.training, split.validation


def as_columns(values: Any, where: str) -> Float[np.ndarray, "time channels"]:
    """An array (time, channels) of numbers; (time,) is one channel.

    Raises:
        InputDataError: something in it is not a number.
        ShapeError: it has another rank.
    """
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError) as problem:
        message = f"{where} holds something that is not a number: {problem}"
        raise InputDataError(message) from problem
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        message = (
            f"{where} has shape {array.shape}, expected (time, channels); give a list for several recordings"
        )
        raise ShapeError(message)
    return array


def _names(letter: str, recordings: Sequence[np.ndarray]) -> tuple[Signal, ...]:
    widths = {recording.shape[1] for recording in recordings}
    if len(widths) != 1:
        message = f"recordings differ in their number of columns: {sorted(widths)}"
        raise ShapeError(message)
    return tuple(Signal(f"{letter}{index}") for index in range(widths.pop()))


def check_finite(name: str, signals: Sequence[Signal], values: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputDataError: names signal, row and recording.
    """
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        message = f"{signals[column].name!r} is {values[row, column]} in row {row} of {name}"
        raise InputDataError(message)


def check_held(name: str, signals: Sequence[Signal], values: np.ndarray, scaled: np.ndarray) -> None:
    """Refuse values that are infinite in the arithmetic of the model.

    Raises:
        InputDataError: names signal, row and recording.
    """

    def describe(row: int, column: int) -> str:
        return f"{signals[column].name!r} in row {row} of {name}, {values[row, column]:g},"

    check_representable(scaled, describe)


def _check_moving(record: Record) -> None:
    for kind, signals in (("inputs", record.inputs), ("outputs", record.outputs)):
        values = np.concatenate([getattr(one, kind) for one in record.experiments])
        for column, signal in enumerate(signals):
            if np.ptp(values[:, column]) == 0:
                message = (
                    f"{signal.name!r} is constant ({values[0, column]:g}) over the training data; leave it "
                    "out, or record an experiment in which it moves"
                )
                raise InputDataError(message)
