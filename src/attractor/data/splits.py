"""Which recordings train, which choose, and which judge: by name, by blocks in time, class by class."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.shown import Shown

from .record import Experiment, Record, Signal

ENOUGH_EXPERIMENTS = 5
SHORTEST_PART = 10


@dataclass(frozen=True)
class Split:
    """A record in two parts.

    Args:
        training: what a model may learn from.
        validation: what it is judged by.
        description: one sentence that says how the record was divided.
    """

    training: Record
    validation: Record
    description: str


def hold_out(record: Record, fraction: float = 0.2, *, shortest: int = SHORTEST_PART) -> Split:
    """Hold out whole experiments if there are at least five, else the last block of each experiment.

    Args:
        record: the data.
        fraction: share of the samples to hold out, between 0 and 1.
        shortest: the least number of rows in either part of an experiment that is cut.

    Returns:
        Training record, validation record and a sentence about them.

    Raises:
        ConfigError: the fraction is not between 0 and 1.
        InputDataError: no experiment is long enough to be cut.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction {fraction} of held-out samples is not between 0 and 1; 0.2 is common")
    if len(record.experiments) >= ENOUGH_EXPERIMENTS:
        return _hold_out_experiments(record, fraction)
    return _hold_out_ends(record, fraction, shortest)


def _hold_out_experiments(record: Record, fraction: float) -> Split:
    """Hold out the last experiments that together have at least `fraction` of the samples, never all."""
    experiments = record.experiments
    sizes = np.cumsum([len(experiment) for experiment in reversed(experiments)])
    count = min(int(np.searchsorted(sizes, fraction * record.samples)) + 1, len(experiments) - 1)
    names = ", ".join(experiment.name for experiment in experiments[-count:])
    description = (
        f"Held out {count} of {len(experiments)} experiments ({names}) with {sizes[count - 1]} of "
        f"{record.samples} samples."
    )
    kept, held = (record.with_experiments(part) for part in (experiments[:-count], experiments[-count:]))
    return Split(kept, held, description)


def _hold_out_ends(record: Record, fraction: float, shortest: int) -> Split:
    """Hold out the last block of each experiment; experiments too short to be cut stay for training."""
    training, validation = [], []
    for experiment in record.experiments:
        cut = len(experiment) - round(fraction * len(experiment))
        if min(cut, len(experiment) - cut) < shortest:
            training.append(experiment)
            continue
        training.append(experiment.rows(0, cut))
        validation.append(experiment.rows(cut, len(experiment)))
    if not validation:
        longest = max((len(experiment) for experiment in record.experiments), default=0)
        raise InputDataError(
            f"the longest experiment has {longest} rows; holding out {fraction:.0%} leaves less than "
            f"{shortest} rows in one of the parts: record more data or choose another fraction"
        )
    held = sum(len(experiment) for experiment in validation)
    whole = len(training) - len(validation)
    kept = f" {whole} experiment(s) too short to be cut stay whole for training." if whole else ""
    description = (
        f"Held out the last {fraction:.0%} of {'each experiment' if len(training) > 1 else 'the record'} as "
        f"one block: {held} of {record.samples} samples.{kept}"
    )
    return Split(record.with_experiments(training), record.with_experiments(validation), description)


