"""Hold out data: contiguous blocks of a recording, or whole cases class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from attractor.errors import ConfigError, InputDataError, ShapeError

from .record import Record

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
        return hold_out_experiments(record, fraction)
    return hold_out_ends(record, fraction, shortest=shortest)


def hold_out_experiments(record: Record, fraction: float) -> Split:
    """Hold out the last experiments that together have at least `fraction` of the samples.

    At least one experiment stays for training.

    Raises:
        InputDataError: there is only one experiment.
    """
    experiments = record.experiments
    if len(experiments) < 2:
        raise InputDataError(
            f"the record has {len(experiments)} experiment(s); holding out a whole one needs two"
        )
    held, first = 0, len(experiments)
    while first > 1 and held < fraction * record.samples:
        first -= 1
        held += len(experiments[first])
    names = ", ".join(experiment.name for experiment in experiments[first:])
    description = (
        f"Held out {len(experiments) - first} of {len(experiments)} experiments ({names}) with {held} of "
        f"{record.samples} samples."
    )
    return Split(
        record.with_experiments(experiments[:first]),
        record.with_experiments(experiments[first:]),
        description,
    )


def hold_out_ends(record: Record, fraction: float, *, shortest: int = SHORTEST_PART) -> Split:
    """Hold out the last block of each experiment; experiments too short to be cut stay for training.

    Raises:
        InputDataError: no experiment is long enough.
    """
    training, validation = [], []
    for experiment in record.experiments:
        cut = len(experiment) - round(fraction * len(experiment))
        if min(cut, len(experiment) - cut) < shortest:
            training.append(experiment)
            continue
        training.append(experiment.rows(0, cut))
        validation.append(experiment.rows(cut, len(experiment)))
    if not validation:
        raise _too_short(record, fraction, shortest)
    held = sum(len(experiment) for experiment in validation)
    whole = len(training) - len(validation)
    kept = f" {whole} experiment(s) too short to be cut stay whole for training." if whole else ""
    description = (
        f"Held out the last {fraction:.0%} of {'each experiment' if len(training) > 1 else 'the record'} as "
        f"one block: {held} of {record.samples} samples.{kept}"
    )
    return Split(record.with_experiments(training), record.with_experiments(validation), description)


def _too_short(record: Record, fraction: float, shortest: int) -> InputDataError:
    longest = max((len(experiment) for experiment in record.experiments), default=0)
    return InputDataError(
        f"the longest experiment has {longest} rows; holding out {fraction:.0%} leaves less than {shortest} "
        "rows in one of the parts: record more data or choose another fraction"
    )


def stratified_hold_out(
    labels: Int[np.ndarray, " cases"],
    share: float | int,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held"]]:
    """Places of the cases that are kept for training and of those that are held out.

    Every class gives the same share, rounded; a class of one case stays in training. With groups (patients,
    devices) whole groups are held out, a group at a time from a random order, as long as the class that lacks
    most profits, and no class loses its last case in training.

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
    chosen = taken[units]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
