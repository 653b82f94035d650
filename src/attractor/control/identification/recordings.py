"""From what a user has (arrays, lists, a `Record`) to recordings that can be trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.data import (
    Experiment,
    Record,
    Roles,
    Scaling,
    Signal,
    check_representable,
    from_archive,
    hold_out,
)
from attractor.data.table import column_names, numbers_of, positions_of
from attractor.errors import InputDataError, ShapeError
from attractor.folders import facts_of
from attractor.runs import Run
from attractor.settings import Positive
from attractor.training.networks import fact


@dataclass(frozen=True)
class Signals:
    """What the columns of a model mean; `assumed` says what had to be assumed about the sampling time."""

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    sampling_time: float = 1.0
    assumed: str = ""

    @property
    def known_sampling_time(self) -> float | None:
        """Seconds between two samples; None where that is only assumed."""
        return None if self.assumed else self.sampling_time

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Signals":
        """Signals from the card of a run.

        Raises:
            ValueError: no inputs, no outputs, or a sampling time that is not positive.
        """
        inputs, outputs = (
            tuple(Signal(fact(one, "name", str), fact(one, "unit", str)) for one in facts[side])
            for side in ("inputs", "outputs")
        )
        if not (inputs and outputs):
            raise ValueError(f"signals {facts!r}: expected inputs and outputs")
        assumed = fact({"assumed": "", **facts}, "assumed", str)
        return cls(inputs, outputs, fact(facts, "sampling_time", Positive), assumed)


def stored_roles(folder: Path, run: Run) -> Roles | None:
    """The data that a run was saved with; None if it was saved without them.

    Raises:
        RunFolderError: facts or arrays of them are missing or of another kind.
    """
    # What bands are calibrated by stands among the arrays as well, also where there are no data.
    parts = ("training.", "validation.", "test.")
    if "data" not in run.card or not any(name.startswith(parts) for name in run.evaluation):
        return None
    with facts_of(folder / "card.json"):
        return from_archive(run.card["data"], run.evaluation)


def as_experiments(signals: object) -> list[object]:
    """A list of recordings from one of them or a list.

    Raises:
        InputDataError: the list is empty.
    """
    if not isinstance(signals, list | tuple):
        return [signals]
    if not signals:
        raise InputDataError("an empty list of recordings; give at least one array (time, channels)")
    return list(signals)


def as_record(inputs: object, outputs: object = None) -> Record:
    """A `Record` from arrays or tables, or the record itself.

    Columns of tables keep their names, and those of later tables are put in the order of the first; columns
    of arrays are called u0, u1, ... and y0, y1, ...

    Raises:
        InputDataError: outputs are missing, recordings do not pair up, or a table lacks a column.
        ShapeError: an array has the wrong rank, or recordings differ in their number of columns.
    """
    if isinstance(inputs, Record):
        return inputs
    if outputs is None:
        raise InputDataError(
            "outputs are missing: give `fit(inputs, outputs)` or `fit(record)`. This estimator requires y to "
            "be passed, but the target y is None"
        )
    (applied_names, applied), (answered_names, answered) = _side("u", inputs), _side("y", outputs)
    if len(applied) != len(answered):
        raise InputDataError(f"{len(applied)} recordings of inputs and {len(answered)} of outputs")
    experiments = []
    for index, (u, y) in enumerate(zip(applied, answered, strict=True)):
        if len(u) != len(y):
            raise InputDataError(f"recording {index} has {len(u)} rows of inputs and {len(y)} of outputs")
        experiments.append(Experiment(f"experiment {index}", u, y))
    return Record(applied_names, answered_names, tuple(experiments), assumed="arrays tell no time")


def _side(letter: str, signals: object) -> tuple[tuple[Signal, ...], list[np.ndarray]]:
    """Names and columns of the inputs (letter u) or outputs (y) of all recordings."""
    recordings, kind = as_experiments(signals), {"u": "inputs", "y": "outputs"}[letter]
    wheres = [f"{kind}[{index}]" for index in range(len(recordings))]
    found = [column_names(one, where) for one, where in zip(recordings, wheres, strict=True)]
    names = next((one for one in found if one), None)
    arrays = [as_columns(one, where, names) for one, where in zip(recordings, wheres, strict=True)]
    widths = {array.shape[1] for array in arrays}
    if len(widths) != 1:
        raise ShapeError(f"recordings differ in their number of columns: {sorted(widths)}")
    return tuple(Signal(name) for name in names or default_names(letter, widths.pop())), arrays


def default_names(letter: str, count: int) -> tuple[str, ...]:
    """What the columns of arrays are called."""
    return tuple(f"{letter}{index}" for index in range(count))


def known_names(letter: str, signals: Sequence[Signal]) -> tuple[str, ...] | None:
    """The names by which columns are found; None for a model of arrays, where their order counts."""
    names = tuple(signal.name for signal in signals)
    return None if names == default_names(letter, len(names)) else names


def like_model(record: Record, signals: Signals) -> Record:
    """A record whose columns are those of a model, in its order.

    Raises:
        InputDataError: a signal is missing.
    """
    sides = {}
    for letter, kind in (("u", "inputs"), ("y", "outputs")):
        known = known_names(letter, getattr(signals, kind))
        found = known_names(letter, getattr(record, kind))
        count = len(getattr(record, kind))
        sides[kind] = positions_of(known, found, f"the {kind}") if known and found else list(range(count))
    experiments = [
        replace(one, inputs=one.inputs[:, sides["inputs"]], outputs=one.outputs[:, sides["outputs"]])
        for one in record.experiments
    ]
    inputs, outputs = (
        tuple(getattr(record, kind)[index] for index in indices) for kind, indices in sides.items()
    )
    return replace(record, inputs=inputs, outputs=outputs, experiments=tuple(experiments))


def pairs_of(inputs: object, measured: object, signals: Signals) -> list[tuple[np.ndarray, object]]:
    """Inputs and measured outputs of every recording to simulate; None for outputs that were not measured.

    Raises:
        InputDataError: other numbers of recordings, or a column is missing.
        ShapeError: inputs of another rank.
    """
    if isinstance(inputs, Record):
        record = like_model(inputs, signals)
        return [(one.inputs, one.outputs) for one in record.experiments]
    names = known_names("u", signals.inputs)
    runs = [as_columns(one, f"inputs[{index}]", names) for index, one in enumerate(as_experiments(inputs))]
    known = [None] * len(runs) if measured is None else as_experiments(measured)
    if len(known) != len(runs):
        raise InputDataError(f"{len(runs)} recordings of inputs and {len(known)} of measured outputs")
    return list(zip(runs, known, strict=True))


def check_recordings(record: Record, washout: int, *, constant_allowed: bool = False) -> None:
    """Refuse recordings that cannot be used.

    Raises:
        InputDataError: too short, not finite, or constant; the message names recording, signal and row.
    """
    if not record.experiments:
        raise InputDataError("there is no recording to train on")
    for experiment in record.experiments:
        if len(experiment) <= washout + 1:
            raise InputDataError(
                f"{experiment.name} has {len(experiment)} rows; the washout of {washout} rows leaves nothing "
                "to learn from. Give longer recordings or a shorter washout"
            )
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
        raise ShapeError(f"the {role} data have {found}, the training data {expected}")
    signals = training.inputs + training.outputs, judging.inputs + judging.outputs
    for trained, judged in zip(*signals, strict=True):
        check_unit(trained, judged, f"the {role} data")
    check_sampling_time(training.sampling_time, judging.sampling_time, f"the {role} data")
    try:
        check_recordings(judging, washout, constant_allowed=True)
    except InputDataError as problem:
        raise InputDataError(f"{role} data: {problem}") from problem


def check_unit(trained: Signal, found: Signal, where: str) -> None:
    """Refuse a signal in another unit; a signal without a unit is taken as it is.

    Raises:
        InputDataError: both units are known and differ.
    """
    if trained.unit and found.unit and trained.unit != found.unit:
        raise InputDataError(
            f"{where} give {found.name!r} in {found.unit}, the model was trained in {trained.unit}; convert "
            "the column, or correct its unit in the header"
        )


def check_sampling_time(trained: float, found: float, where: str) -> None:
    """Refuse samples that are not as far apart as those of the training data.

    Raises:
        InputDataError: the sampling times differ by more than a thousandth.
    """
    if abs(found - trained) > 1e-3 * trained:
        raise InputDataError(
            f"{where} have a sampling time of {found:g} s, the training data {trained:g} s; a discrete-time "
            "model holds for one sampling time only: resample the data, or state sampling_time if the time "
            "column is wrong"
        )


def split_validation(record: Record, validation: Record | None, share: float) -> tuple[Record, Record]:
    """Training and validation recordings: held out by the caller, the last part of all, or all for both.

    With a share of 0 nothing is held out: all recordings train, and the free run over them chooses the
    weights. That is for a second training, after the options were chosen on held-out data.
    """
    if validation is not None and validation.experiments:
        return record, validation
    if share == 0:
        return record, record
    split = hold_out(record, share, shortest=2)
    return split.training, split.validation


def as_columns(
    values: object, where: str, names: Sequence[str] | None = None
) -> Float[np.ndarray, "time channels"]:
    """An array (time, channels) of numbers; (time,) is one channel.

    Args:
        values: an array or a table.
        where: what a message calls it.
        names: the columns wanted of a table, in this order; None takes all as they are.

    Raises:
        InputDataError: something in it is not a number, or a column is missing.
        ShapeError: it has another rank.
    """
    found = column_names(values, where)
    array = numbers_of(values, where)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.shape[1]:
        raise ShapeError(
            f"{where} has shape {array.shape}, expected (time, channels) with at least one channel; give a "
            "list for several recordings"
        )
    return array[:, positions_of(names, found, where)] if names and found else array


def check_finite(name: str, signals: Sequence[Signal], values: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputDataError: names signal, row and recording.
    """
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputDataError(f"{signals[column].name!r} is {values[row, column]} in row {row} of {name}")


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
                raise InputDataError(
                    f"{signal.name!r} is constant ({values[0, column]:g}) over the training data; leave it "
                    "out, or record an experiment in which it moves"
                )