def stratified_hold_out(
    labels: Int[np.ndarray, " cases"],
    share: float | int,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held"]]:
    """Positions of the cases that are kept for training and of those that are held out.

    Every class gives the same share, rounded; a class of one case stays in training. With groups (patients,
    devices) whole groups are held out, a group at a time from a random order, as long as the class that lacks
    most profits, and no class loses its last case in training. A class that would have none then gives its
    smallest group that it can spare.

    Args:
        labels: class of each case.
        share: to hold out, between 0 and 1.
        seed: of the random order.
        groups: for every case what must not be split; None if cases are independent.

    Raises:
        ConfigError: a share outside its range.
        ShapeError: more or fewer groups than cases.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share={share}: expected a share above 0 and below 1")
    if groups is not None and len(groups) != len(labels):
        raise ShapeError(f"{len(groups)} groups for {len(labels)} cases; give one for each")
    rng = np.random.default_rng(seed)
    units = (
        np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    classes = int(labels.max()) + 1
    counts = np.zeros((int(units.max()) + 1, classes), int)
    np.add.at(counts, (units, labels), 1)
    totals = counts.sum(axis=0)
    wanted = np.minimum(np.round(share * totals), np.maximum(totals - 1, 0)).astype(int)
    held, taken = np.zeros(classes, int), np.zeros(len(counts), bool)
    for unit in rng.permutation(len(counts)):
        after = held + counts[unit]
        closer = np.abs(wanted - after).sum() < np.abs(wanted - held).sum()
        if closer and (after < np.maximum(totals, 1)).all():
            held, taken[unit] = after, True
    for label in np.flatnonzero((held == 0) & (wanted > 0)):
        after = held + counts
        spare = np.flatnonzero((counts[:, label] > 0) & ~taken & (after < np.maximum(totals, 1)).all(axis=1))
        if len(spare):
            unit = spare[counts[spare].sum(axis=1).argmin()]
            held, taken[unit] = after[unit], True
    chosen = taken[units]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


# A role is the first word of a name (`train`, `val_2`, `Test 1`), not its first letters (`valve`, `tester`).
_ROLE = re.compile(
    r"(?:(?P<training>train(?:ing)?|est(?:imation)?)|(?P<validation>val(?:id(?:ation)?)?)|(?P<test>test(?:ing)?))"
    r"(?:set|data)?(?![^\W\d_])",  # no letter follows
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Roles(Shown):
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
    names_tell = bool({"validation", "test"} & {*roles})
    sentences, validation, named = [], None, record
    if names_tell and "training" in roles:
        record = _with_roles(named, roles, "training", None)
        sentences += _say_used(named, roles, test is not None)
        if "validation" in roles:
            validation = _with_roles(named, roles, "validation")
        if test is None and "test" in roles:
            test = _with_roles(named, roles, "test")
    elif names_tell and len(roles) > 1:  # a single name is mostly that of the file
        sentences.append("Names were not taken for roles, because no experiment is called train.")
    if test is None:
        split = hold_out(record, share)
        record, test = split.training, split.validation
        sentences.append(f"Test: {split.description}")
    if validation is None and validation_share == 0:
        validation = record.with_experiments(())
        sentences.append("Validation: none, all of the rest trains.")
    elif validation is None:
        split = hold_out(record, validation_share)
        record, validation = split.training, split.validation
        sentences.append(f"Validation: {split.description}")
    return Roles(record, validation, test, " ".join(sentences))


def role_in_name(name: str) -> str | None:
    """The role that the first word of an experiment's name tells, if it does.

    Example:
        >>> [role_in_name(name) for name in ("Train 1", "val_2", "testing", "valve", "run7")]
        ['training', 'validation', 'test', None, None]
    """
    match = _ROLE.match(name.strip())
    return match and match.lastgroup


def _with_roles(record: Record, roles: Sequence[str | None], *wanted: str | None) -> Record:
    return record.with_experiments([
        one for one, role in zip(record.experiments, roles, strict=True) if role in wanted
    ])


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
        "sampling_time_assumed": roles.training.assumed,
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
    signals = [tuple(Signal(**one) for one in facts[side]) for side in ("inputs", "outputs")]
    counts = tuple(map(len, signals))

    def part(name: str) -> Record:
        experiments = []
        for index, title in enumerate(facts["experiments"][name]):
            u, y = (arrays[f"{name}.{index}.{side}"] for side in ("inputs", "outputs"))
            if (u.shape, y.shape) != ((len(u), counts[0]), (len(u), counts[1])):
                raise ValueError(
                    f"experiment {title!r} has arrays of shapes {u.shape} and {y.shape} for {counts} inputs "
                    "and outputs"
                )
            experiments.append(Experiment(str(title), u.astype(float), y.astype(float)))
        return Record(
            signals[0],
            signals[1],
            tuple(experiments),
            float(facts["sampling_time"]),
            assumed=str(facts.get("sampling_time_assumed", "")),
        )

    training, validation, test = map(part, _PARTS)
    return Roles(training, validation, test, str(facts["explanation"]))
