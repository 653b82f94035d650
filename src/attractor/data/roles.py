"""Which recordings train, which choose, and which judge; a data set as arrays and plain facts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .record import Experiment, Record, Signal
from .splits import hold_out

# A role is the first word of a name (`train`, `val_2`, `Test 1`), not its first letters (`valve`, `tester`).
_ROLE = re.compile(
    r"(?:(?P<training>train(?:ing)?|est(?:imation)?)|(?P<validation>val(?:id(?:ation)?)?)|(?P<test>test(?:ing)?))"
    r"(?:set|data)?(?![^\W\d_])",  # no letter follows
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Roles:
    """A data set by what each part is for; test recordings are looked at once, at the end.

    Args:
        training: fits the weights.
        validation: chooses among them.
        test: judges the choice.
        explanation: how the parts were chosen and what was left out, in a few sentences.
    """

    training: Record
    validation: Record
    test: Record
    explanation: str = ""


def assign_roles(
    record: Record, test: Record | None = None, *, share: float = 0.2, validation_share: float = 0.2
) -> Roles:
    """Give every recording a role: by the names of experiments where they say so, else by blocks in time.

    Names count where one experiment is for training (train, training or estimation, alone or before a number
    or another word) and one for validation (val, valid, validation) or for the test. Experiments without a
    role in their name then train. Otherwise, and for a role that no name has, the last part of what there is
    becomes test data (unless `test` is given), and the last part of the rest validation data; never single
    samples, because neighbours in time are nearly the same.

    Args:
        record: the data.
        test: test data that came separately; experiments of `record` named for the test are left out then.
        share: part of the data for the test.
        validation_share: part of the rest for validation; 0 lets everything train.

    Raises:
        InputDataError: the experiments are too short to be divided.
    """
    roles = [role_in_name(one.name) for one in record.experiments]
    if "training" not in roles or not {"validation", "test"} & {*roles}:
        return _by_blocks(record, test, share, validation_share, _say_unused(roles))
    sentences = _say_used(record, roles, test is not None)
    if test is None and "test" in roles:
        test = _with_roles(record, roles, "test")
    training = _with_roles(record, roles, "training", None)
    if "validation" not in roles:
        return _by_blocks(training, test, share, validation_share, sentences)
    if test is None:
        split = hold_out(training, share)
        training, test = split.training, split.validation
        sentences.append(f"Test: {split.description}")
    return Roles(training, _with_roles(record, roles, "validation"), test, " ".join(sentences))


def role_in_name(name: str) -> str | None:
    """The role that the first word of an experiment's name tells, if it does.

    Example:
        >>> [role_in_name(name) for name in ("Train 1", "val_2", "testing", "valve", "run7")]
        ['training', 'validation', 'test', None, None]
    """
    match = _ROLE.match(name.strip())
    return match and match.lastgroup


def _by_blocks(
    record: Record, test: Record | None, share: float, validation_share: float, sentences: Sequence[str]
) -> Roles:
    sentences = list(sentences)
    if test is None:
        split = hold_out(record, share)
        record, test = split.training, split.validation
        sentences.append(f"Test: {split.description}")
    if validation_share == 0:
        sentences.append("Validation: none, all of the rest trains.")
        return Roles(record, record.with_experiments(()), test, " ".join(sentences))
    split = hold_out(record, validation_share)
    sentences.append(f"Validation: {split.description}")
    return Roles(split.training, split.validation, test, " ".join(sentences))


def _with_roles(record: Record, roles: Sequence[str | None], *wanted: str | None) -> Record:
    return record.with_experiments([
        one for one, role in zip(record.experiments, roles, strict=True) if role in wanted
    ])


def _say_unused(roles: Sequence[str | None]) -> list[str]:
    """Why names that look like roles were not taken for them; a single name is mostly that of the file."""
    if len(roles) < 2 or not {"validation", "test"} & {*roles}:
        return []
    return ["Names were not taken for roles, because no experiment is called train."]


def _say_used(record: Record, roles: Sequence[str | None], is_test_separate: bool) -> list[str]:
    """What became of every experiment."""
    sentences = ["Experiments were used as they are named."]
    unnamed = _with_roles(record, roles, None).experiments
    if unnamed:
        sentences.append(f"Training has also those without a role in their name: {_names(unnamed)}.")
    left = _with_roles(record, roles, "test").experiments
    if left and is_test_separate:
        sentences.append(f"Left out, because test data came separately: {_names(left)}.")
    return sentences


def _names(experiments: Sequence[Experiment]) -> str:
    return ", ".join(one.name for one in experiments)


_PARTS = ("training", "validation", "test")


def to_archive(roles: Roles) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Facts (names, signals, sampling time) and arrays of a data set."""
    facts: dict[str, object] = {
        "inputs": [asdict(signal) for signal in roles.training.inputs],
        "outputs": [asdict(signal) for signal in roles.training.outputs],
        "sampling_time": roles.training.sampling_time,
        "source": roles.training.source.name if roles.training.source else None,
        "explanation": roles.explanation,
        "experiments": {
            part: [experiment.name for experiment in getattr(roles, part).experiments] for part in _PARTS
        },
    }
    arrays = {}
    for part in _PARTS:
        for index, experiment in enumerate(getattr(roles, part).experiments):
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
        raise ValueError(
            f"experiment {title!r} has arrays of shapes {shapes} for {signals} inputs and outputs"
        )
    return Experiment(str(title), values[0].astype(float), values[1].astype(float))