def scalings(training: Record) -> tuple[Scaling, Scaling]:
    """Of inputs, to [-1, 1], and of outputs, to unit standard deviation, over the training data."""
    inputs = np.concatenate([one.inputs for one in training.experiments])
    outputs = np.concatenate([one.outputs for one in training.experiments])
    return (
        Scaling.from_range(inputs, [signal.name for signal in training.inputs]),
        Scaling.standardised(outputs, [signal.name for signal in training.outputs]),
    )


def as_validation(validation: Record | tuple | list, sampling_time: float) -> Record:
    """Validation data as a record; arrays have no sampling time, so they have that of the training data."""
    if isinstance(validation, Record):
        return validation
    return replace(as_record(*validation), sampling_time=sampling_time)


_ORDERS = (8, 16)
"""Of the regressions that look for a direct path; all must see it."""
_ROWS_A_NUMBER = 20
"""Rows that a number of a regression wants, before a longer past is taken."""
_ROUNDING = 1e-10
"""What a regression leaves of signals of unit variance by rounding; noise-free data go down to it."""
_CRITICAL = 10.0
"""F value far beyond chance (1e-3 is near 11 for one input, less for several): only a clear effect counts."""


def has_feedthrough(record: Record) -> bool:
    """Whether u_k helps to explain y_k beyond the past of both.

    Two linear autoregressions are fitted by least squares, with and without u_k; the F statistic of the
    difference decides, for the output where it is largest (Ljung 1999, section 16.4). The effect must also
    remove a hundredth of what the past leaves unexplained, so that long records do not turn a trifle into a
    direct path. It must show with a short and with a long past: one that ends within a delay, or is shorter
    than the system's memory, takes the present for what it lacks.
    """
    rows, signals = sum(map(len, record.experiments)), len(record.inputs) + len(record.outputs)
    most = max(4, min(rows // (_ROWS_A_NUMBER * signals), *(len(one) // 4 for one in record.experiments)))
    return all(_acts_at_once(record, min(order, most)) for order in _ORDERS)


def _acts_at_once(record: Record, order: int) -> bool:
    past, now, answers = _regressors(record, order)
    if len(answers) <= past.shape[1] + now.shape[1] + 1:
        return False
    without = _left_over(past, answers)
    together = _left_over(np.hstack([past, now]), answers)
    gain = (without - together) / (together + _ROUNDING * len(answers))
    freedom = len(answers) - past.shape[1] - now.shape[1]
    return bool(np.any((gain * freedom / now.shape[1] > _CRITICAL) & (gain > 0.01)))


def _regressors(record: Record, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Past of inputs and outputs (with a constant), present inputs, present outputs; standardised."""
    past, now, answers = [], [], []
    answered = _standardised([one.outputs for one in record.experiments])
    applied = _standardised([one.inputs for one in record.experiments])
    for one, inputs, outputs in zip(record.experiments, applied, answered, strict=True):
        rows = len(one) - order
        if rows < 1:
            continue
        lags = [signal[lag : lag + rows] for lag in range(order) for signal in (outputs, inputs)]
        past.append(np.hstack([np.ones((rows, 1)), *lags]))
        now.append(inputs[order:])
        answers.append(outputs[order:])
    if not answers:
        return np.empty((0, 1)), np.empty((0, 1)), np.empty((0, 1))
    return np.concatenate(past), np.concatenate(now), np.concatenate(answers)


def _standardised(recordings: list[np.ndarray]) -> list[np.ndarray]:
    """Every signal with mean zero and unit variance over all recordings; zero where it does not vary."""
    whole = np.concatenate(recordings)
    deviation = whole.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return [(one - whole.mean(axis=0)) / scale for one in recordings]


def _left_over(regressors: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Sum of squared residuals of every output."""
    weights, *_ = np.linalg.lstsq(regressors, answers, rcond=None)
    return np.sum((answers - regressors @ weights) ** 2, axis=0)
